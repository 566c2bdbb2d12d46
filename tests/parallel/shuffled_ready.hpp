// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Gradients that become ready in another order on every rank and in every step, at random moments, and their sums:
/// whole numbers, so that any order of adding them gives the same.
#pragma once

#include <pleat/compute/elementwise.hpp>
#include <pleat/parallel/gradient_exchange.hpp>
#include <pleat/parallel/model.hpp>

#include <algorithm>
#include <chrono>
#include <memory>
#include <numeric>
#include <random>
#include <thread>
#include <utility>
#include <vector>

namespace pleat_test {

/// Elements that are not the sum over the data axis, on this rank, of some steps. Collective over the plan's ranks.
template <class Net>
int wrong_sums_of_shuffled(Net net, pleat::plan::plan const& p, pleat::comm::communicator c, int steps = 12) {
  using pleat::index_t;
  using space = pleat::nn::space_of<Net>;
  pleat::world w(std::move(c), 1);
  int const world_rank = w.rank();
  auto m = pleat::parallel::build(std::move(net), p, w, {.seed = 3});
  m.zero_grad(24);
  pleat::parallel::shard_group const group(p, std::make_shared<pleat::comm::communicator>(m.ranks().duplicate()));
  int const rank = group.all->rank(), ranks = group.all->size();
  auto& a = m.arena();
  std::vector<pleat::nn::parameter*> parameter_of(a.entries().size());
  m.net().for_each_parameter([&](auto& x) {
    if (x.id >= 0) parameter_of[static_cast<std::size_t>(x.id)] = &x;
  });
  pleat::parallel::gradient_exchange<float, space> exchange(m.context(), group, a, p);
  std::mt19937 random(static_cast<unsigned>(17 * ranks + world_rank));  // another order on every rank
  int wrong = 0;
  for (int step = 0; step < steps; ++step) {
    exchange.begin(m.share());
    std::vector<int> order(a.entries().size());
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), random);
    for (int const id : order) {
      auto const& e = a.entries()[static_cast<std::size_t>(id)];
      auto* const x = parameter_of[static_cast<std::size_t>(id)];
      if (x) exchange.open_gradient(*x);
      for (int s = 0; s < m.share().slots(); ++s) {
        float* const memory = !a.pooled() ? a.gradients(s) + e.begin
                              : x         ? static_cast<float*>(x->gradients) + s * x->slot_stride
                                          : a.loss(s);
        pleat::compute::fill(m.context().space(), e.end - e.begin, s == 0 ? static_cast<float>(rank + id + step) : 0.0f,
                             memory);
      }
      if (random() % 4 == 0) std::this_thread::sleep_for(std::chrono::microseconds(random() % 200));
      if (random() % 8 == 0) continue;  // finish() counts it as zero: below it is told late instead
      exchange.entry_ready(id);
      exchange.poll();
    }
    for (int const id : order) exchange.entry_ready(id);
    exchange.finish();
    for (auto const& piece : a.pieces())
      for (std::size_t id = 0; id < order.size(); ++id) {
        auto const& e = a.entries()[id];
        auto const part = pleat::intersect({e.begin, e.end}, {piece.begin, piece.end});
        auto const* sums = a.owned_gradients(piece);
        for (index_t i = part.begin; i < part.end; ++i)
          wrong += sums[i - piece.begin] !=
                   static_cast<float>(ranks * (static_cast<int>(id) + step) + ranks * (ranks - 1) / 2);
      }
  }
  return wrong;
}

}  // namespace pleat_test
