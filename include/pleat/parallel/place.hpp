// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// From a model that every rank holds whole to the same model over a mesh: forms and placements compose, so a pruned or
/// quantized network is cut as a dense one is.
#pragma once

#include <utility>
#include <vector>

#include <pleat/codec/detail/part_of.hpp>
#include <pleat/parallel/model.hpp>

namespace pleat::parallel {

/// The same network with the same values and forms, its weights cut as their words say (`tensor_parallel`, `megatron`).
/// Collective over `w`. The optimizer's state stays behind.
/// \param whole a model with mesh.tensor = 1 and mesh.pipeline = 1, whose parameters this rank holds whole; the same on
/// every rank
/// \param net   whole.net() with words set
/// \throws error for a model that is in parts already, or a weight whose form cannot be cut
template <class Net> [[nodiscard]] model<Net> place(model<Net> const& whole, Net net, plan::plan const& p, world& w) {
  using T = nn::value_type_of<Net>;
  whole.demand_whole_parameters("parallel::place");
  if (whole.pipeline().size() > 1)
    throw error{"parallel::place", "the model is cut into stages: no rank holds a whole one",
                "Give it a model with mesh.pipeline = 1"};
  model<Net> m(std::move(net), p, w, {.seed = whole.seed()});
  m.set_steps(whole.steps());
  auto const from = whole.host_values();
  auto to = m.host_values();
  m.net().for_each_parameter([&](auto& x) {
    int const here = m.arena().find(x.name), there = whole.arena().find(x.name);
    if (here < 0 || there < 0) return;
    T const* const source = from.data() + whole.arena().entries()[static_cast<std::size_t>(there)].begin;
    T* target = to.data() + m.arena().entries()[static_cast<std::size_t>(here)].begin;
    codec::detail::for_each_of_part(x.whole(), x.box(), [&](index_t i) { *target++ = source[i]; });
  });
  m.set_host_values(to);
  m.refresh_masks();
  return m;
}

}  // namespace pleat::parallel
