// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What units of a network hold of one micro-batch, by what is computed again, and the most that a schedule has in
/// flight. The network is only described.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/nn/describe.hpp>
#include <pleat/nn/units.hpp>
#include <pleat/plan/plan.hpp>
#include <pleat/plan/schedule.hpp>
#include <pleat/tensor/axis_layout.hpp>

namespace pleat::plan {

/// Bytes of one micro-batch on one stage, between the actions of a schedule. What is in messages under way is not
/// counted.
struct stage_memory {
  index_t held = 0;  ///< from the end of forward to the begin of backward
  /// between the two halves of backward: what forward saved, or what was computed again, as far as weight halves need
  /// it
  index_t between = 0;
  /// what a unit's second forward saves, the most of all units: lives while backward passes the unit
  index_t again = 0;
  index_t input = 0;  ///< of `held`: the stage's own input
  friend bool operator==(stage_memory const&, stage_memory const&) = default;
};

/// The memory of units [begin, end) of `net` for one micro-batch.
/// \param input of the whole network, with the micro-batch's rows as extent 0
/// \param last the network's output is this stage's: its gradient waits for backward in the output's place
/// \param part, parts which rank of a tensor axis of how many; weights may have been cut already, or not yet
template <class Net>
[[nodiscard]] stage_memory describe_stage(Net const& net, extents const& input, index_t begin, index_t end,
                                          recompute_choice const& choice, bool last, index_t part = 0,
                                          index_t parts = 1) {
  index_t const element = static_cast<index_t>(sizeof(nn::value_type_of<Net>));
  extents in = nn::shape_units(net, input, 0, begin);
  index_t const in_bytes = in.size() * element;  // between stages activations are whole
  stage_memory m;
  nn::description all;
  nn::describe_walk walk(all);
  walk.on_part(part, parts);
  for (index_t u = begin; u < end;) {
    auto const mode = choice.of(u);
    // as parallel::stage_work goes: one by one where a whole forward runs again, else as far as the choice is the same
    index_t stop = u + 1;
    while (mode != recompute_mode::full && stop < end && choice.of(stop) == mode) ++stop;
    extents shape = in;
    auto where = walk.layout();
    for (index_t v = u; v < stop && mode != recompute_mode::none; ++v) {
      nn::description fresh, kept;
      nn::describe_walk a(fresh), b(kept, true);
      a.on_part(part, parts, where);
      b.on_part(part, parts, where);
      (void)nn::describe_units(net, shape, v, v + 1, a);
      shape = nn::describe_units(net, shape, v, v + 1, b);
      where = b.layout();
      m.again =
          std::max(m.again, fresh.activation_bytes() - (mode == recompute_mode::full ? 0 : kept.activation_bytes()));
    }
    walk.set_recompute(mode == recompute_mode::selected);
    if (mode == recompute_mode::full) {
      walk.hold_for_backward(walk.current());
      walk.dropping(1);
    }
    in = nn::describe_units(net, in, u, stop, walk);
    if (mode == recompute_mode::full) walk.dropping(-1);
    u = stop;
  }
  if (last && end > begin) walk.hold_for_backward(walk.current());
  m.input = walk.keeps_input() ? in_bytes : 0;
  m.held = all.activation_bytes() + m.input;
  m.between = all.between_bytes() + (walk.input_between() ? in_bytes : 0);
  return m;
}

/// The most that a rank holds between two actions of its list.
/// \param stages one entry per stage of the schedule
PLEAT_LAZY [[nodiscard]] index_t peak_activations(schedule const& s, index_t rank,
                                                  std::span<stage_memory const> stages) {
  index_t now = 0, most = 0;
  std::vector<char> halved(static_cast<std::size_t>(s.stages() * s.micro_batches), 0);
  for (auto const& a : s.actions[static_cast<std::size_t>(rank)]) {
    if (!computes(a.kind)) continue;
    auto const& m = stages[static_cast<std::size_t>(a.stage)];
    auto& half = halved[static_cast<std::size_t>(a.stage * s.micro_batches + a.micro_batch)];
    switch (a.kind) {
      case action_kind::forward:
        now += m.held;
        break;
      case action_kind::backward:
        now -= m.held;
        break;
      case action_kind::backward_input:
        now += m.between - m.held, half = 1;
        break;
      case action_kind::backward_weight:
        now -= half ? m.between : m.held;
        break;
      default:
        break;
    }
    most = std::max(most, now);
  }
  return most;
}

}  // namespace pleat::plan
