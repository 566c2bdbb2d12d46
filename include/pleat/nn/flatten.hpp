// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Samples of any shape as rows.
#pragma once

#include <utility>

#include <pleat/nn/description.hpp>
#include <pleat/nn/layer.hpp>

namespace pleat::nn {

/// x[m, …] → y[m, elements of a sample]: another shape of the same memory.
template <class T = float, class Space = Kokkos::DefaultExecutionSpace> class flatten {
 public:
  using value_type = T;                             ///< of weights and activations
  using execution_space = Space;                    ///< where it runs
  using tensor_type = tensor<T, Space>;             ///< of its activations
  static constexpr char const* kind = "flatten";    ///< what descriptions call it
  static constexpr mixing mixes = mixing::nothing;  ///< where the tensor axis may cut its input (placement_rules.hpp)

  /// The input's shape, and along which dimension the tensor axis cuts it: where extents are one, shapes do not say.
  struct saved {
    extents in;
    axis_layout where;
  };

  [[nodiscard]] extents shape(extents const& in) const {
    if (in.rank() < 1)
      throw error{"nn::flatten", "expected a batch of samples, found an input without extents",
                  "Hand over a batch [m, …], whose first extent counts samples"};
    return {in[0], in.size_from(1)};
  }
  [[nodiscard]] step<saved, tensor_type> forward(pass<Space> const&, tensor_type x) const {
    saved s{x.shape(), x.layout()};
    return {x.reshape(shape(x.shape())), s};
  }
  [[nodiscard]] tensor_type backward(pass<Space> const& p, saved& s, tensor_type dy) {
    if (!p.input_gradient) return {};
    return dy.layout().cut() ? dy.with_layout({}).reshape(s.in).with_layout(s.where) : dy.reshape(s.in);
  }
  template <class F> void for_each_parameter(F&&) {}

  [[nodiscard]] layer_cost cost(extents const& in) const {
    layer_cost c{.name = kind, .kind = kind, .in = in, .out = shape(in)};
    c.keeps_input = false;
    c.view = true;
    return c;
  }
};

}  // namespace pleat::nn
