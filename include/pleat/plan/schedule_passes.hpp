// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Passes: from a schedule that only computes to one that says everything. Pure functions, constexpr; each rank
/// computes the same.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/plan/detail/replay.hpp>
#include <pleat/plan/schedule.hpp>

namespace pleat::plan {

/// How long the kinds of work take relative to each other, per stage; only the order of messages follows from it.
/// A vector has one entry per stage, or a single one for all; entries are clamped to at least one tick.
struct stage_ticks {
  std::vector<std::int64_t> forward{1}, backward_input{1}, backward_weight{1};

  [[nodiscard]] constexpr std::int64_t operator()(action const& a) const {
    auto const of = [&](std::vector<std::int64_t> const& v) {
      return std::max<std::int64_t>(1, v[v.size() == 1 ? 0 : static_cast<std::size_t>(a.stage)]);
    };
    switch (a.kind) {
      case action_kind::forward:
        return of(forward);
      case action_kind::backward_input:
        return of(backward_input);
      case action_kind::backward_weight:
        return of(backward_weight);
      case action_kind::backward:
        return of(backward_input) + of(backward_weight);
      default:
        return 1;
    }
  }
};

namespace detail {

/// A work or a message at its place in the one order of all ranks.
struct event {
  std::int64_t time;
  std::int32_t round;  ///< messages: 0 even edges, 1 odd edges; 2 works
  action what;

  friend constexpr bool operator<(event const& a, event const& b) {
    if (a.time != b.time) return a.time < b.time;
    if (a.round != b.round) return a.round < b.round;
    if (a.round == 2) return false;  // one rank's works: never two at one time
    auto const edge_a = std::min(a.what.stage, a.what.peer), edge_b = std::min(b.what.stage, b.what.peer);
    if (edge_a != edge_b) return edge_a < edge_b;
    bool const down_a = a.what.kind <= action_kind::receive_activation,
               down_b = b.what.kind <= action_kind::receive_activation;
    if (down_a != down_b) return down_a;
    return a.what.micro_batch < b.what.micro_batch;
  }
};

}  // namespace detail

/// Adds the sends and receives between stages of different ranks.
///
/// Why no order of blocking calls can hang: the lists are replayed in ticks; a message happens at the moment when its
/// sender's work ends. Moments and the works' starts are put into *one* total order over all ranks (messages of a
/// moment before works that start then, messages of one moment in alternating rounds of even and odd edges), and every
/// rank's list is that order, restricted to what concerns the rank. The first event of the order that has not happened
/// yet is then next on every rank that takes part in it, so it can always happen, with sends that wait for their
/// receives too. Neighbouring messages of a list may also be started together.
/// \throws error if the list cannot be carried out (schedule_check.hpp says why), or if ticks are given for another
/// number of stages
PLEAT_LAZY [[nodiscard]] constexpr schedule with_messages(schedule const& s, stage_ticks const& ticks = {}) {
  for (auto const* times : {&ticks.forward, &ticks.backward_input, &ticks.backward_weight})
    if (times->size() != 1 && static_cast<index_t>(times->size()) != s.stages())
      throw error{"plan::with_messages",
                  "ticks need one entry, or one for each of the " + std::to_string(s.stages()) + " stages, found " +
                      std::to_string(times->size()),
                  "Leave ticks out where all stages take as long"};
  auto const times = detail::replay(s, ticks);
  if (!times.finished)
    throw error{"plan::with_messages", "this schedule cannot be carried out",
                "plan::check says which actions wait for each other"};
  std::vector<std::vector<detail::event>> events(s.actions.size());
  for (std::size_t r = 0; r < s.actions.size(); ++r)
    for (std::size_t i = 0; i < s.actions[r].size(); ++i) {
      action const& a = s.actions[r][i];
      events[r].push_back({times.start[r][i], 2, a});
      std::int32_t const to = a.kind == action_kind::forward ? a.stage + 1 : gives_gradient(a.kind) ? a.stage - 1 : -1;
      if (to < 0 || to >= s.stages() || s.rank_of[detail::at(to)] == static_cast<std::int32_t>(r)) continue;
      action const send{a.kind == action_kind::forward ? action_kind::send_activation : action_kind::send_gradient,
                        a.stage, a.micro_batch, to};
      std::int32_t const round = std::min(a.stage, to) % 2;
      events[r].push_back({times.end[r][i], round, send});
      events[detail::at(s.rank_of[detail::at(to)])].push_back({times.end[r][i], round, counterpart(send)});
    }
  schedule out = s;
  for (std::size_t r = 0; r < events.size(); ++r) {
    std::sort(events[r].begin(), events[r].end());
    out.actions[r].clear();
    for (auto const& e : events[r]) out.actions[r].push_back(e.what);
  }
  return out;
}

/// Adds `reduce_gradients` for each stage after its last weight work, behind the messages that follow it: the stage
/// before waits for those.
PLEAT_LAZY [[nodiscard]] constexpr schedule with_reduction(schedule const& s) {
  schedule out = s;
  for (auto& list : out.actions) {
    std::vector<std::size_t> last(detail::at(s.stages()), list.size());  // per stage, where its last weight work is
    for (std::size_t i = 0; i < list.size(); ++i)
      if (does_weights(list[i].kind)) last[detail::at(list[i].stage)] = i;
    std::vector<action> with;
    std::vector<std::int32_t> due;
    for (std::size_t i = 0; i < list.size(); ++i) {
      if (computes(list[i].kind)) {
        for (auto const stage : due) with.push_back({action_kind::reduce_gradients, stage, -1, -1});
        due.clear();
      }
      with.push_back(list[i]);
      if (does_weights(list[i].kind) && last[detail::at(list[i].stage)] == i) due.push_back(list[i].stage);
    }
    for (auto const stage : due) with.push_back({action_kind::reduce_gradients, stage, -1, -1});
    list = std::move(with);
  }
  return out;
}

/// How sharded parameters travel (state stage 3).
struct parameter_options {
  /// how many of the stages that come next on the rank are made whole beside the one at work; 0: none
  index_t prefetch = 1;
};

/// Adds gather_parameters and release_parameters: a stage's parameters are whole while forward or the input half of
/// backward works on it, and while it is one of the next `prefetch` stages that will. The weight half needs none. A
/// rank with one stage gathers once per step. Every rank that shares the parameters has the same list, hence the same
/// order of collectives.
PLEAT_LAZY [[nodiscard]] constexpr schedule with_parameters(schedule const& s, parameter_options const& options = {}) {
  if (options.prefetch < 0)
    throw error{"plan::with_parameters", "prefetch must be at least 0, found " + std::to_string(options.prefetch),
                "Use 0 to gather when a stage begins"};
  schedule out = s;
  auto const uses = [](action const& a) { return a.kind == action_kind::forward || gives_gradient(a.kind); };
  for (auto& list : out.actions) {
    std::vector<action> with;
    std::vector<std::int32_t> whole, wanted;
    for (std::size_t i = 0; i < list.size(); ++i) {
      if (!uses(list[i])) {
        with.push_back(list[i]);
        continue;
      }
      wanted.clear();
      for (std::size_t k = i; k < list.size() && static_cast<index_t>(wanted.size()) <= options.prefetch; ++k)
        if (uses(list[k]) && std::find(wanted.begin(), wanted.end(), list[k].stage) == wanted.end())
          wanted.push_back(list[k].stage);
      for (auto const stage : whole)
        if (std::find(wanted.begin(), wanted.end(), stage) == wanted.end())
          with.push_back({action_kind::release_parameters, stage, -1, -1});
      for (auto const stage : wanted)
        if (std::find(whole.begin(), whole.end(), stage) == whole.end())
          with.push_back({action_kind::gather_parameters, stage, -1, -1});
      whole = wanted;
      with.push_back(list[i]);
      if (std::none_of(list.begin() + static_cast<std::ptrdiff_t>(i) + 1, list.end(), uses)) {
        for (auto const stage : whole) with.push_back({action_kind::release_parameters, stage, -1, -1});
        whole.clear();
      }
    }
    list = std::move(with);
  }
  return out;
}

/// Every whole backward as its two halves, one after the other.
PLEAT_LAZY [[nodiscard]] constexpr schedule with_split_backward(schedule const& s) {
  schedule out = s;
  for (auto& list : out.actions) {
    std::vector<action> with;
    for (action a : list) {
      bool const whole = a.kind == action_kind::backward;
      if (whole) a.kind = action_kind::backward_input;
      with.push_back(a);
      if (whole) a.kind = action_kind::backward_weight, with.push_back(a);
    }
    list = std::move(with);
  }
  return out;
}

/// An input half that its weight half follows at once becomes a whole backward: one pass over what forward saved
/// instead of two. Before with_messages: a message between the halves is a reason to keep them apart.
PLEAT_LAZY [[nodiscard]] constexpr schedule with_merged_backward(schedule const& s) {
  schedule out = s;
  for (auto& list : out.actions) {
    std::vector<action> with;
    for (action const& a : list) {
      if (a.kind == action_kind::backward_weight && !with.empty() &&
          with.back() == action{action_kind::backward_input, a.stage, a.micro_batch, -1})
        with.back().kind = action_kind::backward;
      else with.push_back(a);
    }
    list = std::move(with);
  }
  return out;
}

/// Without what passes added: the list that only computes.
PLEAT_LAZY [[nodiscard]] constexpr schedule computing_only(schedule const& s) {
  schedule out = s;
  for (auto& list : out.actions) std::erase_if(list, [](action const& a) { return !computes(a.kind); });
  return out;
}

}  // namespace pleat::plan
