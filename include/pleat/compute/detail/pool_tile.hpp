// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Max pooling of planes by vectors of windows, for every instruction set. Needs no Kokkos.
#pragma once

#include <cstdint>
#include <limits>

#include <pleat/compute/detail/conv_vector_avx2.hpp>
#include <pleat/compute/detail/conv_vector_avx512.hpp>
#include <pleat/compute/detail/conv_vector_scalar.hpp>
#include <pleat/base/isa.hpp>
#include <pleat/compute/detail/pool_shape.hpp>

namespace pleat::compute::detail {

/// One plane of shape.height × shape.width. Offsets within a window are carried as values of T, so kernel_h * width
/// must be below 2^24. stride_w is 1 or 2.
template <class T> struct max_plane_arguments {
  pool2d_shape shape;
  T const* x;
  T* y;
  std::int32_t* where;  ///< or null
};

namespace conv_scalar {
#define PLEAT_POOL_TARGET
#include <pleat/compute/detail/pool_tile_body.hpp>
#undef PLEAT_POOL_TARGET
}  // namespace conv_scalar

#if defined(__x86_64__)
namespace conv_avx2 {
#define PLEAT_POOL_TARGET PLEAT_TARGET_AVX2
#include <pleat/compute/detail/pool_tile_body.hpp>
#undef PLEAT_POOL_TARGET
template <class T> struct vector_of : floats {};
template <> struct vector_of<double> : doubles {};
}  // namespace conv_avx2

namespace conv_avx512 {
#define PLEAT_POOL_TARGET PLEAT_TARGET_AVX512
#include <pleat/compute/detail/pool_tile_body.hpp>
#undef PLEAT_POOL_TARGET
template <class T> struct vector_of : floats {};
template <> struct vector_of<double> : doubles {};
}  // namespace conv_avx512
#endif

/// The kernel of an instruction set.
template <class T>
[[nodiscard]] inline auto max_plane_of(isa::level level) noexcept -> void (*)(max_plane_arguments<T> const&) {
#if defined(__x86_64__)
  if (level == isa::level::avx512) return &conv_avx512::max_plane<conv_avx512::vector_of<T>>;
  if (level == isa::level::avx2) return &conv_avx2::max_plane<conv_avx2::vector_of<T>>;
#endif
  return &conv_scalar::max_plane<conv_scalar::vector_of<T>>;
}

}  // namespace pleat::compute::detail
