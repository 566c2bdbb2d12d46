// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Where a schedule's list says itself when sharded parameters are gathered (state stage 3): how many buffers for whole
/// buckets that takes. The network is only described.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include <pleat/nn/units.hpp>
#include <pleat/plan/schedule.hpp>
#include <pleat/plan/search.hpp>

namespace pleat::plan {

/// Of every stage of one rank the buckets that its parameters' values lie in; of other ranks' stages none.
/// \param first_unit of every stage, and the number of units
template <class Net>
[[nodiscard]] std::vector<std::vector<int>> buckets_of_stages(Net const& net, plan const& p,
                                                              nn::state_layout const& layout, schedule const& s,
                                                              std::span<index_t const> first_unit, index_t rank) {
  std::vector<std::string> names;
  for (auto const* w : in_buffers(net, ties_apart(p))) names.push_back(w->name);
  std::vector<std::vector<int>> all(static_cast<std::size_t>(s.stages()));
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (s.rank_of[i] != rank) continue;
    // only read
    nn::for_each_parameter_units(const_cast<Net&>(net), first_unit[i], first_unit[i + 1], [&](nn::parameter const& w) {
      auto const at = std::find(names.begin(), names.end(), w.tied_to.empty() ? w.name : w.tied_to);
      if (!w.in_arena || at == names.end()) return;
      int const b = layout.owner()[static_cast<std::size_t>(at - names.begin())];
      auto const k = static_cast<std::size_t>(b);
      if (!layout.replicated(k) && layout.buckets()[k].size() > 0 &&
          std::find(all[i].begin(), all[i].end(), b) == all[i].end())
        all[i].push_back(b);
    });
  }
  return all;
}

/// The most buckets that a rank has whole at once because its list says so: each that is held has a buffer of its own,
/// and a layer whose stage is not held takes what it needs beside them. 0: the list gathers nothing.
/// \param stages buckets of each stage \param open buckets that one layer's parameters lie in, at the most
[[nodiscard]] inline index_t listed_buffers(schedule const& s, index_t rank,
                                            std::vector<std::vector<int>> const& stages, int open) {
  auto const& list = s.actions[static_cast<std::size_t>(rank)];
  if (std::none_of(list.begin(), list.end(), [](action const& a) { return a.kind == action_kind::gather_parameters; }))
    return 0;
  std::vector<int> held;  // once per stage that holds it
  auto const holds = [&](int b) { return std::find(held.begin(), held.end(), b) != held.end(); };
  index_t whole = 0, most = 0;
  for (auto const& a : list) {
    auto const& mine = stages[static_cast<std::size_t>(std::max<std::int32_t>(a.stage, 0))];
    if (a.kind == action_kind::gather_parameters) {
      for (int const b : mine) whole += holds(b) ? 0 : 1, held.push_back(b);
    } else if (a.kind == action_kind::release_parameters) {
      for (int const b : mine)
        if (auto const at = std::find(held.begin(), held.end(), b); at != held.end())
          held.erase(at), whole -= holds(b) ? 0 : 1;
    }
    bool const reads = a.kind == action_kind::forward || gives_gradient(a.kind);  // the weight half reads no values
    auto const missing = reads ? std::count_if(mine.begin(), mine.end(), [&](int b) { return !holds(b); }) : 0;
    most = std::max(most, whole + std::min<index_t>(missing, open));
  }
  return most;
}

/// Bytes that a rank's buffers for gathered parameters take beside those that state_ledger counts, because the
/// schedule's list gathers.
template <class Net>
[[nodiscard]] index_t listed_gather_bytes(Net const& net, plan const& p, schedule const& s,
                                          std::span<index_t const> first_unit, index_t rank) {
  if (p.state_stage < 3) return 0;
  auto const layout = layout_of(net, p);
  std::vector<std::string> names;
  for (auto const* w : in_buffers(net, ties_apart(p))) names.push_back(w->name);
  int const open = buckets_of_a_layer(net, names, layout.owner());
  index_t const listed = listed_buffers(s, rank, buckets_of_stages(net, p, layout, s, first_unit, rank), open),
                counted = layout.parameter_buffers(open, static_cast<int>(p.prefetch));
  return std::max<index_t>(0, listed - counted) * layout.largest_bucket() *
         static_cast<index_t>(sizeof(nn::value_type_of<Net>));
}

}  // namespace pleat::plan
