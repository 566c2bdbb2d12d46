// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The ledger of one rank of a pipeline: what each of its stages holds of a micro-batch (plan/unit_memory.hpp), and the
/// most that its schedule has in flight. The network is only described.
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

/// The ledger of one pipeline rank.
/// \param net with the parameters of other ranks' stages marked absent (parallel::stages::mark_absent; a built model's
/// network is)
/// \param first_unit of every stage, and the number of units
/// \param input extents of one batch; extent 0 is replaced
/// \param part of the tensor axis; activations differ a little where parts are uneven, and part 0 has the most
template <class Net>
[[nodiscard]] memory_ledger stage_ledger(Net const& net, plan const& p, schedule const& s,
                                         std::span<index_t const> first_unit, index_t rank, extents const& input,
                                         int state_buffers = 2, int shard = 0, index_t part = 0) {
  memory_ledger l = state_ledger(net, p, state_buffers, shard);
  std::vector<stage_memory> stages;
  for (index_t i = 0; i < s.stages(); ++i) {
    auto const at = static_cast<std::size_t>(i);
    stages.push_back(s.rank_of[at] == rank
                         ? describe_stage(net, input.with_batch(largest_micro_batch(p)), first_unit[at],
                                          first_unit[at + 1], p.recompute, i + 1 == s.stages(), part, p.tensor_ranks)
                         : stage_memory{});
    l.recomputed = std::max(l.recomputed, stages.back().again);
  }
  l.activations = peak_activations(s, rank, stages);
  l.parameters += listed_gather_bytes(net, p, s, first_unit, rank);
  return l;
}

}  // namespace pleat::plan
