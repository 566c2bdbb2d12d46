// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/nn/activations.hpp>
#include <pleat/nn/check_gradients.hpp>
#include <pleat/nn/layer_norm.hpp>
#include <pleat/nn/linear.hpp>

#include "nn/nn_support.hpp"

using namespace pleat;
using namespace pleat::test;
using Catch::Matchers::ContainsSubstring;

TEST_CASE("norms of rows have the gradients of their definitions") {
  nn::check_options const o{.elements = 0, .tolerance = 1e-8};
  nn::demand_correct_gradients(nn::layer_norm<double>("n", 7), {3, 7}, o);
  nn::demand_correct_gradients(nn::layer_norm<double>("n", 40, {.epsilon = 0.1}), {2, 3, 40}, o);
  nn::demand_correct_gradients(nn::layer_norm<double>("n", 5, {.bias = false}), {2, 2, 5}, o);
  nn::demand_correct_gradients(nn::rms_norm<double>("n", 33), {2, 3, 33}, o);
}

TEST_CASE("layers of sequences have the gradients of their definitions") {
  using D = codec::forms<codec::dense<double>>;
  nn::check_options const o{.elements = 0, .tolerance = 1e-8};
  nn::demand_correct_gradients(nn::linear<D>("l", 4, 3), {2, 5, 4}, o);
  nn::demand_correct_gradients(nn::gelu_tanh<double>(), {2, 3, 4},
                               {.elements = 0, .tolerance = 1e-8, .input_scale = 3});
  nn::demand_correct_gradients(nn::silu<double>(), {2, 3, 4}, {.elements = 0, .tolerance = 1e-8, .input_scale = 3});
}

TEST_CASE("a norm's output has mean 0 and deviation 1 whatever the scale of its rows") {
  context<space> c{make_instance<space>(1)};
  trained layer(c, nn::layer_norm("n", 64, {.epsilon = 0}));
  trained rms(c, nn::rms_norm("n", 64, {.epsilon = 0}));
  auto x = numbers<float>(3 * 64, 1);
  for (std::size_t i = 64; i < 128; ++i) x[i] = 1e-12f * x[i];
  for (std::size_t i = 128; i < 192; ++i) x[i] = 1e12f * x[i] + 1e12f;
  auto const y = to_host(c, nn::call(layer.pass({}, 3, false), layer.net, from_host(c, x, {3, 64})).y);
  auto const z = to_host(c, nn::call(rms.pass({}, 3, false), rms.net, from_host(c, x, {3, 64})).y);
  for (std::size_t r = 0; r < 3; ++r) {
    double mean = 0, square = 0, rms_square = 0;
    for (std::size_t j = 0; j < 64; ++j) {
      mean += y[r * 64 + j] / 64.0;
      square += y[r * 64 + j] * static_cast<double>(y[r * 64 + j]) / 64;
      rms_square += z[r * 64 + j] * static_cast<double>(z[r * 64 + j]) / 64;
    }
    // the mean of numbers up to 2 is rounded a few times; division by a deviation of about 0.6 enlarges that
    CHECK(std::abs(mean) < 20 * 6e-8);
    CHECK(std::abs(square - 1) < 40 * 6e-8);
    CHECK(std::abs(rms_square - 1) < 20 * 6e-8);
  }
}

TEST_CASE("a norm says what does not fit") {
  CHECK_THROWS_WITH(nn::layer_norm("norm1", 384).shape({8, 10, 100}),
                    ContainsSubstring("norm1") && ContainsSubstring("384") && ContainsSubstring("[8, 10, 100]"));
  CHECK_THROWS_WITH(nn::rms_norm("norm1", 0), ContainsSubstring("width = 0"));
  CHECK_THROWS_WITH(nn::layer_norm("norm1", 3, {.epsilon = -1}), ContainsSubstring("epsilon"));
}
