// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A plan's pipeline made concrete for one network: which units each stage has, which rank has it, who does what in
/// which order.
#pragma once

#include <cstdio>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <pleat/base/as_span.hpp>
#include <pleat/base/config.hpp>
#include <pleat/nn/units.hpp>
#include <pleat/plan/plan.hpp>
#include <pleat/plan/schedule.hpp>
#include <pleat/plan/schedule_check.hpp>
#include <pleat/plan/schedule_passes.hpp>
#include <pleat/plan/schedules.hpp>
#include <pleat/plan/stages.hpp>

namespace pleat::parallel {

/// What a schedule of one's own is called in a plan: "csv:" and 16 hexadecimal digits of a hash of its actions.
PLEAT_ONCE [[nodiscard]] std::string name_of(plan::schedule const& s) {
  std::string text = std::to_string(s.micro_batches);
  for (auto const r : s.rank_of) {
    text += ' ';
    text += std::to_string(r);
  }
  for (auto const& list : s.actions) {
    text += '\n';
    for (auto const& a : list) {
      text += plan::to_string(a);
      text += '>';
      text += std::to_string(a.peer);
      text += ' ';
    }
  }
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(random::hash(text)));
  return std::string(plan::own_schedule_prefix) + digits;
}

static_assert(plan::known_schedules == plan::schedule_names,
              "pleat: the plan's names of schedules are those that plan/schedules.hpp makes");

namespace detail {
/// What each unit of `l` costs: flops of training on an input of this shape, or, without one, the parameters that it
/// has.
template <class L>
[[gnu::cold]] void append_unit_costs(L const& l, extents& in, bool shaped, std::vector<double>& costs) {
  if constexpr (nn::has_units<L> && nn::composite<L>) {
    index_t children = 0, each = 0;
    const_cast<L&>(l).for_each_child([&](auto const& c) { each += nn::units_of(c), ++children; });  // only read
    bool const flat = each == l.units();  // else every child is one unit
    const_cast<L&>(l).for_each_child([&](auto const& c) {
      if (flat) {
        append_unit_costs(c, in, shaped, costs);
        return;
      }
      std::vector<double> inner;
      append_unit_costs(c, in, shaped, inner);
      costs.push_back(std::accumulate(inner.begin(), inner.end(), 0.0));
    });
  } else {
    double cost = 0;
    if (shaped) {
      auto const d = nn::describe(l, in);
      for (auto const& layer : d.layers)
        cost += layer.forward_flops + layer.backward_input_flops + layer.backward_weight_flops;
      in = l.shape(in);
    } else {
      nn::for_each_parameter(l, [&](auto const& w) { cost += static_cast<double>(w.size()); });
    }
    costs.push_back(cost);
  }
}
}  // namespace detail

/// Costs of a network's units. \param input extents of a batch; rank 0: unknown, and the number of parameters stands
/// for the work
template <class Net> [[nodiscard]] std::vector<double> unit_costs(Net const& net, extents input = {}) {
  std::vector<double> costs;
  detail::append_unit_costs(net, input, input.rank() > 0, costs);
  return costs;
}

/// A value; equal on every rank that has the same plan and network.
class stages {
 public:
  /// \param costs of the network's units; \param own the schedule that the plan names, if it is one of the user's
  /// \throws error for a schedule that cannot be carried out, with the reason; for cuts beyond the units
  PLEAT_ONCE stages(plan::plan const& p, std::vector<double> const& costs,
                    std::optional<plan::schedule> const& own = {});

  [[nodiscard]] plan::schedule const& schedule() const noexcept { return schedule_; }
  PLEAT_LAZY [[nodiscard]] index_t count() const noexcept { return schedule_.stages(); }
  [[nodiscard]] index_t units() const noexcept { return units_; }
  /// Units [begin, end) of a stage; may be empty.
  [[nodiscard]] index_t begin(index_t stage) const noexcept { return cuts_.begin(stage); }
  [[nodiscard]] index_t end(index_t stage) const noexcept { return cuts_.end(stage); }
  /// The pipeline rank that has a stage.
  [[nodiscard]] int rank_of(index_t stage) const noexcept { return schedule_.rank_of[static_cast<std::size_t>(stage)]; }
  PLEAT_LAZY [[nodiscard]] int first_rank() const noexcept { return rank_of(0); }
  PLEAT_LAZY [[nodiscard]] int last_rank() const noexcept { return rank_of(count() - 1); }

  /// "stage 0 on rank 0: units 0 to 2; stage 1 on rank 1: no unit"
  PLEAT_ONCE [[nodiscard]] std::string to_string() const;

  /// The same for a network with another number of units. \throws error if there is more than one stage
  PLEAT_ONCE [[nodiscard]] stages of_other_units(index_t units) const {
    if (count() > 1 && units != units_)
      throw error{"parallel::model::rebuild",
                  "the other network has " + std::to_string(units) + " units, this one " + std::to_string(units_),
                  "Over a pipeline a transform must leave the units as they are"};
    auto other = *this;
    other.cuts_.first.back() = other.units_ = units;
    return other;
  }

  /// Marks the parameters of `net` that another pipeline rank has.
  template <class Net> void mark_absent(Net& net, int pipeline_rank) const {
    net.for_each_parameter([](nn::parameter& w) { w.absent = true; });
    for (index_t s = 0; s < count(); ++s)
      if (rank_of(s) == pipeline_rank)
        nn::for_each_parameter_units(net, begin(s), end(s), [](nn::parameter& w) { w.absent = false; });
  }

 private:
  /// What a rank's list holds is known before step 1: it is compared with the plan's limit then.
  PLEAT_ONCE void demand_memory(index_t limit) const {
    if (limit == 0) return;
    index_t worst = 0, most = 0;
    for (index_t r = 0; r < schedule_.ranks(); ++r)
      if (index_t const peak = plan::peak_in_flight(schedule_, r); peak > most) worst = r, most = peak;
    if (most > limit)
      throw error{"parallel::build",
                  "under this schedule pipeline rank " + std::to_string(worst) + " holds the activations of " +
                      std::to_string(most) + " micro-batches at once, max_activations = " + std::to_string(limit),
                  "Use max_activations = " + std::to_string(most) +
                      ", fewer micro-batches, or a schedule that holds fewer (gpipe holds them all, 1f1b as many as "
                      "there are stages)"};
  }
  /// Sums grow from micro-batch to micro-batch where they lie (lanes may be cut at any row): the order is part of the
  /// result. The loss grows with the last stage's forwards; a layer whose backward is one piece writes its gradients in
  /// the input half.
  PLEAT_ONCE void demand_ascending() const {
    auto const ascending = [&](index_t stage, auto const& counts, char const* what) {
      std::int32_t next = 0;
      for (auto const& a : schedule_.actions[static_cast<std::size_t>(rank_of(stage))])
        if (a.stage == stage && counts(a.kind) && a.micro_batch != next++)
          throw error{"parallel::build",
                      "the schedule's " + std::string(what) + " of stage " + std::to_string(stage) +
                          " does not ascend in micro-batch: " + plan::in_words(a) + " comes as number " +
                          std::to_string(next - 1),
                      "Sums grow from micro-batch to micro-batch; change the order"};
    };
    for (index_t s = 0; s < count(); ++s) {
      ascending(
          s, [](plan::action_kind k) { return plan::gives_gradient(k); }, "backward");
      ascending(
          s, [](plan::action_kind k) { return plan::does_weights(k); }, "weight work");
    }
    ascending(
        count() - 1, [](plan::action_kind k) { return k == plan::action_kind::forward; }, "forward");
  }

  plan::schedule schedule_;
  index_t units_;
  plan::stage_cuts cuts_;
};

template <class>
stages::stages(plan::plan const& p, std::vector<double> const& costs, std::optional<plan::schedule> const& own)
    : units_(static_cast<index_t>(costs.size())) {
  if (p.schedule.starts_with(plan::own_schedule_prefix)) {
    if (!own)
      throw error{"parallel::build",
                  "the plan names the schedule '" + p.schedule + "', which is not one of the library's",
                  "Hand it over: build(net, plan, world, {.schedule = …})"};
    if (name_of(*own) != p.schedule)
      throw error{
          "parallel::build",
          "the plan names the schedule '" + p.schedule + "', the schedule handed over is '" + name_of(*own) + "'",
          "Set plan.schedule = parallel::name_of(schedule)"};
    schedule_ = *own;
  } else {
    if (own)
      throw error{"parallel::build", "a schedule of one's own is handed over, but the plan names '" + p.schedule + "'",
                  "Set plan.schedule = parallel::name_of(schedule)"};
    schedule_ = plan::make_schedule(plan::parse_schedule_kind(p.schedule), p.pipeline_ranks, p.micro_batches, p.chunks);
  }
  if (schedule_.ranks() != p.pipeline_ranks || schedule_.micro_batches != p.micro_batches)
    throw error{"parallel::build",
                "the schedule is for " + std::to_string(schedule_.ranks()) + " ranks and " +
                    std::to_string(schedule_.micro_batches) + " micro-batches, the plan for " +
                    std::to_string(p.pipeline_ranks) + " and " + std::to_string(p.micro_batches),
                "Plan with mesh.pipeline = " + std::to_string(schedule_.ranks()) +
                    " and micro_batches = " + std::to_string(schedule_.micro_batches)};
  if (p.recompute.last() >= units_)
    throw error{"parallel::build",
                "recompute = " + p.recompute.to_string() + " names unit " + std::to_string(p.recompute.last()) +
                    ", but the network has " + std::to_string(units_) + " units, counted from 0",
                "Name units up to " + std::to_string(units_ - 1) + ", or none for all"};
  plan::check(schedule_, {.ascending_weights = true});
  demand_memory(p.max_activations);
  if (!schedule_.communicates()) schedule_ = plan::with_messages(schedule_);
  demand_ascending();
  auto const count = schedule_.stages();
  if (!p.cuts.empty() && static_cast<index_t>(p.cuts.size()) != count - 1)
    throw error{
        "parallel::build",
        "the schedule has " + std::to_string(count) + " stages, the plan " + std::to_string(p.cuts.size()) + " cuts",
        "Give one cut less than stages, or none: cut by cost"};
  if (p.cuts.empty()) {
    cuts_ = plan::cut_stages(as_span(costs), count);
    return;
  }
  for (index_t const c : p.cuts) {
    if (c > units_)
      throw error{
          "parallel::build",
          "a stage begins at unit " + std::to_string(c) + ", but the network has " + std::to_string(units_) + " units",
          "Use cuts of at most " + std::to_string(units_)};
    cuts_.first.push_back(c);
  }
  cuts_.first.push_back(units_);
}
PLEAT_COMPILED_ONCE(stages::stages(plan::plan const& p, std::vector<double> const& costs,
                                   std::optional<plan::schedule> const& own));

template <class> std::string stages::to_string() const {
  std::string text;
  for (index_t s = 0; s < count(); ++s) {
    text += (s > 0 ? "; " : "") + std::string("stage ") + std::to_string(s) + " on rank " + std::to_string(rank_of(s)) +
            ": ";
    if (begin(s) == end(s)) text += "no unit";
    else if (end(s) - begin(s) == 1) text += "unit " + std::to_string(begin(s));
    else text += "units " + std::to_string(begin(s)) + " to " + std::to_string(end(s) - 1);
  }
  return text;
}
PLEAT_COMPILED_ONCE(std::string stages::to_string() const);

}  // namespace pleat::parallel
