// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A schedule that the compiler makes, checks and keeps as a constant.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <pleat/plan/schedule.hpp>
#include <pleat/plan/schedule_check.hpp>

namespace pleat::plan {

/// What the compiler found about a schedule; its template arguments, which the compiler prints, say on which rank and
/// about which action. `Rank` is where, `What` the action, `Other` the action that it needs or waits for.
template <fault_kind Kind, index_t Rank, action What, action Other> struct verdict {
  static_assert(
      Kind != fault_kind::malformed,
      "this schedule has an action that makes no sense: a stage or micro-batch that is not there, or on another rank");
  static_assert(Kind != fault_kind::missing,
                "this schedule misses an action: each stage needs one forward and one backward (whole, or both halves) "
                "of each micro-batch");
  static_assert(Kind != fault_kind::doubled, "this schedule has an action twice");
  static_assert(Kind != fault_kind::out_of_order,
                "this schedule has an action before another one of the same rank that it needs");
  static_assert(Kind != fault_kind::weights_descend,
                "this schedule's weight work does not ascend in micro-batch, which deterministic sums need");
  static_assert(Kind != fault_kind::too_much_memory, "this schedule holds more activations than are allowed");
  static_assert(Kind != fault_kind::deadlock, "this schedule deadlocks: ranks wait for each other when sends block");
  static constexpr bool good = Kind == fault_kind::none;
};

/// The schedule that `Make()` gives, checked by the compiler and kept as arrays: `static_schedule<[] { return zb_h1(4,
/// 8); }>::value()`.
/// \tparam Make a constant callable without arguments that returns a schedule
template <auto Make, check_options Options = check_options{}> struct static_schedule {
 private:
  struct scalars {
    fault_kind kind;
    index_t rank;
    action what, other;
  };
  static constexpr scalars found = [] {
    fault const f = find_fault(Make(), Options);
    return scalars{f.kind, f.rank, f.what, f.other};
  }();

 public:
  static constexpr bool good = verdict<found.kind, found.rank, found.what, found.other>::good;
  static constexpr index_t ranks = Make().ranks(), stages = Make().stages(), micro_batches = Make().micro_batches,
                           size = Make().size();

  /// Per stage: its rank.
  static constexpr std::array<std::int32_t, static_cast<std::size_t>(stages)> rank_of = [] {
    std::array<std::int32_t, static_cast<std::size_t>(stages)> out{};
    auto const s = Make();
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = s.rank_of[i];
    return out;
  }();
  /// All ranks' actions, one list after the other.
  static constexpr std::array<action, static_cast<std::size_t>(size)> actions = [] {
    std::array<action, static_cast<std::size_t>(size)> out{};
    std::size_t n = 0;
    auto const s = Make();
    for (auto const& list : s.actions)
      for (auto const& a : list) out[n++] = a;
    return out;
  }();
  /// Rank r's actions are [first[r], first[r + 1]).
  static constexpr std::array<index_t, static_cast<std::size_t>(ranks) + 1> first = [] {
    std::array<index_t, static_cast<std::size_t>(ranks) + 1> out{};
    auto const s = Make();
    for (std::size_t r = 0; r < s.actions.size(); ++r) out[r + 1] = out[r] + static_cast<index_t>(s.actions[r].size());
    return out;
  }();

  /// The same as a value of the running program.
  [[nodiscard]] static schedule value() {
    schedule s;
    s.micro_batches = micro_batches;
    s.rank_of.assign(rank_of.begin(), rank_of.end());
    for (std::size_t r = 0; r < static_cast<std::size_t>(ranks); ++r)
      s.actions.emplace_back(actions.begin() + first[r], actions.begin() + first[r + 1]);
    return s;
  }
};

}  // namespace pleat::plan
