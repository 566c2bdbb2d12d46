// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <pleat/codec/masked.hpp>
#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/compute/elementwise.hpp>
#include <pleat/nn/check_gradients.hpp>
#include <pleat/nn/conv2d.hpp>

#include "nn/nn_support.hpp"

using namespace pleat;
using namespace pleat::test;
using Catch::Matchers::ContainsSubstring;
using D = codec::forms<codec::dense<double>>;

TEST_CASE("conv2d's gradients are its derivatives, with every option") {
  nn::demand_correct_gradients(nn::conv2d<D>("c", 3, 4, 3), {2, 3, 5, 6}, {.tolerance = 1e-9});
  nn::demand_correct_gradients(
      nn::conv2d<D>("c", 4, 6, {3, 2},
                    {.stride = {2, 1}, .padding = {1, 0}, .dilation = {1, 2}, .groups = 2, .bias = false}),
      {3, 4, 7, 8}, {.tolerance = 1e-9});
}

TEST_CASE("conv2d's shape follows the formula") {
  nn::conv2d const c("c", 3, 8, 3, {.stride = 2, .padding = 1});
  CHECK(c.shape({4, 3, 32, 32}) == extents{4, 8, 16, 16});
  CHECK(nn::conv2d("c", 1, 6, 5).shape({1, 1, 28, 28}) == extents{1, 6, 24, 24});
  CHECK(c.cost({4, 3, 32, 32}).forward_flops == 2.0 * 4 * 8 * 16 * 16 * 3 * 3 * 3);
}

TEST_CASE("conv2d says what does not fit, with its name") {
  CHECK_THROWS_WITH(nn::conv2d("c", 3, 8, 3, {.groups = 2}),
                    ContainsSubstring("'c'") && ContainsSubstring("groups = 2"));
  CHECK_THROWS_WITH(nn::conv2d("c", 3, 8, 0), ContainsSubstring("'c'") && ContainsSubstring("0×0"));
  nn::conv2d const c("stem", 3, 8, 5);
  CHECK_THROWS_WITH(c.shape({4, 1, 32, 32}), ContainsSubstring("'stem'") && ContainsSubstring("[m, 3, h, w]") &&
                                                 ContainsSubstring("[4, 1, 32, 32]"));
  CHECK_THROWS_WITH(c.shape({4, 3, 3, 32}),
                    ContainsSubstring("'stem'") && ContainsSubstring("taller") && ContainsSubstring("[4, 3, 3, 32]"));
  CHECK_THROWS_WITH(c.shape({4, 3}), ContainsSubstring("'stem'"));
}

TEST_CASE("conv2d's fused ReLU has the bits of the ReLU after it") {
  context<space> c{make_instance<space>(2)};
  trained t(c, nn::conv2d("c", 3, 4, 3, {.padding = 1}));
  auto const x = random_tensor<float>(c, {2, 3, 7, 9}, 1);
  auto const p = t.pass({}, 2, false);
  auto apart = t.net.forward(p, x).y;
  compute::relu(c.space(), apart.size(), static_cast<float const*>(apart.data()), apart.data());
  CHECK(same_bits(to_host(c, apart), to_host(c, t.net.forward(p, x, compute::activation::relu).y)));
}

TEST_CASE("a conv2d moves into a wider set of forms") {
  context<space> c{make_instance<space>(1)};
  trained t(c, nn::conv2d("c", 3, 4, 3));
  using wide = nn::conv2d<>::with_forms<codec::forms<codec::dense<float>, codec::masked<float>>>;
  wide const w(t.net);
  auto const x = random_tensor<float>(c, {1, 3, 5, 5}, 1);
  CHECK(same_bits(to_host(c, nn::call(t.pass({}, 1, false), w, x).y),
                  to_host(c, nn::call(t.pass({}, 1, false), t.net, x).y)));
}
