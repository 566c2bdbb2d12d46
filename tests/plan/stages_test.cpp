// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/plan/stages.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace plan = pleat::plan;
using pleat::index_t;

namespace {
/// The slowest stage of the best cut, by trying all.
double best_of_all(std::vector<double> const& units, index_t stages, std::vector<double> const& speeds) {
  double best = std::numeric_limits<double>::infinity();
  std::function<void(std::size_t, std::size_t, double)> const place = [&](std::size_t stage, std::size_t from,
                                                                          double slowest) {
    if (stage + 1 == static_cast<std::size_t>(stages)) {
      double sum = 0;
      for (std::size_t u = from; u < units.size(); ++u) sum += units[u];
      best = std::min(best, std::max(slowest, sum / speeds[stage]));
      return;
    }
    double sum = 0;
    for (std::size_t to = from;; ++to) {
      place(stage + 1, to, std::max(slowest, sum / speeds[stage]));
      if (to == units.size()) return;
      sum += units[to];
    }
  };
  place(0, 0, 0);
  return best;
}
std::string said(auto&& f) {
  try {
    f();
  } catch (pleat::error const& e) {
    return e.what();
  }
  return "nothing";
}
}  // namespace

TEST_CASE("the cut is the best of all, for equal ranks and for uneven ones") {
  std::mt19937 random(3);
  for (int n = 0; n <= 9; ++n)
    for (index_t stages = 1; stages <= 5; ++stages)
      for (int round = 0; round < 6; ++round) {
        std::vector<double> units, speeds;
        // whole numbers: sums are exact; zeros too
        for (int i = 0; i < n; ++i) units.push_back(static_cast<double>(random() % 8));
        for (index_t s = 0; s < stages; ++s) speeds.push_back(round < 3 ? 1.0 : static_cast<double>(1 << random() % 3));
        auto const cuts = plan::cut_stages(units, stages, speeds);
        cuts.check(n, stages);
        auto const sums = plan::stage_sums(units, cuts);
        double slowest = 0;
        for (index_t s = 0; s < stages; ++s)
          slowest = std::max(slowest, sums[static_cast<std::size_t>(s)] / speeds[static_cast<std::size_t>(s)]);
        REQUIRE(slowest == best_of_all(units, stages, speeds));
        REQUIRE(plan::cut_stages(units, stages, speeds) == cuts);
      }
}

TEST_CASE("known cuts") {
  CHECK(plan::cut_stages(std::vector<double>(6, 1.0), 3).first == std::vector<index_t>{0, 2, 4, 6});
  CHECK(plan::cut_stages(std::vector<double>{9, 1, 1, 1, 1, 1}, 2).first == std::vector<index_t>{0, 1, 6});
  // One heavy unit decides the slowest stage; the others are still shared evenly.
  CHECK(plan::cut_stages(std::vector<double>{1, 1, 1, 1, 100}, 3).first == std::vector<index_t>{0, 2, 4, 5});
  CHECK(plan::cut_stages(std::vector<double>(6, 1.0), 2, std::vector<double>{2, 1}).first ==
        std::vector<index_t>{0, 4, 6});
  // Times whose squares no double holds, and times whose squares are nothing.
  CHECK(plan::cut_stages(std::vector<double>{1e200, 1e200}, 2).first == std::vector<index_t>{0, 1, 2});
  CHECK(plan::cut_stages(std::vector<double>{1e-200, 1e-200, 1e-200, 1e-200, 1e-198}, 3).first ==
        std::vector<index_t>{0, 2, 4, 5});
}

TEST_CASE("more stages than units leave stages empty, and empty stages are legal by hand") {
  auto const cuts = plan::cut_stages(std::vector<double>{3, 4}, 4);
  CHECK(plan::stage_sums(std::vector<double>{3, 4}, cuts).size() == 4);
  int empty = 0;
  for (index_t s = 0; s < 4; ++s) empty += cuts.empty(s);
  CHECK(empty == 2);
  std::vector<index_t> const sizes{2, 0, 3};
  auto const hand = plan::stages_of_sizes(sizes);
  CHECK(hand.first == std::vector<index_t>{0, 2, 2, 5});
  CHECK_NOTHROW(hand.check(5, 3));
  CHECK(hand.empty(1));
  CHECK(plan::stage_sums(std::vector<double>{1, 2, 3, 4, 5}, hand) == std::vector<double>{3, 0, 12});
}

TEST_CASE("cuts that part nothing, and costs that are none, are refused with the number") {
  CHECK(said([] {
          plan::stage_cuts{{0, 2, 5}}.check(5, 3);
        }).find("expected 4 cuts for 3 stages, found 3") != std::string::npos);
  CHECK(said([] { plan::stage_cuts{{0, 2, 4}}.check(5, 2); }).find("must end at unit 5, found 4") != std::string::npos);
  CHECK(said([] { plan::stage_cuts{{1, 5}}.check(5, 1); }).find("must begin at unit 0, found 1") != std::string::npos);
  CHECK(said([] {
          plan::stage_cuts{{0, 4, 2, 5}}.check(5, 3);
        }).find("stage 1 would end at unit 2, before it begins at 4") != std::string::npos);
  CHECK(said([] { (void)plan::stages_of_sizes(std::vector<index_t>{1, -1}); }).find("-1 units") != std::string::npos);
  CHECK(said([] { (void)plan::cut_stages(std::vector<double>{1}, 0); }).find("at least one stage, found 0") !=
        std::string::npos);
  CHECK(said([] {
          (void)plan::cut_stages(std::vector<double>{1, -2}, 1);
        }).find("cost of unit 1") != std::string::npos);
  CHECK(said([] {
          (void)plan::cut_stages(std::vector<double>{1}, 2, std::vector<double>{1, 0});
        }).find("speed of stage 1 must be a number above 0") != std::string::npos);
  CHECK(said([] {
          (void)plan::cut_stages(std::vector<double>{1}, 2, std::vector<double>{1});
        }).find("a speed for each of the 2 stages, found 1") != std::string::npos);
}
