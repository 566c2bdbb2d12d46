// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <pleat/codec/masked.hpp>
#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/nn/check_gradients.hpp>
#include <pleat/nn/linear.hpp>
#include <pleat/nn/sequential.hpp>

#include "nn/nn_support.hpp"

using namespace pleat;
using namespace pleat::test;
using Catch::Matchers::ContainsSubstring;
using D = codec::forms<codec::dense<double>>;

TEST_CASE("linear multiplies, adds its bias and takes samples of any shape") {
  context<space> c{make_instance<space>(2)};
  trained t(c, nn::linear("l", 6, 3));
  auto const x = random_tensor<float>(c, {4, 2, 3}, 1);
  auto const y = to_host(c, nn::call(t.pass({}, 4, false), t.net, x).y);
  auto const in = to_host(c, x), w = t.value("l.weight"), b = t.value("l.bias");
  for (std::size_t i = 0; i < 4; ++i)
    for (std::size_t j = 0; j < 3; ++j) {
      double sum = b[j];
      for (std::size_t k = 0; k < 6; ++k) sum += static_cast<double>(in[i * 6 + k]) * w[j * 6 + k];
      CHECK(std::abs(y[i * 3 + j] - sum) <= 7 * 6e-8);  // seven roundings of sums below 1
    }
  CHECK(t.net.shape({4, 2, 3}) == extents{4, 3});
}

TEST_CASE("linear's gradients are its derivatives") {
  nn::demand_correct_gradients(nn::linear<D>("l", 7, 5), {4, 7}, {.elements = 0, .tolerance = 1e-9});
  nn::demand_correct_gradients(nn::linear<D>("l", 6, 5, {.bias = false}), {3, 2, 3},
                               {.elements = 0, .tolerance = 1e-9});
}

TEST_CASE("a tied weight has one memory and the sum of both gradients") {
  auto const net = [] {
    return nn::sequential(nn::linear<D>("a", 5, 5), nn::linear<D>("b", 5, 5, {.tied_to = "a.weight"}));
  };
  nn::demand_correct_gradients(net(), {4, 5}, {.elements = 0, .tolerance = 1e-9});
  context<space> c{make_instance<space>(1)};
  trained t(c, net());
  CHECK(t.net.layer<1>().weight().data() == t.net.layer<0>().weight().data());
  CHECK(t.memory.find("b.weight") == -1);
}

TEST_CASE("a tie to a tied weight is refused, whether gradients are shared or apart") {
  context<space> c{make_instance<space>(1)};
  auto net = nn::sequential(nn::linear<D>("a", 5, 5), nn::linear<D>("b", 5, 5, {.tied_to = "a.weight"}),
                            nn::linear<D>("c", 5, 5, {.tied_to = "b.weight"}));
  for (auto const ties : {nn::tied_gradients::shared, nn::tied_gradients::apart})
    CHECK_THROWS_WITH((nn::arena<double, space>(c, net, 3, {}, ties)),
                      ContainsSubstring("'c.weight' is tied to 'b.weight', which is tied to 'a.weight' itself"));
}

TEST_CASE("linear says what does not fit") {
  CHECK_THROWS_WITH(nn::linear("fc1", 0, 3), ContainsSubstring("fc1") && ContainsSubstring("in = 0"));
  CHECK_THROWS_WITH(nn::linear("fc1", 784, 3).shape({8, 100}),
                    ContainsSubstring("fc1") && ContainsSubstring("784") && ContainsSubstring("[8, 100]"));
}

TEST_CASE("a linear moves into a wider set of forms with its name and values") {
  context<space> c{make_instance<space>(1)};
  trained t(c, nn::linear("l", 6, 3));
  using wide = nn::linear<>::with_forms<codec::forms<codec::masked<float>, codec::dense<float>>>;
  wide const w(t.net);
  CHECK(w.name() == "l");
  CHECK(w.weight().form_name() == "dense");
  CHECK(w.weight().data() == t.net.weight().data());
}
