// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cmath>
#include <limits>
#include <string>

#include <pleat/nn/schedule.hpp>

using namespace pleat;

TEST_CASE("schedules are functions of the step") {
  CHECK(nn::factor(nn::constant{}, 17, 100) == 1.0);
  CHECK(nn::factor(nn::step_decay{.every = 10, .gamma = 0.5}, 9, 100) == 1.0);
  CHECK(nn::factor(nn::step_decay{.every = 10, .gamma = 0.5}, 10, 100) == 0.5);
  CHECK(nn::factor(nn::step_decay{.every = 10, .gamma = 0.5}, 35, 100) == 0.125);
  CHECK(nn::factor(nn::warm_up{.steps = 4}, 0, 100) == 0.25);
  CHECK(nn::factor(nn::warm_up{.steps = 4}, 3, 100) == 1.0);
  CHECK(nn::factor(nn::warm_up{.steps = 4}, 50, 100) == 1.0);
  CHECK(nn::factor(nn::warm_up{.steps = 0}, 0, 100) == 1.0);
}

TEST_CASE("the cosine starts at one after its warm-up and ends at its minimum") {
  nn::cosine const s{.warm_up_steps = 5, .minimum = 0.1};
  CHECK(nn::factor(s, 0, 106) == 0.2);
  CHECK(nn::factor(s, 4, 106) == 1.0);
  CHECK(nn::factor(s, 5, 106) == 1.0);
  CHECK(std::abs(nn::factor(s, 55, 106) - 0.55) < 1e-15);  // half way: the mean of 1 and the minimum
  CHECK(std::abs(nn::factor(s, 105, 106) - 0.1) < 1e-15);
  CHECK(std::abs(nn::factor(s, 500, 106) - 0.1) < 1e-15);  // training beyond the plan stays there
  for (index_t i = 6; i < 106; ++i) CHECK(nn::factor(s, i, 106) < nn::factor(s, i - 1, 106));
  // The only step is the first of its wave, and learns; after a warm-up that had the whole rate the last one ends it.
  CHECK(nn::factor(nn::cosine{}, 0, 1) == 1.0);
  CHECK(nn::factor(nn::cosine{.minimum = 0.1}, 0, 1) == 1.0);
  CHECK(nn::factor(nn::cosine{}, 1, 1) == 0.0);
  CHECK(nn::factor(nn::cosine{.warm_up_steps = 1}, 0, 2) == 1.0);
  CHECK(nn::factor(nn::cosine{.warm_up_steps = 1}, 1, 2) == 0.0);
}

namespace {
struct halves {
  static constexpr char const* name = "halves";
  double first = 1;
  double operator()(index_t step, index_t steps) const { return step < steps / 2 ? first : 0.5; }
};
}  // namespace

TEST_CASE("a schedule of one's own is any function of the step, and what is no number of at least 0 is refused") {
  nn::schedule const typed = halves{}, named = {"ramp", [](index_t step, index_t) { return 0.5 * double(step); }},
                     nameless = [](index_t, index_t) { return 2.0f; };
  CHECK(nn::factor(typed, 49, 100) == 1);
  CHECK(nn::factor(typed, 50, 100) == 0.5);
  CHECK(nn::factor(named, 3, 100) == 1.5);
  CHECK(nn::factor(nameless, 3, 100) == 2);
  CHECK(typed.name() == "halves");
  CHECK(named.name() == "ramp");
  CHECK(nameless.name() == "a schedule of one's own");
  CHECK(nn::schedule().name() == "constant");
  CHECK(nn::schedule(nn::cosine{}).name() == "cosine");
  for (double const bad : {-0.25, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    nn::schedule const wrong = halves{bad};
    CHECK_THROWS_WITH(
        nn::factor(wrong, 7, 100),
        Catch::Matchers::ContainsSubstring("'halves' gives the factor " + std::to_string(bad) + " for step 7 of 100"));
    CHECK(nn::factor(wrong, 50, 100) == 0.5);
  }
}

TEST_CASE("settings that make no sense in a training of so many steps are refused with what to do instead") {
  using Catch::Matchers::ContainsSubstring;
  auto const check = [](nn::schedule const& s, index_t steps) { s.check(steps); };
  CHECK_NOTHROW(check(nn::warm_up{.steps = 40}, 40));
  CHECK_NOTHROW(check(nn::cosine{.warm_up_steps = 40}, 40));
  CHECK_NOTHROW(check(nn::step_decay{.every = 1}, 40));
  CHECK_NOTHROW(check(halves{}, 40));
  CHECK_NOTHROW(check({}, 0));
  CHECK_THROWS_WITH(check(nn::warm_up{.steps = 41}, 40),
                    ContainsSubstring("nn::warm_up: the warm-up takes 41 steps, and the whole training has 40") &&
                        ContainsSubstring("Take at most 40 steps of warm-up, or train for more epochs"));
  CHECK_THROWS_WITH(check(nn::cosine{.warm_up_steps = 41}, 40), ContainsSubstring("nn::cosine: the warm-up takes 41"));
  CHECK_THROWS_WITH(check(nn::cosine{.warm_up_steps = -1}, 40),
                    ContainsSubstring("takes -1 steps, expected at least 0"));
  CHECK_THROWS_WITH(check(nn::cosine{.minimum = -0.5}, 40), ContainsSubstring("minimum is -0.5"));
  CHECK_THROWS_WITH(check(nn::step_decay{.every = 0}, 40),
                    ContainsSubstring("nn::step_decay: every is 0, expected at least 1 step") &&
                        ContainsSubstring("take nn::constant"));
  CHECK_THROWS_WITH(check(nn::step_decay{.gamma = -0.1}, 40), ContainsSubstring("gamma is -0.1"));
}

TEST_CASE("what checkpoints remember of a schedule: its name and its settings") {
  CHECK(nn::schedule(nn::step_decay{.every = 10, .gamma = 0.5}).settings(100) == "every 10, gamma 0.5");
  CHECK(nn::schedule(nn::warm_up{.steps = 4}).settings(100) == "steps 4");
  CHECK(nn::schedule(nn::cosine{.warm_up_steps = 5, .minimum = 0.1}).settings(100) ==
        "warm_up_steps 5, minimum 0.1, over 100 steps");
  CHECK(nn::schedule().settings(100).empty());
  CHECK(nn::schedule(halves{}).settings(100).empty());
}
