// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What the units of a network cost, measured: forward and backward of one after the other, for cutting a pipeline's
/// stages.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <pleat/comm/self.hpp>
#include <pleat/comm/world.hpp>
#include <pleat/compute/elementwise.hpp>
#include <pleat/nn/units.hpp>
#include <pleat/parallel/model.hpp>
#include <pleat/comm/attempt.hpp>
#include <pleat/parallel/stage_work.hpp>

namespace pleat::parallel {

/// Seconds that each unit's forward and backward take on a micro-batch of the plan, the median of `repeats`: for
/// `build(…, {.unit_costs = …})`. Rank 0 measures on zeros, alone and with its threads; every rank gets its numbers.
/// What the plan computes again is in them, the loss is not. Meanwhile rank 0 holds the whole network. Collective.
/// \param input extents of a batch; its rows are not looked at
/// \throws error on every rank alike, for less than one repeat, or what `build` on one rank or a layer refuses
template <class Net>
[[nodiscard]] std::vector<double> measure_units(Net const& net, plan::plan const& p, extents const& input, world& w,
                                                int repeats = 5) {
  using clock = std::chrono::steady_clock;
  using T = nn::value_type_of<Net>;
  using Space = nn::space_of<Net>;
  if (repeats < 1)
    throw error{"parallel::measure_units", "expected at least one repeat, found " + std::to_string(repeats),
                "Use 1 or more"};
  index_t const units = nn::units_of(net);
  std::vector<double> costs(static_cast<std::size_t>(units), 0.0);
  comm::on_root(w.comm, [&] {
    p.check();
    index_t const parts = p.data_ranks * p.micro_batches,
                  rows = std::max<index_t>(1, (p.global_batch + parts - 1) / parts);
    plan::plan alone;
    alone.global_batch = rows;
    alone.precision = p.precision;
    alone.recompute = p.recompute;
    world self(comm::communicator(comm::self{}), w.threads);
    model<Net> m(net, alone, self);
    m.zero_grad(rows);  // gradients have memory from here on
    auto const& choice = alone.recompute;
    nn::segment const all{0, compute::lanes::whole(rows)};
    nn::pass<Space> pass;
    pass.where = &m.context();
    pass.training = true;
    pass.global_batch = rows;
    pass.segments = {&all, 1};
    pass.ranks = &m.ranks();
    auto const zeros = [&](extents const& shape) {
      auto x = tensor<T, Space>::allocate(m.context(), shape);
      compute::fill(m.context().space(), x.size(), T(0.0f), x.data());
      return x;
    };
    std::vector<double> taken;
    for (index_t u = 0; u < units; ++u) {
      auto const in = nn::shape_units(m.net(), input.with_batch(rows), 0, u),
                 out = nn::shape_units(m.net(), in, u, u + 1);
      bool const learns = nn::learns_units(m.net(), 0, u + 1);  // else no gradient comes down to it
      pass.input_gradient = nn::learns_units(m.net(), 0, u);
      taken.clear();
      for (int i = 0; i <= repeats; ++i) {  // the first one finds its memory
        stage_work<Net> work;
        auto x = zeros(in), dy = zeros(out);
        for (auto& e : m.arena().entries()) e.use.done = 0;
        m.context().fence();
        auto const begun = clock::now();
        (void)work.forward(pass, m.net(), u, u + 1, choice, std::move(x));
        if (learns) (void)work.backward(pass, m.net(), u, u + 1, std::move(dy));
        m.context().fence();
        if (i > 0) taken.push_back(std::chrono::duration<double>(clock::now() - begun).count());
      }
      std::nth_element(taken.begin(), taken.begin() + repeats / 2, taken.end());
      costs[static_cast<std::size_t>(u)] = taken[static_cast<std::size_t>(repeats / 2)];
    }
  });
  w.comm.broadcast(std::span<double>(costs), 0);
  return costs;
}

}  // namespace pleat::parallel
