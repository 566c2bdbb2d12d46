// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// repeat, residual, branch: what they compute, their names, their words.
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <pleat/nn/check_gradients.hpp>

#include "nn/nn_nets.hpp"
#include "nn/nn_support.hpp"

using namespace pleat;
using namespace pleat::test;
using Catch::Matchers::ContainsSubstring;
using D = dense_forms<double>;

TEST_CASE("composites' gradients are their derivatives") {
  extents const in{3, 4};
  auto const body = [] { return nn::sequential(nn::linear<D>("l", 4, 4), nn::tanh_activation<double>()); };
  nn::check_options const all{.elements = 0, .tolerance = 1e-9};
  nn::demand_correct_gradients(nn::repeat("r", 3, body()), in, all);
  nn::demand_correct_gradients(nn::residual(body()), in, all);
  nn::demand_correct_gradients(nn::residual(nn::linear<D>("a", 4, 6), nn::linear<D>("b", 4, 6)), in, all);
  nn::demand_correct_gradients(nn::branch(nn::linear<D>("a", 4, 2), nn::gelu<double>(), nn::linear<D>("c", 4, 3)), in,
                               all);
  nn::demand_correct_gradients(
      nn::branch(nn::merge::sum, nn::linear<D>("a", 4, 4), nn::relu<double>(), nn::linear<D>("c", 4, 4)), in, all);
  nn::demand_correct_gradients(image_net<double>(), {3, 2, 8, 8}, {.seed = 4, .elements = 12});
}

TEST_CASE("repeat names the copies' parameters and layers, and ties stay inside a copy") {
  auto net = nn::repeat(
      "block", 2,
      nn::sequential(nn::linear("a", 4, 4), nn::linear("b", 4, 4, {.tied_to = "a.weight"}), nn::dropout("drop", 0.5)));
  std::vector<std::string> names, ties;
  net.for_each_parameter([&](auto& w) {
    names.push_back(w.name);
    ties.push_back(w.tied_to);
  });
  CHECK(names == std::vector<std::string>{"block.0.a.weight", "block.0.a.bias", "block.0.b.weight", "block.0.b.bias",
                                          "block.1.a.weight", "block.1.a.bias", "block.1.b.weight", "block.1.b.bias"});
  CHECK(ties[2] == "block.0.a.weight");
  CHECK(ties[6] == "block.1.a.weight");
  CHECK(net.copy(1).layer<0>().name() == "block.1.a");
  CHECK(net.copy(1).layer<2>().name() == "block.1.drop");
  CHECK(net.units() == 2);
  auto outer = nn::repeat("stage", 2, net);
  CHECK(outer.copy(1).copy(0).layer<0>().name() == "stage.1.block.0.a");
  CHECK_THROWS_WITH(nn::repeat("block", 0, nn::relu()), ContainsSubstring("'block'") && ContainsSubstring("n = 0"));
}

TEST_CASE("two layers of one name are refused where memory is laid out") {
  context<space> c{make_instance<space>(1)};
  auto net = nn::sequential(nn::linear("a", 4, 4), nn::linear("a", 4, 4));
  CHECK_THROWS_WITH((nn::arena<float, space>(c, net, 1)), ContainsSubstring("'a.weight'"));
}

TEST_CASE("branch concatenates channels, or sums") {
  context<space> c{make_instance<space>(2)};
  auto const x = random_tensor<float>(c, {2, 3, 2, 2}, 1);
  nn::pass<space> p;
  p.where = &c;
  auto const both = nn::branch(nn::relu(), nn::tanh_activation());
  CHECK(both.shape({2, 3, 2, 2}) == extents{2, 6, 2, 2});
  auto const y = to_host(c, nn::call(p, both, x).y), a = to_host(c, nn::call(p, nn::relu(), x).y),
             b = to_host(c, nn::call(p, nn::tanh_activation(), x).y);
  for (std::size_t s = 0; s < 2; ++s)
    for (std::size_t i = 0; i < 12; ++i) {
      CHECK(y[s * 24 + i] == a[s * 12 + i]);
      CHECK(y[s * 24 + 12 + i] == b[s * 12 + i]);
    }
  auto const sum = to_host(c, nn::call(p, nn::branch(nn::merge::sum, nn::relu(), nn::tanh_activation()), x).y);
  for (std::size_t i = 0; i < sum.size(); ++i) CHECK(sum[i] == a[i] + b[i]);
}

TEST_CASE("composites say which shapes do not fit") {
  CHECK_THROWS_WITH(nn::residual(nn::linear("a", 4, 5)).shape({2, 4}),
                    ContainsSubstring("residual") && ContainsSubstring("[2, 5]") && ContainsSubstring("[2, 4]"));
  CHECK_THROWS_WITH(nn::residual(nn::linear("a", 4, 5), nn::linear("b", 4, 6)).shape({2, 4}),
                    ContainsSubstring("[2, 6]"));
  CHECK_THROWS_WITH(nn::branch(nn::merge::sum, nn::linear("a", 4, 5), nn::linear("b", 4, 6)).shape({2, 4}),
                    ContainsSubstring("layer 1 makes [2, 6]"));
  CHECK_THROWS_WITH(nn::branch(nn::max_pool2d(2), nn::relu()).shape({2, 3, 4, 4}),
                    ContainsSubstring("dimension 1 only"));
}

TEST_CASE("a residual leaves its input alone") {
  context<space> c{make_instance<space>(1)};
  auto const x = random_tensor<float>(c, {2, 4}, 1);
  auto const before = to_host(c, x);
  nn::pass<space> p;
  p.where = &c;
  auto const y = to_host(c, nn::call(p, nn::residual(nn::relu()), x).y);
  CHECK(same_bits(before, to_host(c, x)));
  for (std::size_t i = 0; i < y.size(); ++i) CHECK(y[i] == before[i] + std::max(0.0f, before[i]));
}
