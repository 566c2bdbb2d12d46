// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// From a network and a world to a plan. In this version the choice is within data parallelism: how many micro-batches, so that a step
/// fits into memory; everything else is stated by the user.
#pragma once

#include <algorithm>
#include <bit>
#include <string>

#include <pleat/comm/world.hpp>
#include <pleat/nn/describe.hpp>
#include <pleat/plan/ledger.hpp>
#include <pleat/plan/plan.hpp>

namespace pleat::plan {

struct search_options {
  index_t global_batch = 64;    ///< samples per step, over all ranks
  bool deterministic = false;   ///< the same bits on every number of ranks
  index_t lanes = 8;            ///< deterministic: lanes of the batch; raised to the next power of two above the ranks
  index_t micro_batches = 0;    ///< 0: as few as fit into memory_bytes
  bool overlap = true;
  index_t bucket_bytes = index_t{1} << 19;
  extents input{};              ///< of one batch (extent 0 is replaced); needed if memory is bounded
  index_t memory_bytes = 0;     ///< of one rank; 0: not bounded
  int state_buffers = 2;        ///< the optimizer's flat buffers, for the ledger
};

/// Elements of the flat buffers that the parameters of `net` need: what nn::arena will ask for.
template <class Net> [[nodiscard]] index_t arena_elements(Net const& net) {
  index_t const alignment = 64 / static_cast<index_t>(sizeof(nn::value_type_of<Net>));
  index_t n = alignment;  // the loss
  nn::for_each_parameter(net, [&](auto const& w) {
    if (w.in_arena && w.tied_to.empty()) n += (w.size() + alignment - 1) / alignment * alignment;
  });
  return n;
}

/// A data-parallel plan for this world. The same on every rank; communicates nothing.
/// \throws error if no number of micro-batches fits into memory_bytes, naming the bytes that are missing
template <class Net> [[nodiscard]] plan search(Net const& net, world const& w, search_options const& o = {}) {
  plan p;
  p.global_batch = o.global_batch;
  p.data_ranks = w.size();
  p.deterministic = o.deterministic;
  p.lanes = std::max(o.lanes, power_of_two_above(p.data_ranks));
  p.overlap = o.overlap;
  p.bucket_bytes = o.bucket_bytes;
  p.micro_batches = std::max<index_t>(1, o.micro_batches);
  p.check();
  if (o.memory_bytes > 0 && o.micro_batches == 0) {
    if (o.input.rank() == 0) throw error{"plan::search", "memory is bounded, but the input's extents are not given", "Set .input, e.g. extents{1, 1, 28, 28}"};
    for (;; p.micro_batches *= 2) {
      index_t const rows = largest_micro_batch(p);
      auto const need = make_ledger(p, nn::describe(net, o.input.with_batch(rows)), arena_elements(net), o.state_buffers, sizeof(nn::value_type_of<Net>)).total();
      if (need <= o.memory_bytes) break;
      if (rows <= 1)
        throw error{"plan::search", "one sample at a time still needs " + std::to_string(need) + " bytes per rank, " + std::to_string(o.memory_bytes) + " are allowed",
                    "Allow more memory, or use a smaller network"};
    }
  }
  return p;
}

}  // namespace pleat::plan
