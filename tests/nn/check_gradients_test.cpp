// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <pleat/nn/check_gradients.hpp>
#include <pleat/nn/sequential.hpp>
#include <pleat/nn/weight_products.hpp>

#include "nn/nn_support.hpp"

using namespace pleat;
using namespace pleat::test;
using Catch::Matchers::ContainsSubstring;

namespace {
/// A user's layer: y = x · scale, one scale per feature. Its gradients can be made wrong by a factor.
struct scaled {
  using value_type = double;
  using execution_space = Kokkos::DefaultHostExecutionSpace;
  using tensor_type = tensor<double, execution_space>;
  struct saved {
    tensor_type x;
  };
  nn::values<double, execution_space> scale;
  double wrong_input = 1, wrong_weight = 1;

  scaled(std::string name, index_t n, double wrong_input = 1, double wrong_weight = 1)
      : scale(name + ".scale", extents{n}, nn::initializer::uniform(1)),
        wrong_input(wrong_input),
        wrong_weight(wrong_weight) {}

  extents shape(extents in) const { return in; }
  nn::step<saved, tensor_type> forward(nn::pass<execution_space> const& p, tensor_type x) const {
    auto y = tensor_type::allocate(*p.where, x.shape());
    auto const in = host_view(x), out = host_view(y);
    for (std::size_t i = 0; i < in.size(); ++i)
      out[i] = in[i] * scale.data()[i % static_cast<std::size_t>(scale.size())];
    return {y, {x}};
  }
  tensor_type backward(nn::pass<execution_space> const& p, saved& s, tensor_type dy) {
    auto const x = host_view(s.x), d = host_view(dy);
    auto const n = static_cast<std::size_t>(scale.size());
    nn::accumulate_gradient(p, scale, [&](double* out, compute::lanes const& l) {
      for (std::size_t j = 0; j < n; ++j) {
        double sum = l.accumulate ? out[j] : 0;
        for (auto r = static_cast<std::size_t>(l.begin(0)); r < static_cast<std::size_t>(l.end(0)); ++r)
          sum += wrong_weight * x[r * n + j] * d[r * n + j];
        out[j] = sum;
      }
    });
    auto dx = tensor_type::allocate(*p.where, dy.shape());
    auto const g = host_view(dx);
    for (std::size_t i = 0; i < d.size(); ++i) g[i] = wrong_input * d[i] * scale.data()[i % n];
    return dx;
  }
  void for_each_parameter(auto&& f) { f(scale); }
};

/// y = |x|, with the derivative of x everywhere.
struct kinked {
  using value_type = double;
  using execution_space = Kokkos::DefaultHostExecutionSpace;
  using tensor_type = tensor<double, execution_space>;
  struct saved {
    tensor_type x;
  };
  extents shape(extents in) const { return in; }
  nn::step<saved, tensor_type> forward(nn::pass<execution_space> const& p, tensor_type x) const {
    auto y = tensor_type::allocate(*p.where, x.shape());
    auto const in = host_view(x), out = host_view(y);
    for (std::size_t i = 0; i < in.size(); ++i) out[i] = std::abs(in[i]);
    return {y, {x}};
  }
  tensor_type backward(nn::pass<execution_space> const& p, saved& s, tensor_type dy) {
    auto dx = tensor_type::allocate(*p.where, dy.shape());
    auto const x = host_view(s.x), d = host_view(dy), g = host_view(dx);
    for (std::size_t i = 0; i < x.size(); ++i) g[i] = x[i] < 0 ? -d[i] : d[i];
    return dx;
  }
  void for_each_parameter(auto&&) {}
};
}  // namespace

TEST_CASE("a right layer of a user's passes, alone and inside a composite") {
  auto const r = nn::check_gradients(scaled("s", 4), {5, 4});
  CHECK(r.good());
  REQUIRE(r.arrays.size() == 2);
  CHECK(r.arrays[0].name == "input");
  CHECK(r.arrays[1].name == "s.scale");
  CHECK(r.worst().error < 1e-10);  // the bound that check_gradients states for smooth functions
  CHECK(nn::check_gradients(nn::sequential(scaled("s", 4), scaled("t", 4)), {5, 4}).good());
}

TEST_CASE("a wrong gradient is found and named, however small the mistake") {
  auto const input = nn::check_gradients(scaled("s", 4, 1.0 + 1e-5), {5, 4});
  CHECK_FALSE(input.good());
  CHECK(input.worst().name == "input");
  CHECK(std::abs(input.worst().error - 1e-5) < 1e-7);  // relative to the analytic side, which is off by as much
  auto const weight = nn::check_gradients(nn::sequential(scaled("s", 4), scaled("t", 4, 1, 0.5)), {5, 4});
  CHECK(weight.worst().name == "t.scale");
  CHECK_THROWS_WITH(nn::demand_correct_gradients(scaled("s", 4, 1, -1), {5, 4}),
                    ContainsSubstring("'s.scale'") && ContainsSubstring("differences say"));
  CHECK_THAT(weight.to_string(), ContainsSubstring("s.scale") && ContainsSubstring("t.scale"));
}

TEST_CASE("elements at a kink are told from wrong ones") {
  // inputs within ±h of the kink: every difference straddles it, and none of two widths agree
  auto const near = nn::check_gradients(kinked(), {40, 5}, {.elements = 0, .input_scale = 0.05});
  CHECK(near.worst().error < 1e-9);
  CHECK(near.good());
  auto const at = nn::check_gradients(kinked(), {40, 5}, {.elements = 0, .input_scale = 1e-6});
  CHECK(at.worst().kinks > 0);
  CHECK_FALSE(at.good());
}

TEST_CASE("a pass that does not train is refused: there is nothing that backward could begin with") {
  CHECK_THROWS_WITH(nn::check_gradients(scaled("s", 4), {5, 4}, {.training = false}),
                    ContainsSubstring("training is false") && ContainsSubstring("Leave training at true"));
}
