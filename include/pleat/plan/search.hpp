// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// From a network and a world to a plan. In this version the choice is within data parallelism: how many micro-batches,
/// so that a step fits into memory; everything else is stated by the user.
#pragma once

#include <algorithm>
#include <bit>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <pleat/base/as_span.hpp>
#include <pleat/base/config.hpp>
#include <pleat/comm/world.hpp>
#include <pleat/nn/describe.hpp>
#include <pleat/plan/ledger.hpp>
#include <pleat/plan/plan.hpp>
#include <pleat/plan/schedules.hpp>
#include <pleat/plan/unit_memory.hpp>

namespace pleat::plan {

/// What the plan has to honour.
struct search_options {
  index_t global_batch = 64;   ///< samples per step, over all ranks
  bool deterministic = false;  ///< the same bits on every number of ranks
  index_t lanes = 8;           ///< deterministic: lanes of the batch; raised to the next power of two above the ranks
  index_t micro_batches = 0;   ///< 0: as few as fit into memory_bytes
  bool overlap = true;
  index_t bucket_bytes = index_t{1} << 19;
  extents input{};           ///< of one batch (extent 0 is replaced); needed if memory is bounded
  index_t memory_bytes = 0;  ///< of one rank; 0: not bounded
  int state_buffers = 2;     ///< the optimizer's flat buffers, for the ledger
};

namespace detail {
/// Of all parameters of a network, those that have a place in flat buffers.
PLEAT_ONCE [[nodiscard]] std::vector<nn::parameter const*> in_buffers(std::vector<nn::parameter const*> all,
                                                                      bool apart) {
  std::vector<std::string> wanted;
  for (auto const* w : all)
    if (!w->tied_to.empty() && !w->absent) wanted.push_back(w->tied_to);
  std::erase_if(all, [&](nn::parameter const* w) {
    bool const here =
        !w->absent || (w->tied_to.empty() && std::find(wanted.begin(), wanted.end(), w->name) != wanted.end());
    return !(w->in_arena && here && (apart || w->tied_to.empty()));
  });
  return all;
}
PLEAT_COMPILED_ONCE(std::vector<nn::parameter const*> in_buffers(std::vector<nn::parameter const*> all, bool apart));

/// Elements of flat buffers of these parameters, each on a boundary of so many elements.
PLEAT_ONCE [[nodiscard]] index_t arena_elements(std::vector<nn::parameter const*> const& placed, index_t alignment) {
  index_t n = alignment;  // the loss
  for (auto const* w : placed) n += (w->largest() + alignment - 1) / alignment * alignment;
  return n;
}
PLEAT_COMPILED_ONCE(index_t arena_elements(std::vector<nn::parameter const*> const& placed, index_t alignment));
}  // namespace detail

/// The parameters of `net` that have a place in flat buffers, in forward order: what nn::arena will enter. Those of
/// other pipeline stages (absent ones) have none, unless one that is here is tied to them.
/// \param apart each further use of a tied weight has a gradient of its own: ties_apart(plan)
template <class Net> [[nodiscard]] std::vector<nn::parameter const*> in_buffers(Net const& net, bool apart) {
  std::vector<nn::parameter const*> all;
  nn::for_each_parameter(net, [&](nn::parameter const& w) { all.push_back(&w); });
  return detail::in_buffers(std::move(all), apart);
}

/// Elements of the flat buffers that the parameters of `net` need: what nn::arena will ask for.
/// \param apart each further use of a tied weight has a gradient of its own: ties_apart(plan)
template <class Net> [[nodiscard]] index_t arena_elements(Net const& net, bool apart = false) {
  return detail::arena_elements(in_buffers(net, apart), 64 / static_cast<index_t>(sizeof(nn::value_type_of<Net>)));
}

/// What every rank of the plan's tensor axis sets aside for a parameter: elements of its largest part, whether it has
/// been cut already or not.
PLEAT_LAZY [[nodiscard]] index_t largest_part(nn::parameter const& w, plan const& p) {
  if (w.parts > 1 || p.tensor_ranks == 1) return w.largest();
  nn::parameter cut = w;
  cut.cut(0, static_cast<int>(p.tensor_ranks));
  return cut.largest();
}

/// How the parameters of `net` are cut into buckets and shards under a plan, along the tensor axis as their words say:
/// what nn::arena will do.
template <class Net> [[nodiscard]] nn::state_layout layout_of(Net const& net, plan const& p) {
  constexpr index_t bytes = static_cast<index_t>(sizeof(nn::value_type_of<Net>)), alignment = 64 / bytes;
  std::vector<index_range> ranges;
  index_t at = 0;
  for (auto const* w : in_buffers(net, ties_apart(p))) {
    index_t const end = at + largest_part(*w, p);
    ranges.push_back({at, end});
    at = (end + alignment - 1) / alignment * alignment;
  }
  ranges.push_back({at, at + 1});
  return {as_span(ranges), at + alignment, bytes, p.bucket_bytes, p.state_stage, static_cast<int>(p.sharing().ranks)};
}

/// The largest number of buckets that the parameters of one layer lie in.
template <class L>
[[nodiscard]] int buckets_of_a_layer(L const& layer, std::vector<std::string> const& names,
                                     std::vector<int> const& owner) {
  int most = 0;
  auto& walk = const_cast<L&>(layer);  // the protocol has one spelling, which is not const; nothing is written here
  if constexpr (nn::composite<L>) {
    walk.for_each_child([&](auto& child) { most = std::max(most, buckets_of_a_layer(child, names, owner)); });
  } else {
    std::vector<int> touched;
    walk.for_each_parameter([&](auto& w) {
      auto const at = std::find(names.begin(), names.end(), w.tied_to.empty() ? w.name : w.tied_to);
      if (w.in_arena && at != names.end()) touched.push_back(owner[static_cast<std::size_t>(at - names.begin())]);
    });
    std::sort(touched.begin(), touched.end());
    most = static_cast<int>(std::unique(touched.begin(), touched.end()) - touched.begin());
  }
  return most;
}

/// Parameters, gradients and optimizer state of the ledger below.
template <class Net>
[[nodiscard]] memory_ledger state_ledger(Net const& net, plan const& p, int state_buffers = 2, int shard = 0) {
  auto const layout = layout_of(net, p);
  std::vector<std::string> names;
  for (auto const* w : in_buffers(net, ties_apart(p))) names.push_back(w->name);
  auto const s = make_state_bytes(p, layout, state_buffers, static_cast<int>(gradient_slots(p)),
                                  buckets_of_a_layer(net, names, layout.owner()), p.state_stage > 0 ? shard : 0,
                                  sizeof(nn::value_type_of<Net>));
  memory_ledger l;
  l.parameters = s.parameters, l.gradients = s.gradients, l.optimizer_state = s.optimizer_state;
  return l;
}

/// The ledger of a network under a plan, its state sharded, its activations cut along the tensor axis, its units
/// computed again and its micro-batches in flight as the plan says. Needs no memory: the network is only described. (Of
/// a rank of a pipeline: plan/stage_memory.hpp.)
/// \param input extents of one batch; extent 0 is replaced
/// \param state_buffers of the optimizer: 0 (plain SGD), 1 (momentum), 2 (Adam)
/// \param shard whose bytes; parameters, gradients and state differ a little where shards are uneven
/// \param part of the tensor axis; activations differ a little where parts are uneven, and part 0 has the most
/// \throws error for a plan whose schedule has more than one stage, or is not one of the library's
template <class Net>
[[nodiscard]] memory_ledger ledger_of(Net const& net, plan const& p, extents const& input, int state_buffers = 2,
                                      int shard = 0, index_t part = 0) {
  auto const refuse = [](std::string problem) {
    throw error{"plan::ledger_of", std::move(problem), "Use plan::stage_ledger (plan/stage_memory.hpp)"};
  };
  if (p.pipeline_ranks > 1)
    refuse("mesh.pipeline = " + std::to_string(p.pipeline_ranks) +
           " gives each rank some of the layers, with as many micro-batches in flight as its schedule has");
  if (p.schedule.starts_with(own_schedule_prefix))
    refuse("the plan names the schedule '" + p.schedule + "', which is not one of the library's");
  if (p.stages() > 1)
    refuse("the schedule '" + p.schedule + "' cuts the network into " + std::to_string(p.stages()) + " stages");
  memory_ledger l = state_ledger(net, p, state_buffers, shard);
  auto const in = input.with_batch(largest_micro_batch(p));
  auto const m = describe_stage(net, in, 0, nn::units_of(net), p.recompute, true, part, p.tensor_ranks);
  auto const list = make_schedule(parse_schedule_kind(p.schedule), 1, p.micro_batches, p.chunks);
  l.activations = peak_activations(list, 0, {&m, 1}) - m.input;  // that is one block, whoever holds it
  l.input = in.size() * static_cast<index_t>(sizeof(nn::value_type_of<Net>));
  l.recomputed = m.again;
  return l;
}

namespace detail {
/// What search does for every network. \param need bytes of a rank under a plan, for a batch of these extents
PLEAT_ONCE [[nodiscard]] plan search_within(world const& w, search_options const& o, compute_precision precision,
                                            std::function<index_t(plan const&, extents const&)> const& need) {
  plan p;
  p.global_batch = o.global_batch;
  p.data_ranks = w.size();
  p.precision = precision;
  p.deterministic = o.deterministic;
  p.lanes = std::max(o.lanes, power_of_two_above(p.data_ranks));
  if (p.deterministic && p.lanes > o.lanes)
    w.say("plan::search: " + std::to_string(p.data_ranks) + " ranks take " + std::to_string(p.lanes) +
          " lanes, so the bits are not those of " + std::to_string(o.lanes) +
          " lanes; with .lanes = " + std::to_string(p.lanes) + " fewer ranks have the same");
  p.overlap = o.overlap;
  p.bucket_bytes = o.bucket_bytes;
  p.micro_batches = o.micro_batches == 0 ? 1 : o.micro_batches;
  p.check();
  if (o.memory_bytes > 0) {
    if (o.input.rank() == 0)
      throw error{"plan::search", "memory is bounded, but the input's extents are not given",
                  "Set .input, e.g. extents{1, 1, 28, 28}"};
    for (;; p.micro_batches *= 2) {
      index_t const rows = largest_micro_batch(p), bytes = need(p, o.input.with_batch(rows));
      if (bytes <= o.memory_bytes) break;
      if (o.micro_batches != 0)
        throw error{"plan::search",
                    "a step of " + std::to_string(p.micro_batches) + " micro-batches needs " + std::to_string(bytes) +
                        " bytes per rank, " + std::to_string(o.memory_bytes) + " are allowed",
                    "Leave .micro_batches out, so that as many are made as fit, or allow more memory"};
      if (rows <= 1)
        throw error{"plan::search",
                    "one sample at a time still needs " + std::to_string(bytes) + " bytes per rank, " +
                        std::to_string(o.memory_bytes) + " are allowed",
                    "Allow more memory, or use a smaller network"};
    }
  }
  return p;
}
PLEAT_COMPILED_ONCE(plan search_within(world const& w, search_options const& o, compute_precision precision,
                                       std::function<index_t(plan const&, extents const&)> const& need));
}  // namespace detail

/// A data-parallel plan for this world, in the network's precision. The same on every rank; communicates nothing.
/// \throws error if no number of micro-batches, or not the one that was asked for, fits into memory_bytes, naming the
/// bytes that are missing
template <class Net>
[[nodiscard, gnu::cold]] plan search(Net const& net, world const& w, search_options const& o = {}) {
  static_assert((nn::demand_layer<Net>(), true));
  using value = nn::value_type_of<Net>;
  constexpr dtype type = dtype_of<value>;
  constexpr auto precision = type == dtype::bf16  ? compute_precision::bf16
                             : type == dtype::f16 ? compute_precision::f16
                                                  : compute_precision::f32;
  return detail::search_within(w, o, precision, [&](plan const& p, extents const& in) {
    return make_ledger(p, nn::describe(net, in), arena_elements(net, ties_apart(p)), o.state_buffers, sizeof(value))
        .total();
  });
}

}  // namespace pleat::plan
