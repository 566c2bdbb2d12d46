// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The known pipeline schedules, as lists that only compute. Each is constexpr, for any number of ranks and
/// micro-batches.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/plan/schedule.hpp>

namespace pleat::plan {

enum class schedule_kind : std::uint8_t { gpipe, one_f_one_b, interleaved, zb_h1, zb_h2, zb_v, dualpipe_v };

inline constexpr std::array<std::string_view, 7> schedule_names{"gpipe", "1f1b", "interleaved", "zb-h1",
                                                                "zb-h2", "zb-v", "dualpipe-v"};

[[nodiscard]] constexpr std::string_view name(schedule_kind k) noexcept {
  return schedule_names[static_cast<std::size_t>(k)];
}

/// \throws error for a name that is no schedule, with those that are
PLEAT_ONCE [[nodiscard]] schedule_kind parse_schedule_kind(std::string_view text) {
  for (std::size_t k = 0; k < schedule_names.size(); ++k)
    if (schedule_names[k] == text) return static_cast<schedule_kind>(k);
  std::string all;
  for (auto const n : schedule_names) all += (all.empty() ? "" : ", ") + std::string(n);
  throw error{"plan::parse_schedule_kind", "'" + std::string(text) + "' is no pipeline schedule", "Known are " + all};
}
PLEAT_COMPILED_ONCE(schedule_kind parse_schedule_kind(std::string_view text));

namespace detail {

PLEAT_LAZY constexpr void demand_positive(index_t ranks, index_t micro_batches, index_t chunks = 1) {
  if (ranks < 1)
    throw error{"plan::schedule", "a pipeline needs at least one rank, found " + std::to_string(ranks),
                "Use 1 rank or more"};
  if (micro_batches < 1)
    throw error{"plan::schedule", "a step needs at least one micro-batch, found " + std::to_string(micro_batches),
                "Use 1 micro-batch or more"};
  if (chunks < 1)
    throw error{"plan::schedule", "a rank needs at least one chunk, found " + std::to_string(chunks),
                "Use 1 chunk or more"};
  constexpr index_t most = index_t{1} << 24;
  if (ranks > most || micro_batches > most || chunks > most || ranks * chunks > most ||
      ranks * chunks * 3 > (index_t{1} << 32) / micro_batches)
    throw error{"plan::schedule",
                "a schedule of " + std::to_string(ranks) + " ranks, " + std::to_string(micro_batches) +
                    " micro-batches and " + std::to_string(chunks) + " chunks is larger than any step",
                "Use at most 2^24 stages, and fewer micro-batches: a step of fewer looks alike"};
}

/// Writes one rank's list; counts micro-batches per stage and kind by itself, so that every kind ascends.
struct list_writer {
  std::vector<action>& list;
  std::int32_t first_stage, second_stage;  ///< the rank's chunk 0 and chunk 1
  index_t micro_batches;                   ///< actions of later micro-batches are left out
  std::array<std::array<std::int32_t, 4>, 2> count{};

  [[nodiscard]] constexpr std::int32_t done(action_kind k, int chunk = 0) const {
    return count[static_cast<std::size_t>(chunk)][static_cast<std::size_t>(k)];
  }
  PLEAT_LAZY constexpr void put(action_kind k, int chunk = 0) {
    auto const j = count[static_cast<std::size_t>(chunk)][static_cast<std::size_t>(k)]++;
    if (j < micro_batches) list.push_back({k, chunk == 0 ? first_stage : second_stage, j, -1});
    // A whole backward is also the next weight work.
    if (k == action_kind::backward)
      count[static_cast<std::size_t>(chunk)][static_cast<std::size_t>(action_kind::backward_input)]++,
          count[static_cast<std::size_t>(chunk)][static_cast<std::size_t>(action_kind::backward_weight)]++;
    if (k == action_kind::backward_input)
      count[static_cast<std::size_t>(chunk)][static_cast<std::size_t>(action_kind::backward)]++;
  }
};

PLEAT_LAZY [[nodiscard]] constexpr schedule empty_schedule(index_t micro_batches, std::vector<std::int32_t> rank_of,
                                                           index_t ranks) {
  schedule s;
  s.micro_batches = micro_batches;
  s.rank_of = std::move(rank_of);
  s.actions.resize(static_cast<std::size_t>(ranks));
  return s;
}

}  // namespace detail

/// All forwards, then all backwards (Huang et al. 2019). Backward ascends in micro-batch, so that weight gradients are
/// summed in the order of the samples. Bubble (p-1)/m of the work; every rank holds m micro-batches.
PLEAT_LAZY [[nodiscard]] constexpr schedule gpipe(index_t ranks, index_t micro_batches) {
  detail::demand_positive(ranks, micro_batches);
  auto s = detail::empty_schedule(micro_batches, place_in_loops(ranks), ranks);
  for (index_t r = 0; r < ranks; ++r) {
    detail::list_writer w{s.actions[static_cast<std::size_t>(r)], static_cast<std::int32_t>(r), 0, micro_batches};
    for (index_t j = 0; j < micro_batches; ++j) w.put(action_kind::forward);
    for (index_t j = 0; j < micro_batches; ++j) w.put(action_kind::backward);
  }
  return s;
}

/// One forward, one backward (PipeDream-flush; Narayanan et al. 2021). GPipe's bubble; rank i holds min(m, p-i)
/// micro-batches.
PLEAT_LAZY [[nodiscard]] constexpr schedule one_f_one_b(index_t ranks, index_t micro_batches) {
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

/// Interleaved 1F1B (Narayanan et al. 2021): `chunks` stages per rank, in loops. Bubble (p-1)/(m·v), v times the
/// messages, a little more memory.
///
/// Micro-batches travel in groups of p. A number that p does not divide is carried out as the next multiple would be,
/// without the surplus: what is left keeps its order, so nothing can wait that did not wait before. The bubble is least
/// where p divides m.
PLEAT_LAZY [[nodiscard]] constexpr schedule interleaved(index_t ranks, index_t micro_batches, index_t chunks = 2) {
  detail::demand_positive(ranks, micro_batches, chunks);
  if (chunks == 1) return one_f_one_b(ranks, micro_batches);
  auto s = detail::empty_schedule(micro_batches, place_in_loops(ranks, chunks), ranks);
  index_t const rounded = (micro_batches + ranks - 1) / ranks * ranks, total = rounded * chunks;
  for (index_t r = 0; r < ranks; ++r) {
    auto& list = s.actions[static_cast<std::size_t>(r)];
    auto const put = [&](action_kind kind, index_t k) {
      index_t const turn = k / ranks % chunks, chunk = kind == action_kind::forward ? turn : chunks - 1 - turn;
      index_t const j = k / (ranks * chunks) * ranks + k % ranks;
      if (j < micro_batches)
        list.push_back({kind, static_cast<std::int32_t>(chunk * ranks + r), static_cast<std::int32_t>(j), -1});
    };
    index_t const warm_up = std::min(total, 2 * (ranks - 1 - r) + (chunks - 1) * ranks);
    for (index_t k = 0; k < warm_up; ++k) put(action_kind::forward, k);
    for (index_t k = 0; k < total; ++k) {
      if (warm_up + k < total) put(action_kind::forward, warm_up + k);
      put(action_kind::backward, k);
    }
  }
  return s;
}

namespace detail {

/// Rank r warms up with some forwards, then lets at most `lag` weight halves wait: both given as functions of the rank.
template <class WarmUp, class Lag>
[[nodiscard]] constexpr schedule handcrafted_zero_bubble(index_t ranks, index_t micro_batches, WarmUp const& warm_up,
                                                         Lag const& lag) {
  demand_positive(ranks, micro_batches);
  auto s = empty_schedule(micro_batches, place_in_loops(ranks), ranks);
  for (index_t r = 0; r < ranks; ++r) {
    list_writer w{s.actions[static_cast<std::size_t>(r)], static_cast<std::int32_t>(r), 0, micro_batches};
    index_t const first = std::min(micro_batches, warm_up(r));
    for (index_t j = 0; j < first; ++j) w.put(action_kind::forward);
    for (index_t j = 0; j < micro_batches; ++j) {
      w.put(action_kind::backward_input);
      if (w.done(action_kind::backward_input) - w.done(action_kind::backward_weight) > lag(r))
        w.put(action_kind::backward_weight);
      if (w.done(action_kind::forward) < micro_batches) w.put(action_kind::forward);
    }
    while (w.done(action_kind::backward_weight) < micro_batches) w.put(action_kind::backward_weight);
  }
  return s;
}

}  // namespace detail

/// ZB-H1 (Qi et al. 2024): backward in two halves, the weight half postponed into the bubbles. Bubble (p-1)(f+b-w);
/// rank i never lets more than i weight halves wait, so every rank holds p micro-batches at most, as 1F1B's first.
PLEAT_LAZY [[nodiscard]] constexpr schedule zb_h1(index_t ranks, index_t micro_batches) {
  return detail::handcrafted_zero_bubble(
      ranks, micro_batches, [=](index_t r) { return ranks - r; }, [](index_t r) { return r; });
}

/// ZB-H2 (Qi et al. 2024): ZB-H1 with twice the warm-up. No rank idles between its first work and its last at equal
/// times, for up to 2p-1 micro-batches in memory.
PLEAT_LAZY [[nodiscard]] constexpr schedule zb_h2(index_t ranks, index_t micro_batches) {
  return detail::handcrafted_zero_bubble(
      ranks, micro_batches, [=](index_t r) { return 2 * (ranks - r) - 1; }, [](index_t r) { return 2 * r; });
}

/// ZB-V (Qi et al. 2024, "controllable memory"): two chunks per rank in a V, backward in two halves. No rank idles
/// between its first work and its last if forward and both halves take equal times; every rank holds at most p
/// micro-batches (2p chunks). Fewer than 2p-1 micro-batches are carried out as 2p-1 would be, without the surplus.
PLEAT_LAZY [[nodiscard]] constexpr schedule zb_v(index_t ranks, index_t micro_batches) {
  detail::demand_positive(ranks, micro_batches);
  auto s = detail::empty_schedule(micro_batches, place_in_v(ranks), ranks);
  index_t const m = std::max(micro_batches, 2 * ranks - 1);
  using enum action_kind;
  for (index_t r = 0; r < ranks; ++r) {
    detail::list_writer w{s.actions[static_cast<std::size_t>(r)], static_cast<std::int32_t>(r),
                          static_cast<std::int32_t>(2 * ranks - 1 - r), micro_batches};
    for (index_t k = 0; k < 2 * (ranks - r) - 1; ++k) w.put(forward, 0);  // until the V comes back
    for (index_t k = 0; k < r; ++k) w.put(forward, 1), w.put(forward, 0);
    for (index_t k = 0; k < ranks - r; ++k) w.put(forward, 1), w.put(backward_input, 1), w.put(backward_weight, 1);
    while (w.done(forward, 1) < w.done(forward, 0) || w.done(forward, 0) < m) {  // steady: one of each, for both chunks
      if (w.done(forward, 0) < m) w.put(forward, 0);
      w.put(backward_input, 0), w.put(backward_weight, 0);
      w.put(forward, 1);
      w.put(backward_input, 1), w.put(backward_weight, 1);
    }
    for (index_t k = 0; k < r; ++k) w.put(backward_input, 0), w.put(backward_input, 1);
    for (index_t k = 0; k < ranks - r; ++k) w.put(backward_input, 0), w.put(backward_weight, 0);
    while (w.done(backward_weight, 1) < m) w.put(backward_weight, 1);
    while (w.done(backward_weight, 0) < m) w.put(backward_weight, 0);
  }
  return s;
}

/// DualPipe-V (DeepSeek 2025, the halved form of DualPipe): two chunks per rank in a V; in its steady part a forward of
/// one chunk stands beside a whole backward of the other, so that one's messages hide behind the other's work. Fewer
/// than 2p micro-batches are carried out as 2p would be, without the surplus.
PLEAT_LAZY [[nodiscard]] constexpr schedule dualpipe_v(index_t ranks, index_t micro_batches) {
  detail::demand_positive(ranks, micro_batches);
  auto s = detail::empty_schedule(micro_batches, place_in_v(ranks), ranks);
  index_t const m = std::max(micro_batches, 2 * ranks);
  using enum action_kind;
  for (index_t r = 0; r < ranks; ++r) {
    detail::list_writer w{s.actions[static_cast<std::size_t>(r)], static_cast<std::int32_t>(r),
                          static_cast<std::int32_t>(2 * ranks - 1 - r), micro_batches};
    index_t const below = ranks - 1 - r;
    for (index_t k = 0; k < 2 * below; ++k) w.put(forward, 0);
    for (index_t k = 0; k <= r; ++k) w.put(forward, 0), w.put(forward, 1);
    for (index_t k = 0; k < below; ++k) w.put(backward_input, 1), w.put(backward_weight, 1), w.put(forward, 1);
    for (index_t k = 0; k < m - 2 * ranks + r + 1; ++k)
      w.put(forward, 0), w.put(backward, 1), w.put(forward, 1), w.put(backward, 0);
    for (index_t k = 0; k < below; ++k) w.put(backward, 1), w.put(forward, 1), w.put(backward, 0);
    // The drain: from its middle on weight halves wait, and fill what follows.
    index_t const half = (r + 1) / 2;
    for (index_t k = 0; k <= r; ++k) {
      w.put(k > half || (k == half && r % 2 == 1) ? backward_input : backward, 1);
      w.put(k >= half ? backward_input : backward, 0);
    }
    auto const postponed = [&] {  // the oldest weight half that waits: chunks took turns
      bool const one = w.done(backward_input, 1) > w.done(backward_weight, 1) &&
                       (w.done(backward_weight, 1) <= w.done(backward_weight, 0) ||
                        w.done(backward_input, 0) == w.done(backward_weight, 0));
      w.put(backward_weight, one ? 1 : 0);
    };
    for (index_t k = 0; k < below; ++k) postponed(), w.put(backward_input, 0);
    while (w.done(backward_weight, 0) < m || w.done(backward_weight, 1) < m) postponed();
  }
  return s;
}

/// The schedule of that kind. \param chunks stages per rank: any number for `interleaved`, 2 for the V-shaped ones,
/// else 1; 0 takes the kind's own
/// \throws error for a number of chunks that the kind does not have
PLEAT_LAZY [[nodiscard]] constexpr schedule make_schedule(schedule_kind kind, index_t ranks, index_t micro_batches,
                                                          index_t chunks = 0) {
  bool const v = kind == schedule_kind::zb_v || kind == schedule_kind::dualpipe_v;
  index_t const own = v || kind == schedule_kind::interleaved ? 2 : 1;
  if (kind != schedule_kind::interleaved && chunks != 0 && chunks != own)
    throw error{"plan::make_schedule",
                std::string(name(kind)) + " has " + std::to_string(own) + (own == 1 ? " chunk" : " chunks") +
                    " per rank, found " + std::to_string(chunks),
                "Only interleaved takes another number"};
  switch (kind) {
    case schedule_kind::gpipe:
      return gpipe(ranks, micro_batches);
    case schedule_kind::one_f_one_b:
      return one_f_one_b(ranks, micro_batches);
    case schedule_kind::interleaved:
      return interleaved(ranks, micro_batches, chunks == 0 ? own : chunks);
    case schedule_kind::zb_h1:
      return zb_h1(ranks, micro_batches);
    case schedule_kind::zb_h2:
      return zb_h2(ranks, micro_batches);
    case schedule_kind::zb_v:
      return zb_v(ranks, micro_batches);
    case schedule_kind::dualpipe_v:
      return dualpipe_v(ranks, micro_batches);
  }
  throw error{"plan::make_schedule", "no such kind of schedule", "Take one of schedule_kind's names"};
}

}  // namespace pleat::plan
