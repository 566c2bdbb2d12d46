// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Which units make up which stage: cut by cost, exactly, or by hand.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/base/math.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::plan {

/// Stage s has the units first[s] up to, not including, first[s + 1]. One more entry than stages.
///
/// A stage may be empty: it then hands on what it gets, in both directions, and holds nothing.
struct stage_cuts {
  std::vector<index_t> first{0};

  [[nodiscard]] index_t stages() const noexcept { return static_cast<index_t>(first.size()) - 1; }
  [[nodiscard]] index_t units() const noexcept { return first.back(); }
  [[nodiscard]] index_t begin(index_t stage) const noexcept { return first[static_cast<std::size_t>(stage)]; }
  [[nodiscard]] index_t end(index_t stage) const noexcept { return first[static_cast<std::size_t>(stage) + 1]; }
  [[nodiscard]] bool empty(index_t stage) const noexcept { return begin(stage) == end(stage); }

  /// \throws error for cuts that do not part exactly these units into exactly these stages
  PLEAT_ONCE void check(index_t units, index_t stages) const {
    auto const refuse = [](std::string const& what) {
      return error{"plan::stage_cuts", what, "Cuts ascend from 0 to the number of units"};
    };
    if (first.empty() || this->stages() != stages)
      throw refuse("expected " + std::to_string(stages + 1) + " cuts for " + std::to_string(stages) +
                   " stages, found " + std::to_string(first.size()));
    if (first.front() != 0)
      throw refuse("the first stage must begin at unit 0, found " + std::to_string(first.front()));
    for (index_t s = 0; s < stages; ++s)
      if (end(s) < begin(s))
        throw refuse("stage " + std::to_string(s) + " would end at unit " + std::to_string(end(s)) +
                     ", before it begins at " + std::to_string(begin(s)));
    if (first.back() != units)
      throw refuse("the last stage must end at unit " + std::to_string(units) + ", found " +
                   std::to_string(first.back()));
  }

  friend bool operator==(stage_cuts const&, stage_cuts const&) = default;
};

/// Cuts by hand: how many units each stage has. \throws error for negative counts
PLEAT_ONCE [[nodiscard]] stage_cuts stages_of_sizes(std::span<index_t const> sizes) {
  stage_cuts cuts;
  for (auto const n : sizes) {
    if (n < 0)
      throw error{"plan::stages_of_sizes", "a stage cannot have " + std::to_string(n) + " units",
                  "Use 0 for a stage without units"};
    cuts.first.push_back(cuts.first.back() + n);
  }
  return cuts;
}

/// What the stages cost together, per stage, from what the units cost.
PLEAT_ONCE [[nodiscard]] std::vector<double> stage_sums(std::span<double const> units, stage_cuts const& cuts) {
  cuts.check(static_cast<index_t>(units.size()), cuts.stages());
  std::vector<double> sums;
  for (index_t s = 0; s < cuts.stages(); ++s) {
    double sum = 0;
    for (index_t u = cuts.begin(s); u < cuts.end(s); ++u) sum += units[static_cast<std::size_t>(u)];
    sums.push_back(sum);
  }
  return sums;
}

namespace detail {

/// Exact search over where stages end, on prefix sums of the units' costs.
struct cutter {
  std::vector<double> prefix;
  std::vector<double> speeds;  // per stage

  [[nodiscard]] double time(std::size_t stage, std::size_t from, std::size_t to) const {
    return (prefix[to] - prefix[from]) / speeds[stage];
  }

  /// Least possible time of the slowest stage. The best over earlier stages rises with the cut and the last stage's
  /// time falls: the crossing is found by halving.
  PLEAT_ONCE [[nodiscard]] double slowest() const {
    std::size_t const n = prefix.size() - 1;
    std::vector<double> best(n + 1), next(n + 1);
    for (std::size_t i = 0; i <= n; ++i) best[i] = time(0, 0, i);
    for (std::size_t s = 1; s < speeds.size(); ++s) {
      for (std::size_t i = 0; i <= n; ++i) {
        std::size_t low = 0, high = i;  // least cut whose earlier stages are no faster than this one
        while (low < high) {
          std::size_t const middle = (low + high) / 2;
          if (best[middle] >= time(s, middle, i)) high = middle;
          else low = middle + 1;
        }
        next[i] = std::max(best[low], time(s, low, i));
        if (low > 0) next[i] = std::min(next[i], std::max(best[low - 1], time(s, low - 1, i)));
      }
      best.swap(next);
    }
    return best[n];
  }

  /// Of all cuts with no stage slower than `limit`, those with the least sum of squared times.
  PLEAT_ONCE [[nodiscard]] stage_cuts evenest(double limit) const {
    std::size_t const n = prefix.size() - 1, stages = speeds.size();
    constexpr double never = std::numeric_limits<double>::infinity();
    // squares of times over a power of two near the limit: they neither overflow nor vanish, and round as the times'
    // own would
    int exponent = 0;
    (void)std::frexp(limit, &exponent);
    std::vector<double> best(n + 1, never);
    best[0] = 0;
    std::vector<std::vector<std::size_t>> from(stages, std::vector<std::size_t>(n + 1, 0));
    for (std::size_t s = 0; s < stages; ++s) {
      std::vector<double> next(n + 1, never);
      for (std::size_t i = 0; i <= n; ++i)
        for (std::size_t j = i + 1; j-- > 0;) {
          double const t = time(s, j, i);
          if (t > limit) break;
          double const share = std::ldexp(t, -exponent), sum = best[j] + share * share;
          if (sum < next[i]) next[i] = sum, from[s][i] = j;
        }
      best.swap(next);
    }
    stage_cuts cuts;
    cuts.first.assign(stages + 1, 0);
    std::size_t end = n;
    for (std::size_t s = stages; s-- > 0;) {
      cuts.first[s + 1] = static_cast<index_t>(end);
      end = from[s][end];
    }
    return cuts;
  }
};

}  // namespace detail

/// The cuts whose slowest stage is as fast as can be, and among those the most even (least sum of squared times).
///
/// Exact: consecutive partition by dynamic programming, O(stages · units · (log units + units of the longest stage)).
/// \param units  cost of every unit, measured or computed; any unit of time, each at least 0
/// \param stages how many; more than units leaves stages empty
/// \param speeds relative speed of the stage's rank, per stage; empty: all equal
/// \throws error for costs or speeds that are none
PLEAT_ONCE [[nodiscard]] stage_cuts cut_stages(std::span<double const> units, index_t stages,
                                               std::span<double const> speeds = {}) {
  if (stages < 1)
    throw error{"plan::cut_stages", "expected at least one stage, found " + std::to_string(stages),
                "Use 1 stage or more"};
  if (!speeds.empty() && static_cast<index_t>(speeds.size()) != stages)
    throw error{"plan::cut_stages",
                "expected a speed for each of the " + std::to_string(stages) + " stages, found " +
                    std::to_string(speeds.size()),
                "Leave speeds out where all are equal"};
  detail::cutter c;
  c.prefix.push_back(0);
  for (std::size_t i = 0; i < units.size(); ++i) {
    if (!(units[i] >= 0) || units[i] > 1e300)
      throw error{"plan::cut_stages",
                  "the cost of unit " + std::to_string(i) + " must be a number of at least 0, found " +
                      std::to_string(units[i]),
                  "Use 0 for a unit that costs nothing"};
    c.prefix.push_back(c.prefix.back() + units[i]);
  }
  c.speeds.assign(speeds.begin(), speeds.end());
  if (speeds.empty()) c.speeds.assign(static_cast<std::size_t>(stages), 1.0);
  for (std::size_t s = 0; s < c.speeds.size(); ++s)
    if (!(c.speeds[s] > 0) || c.speeds[s] > 1e300)
      throw error{
          "plan::cut_stages",
          "the speed of stage " + std::to_string(s) + " must be a number above 0, found " + std::to_string(c.speeds[s]),
          "Use 1 for a rank like the others"};
  return c.evenest(c.slowest());
}
PLEAT_COMPILED_ONCE(stage_cuts cut_stages(std::span<double const> units, index_t stages,
                                          std::span<double const> speeds));

}  // namespace pleat::plan
