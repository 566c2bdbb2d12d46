// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The convolution kernels with AVX-512: 6 × 4 vectors of 16 floats or 8 doubles; 24 of the 32 registers accumulate.
#pragma once

#if defined(__x86_64__)

#include <type_traits>
#include <utility>

#include <pleat/compute/detail/conv_tile.hpp>
#include <pleat/compute/detail/conv_vector_avx512.hpp>

namespace pleat::compute::detail::conv_avx512 {

#define PLEAT_CONV_TARGET PLEAT_TARGET_AVX512
#include <pleat/compute/detail/conv_tile_body.hpp>

#undef PLEAT_CONV_TARGET

/// A template, so that who has no convolution compiles none of them.
template <class T> [[nodiscard]] constexpr conv_kernels<T> kernels_for() {
  if constexpr (std::is_same_v<T, float>) return make_kernels<floats, 4, 12, 9, 7, 5, 3>();
  else if constexpr (std::is_same_v<T, double>) return make_kernels<doubles, 4, 12, 9, 7, 5, 3>();
  else return {};
}
template <class T> inline constexpr conv_kernels<T> kernels = kernels_for<T>();

}  // namespace pleat::compute::detail::conv_avx512

#endif
