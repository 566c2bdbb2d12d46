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

TEST_CASE("first values: what is drawn has the range and the moments that the initialiser says") {
  constexpr index_t n = 100000;
  auto const drawn = [](nn::initializer init, char const* name = "w", std::uint64_t seed = 1) {
    std::vector<double> x(n);
    nn::draw(init, seed, name, 0, n, x.data());
    return x;
  };
  auto const mean = [](std::vector<double> const& x, auto f) {
    double sum = 0;
    for (double const v : x) sum += f(v);
    return sum / n;
  };
  auto const value = [](double v) { return v; };
  auto const square = [](double v) { return v * v; };
  double const root = std::sqrt(static_cast<double>(n));
  // Six standard deviations of each estimate: 1 in 5e8.
  for (index_t const fan_in : {1, 64}) {
    auto const u = drawn(nn::initializer::fan_in_uniform(fan_in));
    double const bound = 1 / std::sqrt(static_cast<double>(fan_in));
    CHECK(std::all_of(u.begin(), u.end(), [&](double v) { return v >= -bound && v < bound; }));
    CHECK(std::abs(mean(u, value)) < 6 * bound / std::sqrt(3.0) / root);  // variance b²/3
    // b⁴/5 − b⁴/9 is the variance of the square
    CHECK(std::abs(mean(u, square) - bound * bound / 3) < 6 * bound * bound * std::sqrt(4.0 / 45) / root);
  }
  auto const he = drawn(nn::initializer::he_normal(50));
  double const d = 0.2;  // √(2/50)
  CHECK(std::abs(mean(he, value)) < 6 * d / root);
  CHECK(std::abs(mean(he, square) - d * d) < 6 * d * d * std::sqrt(2.0) / root);
  // The fourth moment, 3 d⁴, tells a normal law from others of the same width; (105 − 9) d⁸ is the variance of fourth powers.
  CHECK(std::abs(mean(he, [&](double v) { return square(square(v)); }) - 3 * square(square(d))) <
        6 * square(square(d)) * std::sqrt(96.0) / root);
  double neighbours = 0;
  for (index_t i = 1; i < n; ++i) neighbours += he[static_cast<std::size_t>(i - 1)] * he[static_cast<std::size_t>(i)];
  CHECK(std::abs(neighbours / n) < 6 * d * d / root);
  CHECK(drawn(nn::initializer::constant(3)) == std::vector<double>(n, 3.0));
  // A part is a part of the whole; another name or seed is another draw.
  std::vector<double> part(7);
  nn::draw(nn::initializer::he_normal(50), 1, "w", 1001, 1008, part.data());
  CHECK(std::equal(part.begin(), part.end(), he.begin() + 1001));
  CHECK(drawn(nn::initializer::he_normal(50), "v") != he);
  CHECK(drawn(nn::initializer::he_normal(50), "w", 2) != he);
  // What a layer asks for: U(−1/√in, 1/√in), for its bias too.
  nn::linear l("l", 64, 3);
  int seen = 0;
  l.for_each_parameter([&](nn::parameter& p) {
    CHECK(p.init.draw == nn::initializer::kind::uniform);
    CHECK(p.init.value == 0.125);
    ++seen;
  });
  CHECK(seen == 2);
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
