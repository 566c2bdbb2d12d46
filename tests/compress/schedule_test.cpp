// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compress/schedule.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <cmath>

namespace {

using namespace pleat::compress;

TEST_CASE("the cubic schedule has exact ends, never falls, and follows its formula") {
  int const n = GENERATE(1, 2, 3, 7, 100);
  double const first = GENERATE(0.0, 0.3), last = GENERATE(0.3, 0.9, 0.999);
  prune_schedule const s = cubic{.steps = n};
  CHECK(steps_of(s) == n);
  CHECK(sparsity_at(s, 0, first, last) == first);
  CHECK(sparsity_at(s, n, first, last) == last);
  for (int t = 1; t <= n; ++t) {
    CHECK(sparsity_at(s, t, first, last) >= sparsity_at(s, t - 1, first, last));
    CHECK(sparsity_at(s, t, first, last) <= last);
  }
}

TEST_CASE("the cubic schedule halfway") {
  CHECK(sparsity_at(cubic{.steps = 4}, 2, 0.0, 0.8) == 0.8 - 0.8 * 0.125);  // 1 − (1/2)³ of the way
  CHECK(sparsity_at(cubic{.steps = 2}, 1, 0.5, 1.0) == 1.0 - 0.5 * 0.125);
}

TEST_CASE("the iterative schedule removes the same share of the survivors in every step, with exact ends") {
  prune_schedule const s = iterative{.steps = 4};
  CHECK(steps_of(s) == 4);
  CHECK(sparsity_at(s, 0, 0.2, 0.9) == 0.2);
  CHECK(sparsity_at(s, 4, 0.2, 0.9) == 0.9);
  double const share = (1 - sparsity_at(s, 1, 0.2, 0.9)) / 0.8;
  // a few roundings
  for (int t = 2; t <= 4; ++t)
    CHECK(std::abs((1 - sparsity_at(s, t, 0.2, 0.9)) / (1 - sparsity_at(s, t - 1, 0.2, 0.9)) - share) < 1e-12);
  CHECK_THROWS_AS(steps_of(iterative{.steps = 0}), pleat::error);
}

TEST_CASE("one shot is one step; a schedule without steps is refused") {
  CHECK(steps_of(one_shot{}) == 1);
  CHECK(sparsity_at(one_shot{}, 1, 0.1, 0.7) == 0.7);
  CHECK_THROWS_AS(steps_of(cubic{.steps = 0}), pleat::error);
  CHECK_THROWS_AS(steps_of(cubic{.steps = -3}), pleat::error);
}

}  // namespace
