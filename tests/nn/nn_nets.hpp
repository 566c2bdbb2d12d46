// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Networks that the tests of gradient flow walk through: every layer and every composite of the library.
#pragma once

#include <pleat/nn.hpp>

namespace pleat::test {

template <class T> using dense_forms = codec::forms<codec::dense<T>>;

/// Images [m, 2, 8, 8] → [m, 6]. Units: 13 in the outer sequence, 3 of them in the repeat.
template <class T> [[nodiscard]] auto image_net() {
  using F = dense_forms<T>;
  return nn::sequential(
      nn::conv2d<F>("c1", 2, 4, 3, {.padding = 1}), nn::batch_norm<T>("bn1", 4), nn::relu<T>(), nn::max_pool2d<T>(2),
      nn::residual(nn::sequential(nn::conv2d<F>("c2", 4, 4, 3, {.padding = 1}), nn::relu<T>())),
      nn::branch(nn::conv2d<F>("b1", 4, 3, 1),
                 nn::sequential(nn::conv2d<F>("b2", 4, 2, 3, {.padding = 1}), nn::tanh_activation<T>())),
      nn::avg_pool2d<T>(2), nn::flatten<T>(), nn::linear<F>("fc1", 20, 16), nn::relu<T>(),
      nn::repeat("block", 3,
                 nn::residual(nn::sequential(nn::linear<F>("l", 16, 16), nn::gelu<T>(), nn::dropout<T>("drop", 0.25)))),
      nn::branch(nn::merge::sum, nn::linear<F>("s1", 16, 6),
                 nn::sequential(nn::sigmoid<T>(), nn::linear<F>("s2", 16, 6))));
}
inline constexpr index_t image_units = 14;

/// The same kinds of layers without batch norm, whose lanes must be whole.
template <class T> [[nodiscard]] auto cut_net() {
  using F = dense_forms<T>;
  return nn::sequential(
      nn::conv2d<F>("c1", 2, 4, 3, {.padding = 1}), nn::relu<T>(), nn::max_pool2d<T>(2),
      nn::residual(nn::sequential(nn::conv2d<F>("c2", 4, 3, 3, {.padding = 1}), nn::tanh_activation<T>()),
                   nn::conv2d<F>("c3", 4, 3, 1, {.bias = false})),
      nn::avg_pool2d<T>(2), nn::flatten<T>(), nn::linear<F>("fc1", 12, 16), nn::relu<T>(), nn::dropout<T>("drop", 0.25),
      nn::repeat("block", 2, nn::sequential(nn::linear<F>("l", 16, 16), nn::relu<T>())),
      nn::branch(nn::linear<F>("s1", 16, 4), nn::sequential(nn::sigmoid<T>(), nn::linear<F>("s2", 16, 2))));
}

}  // namespace pleat::test
