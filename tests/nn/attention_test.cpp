// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/nn/attention.hpp>
#include <pleat/nn/check_gradients.hpp>
#include <pleat/nn/describe.hpp>

#include "nn/nn_support.hpp"

using namespace pleat;
using namespace pleat::test;
using Catch::Matchers::ContainsSubstring;

TEST_CASE("attention's gradient is its derivative") {
  nn::check_options const o{.elements = 0, .tolerance = 1e-8};
  nn::demand_correct_gradients(nn::attention<double>("a", 2, 4), {2, 5, 24}, o);
  nn::demand_correct_gradients(nn::attention<double>("a", 2, 4, {.causal = false}), {1, 6, 24}, o);
  nn::demand_correct_gradients(nn::attention<double>("a", 4, 2, {.key_value_heads = 2}), {2, 5, 16}, o);
  nn::demand_correct_gradients(nn::attention<double>("a", 2, 4, {.key_value_heads = 1, .rotary = true}), {2, 7, 16}, o);
  nn::demand_correct_gradients(nn::attention<double>("a", 1, 3), {1, 1, 9}, o);
}

TEST_CASE("attention takes any whole number of groups") {
  nn::attention<> const a("a", 6, 8, {.key_value_heads = 3});
  CHECK(nn::attention_width(6, 8, 3) == 96);
  CHECK(nn::attention_width(6, 8) == 144);
  CHECK(a.group_width() == 32);
  CHECK(a.shape({2, 5, 96}) == extents{2, 5, 48});
  CHECK(a.shape({2, 5, 32}) == extents{2, 5, 16});  // one group: a rank's share
}

TEST_CASE("attention says what does not fit") {
  CHECK_THROWS_WITH(nn::attention("block.0.attention", 6, 64, {.key_value_heads = 4}), ContainsSubstring("block.0.attention") && ContainsSubstring("key_value_heads = 4"));
  CHECK_THROWS_WITH(nn::attention("a", 0, 64), ContainsSubstring("heads = 0"));
  CHECK_THROWS_WITH(nn::attention("a", 2, 7, {.rotary = true}), ContainsSubstring("7 elements"));
  CHECK_THROWS_WITH(nn::attention("a", 2, 8).shape({4, 10, 40}), ContainsSubstring("48") && ContainsSubstring("[4, 10, 40]"));
  CHECK_THROWS_WITH(nn::attention("a", 2, 8).shape({40, 48}), ContainsSubstring("[m, positions, 48]"));
}

TEST_CASE("with rotary positions only distances count") {
  context<space> c{make_instance<space>(1)};
  trained t(c, nn::attention("a", 1, 8, {.rotary = true}));
  // the same token everywhere: every query sees equal values, and scores depend on distance; a shift of both ends changes nothing
  auto const one = numbers<float>(24, 3);
  std::vector<float> x;
  for (int i = 0; i < 12; ++i) x.insert(x.end(), one.begin(), one.end());
  auto s = nn::call(t.pass({}, 1), t.net, from_host(c, x, {1, 12, 24})).saved;
  auto const turned = to_host(c, s.x);
  auto const score = [&](int i, int j) {
    double sum = 0;
    for (int e = 0; e < 8; ++e) sum += static_cast<double>(turned[static_cast<std::size_t>(i * 24 + e)]) * turned[static_cast<std::size_t>(j * 24 + 8 + e)];
    return sum;
  };
  for (int shift = 1; shift < 5; ++shift)
    for (int d = 0; d < 7; ++d) CHECK(std::abs(score(d + shift, shift) - score(d, 0)) < 8 * 4 * 6e-8);  // products of numbers below √2, two roundings each
  CHECK(std::abs(score(3, 0) - score(0, 0)) > 1e-3);
}

TEST_CASE("a description of attention counts what a forward keeps") {
  auto const d = nn::describe(nn::attention("a", 2, 8), {3, 10, 48});
  CHECK(d.layers[0].parameters == 0);
  CHECK(d.layers[0].forward_flops == 2 * 2.0 * 3 * 2 * 8 * 55);
  // the output and one number per query; the input is the caller's
  CHECK(d.activation_bytes() == 4 * (3 * 10 * 16 + 3 * 2 * 10));
}
