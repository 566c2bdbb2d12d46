// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A layer whose parameters have no elements: it passes on what it gets, and takes part in all that parameters take
/// part in.
#pragma once

#include <string>
#include <utility>

#include <pleat/nn/layer.hpp>
#include <pleat/nn/weight_products.hpp>

namespace pleat_test {

struct empty_parameters {
  static constexpr auto mixes = pleat::nn::mixing::nothing;
  using space = Kokkos::DefaultExecutionSpace;
  using tensor = pleat::tensor<float, space>;
  struct saved {};
  pleat::nn::values<float, space> vector, matrix;

  explicit empty_parameters(std::string const& name)
      : vector(name + ".vector", pleat::extents{0}, pleat::nn::initializer::normal(1)),
        matrix(name + ".matrix", pleat::extents{3, 0}, pleat::nn::initializer::constant(1)) {}

  pleat::extents shape(pleat::extents in) const { return in; }
  pleat::nn::step<saved, tensor> forward(pleat::nn::pass<space> const&, tensor x) const { return {std::move(x), {}}; }
  tensor backward(pleat::nn::pass<space> const& p, saved&, tensor dy) {
    for (auto* v : {&vector, &matrix})
      pleat::nn::accumulate_gradient(p, *v, [](float*, pleat::compute::lanes const&) {});
    return dy;
  }
  void for_each_parameter(auto&& f) {
    f(vector);
    f(matrix);
  }
};

}  // namespace pleat_test
