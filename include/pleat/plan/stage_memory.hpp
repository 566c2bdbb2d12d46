// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The ledger of one rank of a pipeline: what each of its stages holds of a micro-batch (plan/unit_memory.hpp), and the most that its
/// schedule has in flight. The network is only described.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include <pleat/plan/ledger.hpp>
#include <pleat/plan/listed_gathers.hpp>
#include <pleat/plan/schedule.hpp>
#include <pleat/plan/search.hpp>
#include <pleat/plan/unit_memory.hpp>

namespace pleat::plan {

/// The most that a rank holds between two actions of its list.
/// \param stages one entry per stage of the schedule
[[nodiscard]] inline index_t peak_activations(schedule const& s, index_t rank, std::span<stage_memory const> stages) {
  index_t now = 0, most = 0;
  std::vector<char> halved(static_cast<std::size_t>(s.stages() * s.micro_batches), 0);
  for (auto const& a : s.actions[static_cast<std::size_t>(rank)]) {
    if (!computes(a.kind)) continue;
    auto const& m = stages[static_cast<std::size_t>(a.stage)];
    auto& half = halved[static_cast<std::size_t>(a.stage * s.micro_batches + a.micro_batch)];
    switch (a.kind) {
      case action_kind::forward: now += m.held; break;
      case action_kind::backward: now -= m.held; break;
      case action_kind::backward_input: now += m.between - m.held, half = 1; break;
      case action_kind::backward_weight: now -= half ? m.between : m.held; break;
      default: break;
    }
    most = std::max(most, now);
  }
  return most;
}

/// The ledger of one pipeline rank.
/// \param net with the parameters of other ranks' stages marked absent (parallel::stages::mark_absent; a built model's network is)
/// \param first_unit of every stage, and the number of units
/// \param input extents of one batch; extent 0 is replaced
/// \throws error for a plan with a tensor axis
template <class Net>
[[nodiscard]] memory_ledger stage_ledger(Net const& net, plan const& p, schedule const& s, std::span<index_t const> first_unit, index_t rank, extents const& input, int state_buffers = 2,
                                         int shard = 0) {
  demand_whole_activations("plan::stage_ledger", p);
  memory_ledger l = state_ledger(net, p, state_buffers, shard);
  auto const choice = p.recomputes();
  std::vector<stage_memory> stages;
  for (index_t i = 0; i < s.stages(); ++i) {
    auto const at = static_cast<std::size_t>(i);
    stages.push_back(s.rank_of[at] == rank ? describe_stage(net, input.with_batch(largest_micro_batch(p)), first_unit[at], first_unit[at + 1], choice, i + 1 == s.stages()) : stage_memory{});
    l.recomputed = std::max(l.recomputed, stages.back().again);
  }
  l.activations = peak_activations(s, rank, stages);
  l.parameters += listed_gather_bytes(net, p, s, first_unit, rank);
  return l;
}

}  // namespace pleat::plan
