// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The convolution kernels with AVX2: 6 × 2 vectors of 8 floats or 4 doubles; 12 of the 16 registers accumulate.
#pragma once

#if defined(__x86_64__)

#include <utility>

#include <pleat/compute/detail/conv_tile.hpp>
#include <pleat/compute/detail/conv_vector_avx2.hpp>

namespace pleat::compute::detail::conv_avx2 {

#define PLEAT_CONV_TARGET PLEAT_TARGET_AVX2
#include <pleat/compute/detail/conv_tile_body.hpp>

#undef PLEAT_CONV_TARGET

template <class T> inline constexpr conv_kernels<T> kernels = {};
template <> inline constexpr conv_kernels<float> kernels<float> = make_kernels<floats, 2, 6, 3, 1>();
template <> inline constexpr conv_kernels<double> kernels<double> = make_kernels<doubles, 2, 6, 3, 1>();

}  // namespace pleat::compute::detail::conv_avx2

#endif
