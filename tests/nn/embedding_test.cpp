// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <limits>

#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/nn/embedding.hpp>
#include <pleat/nn/linear.hpp>
#include <pleat/nn/sequential.hpp>

#include "nn/nn_support.hpp"

using namespace pleat;
using namespace pleat::test;
using Catch::Matchers::ContainsSubstring;

namespace {
std::vector<float> const tokens = {3, 0, 3, 4, 1, 1, 3, 0};  // two sequences of four; token 2 does not occur
}

TEST_CASE("an embedding looks rows up and adds a row per position") {
  context<space> c{make_instance<space>(1)};
  trained t(c, nn::embedding("e", 5, 3, {.positions = 6}));
  auto const y = to_host(c, nn::call(t.pass({}, 2, false), t.net, from_host(c, tokens, {2, 4})).y);
  auto const w = t.value("e.weight"), p = t.value("e.positions");
  for (std::size_t r = 0; r < 8; ++r)
    for (std::size_t j = 0; j < 3; ++j)
      CHECK(y[r * 3 + j] == w[static_cast<std::size_t>(tokens[r]) * 3 + j] + p[r % 4 * 3 + j]);
  CHECK(t.net.shape({7, 6}) == extents{7, 6, 3});
}

TEST_CASE("an embedding's gradient is the sum over a token's rows; unused rows get zero") {
  context<space> c{make_instance<space>(1)};
  trained t(c, nn::embedding("e", 5, 3, {.positions = 6}));
  for (index_t i = 0; i < t.memory.size(); ++i) t.memory.gradients()[i] = 77;  // of another step
  auto const s = whole(2);
  auto const p = t.pass({&s, 1}, 2);
  auto out = nn::call(p, t.net, from_host(c, tokens, {2, 4}));
  std::vector<float> dy(24);
  for (std::size_t i = 0; i < 24; ++i) dy[i] = static_cast<float>(i + 1);  // sums of small whole numbers are exact
  auto const dx = nn::call_backward(p, t.net, out.saved, from_host(c, dy, {2, 4, 3}));
  CHECK(to_host(c, dx) == std::vector<float>(8, 0));
  std::vector<float> dw(15), dp(18);
  for (std::size_t r = 0; r < 8; ++r)
    for (std::size_t j = 0; j < 3; ++j) {
      dw[static_cast<std::size_t>(tokens[r]) * 3 + j] += dy[r * 3 + j];
      dp[r % 4 * 3 + j] += dy[r * 3 + j];
    }
  CHECK(t.gradient("e.weight") == dw);
  CHECK(t.gradient("e.positions") == dp);
}

TEST_CASE("a tied output layer adds its gradient to the embedding's") {
  context<space> c{make_instance<space>(1)};
  using D = codec::forms<codec::dense<double>>;
  auto const make = [](std::string tied) {
    return nn::sequential(nn::embedding<double>("e", 5, 3),
                          nn::linear<D>("out", 3, 5, {.bias = false, .tied_to = std::move(tied)}));
  };
  trained tied(c, make("e.weight")), apart(c, make(""));
  apart.set("e.weight", tied.value("e.weight"));
  apart.set("out.weight", tied.value("e.weight"));
  auto const s = whole(2);
  auto const dy = numbers<double>(40, 4);
  auto const run = [&](auto& t) {
    auto const p = t.pass({&s, 1}, 2);
    t.begin();
    auto out = nn::call(p, t.net, from_host(c, std::vector<double>(tokens.begin(), tokens.end()), {2, 4}));
    (void)nn::call_backward(p, t.net, out.saved, from_host(c, dy, {2, 4, 5}));
  };
  run(tied);
  run(apart);
  auto const sum = tied.gradient("e.weight"), a = apart.gradient("e.weight"), b = apart.gradient("out.weight");
  // the chain goes on: other roundings
  for (std::size_t i = 0; i < sum.size(); ++i) CHECK(std::abs(sum[i] - (a[i] + b[i])) < 1e-13);
  CHECK(tied.memory.entries()[0].use.expected == 2);
  CHECK(tied.memory.entries()[0].use.done == 2);
}

TEST_CASE("an embedding names the token that is none, and where it stands") {
  context<space> c{make_instance<space>(1)};
  trained t(c, nn::embedding("tokens", 5, 3, {.positions = 6}));
  auto p = t.pass({}, 100, false);
  p.first_sample = 40;
  for (float const bad : {5.0f, -1.0f, 1.5f, std::numeric_limits<float>::quiet_NaN(), 1e30f}) {
    auto x = tokens;
    x[6] = bad;
    CHECK_THROWS_WITH(nn::call(p, t.net, from_host(c, x, {2, 4})), ContainsSubstring("tokens") &&
                                                                       ContainsSubstring("position 2 of sample 41") &&
                                                                       ContainsSubstring("0 to 4"));
  }
  CHECK_THROWS_WITH(t.net.shape({2, 7}), ContainsSubstring("7 tokens") && ContainsSubstring("6 positions"));
  CHECK_THROWS_WITH(t.net.shape({8}), ContainsSubstring("[8]"));
  CHECK_THROWS_WITH(nn::embedding("e", 0, 3), ContainsSubstring("vocabulary = 0"));
  CHECK_THROWS_WITH(nn::embedding("e", (index_t{1} << 24) + 1, 3), ContainsSubstring("16777217"));
}
