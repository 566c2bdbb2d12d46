// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Max pooling of planes for every instruction set; included where it is compiled (PLEAT_HAS_VECTORS).
#pragma once

#include <cstdint>
#include <limits>

#include <pleat/base/isa.hpp>
#include <pleat/compute/detail/conv_vector_avx2.hpp>
#include <pleat/compute/detail/conv_vector_avx512.hpp>
#include <pleat/compute/detail/conv_vector_scalar.hpp>
#include <pleat/compute/detail/pool_tile.hpp>

namespace pleat::compute::detail {

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

template <class T>
[[nodiscard]] auto max_plane_of(isa::level level) noexcept -> void (*)(max_plane_arguments<T> const&) {
#if defined(__x86_64__)
  if (level == isa::level::avx512) return &conv_avx512::max_plane<conv_avx512::vector_of<T>>;
  if (level == isa::level::avx2) return &conv_avx2::max_plane<conv_avx2::vector_of<T>>;
#endif
  static_cast<void>(level);
  return &conv_scalar::max_plane<conv_scalar::vector_of<T>>;
}

}  // namespace pleat::compute::detail
