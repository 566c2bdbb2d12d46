// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Checks a schedule before step 1: complete, in order, within its memory, and free of deadlock even if sends block.
/// constexpr.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/plan/detail/replay.hpp>
#include <pleat/plan/schedule.hpp>

namespace pleat::plan {

enum class fault_kind : std::uint8_t {
  none,
  malformed,
  missing,
  doubled,
  out_of_order,
  weights_descend,
  too_much_memory,
  deadlock
};

/// One rank of a cycle: it is at `at`, which cannot happen before `needs` does, on rank `on`.
struct waiting {
  index_t rank = -1;
  action at{};
  index_t on = -1;
  action needs{};
};

/// The first thing that is wrong with a schedule.
struct fault {
  fault_kind kind = fault_kind::none;
  index_t rank = -1;
  action what{};                   ///< the action that is missing, doubled or too early
  action other{};                  ///< out_of_order: what should have come first
  index_t found = 0, allowed = 0;  ///< too_much_memory: activations
  char const* reason = "";         ///< malformed: what is wrong about `what`
  std::vector<waiting> cycle;      ///< deadlock: each waits for the next, the last for the first

  [[nodiscard]] constexpr explicit operator bool() const noexcept { return kind != fault_kind::none; }
};

/// What the check demands beyond that the schedule can be carried out.
struct check_options {
  /// per stage, weight work ascends in micro-batch: deterministic mode adds gradients in the order of the samples
  bool ascending_weights = true;
  index_t max_activations = 0;  ///< most (stage, micro-batch) pairs that one rank may hold; 0: no limit
};

namespace detail {

/// The check of one schedule: what is where, then one question after the other.
class checker {
 public:
  PLEAT_LAZY constexpr checker(schedule const& s, check_options const& options)
      : s_(s), options_(options), explicit_(s.communicates()) {}

  PLEAT_LAZY [[nodiscard]] constexpr fault first_fault() {
    if (shape() && actions() && complete()) {
      for (index_t r = 0; r < s_.ranks() && !fault_; ++r) order(r);
      if (!fault_) deadlock();
    }
    return std::move(fault_);
  }

 private:
  PLEAT_LAZY constexpr bool refuse(fault_kind kind, index_t rank, action const& what, char const* reason = "",
                                   action const& other = {}) {
    fault_.kind = kind;
    fault_.rank = rank;
    fault_.what = what;
    fault_.reason = reason;
    fault_.other = other;
    return false;
  }
  PLEAT_LAZY [[nodiscard]] constexpr std::size_t cell(action const& a) const noexcept {
    return at(a.stage * s_.micro_batches + a.micro_batch);
  }
  PLEAT_LAZY [[nodiscard]] constexpr index_t rank_of(index_t stage) const noexcept { return s_.rank_of[at(stage)]; }
  /// Whether the stage's neighbour in that direction (+1, -1) is there, and on another rank: then a message goes
  /// between them.
  PLEAT_LAZY [[nodiscard]] constexpr bool speaks(index_t stage, index_t direction) const noexcept {
    index_t const to = stage + direction;
    return to >= 0 && to < s_.stages() && rank_of(to) != rank_of(stage);
  }

  PLEAT_LAZY constexpr bool shape() {
    if (s_.micro_batches < 1) return refuse(fault_kind::malformed, -1, {}, "the schedule has no micro-batch");
    if (s_.rank_of.empty()) return refuse(fault_kind::malformed, -1, {}, "the schedule has no stage");
    for (auto const r : s_.rank_of)
      if (r < 0 || r >= s_.ranks())
        return refuse(fault_kind::malformed, r, {}, "a stage lives on a rank that has no list");
    return true;
  }

  /// Every action names a stage of its rank, a micro-batch of the step, and the neighbour that a message of its kind
  /// has.
  PLEAT_LAZY constexpr bool actions() {
    count_.assign(11, {});
    for (auto& c : count_) c.assign(at(s_.stages() * s_.micro_batches), 0);
    reduced_.assign(at(s_.stages()), 0);
    for (index_t r = 0; r < s_.ranks(); ++r)
      for (auto const& a : s_.actions[at(r)]) {
        if (a.stage < 0 || a.stage >= s_.stages()) return refuse(fault_kind::malformed, r, a, "there is no such stage");
        if (rank_of(a.stage) != r) return refuse(fault_kind::malformed, r, a, "the stage lives on another rank");
        if (!computes(a.kind) && !sends(a.kind) && !receives(a.kind)) {
          if (a.kind == action_kind::reduce_gradients && reduced_[at(a.stage)]++)
            return refuse(fault_kind::doubled, r, a);
          continue;
        }
        if (a.micro_batch < 0 || a.micro_batch >= s_.micro_batches)
          return refuse(fault_kind::malformed, r, a, "there is no such micro-batch");
        if (!computes(a.kind)) {
          // the peer is the stage after
          bool const up = a.kind == action_kind::send_activation || a.kind == action_kind::receive_gradient;
          if (a.peer != a.stage + (up ? 1 : -1) || a.peer < 0 || a.peer >= s_.stages())
            return refuse(fault_kind::malformed, r, a, "such a message goes between a stage and the next");
          if (rank_of(a.peer) == r)
            return refuse(fault_kind::malformed, r, a, "both stages live on this rank, which needs no message");
        }
        if (++count_[static_cast<std::size_t>(a.kind)][cell(a)] > 1) return refuse(fault_kind::doubled, r, a);
      }
    return true;
  }

  PLEAT_LAZY [[nodiscard]] constexpr int times(action_kind k, index_t stage, index_t j) const {
    return count_[static_cast<std::size_t>(k)][at(stage * s_.micro_batches + j)];
  }

  /// Every (stage, micro-batch) has one forward, and one backward: whole, or both halves; and its messages, if the
  /// lists say any.
  PLEAT_LAZY constexpr bool complete() {
    using enum action_kind;
    for (index_t stage = 0; stage < s_.stages(); ++stage)
      for (index_t j = 0; j < s_.micro_batches; ++j) {
        auto const act = [&](action_kind k, index_t peer = -1) {
          return action{k, static_cast<std::int32_t>(stage), static_cast<std::int32_t>(j),
                        static_cast<std::int32_t>(peer)};
        };
        index_t const r = rank_of(stage);
        if (times(forward, stage, j) == 0) return refuse(fault_kind::missing, r, act(forward));
        bool const input = times(backward_input, stage, j) > 0, weight = times(backward_weight, stage, j) > 0;
        if (times(backward, stage, j) > 0) {
          if (input || weight) return refuse(fault_kind::doubled, r, act(input ? backward_input : backward_weight));
        } else if (!input || !weight) {
          return refuse(fault_kind::missing, r, act(input ? backward_weight : weight ? backward_input : backward));
        }
        if (!explicit_) continue;
        for (auto const& [k, direction] :
             {std::pair{send_activation, 1}, {receive_activation, -1}, {send_gradient, -1}, {receive_gradient, 1}})
          if (speaks(stage, direction) && times(k, stage, j) == 0)
            return refuse(fault_kind::missing, r, act(k, stage + direction));
      }
    bool any = false;
    for (auto const n : reduced_) any = any || n > 0;
    for (index_t stage = 0; any && stage < s_.stages(); ++stage)
      if (reduced_[at(stage)] == 0)
        return refuse(fault_kind::missing, rank_of(stage),
                      {action_kind::reduce_gradients, static_cast<std::int32_t>(stage), -1, -1});
    return true;
  }

  /// What an action needs that its own rank does first.
  PLEAT_LAZY constexpr bool order(index_t r) {
    using enum action_kind;
    auto const& list = s_.actions[at(r)];
    std::vector<std::vector<char>> done(11);
    for (auto& d : done) d.assign(at(s_.stages() * s_.micro_batches), 0);
    std::vector<std::int32_t> weights(at(s_.stages()), 0), last(at(s_.stages()), -1);
    std::vector<char> whole(at(s_.stages()), 0);
    bool gathers = false;
    for (auto const& a : list) gathers = gathers || a.kind == gather_parameters || a.kind == release_parameters;
    index_t held = 0;
    auto const before = [&](action const& a, action_kind k, index_t stage, index_t peer = -1) {
      if (done[static_cast<std::size_t>(k)][at(stage * s_.micro_batches + a.micro_batch)]) return true;
      return refuse(fault_kind::out_of_order, r, a, "",
                    {k, static_cast<std::int32_t>(stage), a.micro_batch, static_cast<std::int32_t>(peer)});
    };
    auto const backward_of = [&](index_t stage, index_t j) {
      return times(backward, stage, j) > 0 ? backward : backward_input;
    };
    for (auto const& a : list) {
      auto const stage = at(a.stage);
      switch (a.kind) {
        case forward:
          if (explicit_ && speaks(a.stage, -1) && !before(a, receive_activation, a.stage, a.stage - 1)) return false;
          if (a.stage > 0 && !speaks(a.stage, -1) && !before(a, forward, a.stage - 1)) return false;
          break;
        case backward:
        case backward_input:
          if (!before(a, forward, a.stage)) return false;
          if (explicit_ && speaks(a.stage, 1) && !before(a, receive_gradient, a.stage, a.stage + 1)) return false;
          if (a.stage + 1 < s_.stages() && !speaks(a.stage, 1) &&
              !before(a, backward_of(a.stage + 1, a.micro_batch), a.stage + 1))
            return false;
          break;
        case backward_weight:
          if (!before(a, backward_input, a.stage)) return false;
          break;
        case send_activation:
          if (!before(a, forward, a.stage)) return false;
          break;
        case send_gradient:
          if (!before(a, backward_of(a.stage, a.micro_batch), a.stage)) return false;
          break;
        case reduce_gradients:
          if (weights[stage] != s_.micro_batches)
            return refuse(fault_kind::malformed, r, a, "the stage still has weight work after it");
          break;
        case gather_parameters:
          if (whole[stage]) return refuse(fault_kind::doubled, r, a);
          whole[stage] = 1;
          break;
        case release_parameters:
          if (!whole[stage]) return refuse(fault_kind::out_of_order, r, a, "", {gather_parameters, a.stage, -1, -1});
          whole[stage] = 0;
          break;
        default:
          break;
      }
      if (gathers && (a.kind == forward || gives_gradient(a.kind)) && !whole[stage])
        return refuse(fault_kind::out_of_order, r, a, "", {gather_parameters, a.stage, -1, -1});
      if (does_weights(a.kind)) {
        if (options_.ascending_weights && a.micro_batch < last[stage])
          return refuse(fault_kind::weights_descend, r, a, "", {a.kind, a.stage, last[stage], -1});
        last[stage] = a.micro_batch;
        ++weights[stage];
        --held;
      }
      if (a.kind == forward && ++held > options_.max_activations && options_.max_activations > 0) {
        fault_.found = held;
        fault_.allowed = options_.max_activations;
        return refuse(fault_kind::too_much_memory, r, a);
      }
      if (computes(a.kind) || sends(a.kind) || receives(a.kind)) done[static_cast<std::size_t>(a.kind)][cell(a)] = 1;
    }
    return true;
  }

  /// What rank r's next action waits for; `on` is -1 if it can happen.
  PLEAT_LAZY [[nodiscard]] constexpr waiting next_of(index_t r) const {
    auto const& list = s_.actions[at(r)];
    waiting w{r, list[next_[at(r)]], -1, {}};
    action const& a = w.at;
    if (sends(a.kind) || receives(a.kind)) {
      index_t const q = rank_of(a.peer);
      if (next_[at(q)] >= s_.actions[at(q)].size() || s_.actions[at(q)][next_[at(q)]] != counterpart(a))
        w.on = q, w.needs = counterpart(a);
    } else if (!explicit_ && (a.kind == action_kind::forward || gives_gradient(a.kind))) {
      index_t const direction = a.kind == action_kind::forward ? -1 : 1;
      if (speaks(a.stage, direction)) {
        auto const stage = static_cast<std::int32_t>(a.stage + direction);
        auto const k = direction < 0                                            ? action_kind::forward
                       : times(action_kind::backward, stage, a.micro_batch) > 0 ? action_kind::backward
                                                                                : action_kind::backward_input;
        action const needs{k, stage, a.micro_batch, -1};
        if (!done_[static_cast<std::size_t>(k)][cell(needs)]) w.on = rank_of(stage), w.needs = needs;
      }
    }
    return w;
  }

  /// Carries the lists out with sends that wait for their receives; who is left at the end waits in a cycle.
  PLEAT_LAZY constexpr void deadlock() {
    next_.assign(at(s_.ranks()), 0);
    done_.assign(4, {});
    for (auto& d : done_) d.assign(at(s_.stages() * s_.micro_batches), 0);
    std::vector<index_t> work;
    for (index_t r = s_.ranks(); r-- > 0;) work.push_back(r);
    while (!work.empty()) {
      index_t const r = work.back();
      work.pop_back();
      while (next_[at(r)] < s_.actions[at(r)].size()) {
        waiting const w = next_of(r);
        if (w.on >= 0) break;
        ++next_[at(r)];
        action const& a = w.at;
        if (sends(a.kind) || receives(a.kind)) {
          ++next_[at(rank_of(a.peer))];
          work.push_back(rank_of(a.peer));
        } else if (!explicit_ && computes(a.kind)) {
          done_[static_cast<std::size_t>(a.kind)][cell(a)] = 1;
          if (a.kind == action_kind::forward && speaks(a.stage, 1)) work.push_back(rank_of(a.stage + 1));
          if (gives_gradient(a.kind) && speaks(a.stage, -1)) work.push_back(rank_of(a.stage - 1));
        }
      }
    }
    index_t stuck = -1;
    for (index_t r = 0; r < s_.ranks() && stuck < 0; ++r)
      if (next_[at(r)] < s_.actions[at(r)].size()) stuck = r;
    if (stuck < 0) return;
    // Everything that is waited for exists (complete) and has not happened, so its rank is stuck too: following the
    // waits ends in a cycle.
    std::vector<waiting> walk;
    for (index_t r = stuck;;) {
      for (std::size_t i = 0; i < walk.size(); ++i)
        if (walk[i].rank == r) {
          fault_.cycle.assign(walk.begin() + static_cast<std::ptrdiff_t>(i), walk.end());
          fault_.kind = fault_kind::deadlock;
          fault_.rank = r;
          fault_.what = walk[i].at;
          fault_.other = walk[i].needs;
          return;
        }
      walk.push_back(next_of(r));
      r = walk.back().on;
    }
  }

  schedule const& s_;
  check_options options_;
  bool explicit_;
  fault fault_;
  std::vector<std::vector<int>> count_;  // [kind][stage, micro-batch]
  std::vector<int> reduced_;
  std::vector<std::size_t> next_;
  std::vector<std::vector<char>> done_;
};

}  // namespace detail

/// Most (stage, micro-batch) pairs that a rank holds at once: forward is done, the weights' gradient is not.
PLEAT_LAZY [[nodiscard]] constexpr index_t peak_in_flight(schedule const& s, index_t rank) {
  index_t held = 0, most = 0;
  for (auto const& a : s.actions[static_cast<std::size_t>(rank)]) {
    if (a.kind == action_kind::forward && ++held > most) most = held;
    if (does_weights(a.kind)) --held;
  }
  return most;
}

/// The first thing that is wrong with the schedule; converts to false if nothing is. Each kind of fault is looked for
/// over all ranks before the next. For lists that only compute, a deadlock is ranks whose work waits for each other;
/// for lists with messages, each send waits until its rank's peer has come to the matching receive (rendezvous: the
/// hardest that a transport may do).
PLEAT_LAZY [[nodiscard]] constexpr fault find_fault(schedule const& s, check_options const& options = {}) {
  return detail::checker(s, options).first_fault();
}

/// The fault as a sentence.
PLEAT_ONCE [[nodiscard]] std::string in_words(fault const& f) {
  std::string const rank = f.rank >= 0 ? "rank " + std::to_string(f.rank) + ": " : "";
  switch (f.kind) {
    case fault_kind::none:
      return "nothing is wrong";
    case fault_kind::malformed:
      return rank + (f.rank < 0 ? std::string() : in_words(f.what) + ": ") + f.reason;
    case fault_kind::missing:
      return rank + in_words(f.what) + " is missing";
    case fault_kind::doubled:
      return rank + in_words(f.what) + " is there twice";
    case fault_kind::out_of_order:
      return rank + in_words(f.what) + " comes before " + in_words(f.other) + ", which it needs";
    case fault_kind::weights_descend:
      return rank + in_words(f.what) + " comes after that of micro-batch " + std::to_string(f.other.micro_batch) +
             "; deterministic sums need them ascending";
    case fault_kind::too_much_memory:
      return rank + in_words(f.what) + " would be the " + std::to_string(f.found) + ". activation in flight, " +
             std::to_string(f.allowed) + " are allowed";
    case fault_kind::deadlock: {
      std::string text = "these ranks wait for each other:";
      for (auto const& w : f.cycle)
        text += "\n  rank " + std::to_string(w.rank) + " is at " + in_words(w.at) + " and waits for rank " +
                std::to_string(w.on) + " to come to " + in_words(w.needs);
      return text;
    }
  }
  return {};
}
PLEAT_COMPILED_ONCE(std::string in_words(fault const& f));

/// What to do about it.
PLEAT_ONCE [[nodiscard]] std::string remedy_of(fault const& f) {
  switch (f.kind) {
    case fault_kind::none:
      return {};
    case fault_kind::malformed:
      return "Correct that list; plan::to_csv shows how one is written";
    case fault_kind::missing:
      return "Add it to a rank's list, once";
    case fault_kind::doubled:
      return "Leave one of them out";
    case fault_kind::out_of_order:
      return "Put it behind that one";
    case fault_kind::weights_descend:
      return "Put the weight work of each stage in the order of micro-batches, or check without ascending_weights";
    case fault_kind::too_much_memory:
      return "Let fewer forwards go ahead of their backwards, or allow more in flight";
    case fault_kind::deadlock:
      return "Move one of these actions behind what its rank is waited for";
  }
  return {};
}

/// \throws error with the fault in words and what to do, if there is one
PLEAT_ONCE void check(schedule const& s, check_options const& options = {}) {
  fault const f = find_fault(s, options);
  if (f) throw error{"plan::check", in_words(f), remedy_of(f)};
}
PLEAT_COMPILED_ONCE(void check(schedule const& s, check_options const& options));

}  // namespace pleat::plan
