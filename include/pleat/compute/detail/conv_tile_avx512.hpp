// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The convolution kernels with AVX-512: 6 × 4 vectors of 16 floats or 8 doubles; 24 of the 32 registers accumulate.
#pragma once

#if defined(__x86_64__)

#include <utility>

#include <pleat/compute/detail/conv_tile.hpp>
#include <pleat/compute/detail/conv_vector_avx512.hpp>

namespace pleat::compute::detail::conv_avx512 {

#define PLEAT_CONV_TARGET PLEAT_TARGET_AVX512
#include <pleat/compute/detail/conv_tile_body.hpp>

#undef PLEAT_CONV_TARGET

template <class T> inline constexpr conv_kernels<T> kernels = {};
template <> inline constexpr conv_kernels<float> kernels<float> = make_kernels<floats, 4, 12, 9, 3>();
template <> inline constexpr conv_kernels<double> kernels<double> = make_kernels<doubles, 4, 12, 9, 3>();

}  // namespace pleat::compute::detail::conv_avx512

#endif
