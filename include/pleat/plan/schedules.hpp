// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The known pipeline schedules, as lists that only compute. Each is constexpr, for any number of ranks and micro-batches.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <pleat/plan/schedule.hpp>

namespace pleat::plan {

enum class schedule_kind : std::uint8_t { gpipe, one_f_one_b, interleaved, zb_h1, zb_v, dualpipe_v };

inline constexpr std::array<std::string_view, 6> schedule_names{"gpipe", "1f1b", "interleaved", "zb-h1", "zb-v", "dualpipe-v"};

[[nodiscard]] constexpr std::string_view name(schedule_kind k) noexcept { return schedule_names[static_cast<std::size_t>(k)]; }

/// \throws error for a name that is no schedule, with those that are
[[nodiscard]] inline schedule_kind parse_schedule_kind(std::string_view text) {
  for (std::size_t k = 0; k < schedule_names.size(); ++k)
    if (schedule_names[k] == text) return static_cast<schedule_kind>(k);
  std::string all;
  for (auto const n : schedule_names) all += (all.empty() ? "" : ", ") + std::string(n);
  throw error{"plan::parse_schedule_kind", "'" + std::string(text) + "' is no pipeline schedule", "Known are " + all};
}

namespace detail {

constexpr void demand_positive(index_t ranks, index_t micro_batches, index_t chunks = 1) {
  if (ranks < 1) throw error{"plan::schedule", "a pipeline needs at least one rank, found " + std::to_string(ranks)};
  if (micro_batches < 1) throw error{"plan::schedule", "a step needs at least one micro-batch, found " + std::to_string(micro_batches)};
  if (chunks < 1) throw error{"plan::schedule", "a rank needs at least one chunk, found " + std::to_string(chunks)};
  constexpr index_t most = index_t{1} << 24;
  if (ranks > most || micro_batches > most || chunks > most || ranks * chunks > most || ranks * chunks * 3 > (index_t{1} << 32) / micro_batches)
    throw error{"plan::schedule", "a schedule of " + std::to_string(ranks) + " ranks, " + std::to_string(micro_batches) + " micro-batches and " +
                                      std::to_string(chunks) + " chunks is larger than any step"};
}

/// Writes one rank's list; counts micro-batches per stage and kind by itself, so that every kind ascends.
struct list_writer {
  std::vector<action>& list;
  std::int32_t first_stage, second_stage;  ///< the rank's chunk 0 and chunk 1
  index_t micro_batches;                   ///< actions of later micro-batches are left out
  std::array<std::array<std::int32_t, 4>, 2> count{};

  [[nodiscard]] constexpr std::int32_t done(action_kind k, int chunk = 0) const { return count[static_cast<std::size_t>(chunk)][static_cast<std::size_t>(k)]; }
  constexpr void put(action_kind k, int chunk = 0) {
    auto const j = count[static_cast<std::size_t>(chunk)][static_cast<std::size_t>(k)]++;
    if (j < micro_batches) list.push_back({k, chunk == 0 ? first_stage : second_stage, j, -1});
    // A whole backward is also the next weight work.
    if (k == action_kind::backward) count[static_cast<std::size_t>(chunk)][static_cast<std::size_t>(action_kind::backward_input)]++,
                                    count[static_cast<std::size_t>(chunk)][static_cast<std::size_t>(action_kind::backward_weight)]++;
    if (k == action_kind::backward_input) count[static_cast<std::size_t>(chunk)][static_cast<std::size_t>(action_kind::backward)]++;
  }
};

[[nodiscard]] constexpr schedule empty_schedule(index_t micro_batches, std::vector<std::int32_t> rank_of, index_t ranks) {
  schedule s;
  s.micro_batches = micro_batches;
  s.rank_of = std::move(rank_of);
  s.actions.resize(static_cast<std::size_t>(ranks));
  return s;
}

}  // namespace detail

/// All forwards, then all backwards (Huang et al. 2019). Backward ascends in micro-batch, so that weight gradients are summed in the order of the samples.
/// Bubble (p-1)/m of the work; every rank holds m micro-batches.
[[nodiscard]] constexpr schedule gpipe(index_t ranks, index_t micro_batches) {
  detail::demand_positive(ranks, micro_batches);
  auto s = detail::empty_schedule(micro_batches, place_in_loops(ranks), ranks);
  for (index_t r = 0; r < ranks; ++r) {
    detail::list_writer w{s.actions[static_cast<std::size_t>(r)], static_cast<std::int32_t>(r), 0, micro_batches};
    for (index_t j = 0; j < micro_batches; ++j) w.put(action_kind::forward);
    for (index_t j = 0; j < micro_batches; ++j) w.put(action_kind::backward);
  }
  return s;
}

/// One forward, one backward (PipeDream-flush; Narayanan et al. 2021). GPipe's bubble; rank i holds min(m, p-i) micro-batches.
[[nodiscard]] constexpr schedule one_f_one_b(index_t ranks, index_t micro_batches) {
  detail::demand_positive(ranks, micro_batches);
  auto s = detail::empty_schedule(micro_batches, place_in_loops(ranks), ranks);
  for (index_t r = 0; r < ranks; ++r) {
    detail::list_writer w{s.actions[static_cast<std::size_t>(r)], static_cast<std::int32_t>(r), 0, micro_batches};
    index_t const warm_up = std::min(micro_batches, ranks - 1 - r);
    for (index_t j = 0; j < warm_up; ++j) w.put(action_kind::forward);
    for (index_t j = 0; j < micro_batches; ++j) {
      if (w.done(action_kind::forward) < micro_batches) w.put(action_kind::forward);
      w.put(action_kind::backward);
    }
  }
  return s;
}

}  // namespace pleat::plan
