// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The convolution kernels in plain C++: the same chains, one element a "vector".
#pragma once

#include <utility>

#include <pleat/compute/detail/conv_tile.hpp>
#include <pleat/compute/detail/conv_vector_scalar.hpp>

namespace pleat::compute::detail::conv_scalar {

#define PLEAT_CONV_TARGET
#include <pleat/compute/detail/conv_tile_body.hpp>
#undef PLEAT_CONV_TARGET

template <class T> inline constexpr conv_kernels<T> kernels = make_kernels<vector_of<T>, 1, 4, 2, 1>();

}  // namespace pleat::compute::detail::conv_scalar
