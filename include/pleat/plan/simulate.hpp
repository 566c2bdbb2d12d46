// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What a schedule costs: an event simulation that carries every rank's list out in the executor's order.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <pleat/plan/detail/replay.hpp>
#include <pleat/plan/schedule.hpp>
#include <pleat/plan/schedule_passes.hpp>

namespace pleat::plan {

/// What the work of one micro-batch on a stage costs. A vector has one entry per stage, or a single one for all. Any
/// unit of time; seconds if links are given in bytes per second.
struct stage_costs {
  /// time; a whole backward is the sum of its halves
  std::vector<double> forward{1}, backward_input{1}, backward_weight{1};
  std::vector<double> saved_bytes{1};  ///< what forward leaves for backward; held until the weight half is done
  /// what backward adds (recomputed activations); held until the weight half is done
  std::vector<double> backward_bytes{0};
  std::vector<double> message_bytes{0};  ///< the stage's output, and the gradient of it on the way back
  std::vector<double> gather{0};         ///< time to make the stage's parameters whole; in the background
  std::vector<double> reduce{0};         ///< time to sum the stage's gradients over the data axis; in the background
};

/// The same work with full recompute: forward keeps the stage's input only, and backward begins with another forward,
/// whose results live until the weight half.
[[nodiscard]] inline stage_costs recomputing(stage_costs costs, std::vector<double> input_bytes) {
  auto const stages = std::max(costs.forward.size(), costs.backward_input.size());
  if (costs.forward.size() != stages && costs.forward.size() != 1)
    throw error{"plan::recomputing", "forward and backward_input name different numbers of stages",
                "Give each one entry, or one per stage"};
  if (costs.backward_input.size() == 1) costs.backward_input.resize(stages, costs.backward_input[0]);
  if (costs.backward_input.size() != stages)
    throw error{"plan::recomputing", "forward and backward_input name different numbers of stages",
                "Give each one entry, or one per stage"};
  for (std::size_t i = 0; i < stages; ++i) costs.backward_input[i] += costs.forward[costs.forward.size() == 1 ? 0 : i];
  costs.backward_bytes = std::move(costs.saved_bytes);
  costs.saved_bytes = std::move(input_bytes);
  return costs;
}

/// The costs as ticks, for with_messages: the longest work is 2^20. The same on every rank that has the same costs.
[[nodiscard]] inline stage_ticks ticks_of(stage_costs const& costs) {
  double longest = 0;
  for (auto const* times : {&costs.forward, &costs.backward_input, &costs.backward_weight})
    for (double const t : *times) longest = std::max(longest, t);
  auto const ticks = [&](std::vector<double> const& times) {
    std::vector<std::int64_t> out;
    for (double const t : times)
      out.push_back(longest > 0 && t > 0 ? std::max<std::int64_t>(1, static_cast<std::int64_t>(t / longest * (1 << 20)))
                                         : 1);
    return out;
  };
  return {ticks(costs.forward), ticks(costs.backward_input), ticks(costs.backward_weight)};
}

/// What a message between two ranks costs: latency + bytes / bandwidth.
struct link_costs {
  double latency = 0;
  /// bytes per unit of time, per direction of a pair of ranks; messages queue for it
  double bandwidth = std::numeric_limits<double>::infinity();
  /// a send waits for its receive and both ranks wait for the message; else messages travel beside the work
  bool blocking = false;
};

/// One rank's share of a simulated step.
struct rank_figures {
  double start = 0, end = 0;  ///< first work begins, last work (or collective) ends
  double busy = 0;            ///< time in work
  /// most (stage, micro-batch) pairs whose forward is done and whose weight half is not
  index_t peak_activations = 0;
  double peak_bytes = 0;  ///< the most that they hold together
};

/// The figures of a simulated step.
///
/// A step's makespan counts from the first rank's first work to the last rank's last. Published bubbles count
/// otherwise: a rank that starts later also ends later and may begin its next step at once, so what a step costs is the
/// longest time that any rank is at it, here `period`. The two differ for ZB-H2 and ZB-V; `idle_share` is the published
/// one, 1 - work / (ranks · period).
struct figures {
  double makespan = 0;
  double period = 0;                  ///< max over ranks of (end - start)
  double idle_share = 0;              ///< of ranks · period
  double idle_share_of_makespan = 0;  ///< of ranks · makespan
  index_t messages = 0;               ///< between ranks
  double message_bytes = 0;
  std::vector<rank_figures> ranks;
};

/// When every action of every list ran.
struct simulation {
  figures result;
  std::vector<std::vector<double>> start, end;  ///< [rank][action]
};

namespace detail {

/// One walk over all lists; holds what the walk needs, so that the steps are short functions.
class simulator {
 public:
  simulator(schedule const& s, stage_costs const& costs, link_costs const& link)
      : s_(s), link_(link), explicit_(s.communicates()), m_(s.micro_batches) {
    demand_places();
    auto const stages = at(s.stages()), ranks = at(s.ranks());
    cost_.resize(stages);
    for (std::size_t i = 0; i < stages; ++i) {
      auto const of = [&](std::vector<double> const& v, char const* what) {
        if (v.size() != 1 && v.size() != stages)
          throw error{"plan::simulate",
                      std::string(what) + " needs one entry, or one for each of the " + std::to_string(stages) +
                          " stages, found " + std::to_string(v.size()),
                      "Give it one entry for all stages, or one per stage"};
        double const x = v[v.size() == 1 ? 0 : i];
        if (!(x >= 0) || x > 1e300)
          throw error{"plan::simulate",
                      std::string(what) + " of stage " + std::to_string(i) + " must be a number of at least 0, found " +
                          std::to_string(x),
                      "Use 0 for work that takes no time"};
        return x;
      };
      auto& c = cost_[i];
      c.work[0] = of(costs.forward, "forward");
      c.work[2] = of(costs.backward_input, "backward_input");
      c.work[3] = of(costs.backward_weight, "backward_weight");
      c.work[1] = c.work[2] + c.work[3];
      c.saved = of(costs.saved_bytes, "saved_bytes");
      c.added = of(costs.backward_bytes, "backward_bytes");
      c.message = of(costs.message_bytes, "message_bytes");
      c.gather = of(costs.gather, "gather");
      c.reduce = of(costs.reduce, "reduce");
      c.before = i > 0 ? s.rank_of[i - 1] : -1;
      c.after = i + 1 < stages ? s.rank_of[i + 1] : -1;
    }
    if (!(link.latency >= 0) || !(link.bandwidth > 0))
      throw error{"plan::simulate",
                  "a link needs a latency of at least 0 and a bandwidth above 0, found " +
                      std::to_string(link.latency) + " and " + std::to_string(link.bandwidth),
                  "Leave both out for a link that takes no time"};
    input_.assign(stages * at(m_), never);
    gradient_.assign(stages * at(m_), never);
    split_.assign(stages * at(m_), 0);
    whole_.assign(stages, 0.0);
    rank_.resize(ranks);
    if (link.bandwidth < std::numeric_limits<double>::infinity()) free_.assign(ranks * ranks, 0.0);
    for (index_t j = 0; j < m_ && stages > 0; ++j) input_[at(j)] = 0;
    for (index_t j = 0; j < m_ && stages > 0; ++j) gradient_[(stages - 1) * at(m_) + at(j)] = 0;
  }

  [[nodiscard]] simulation run() {
    simulation out;
    out.start.resize(rank_.size());
    out.end.resize(rank_.size());
    for (std::size_t r = rank_.size(); r-- > 0;) {
      out.start[r].resize(s_.actions[r].size());
      out.end[r].resize(s_.actions[r].size());
      rank_[r].listed = true;
      work_.push_back(r);
    }
    while (!work_.empty()) {
      std::size_t const r = work_.back();
      work_.pop_back();
      rank_[r].listed = false;
      walk(r, out);
    }
    for (std::size_t r = 0; r < rank_.size(); ++r)
      if (rank_[r].next != s_.actions[r].size())
        throw error{"plan::simulate",
                    "rank " + std::to_string(r) + " never gets past " + in_words(s_.actions[r][rank_[r].next]),
                    "plan::check says who waits for whom"};
    sum_up(out.result);
    return out;
  }

 private:
  static constexpr double never = -1;
  struct stage_cost {
    double work[4];  // by action_kind
    double saved, added, message, gather, reduce;
    std::int32_t before, after;  // ranks of the neighbouring stages
  };
  struct rank_state {
    double now = 0, collectives = 0, busy = 0, first = never, last = 0, held = 0, peak_bytes = 0;
    index_t live = 0, peak = 0;
    std::size_t next = 0;
    bool listed = false;
  };

  /// What the walk finds its places by: every stage on a rank that is there, every action about a stage and a
  /// micro-batch that are there, every message between neighbours. \throws error with the first action that is not so
  void demand_places() const {
    auto const refuse = [](std::string const& what) {
      throw error{"plan::simulate", what, "plan::check says all that is wrong with a schedule"};
    };
    auto const inside = [](index_t i, index_t n) { return i >= 0 && i < n; };
    if (m_ < 0) refuse("a schedule cannot have " + std::to_string(m_) + " micro-batches");
    for (auto const r : s_.rank_of)
      if (!inside(r, s_.ranks()))
        refuse("a stage lives on rank " + std::to_string(r) + ", but there are lists for " +
               std::to_string(s_.ranks()));
    for (index_t r = 0; r < s_.ranks(); ++r)
      for (auto const& a : s_.actions[at(r)]) {
        bool const message = sends(a.kind) || receives(a.kind);
        bool const up = a.kind == action_kind::send_activation || a.kind == action_kind::receive_gradient;
        if (!inside(a.stage, s_.stages()) || ((computes(a.kind) || message) && !inside(a.micro_batch, m_)) ||
            (message && (!inside(a.peer, s_.stages()) || a.peer != a.stage + (up ? 1 : -1))))
          refuse("rank " + std::to_string(r) + " is told '" + in_words(a) + "', but there are " +
                 std::to_string(s_.stages()) + " stages and " + std::to_string(m_) +
                 " micro-batches, and messages go between neighbours");
        if (s_.rank_of[at(a.stage)] != r)
          refuse("rank " + std::to_string(r) + " is told '" + in_words(a) + "', but that stage lives on rank " +
                 std::to_string(s_.rank_of[at(a.stage)]));
      }
  }

  void wake(std::int32_t r) {
    if (rank_[at(r)].listed) return;
    rank_[at(r)].listed = true;
    work_.push_back(at(r));
  }

  /// The list of rank r as far as it goes.
  void walk(std::size_t r, simulation& out) {
    auto& me = rank_[r];
    auto const& list = s_.actions[r];
    auto& starts = out.start[r];
    auto& ends = out.end[r];
    for (; me.next < list.size(); ++me.next) {
      action const& a = list[me.next];
      if (computes(a.kind)) {
        if (!compute(me, static_cast<std::int32_t>(r), a, starts[me.next], ends[me.next])) return;
      } else if (sends(a.kind) || receives(a.kind)) {
        if (!link_.blocking) {
          starts[me.next] = ends[me.next] = me.now;
          if (sends(a.kind)) deliver(static_cast<std::int32_t>(r), a.stage, a.peer, a.micro_batch, me.now);
        } else if (!meet(r, a, out)) {
          return;
        }
      } else {
        collective(me, a, starts[me.next], ends[me.next]);
      }
    }
  }

  bool compute(rank_state& me, std::int32_t r, action const& a, double& start, double& end) {
    auto const stage = at(a.stage), cell = stage * at(m_) + at(a.micro_batch);
    auto const& c = cost_[stage];
    double ready = std::max(me.now, whole_[stage]);
    if (a.kind == action_kind::forward) {
      if (input_[cell] == never) return false;
      ready = std::max(ready, input_[cell]);
    } else if (a.kind != action_kind::backward_weight) {
      if (gradient_[cell] == never || !(split_[cell] & 1)) return false;
      ready = std::max(ready, gradient_[cell]);
    } else if (!(split_[cell] & 2)) {
      return false;
    }
    start = ready;
    me.now = end = ready + c.work[static_cast<std::size_t>(a.kind)];
    me.busy += c.work[static_cast<std::size_t>(a.kind)];
    if (me.first == never) me.first = start;
    me.last = end;
    if (a.kind == action_kind::forward) {
      split_[cell] |= 1;
      me.peak = std::max(me.peak, ++me.live);
      me.peak_bytes = std::max(me.peak_bytes, me.held += c.saved);
      if (c.after == r) input_[cell + at(m_)] = end;
      else if (c.after >= 0 && !explicit_) deliver(r, a.stage, a.stage + 1, a.micro_batch, end);
    } else if (a.kind != action_kind::backward_weight) {
      split_[cell] |= 2;
      me.peak_bytes = std::max(me.peak_bytes, me.held += c.added);
      if (c.before == r) gradient_[cell - at(m_)] = end;
      else if (c.before >= 0 && !explicit_) deliver(r, a.stage, a.stage - 1, a.micro_batch, end);
    }
    if (does_weights(a.kind)) --me.live, me.held -= c.saved + c.added;
    return true;
  }

  /// The message leaves when its link is free, and lets the stage it is for go on when it is there.
  void deliver(std::int32_t from, std::int32_t stage, std::int32_t to, std::int32_t micro_batch, double now) {
    std::int32_t const receiver = s_.rank_of[at(to)];
    double const bytes = cost_[at(std::min(stage, to))].message;
    double arrival = now + link_.latency;
    if (!free_.empty()) {
      double& link_free = free_[at(from) * rank_.size() + at(receiver)];
      double const leaves = std::max(now, link_free);
      link_free = leaves + bytes / link_.bandwidth;
      arrival = link_free + link_.latency;
    }
    arrive(stage, to, micro_batch, arrival);
    wake(receiver);
  }
  void arrive(std::int32_t stage, std::int32_t to, std::int32_t micro_batch, double arrival) {
    (stage < to ? input_ : gradient_)[at(to) * at(m_) + at(micro_batch)] = arrival;
    ++messages_;
    message_bytes_ += cost_[at(std::min(stage, to))].message;
  }

  /// A send that waits for its receive: happens when both ranks are at it.
  bool meet(std::size_t r, action const& a, simulation& out) {
    auto const q = at(s_.rank_of[at(a.peer)]);
    auto &me = rank_[r], &other = rank_[q];
    auto const& list = s_.actions[q];
    if (other.next >= list.size() || list[other.next] != counterpart(a)) return false;
    double const start = std::max(me.now, other.now);
    double const end =
        start + link_.latency + (free_.empty() ? 0 : cost_[at(std::min(a.stage, a.peer))].message / link_.bandwidth);
    auto const from = sends(a.kind) ? a.stage : a.peer, to = sends(a.kind) ? a.peer : a.stage;
    arrive(from, to, a.micro_batch, end);
    out.start[r][me.next] = out.start[q][other.next] = start;
    out.end[r][me.next] = out.end[q][other.next] = end;
    me.now = other.now = end;
    ++other.next;
    wake(static_cast<std::int32_t>(q));
    return true;
  }

  /// Collectives over the data axis run beside the work, one after the other.
  void collective(rank_state& me, action const& a, double& start, double& end) {
    auto const stage = at(a.stage);
    if (a.kind == action_kind::release_parameters) {
      start = end = me.now;
      return;
    }
    start = std::max(me.now, me.collectives);
    me.collectives = end =
        start + (a.kind == action_kind::gather_parameters ? cost_[stage].gather : cost_[stage].reduce);
    if (a.kind == action_kind::gather_parameters) whole_[stage] = end;
  }

  void sum_up(figures& f) const {
    double first = std::numeric_limits<double>::infinity(), last = 0, busy = 0;
    for (auto const& r : rank_) {
      double const start = std::max(r.first, 0.0), end = std::max(r.last, r.collectives);
      f.ranks.push_back({start, end, r.busy, r.peak, r.peak_bytes});
      f.period = std::max(f.period, end - start);
      busy += r.busy;
      if (r.first == never) continue;  // a rank with nothing to do neither starts nor ends
      first = std::min(first, start);
      last = std::max(last, end);
    }
    f.makespan = last > first ? last - first : 0;
    auto const n = static_cast<double>(rank_.size());
    f.idle_share = f.period > 0 ? (n * f.period - busy) / (n * f.period) : 0;
    f.idle_share_of_makespan = f.makespan > 0 ? (n * f.makespan - busy) / (n * f.makespan) : 0;
    f.messages = messages_;
    f.message_bytes = message_bytes_;
  }

  schedule const& s_;
  link_costs const& link_;
  bool explicit_;  // the lists say their messages
  index_t m_;
  std::vector<stage_cost> cost_;
  std::vector<double> input_, gradient_;  // [stage][micro-batch]: when what the stage waits for is there
  std::vector<unsigned char> split_;      // [stage][micro-batch]: 1 forward done, 2 gradient of the input done
  std::vector<double> whole_, free_;      // per stage: its parameters are whole; per (from, to): the link is free
  std::vector<rank_state> rank_;
  std::vector<std::size_t> work_;
  index_t messages_ = 0;
  double message_bytes_ = 0;
};

}  // namespace detail

/// Carries the schedule out in thought. Lists that only compute send every message as soon as it exists; lists that say
/// their messages send where they say. O(actions) time.
/// \throws error for costs that are no costs, for actions about stages or micro-batches that are not there, and for a
/// schedule that gets stuck
[[nodiscard]] inline simulation simulate(schedule const& s, stage_costs const& costs = {},
                                         link_costs const& link = {}) {
  return detail::simulator(s, costs, link).run();
}

}  // namespace pleat::plan
