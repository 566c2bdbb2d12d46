// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compress/layer_inputs.hpp>

#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/nn/conv2d.hpp>
#include <pleat/nn/flatten.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <compress/compress_support.hpp>

#include <cmath>
#include <limits>

namespace {

using namespace compress_test;
namespace compress = pleat::compress;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

bool same(std::vector<compress::layer_input> const& a, std::vector<compress::layer_input> const& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (a[i].name != b[i].name || a[i].rows != b[i].rows || a[i].groups != b[i].groups ||
        a[i].squares != b[i].squares || a[i].gram != b[i].gram)
      return false;
  return true;
}

auto images() {
  return pleat::nn::sequential(pleat::nn::conv2d("c1", 1, 4, 3, {.padding = 1}), pleat::nn::relu(),
                               pleat::nn::conv2d("c2", 4, 4, 2, {.stride = 2, .groups = 2}), pleat::nn::relu(),
                               pleat::nn::flatten(), pleat::nn::linear("fc", 4 * 2 * 2, 4));
}

pleat::plan::plan plan_for(pleat::world& w) {
  pleat::plan::plan p;
  p.global_batch = 16;
  p.data_ranks = w.size();
  p.deterministic = true;
  return p;
}

TEST_CASE("the sums are those of the inputs, in double: the first layer's by hand, the others' by a forward pass") {
  auto w = alone();
  auto const model = build(w);
  auto const samples = data(24);
  auto const found = compress::layer_inputs(model, compress::calibration(samples, 24));
  REQUIRE(found.size() == 3);
  CHECK(found[0].name == "fc1.weight");
  CHECK(found[2].columns == 12);
  for (auto const& l : found) {
    CHECK(l.rows == 24);
    CHECK(l.groups == 1);
  }
  // Products of floats are exact in double and 24 of them are summed: relative 24·2⁻⁵³ of the sum of magnitudes.
  std::vector<float> x(24 * 20);
  std::vector<index_t> all(24);
  for (index_t i = 0; i < 24; ++i) all[static_cast<std::size_t>(i)] = i;
  samples.gather(all, x.data(), nullptr);
  for (std::size_t i = 0; i < 20; ++i)
    for (std::size_t j = 0; j < 20; ++j) {
      double sum = 0, size = 0;
      for (std::size_t r = 0; r < 24; ++r) {
        double const p = static_cast<double>(x[r * 20 + i]) * static_cast<double>(x[r * 20 + j]);
        sum += p, size += std::abs(p);
      }
      REQUIRE(std::abs(found[0].gram[i * 20 + j] - sum) <= 48 * 0x1p-53 * size);
      REQUIRE(found[0].gram[i * 20 + j] == found[0].gram[j * 20 + i]);
    }
  // fc2 sees relu(fc1 x).
  auto const fc1 = values_of(model);
  std::vector<double> squares(16);
  for (std::size_t r = 0; r < 24; ++r)
    for (std::size_t o = 0; o < 16; ++o) {
      double y = fc1[1].values[o];
      for (std::size_t k = 0; k < 20; ++k)
        y += static_cast<double>(fc1[0].values[o * 20 + k]) * static_cast<double>(x[r * 20 + k]);
      squares[o] += y > 0 ? y * y : 0;
    }
  // the pass is in float: 20 roundings of 2⁻²⁴
  for (std::size_t o = 0; o < 16; ++o) CHECK(std::abs(found[1].squares[o] - squares[o]) <= 1e-4 * (1 + squares[o]));
}

TEST_CASE("squares alone are the diagonal, bit for bit; a batch is memory only; a filter chooses") {
  auto w = alone();
  auto const model = build(w);
  auto const samples = data(50);
  compress::calibration const set(samples, 37);
  auto const gram = compress::layer_inputs(model, set);
  auto const squares = compress::layer_inputs(model, set, {.what = compress::input_sums::squares});
  auto const small = compress::layer_inputs(model, set, {.batch = 3});
  CHECK(same(gram, small));
  constexpr auto most = std::numeric_limits<pleat::index_t>::max();
  CHECK(same(gram, compress::layer_inputs(model, set, {.batch = most})));
  REQUIRE(squares.size() == gram.size());
  for (std::size_t i = 0; i < gram.size(); ++i) {
    CHECK(squares[i].squares == gram[i].squares);
    CHECK(squares[i].gram.empty());
  }
  auto const one = compress::layer_inputs(
      model, set, {.only = [](pleat::nn::parameter const& p) { return p.name == "fc2.weight"; }});
  REQUIRE(one.size() == 1);
  CHECK(one[0].gram == gram[1].gram);
}

TEST_CASE("a convolution's inputs are the patches under its kernel, apart for each group of channels") {
  auto w = alone();
  auto const model = pleat::parallel::build(images(), plan_for(w), w, {.seed = 4});
  auto const samples = data(9);
  auto const found = compress::layer_inputs(model, compress::calibration(samples, 9));
  REQUIRE(found.size() == 3);
  CHECK(found[0].columns == 9);
  CHECK(found[0].rows == 9 * 4 * 5);
  CHECK(found[1].groups == 2);
  CHECK(found[1].columns == 2 * 2 * 2);
  CHECK(found[1].rows == 9 * 2 * 2);
  CHECK(found[1].gram.size() == 2 * 8 * 8);
  // c1, kernel 3, padding 1: the corner of the kernel misses the first row and column, the middle sees everything.
  std::vector<float> x(9 * 20);
  std::vector<index_t> all{0, 1, 2, 3, 4, 5, 6, 7, 8};
  samples.gather(all, x.data(), nullptr);
  double corner = 0, middle = 0;
  for (std::size_t n = 0; n < 9; ++n)
    for (std::size_t i = 0; i < 4; ++i)
      for (std::size_t j = 0; j < 5; ++j) {
        double const v = x[n * 20 + i * 5 + j];
        middle += v * v;
        if (i < 3 && j < 4) corner += v * v;
      }
  CHECK(std::abs(found[0].squares[0] - corner) <= 1e-12 * corner);
  CHECK(std::abs(found[0].squares[4] - middle) <= 1e-12 * middle);
}

TEST_CASE("the same bits on 1, 2, 3 and 4 ranks, also where some have no sample") {
  index_t const n = GENERATE(2, 21);
  bool const convolutions = GENERATE(false, true);
  std::vector<compress::layer_input> one;
  for (int const ranks : {1, 2, 3, 4}) {
    std::vector<std::vector<compress::layer_input>> found(static_cast<std::size_t>(ranks));
    pleat::comm::run_local(ranks, [&](pleat::comm::communicator c) {
      auto const rank = static_cast<std::size_t>(c.rank());
      pleat::world w(std::move(c), 1);
      auto const samples = data(60);
      compress::calibration const set(samples, n);
      if (convolutions) found[rank] = compress::layer_inputs(pleat::parallel::build(images(), plan_for(w), w), set);
      else found[rank] = compress::layer_inputs(build(w), set);
    });
    if (ranks == 1) one = found[0];
    CHECK(one.size() == 3);
    for (auto const& f : found) CHECK(same(f, one));
  }
}

TEST_CASE("no samples are refused in words") {
  auto w = alone();
  auto const model = build(w);
  CHECK_THROWS_MATCHES(compress::layer_inputs(model, compress::calibration{}), pleat::error,
                       MessageMatches(ContainsSubstring("the calibration set is empty")));
  auto const samples = data(5), none = data(0);
  CHECK_THROWS_MATCHES(
      compress::calibration(samples, 0), pleat::error,
      MessageMatches(ContainsSubstring("no sample to look at: 'stripes' has 5, of which 0 are asked for")));
  CHECK_THROWS_MATCHES(compress::calibration(none), pleat::error,
                       MessageMatches(ContainsSubstring("no sample to look at: 'stripes' has 0")));
  CHECK_THROWS_MATCHES(compress::layer_inputs(model, compress::calibration(samples), {.batch = 0}), pleat::error,
                       MessageMatches(ContainsSubstring("batch must be at least 1")));
}

}  // namespace
