// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <pleat/nn/check_gradients.hpp>
#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/nn/pooling.hpp>

#include "nn/nn_support.hpp"

using namespace pleat;
using namespace pleat::test;
using Catch::Matchers::ContainsSubstring;

TEST_CASE("pooling takes windows of its kernel's size unless told otherwise") {
  CHECK(nn::max_pool2d(2).shape({3, 4, 8, 6}) == extents{3, 4, 4, 3});
  CHECK(nn::max_pool2d(3, {.stride = 2, .padding = 1}).shape({3, 4, 8, 6}) == extents{3, 4, 4, 3});
  CHECK(nn::avg_pool2d({2, 3}).shape({3, 4, 8, 6}) == extents{3, 4, 4, 2});
  context<space> c{make_instance<space>(1)};
  nn::pass<space> p;
  p.where = &c;
  auto const x = from_host<float>(c, {1, 2, 5, 6, 3, 4, 7, 9}, {1, 1, 2, 4});
  CHECK(to_host(c, nn::call(p, nn::max_pool2d(2), x).y) == std::vector<float>{4, 9});
  CHECK(to_host(c, nn::call(p, nn::avg_pool2d(2), x).y) == std::vector<float>{2.5f, 6.75f});
  CHECK_FALSE(nn::call(p, nn::max_pool2d(2), x).saved.winner.data());  // nothing is kept in inference
}

TEST_CASE("pooling's gradients are its derivatives") {
  nn::demand_correct_gradients(nn::max_pool2d<double>(3, {.stride = 2, .padding = 1}), {2, 3, 7, 6},
                               {.elements = 0, .tolerance = 1e-9});
  nn::demand_correct_gradients(
      nn::avg_pool2d<double>(3, {.stride = {2, 1}, .padding = {1, 1}, .count_include_pad = false}), {2, 3, 7, 6},
      {.elements = 0, .tolerance = 1e-9});
  nn::demand_correct_gradients(nn::avg_pool2d<double>({7, 6}), {2, 3, 7, 6}, {.elements = 0, .tolerance = 1e-9});
}

TEST_CASE("pooling says what does not fit") {
  CHECK_THROWS_WITH(nn::max_pool2d(2).shape({3, 4}), ContainsSubstring("max_pool2d") && ContainsSubstring("[3, 4]"));
  CHECK_THROWS_WITH(nn::avg_pool2d(5).shape({3, 4, 4, 9}),
                    ContainsSubstring("avg_pool2d") && ContainsSubstring("taller") && ContainsSubstring("5×5"));
}
