// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <pleat/nn/check_gradients.hpp>
#include <pleat/nn/dropout.hpp>

#include "nn/nn_support.hpp"

using namespace pleat;
using namespace pleat::test;
using Catch::Matchers::ContainsSubstring;

namespace {
nn::pass<space> training(context<space>& c, std::uint64_t seed = 1, std::uint64_t step = 0, index_t first = 0) {
  nn::pass<space> p;
  p.where = &c;
  p.training = true;
  p.seed = seed;
  p.step = step;
  p.first_sample = first;
  return p;
}
std::vector<float> mask(context<space>& c, std::string name, nn::pass<space> const& p, index_t rows = 64) {
  return to_host(c, nn::call(p, nn::dropout(std::move(name), 0.25),
                             from_host(c, std::vector<float>(static_cast<std::size_t>(rows * 100), 1.0f), {rows, 100}))
                        .y);
}
}  // namespace

TEST_CASE("dropout keeps the expected share and scales what it keeps") {
  context<space> c{make_instance<space>(2)};
  auto const y = mask(c, "d", training(c), 1000);
  index_t kept = 0;
  for (float const v : y) {
    CHECK((v == 0 || v == 1.0f / 0.75f));
    kept += v != 0;
  }
  // binomial: 100 000 trials, deviation √(n·p·q) ≈ 137; six of them
  CHECK(std::abs(kept - 75000) < 6 * 137);
}

TEST_CASE("the mask follows seed, name, step and global sample, and nothing else") {
  context<space> c{make_instance<space>(2)};
  auto const y = mask(c, "d", training(c));
  CHECK(same_bits(y, mask(c, "d", training(c))));
  CHECK_FALSE(same_bits(y, mask(c, "e", training(c))));
  CHECK_FALSE(same_bits(y, mask(c, "d", training(c, 2))));
  CHECK_FALSE(same_bits(y, mask(c, "d", training(c, 1, 1))));
  std::vector<float> parts;
  for (auto const& [first, rows] : {std::pair<index_t, index_t>{0, 5}, {5, 1}, {6, 58}}) {
    auto const part = mask(c, "d", training(c, 1, 0, first), rows);
    parts.insert(parts.end(), part.begin(), part.end());
  }
  CHECK(same_bits(y, parts));
}

TEST_CASE("dropout's backward draws the forward's mask again") {
  nn::demand_correct_gradients(nn::dropout<double>("d", 0.4), {5, 3, 2}, {.elements = 0, .tolerance = 1e-9});
}

TEST_CASE("dropout does nothing in inference and with probability zero") {
  context<space> c{make_instance<space>(1)};
  auto const x = random_tensor<float>(c, {3, 4}, 1);
  auto p = training(c);
  CHECK(nn::call(p, nn::dropout("d", 0), x).y.data() == x.data());
  p.training = false;
  CHECK(nn::call(p, nn::dropout("d", 0.5), x).y.data() == x.data());
  CHECK_THROWS_WITH(nn::dropout("d", 1), ContainsSubstring("'d'") && ContainsSubstring("[0, 1)"));
}
