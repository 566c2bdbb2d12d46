// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What whole training steps take of memory once the first ones are over. For programs in which a source counts
/// allocations.
#pragma once

#include <algorithm>
#include <string>
#include <utility>

#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/nn/activations.hpp>
#include <pleat/nn/linear.hpp>
#include <pleat/nn/sequential.hpp>
#include <pleat/parallel/model.hpp>
#include <pleat/parallel/tensor_recipe.hpp>

#include "support/allocation_count.hpp"
#include "support/count_views.hpp"

namespace pleat_test {

/// 12 numbers to 5 scores, with a tensor axis if there is one.
inline auto steady_net() {
  using namespace pleat::nn;
  return pleat::parallel::tensor_parallel(
      sequential(linear("fc1", 12, 20), relu(), linear("fc2", 20, 9), tanh_activation(), linear("fc3", 9, 5)),
      {pleat::parallel::column("fc1.*"), pleat::parallel::row("fc2.*")});
}

/// Trains on the ranks of `c`; empty if four steps after the first three take no block, no View and nothing from the
/// heap, else what they took. \param counts this rank counts heap and Views: one of the ranks of a process
/// \param windows of four steps, of which the one counts that took least from the heap: where how much is under way at
/// once depends on time, a new high takes memory, once, and what steps take every time shows in each of them
inline std::string taken_by_steps(pleat::comm::communicator c, pleat::plan::plan p, bool counts, int windows = 1) {
  using space = Kokkos::DefaultExecutionSpace;
  using tensor = pleat::tensor<float, space>;
  p.global_batch = 16;
  pleat::world w(std::move(c), 1);
  w.set_sink({});  // what activations have to move is said once
  auto m = pleat::parallel::build(steady_net(), p, w);
  pleat::nn::optimizer_state<float, space> optimizer(m.context(), m.arena(), pleat::nn::adamw{});
  auto x = tensor::allocate(m.context(), {16, 12});
  pleat::compute::fill(m.context().space(), x.size(), 0.5f, x.data());
  auto labels = pleat::tensor<std::int32_t, space>::allocate(m.context(), {16});
  pleat::compute::fill(m.context().space(), pleat::index_t{16}, std::int32_t{1}, labels.data());
  auto const step = [&] {
    m.zero_grad(16);
    for (auto const& micro : m.share().micro_batches()) {
      auto [y, saved] = m.forward(x.rows(0, micro.rows.size()));
      m.backward(saved, m.cross_entropy(y, labels.rows(0, micro.rows.size())).dy);
    }
    m.reduce();
    (void)m.loss();
    m.step(optimizer, 1, m.clip_scale(1));
  };
  for (int i = 0; i < 3; ++i) step();
  auto const before = m.context().pool().statistics();
  w.comm.barrier();  // nobody counts what another still warms up
  auto const steps = [&] {
    w.comm.barrier();
    for (int i = 0; i < 4; ++i) step();
    w.comm.barrier();
  };
  std::string said;
  // One after the other: a tool that listens makes Kokkos put names together.
  if (counts) {
    long heap = allocations_in(steps);
    for (int i = 1; i < windows; ++i) heap = std::min(heap, allocations_in(steps));
    if (heap) said += std::to_string(heap) + " times from the heap; ";
    view_counter const views;
    steps();
    if (views.count() != 0) said += std::to_string(views.count()) + " Views; ";
  } else {
    for (int i = 0; i < windows + 1; ++i) steps();
  }
  auto const after = m.context().pool().statistics();
  if (after.allocations != before.allocations)
    said += std::to_string(after.allocations - before.allocations) + " blocks; ";
  if (after.requests == before.requests) said += "nothing was asked for";
  return said;
}

}  // namespace pleat_test
