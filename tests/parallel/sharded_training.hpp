// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A short training run under any plan, on any communicator, and what a test of sharded state wants to know of it.
#pragma once

#include <pleat/comm/self.hpp>
#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/nn/activations.hpp>
#include <pleat/nn/batch_norm.hpp>
#include <pleat/nn/linear.hpp>
#include <pleat/nn/repeat.hpp>
#include <pleat/nn/sequential.hpp>
#include <pleat/parallel/model.hpp>
#include <pleat/plan/search.hpp>

#include <algorithm>
#include <cmath>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace pleat_test {

using space = Kokkos::DefaultExecutionSpace;
using tensor = pleat::tensor<float, space>;

/// A weight that is cut between ranks (17 chunks of a norm), tied ones, and parameters smaller than the ranks.
inline auto network(bool tie = true) {
  using namespace pleat::nn;
  return sequential(linear("in", 12, 260), relu(), linear("wide", 260, 260), tanh_activation(),
                    linear("tied", 260, 260, {.tied_to = tie ? "wide.weight" : ""}), relu(), linear("small", 260, 3),
                    tanh_activation(), linear("out", 3, 5));
}
/// Many layers of one size, each far smaller than the whole.
inline auto deep_network() {
  using namespace pleat::nn;
  return sequential(linear("in", 12, 64), relu(),
                    repeat("block", 16, sequential(linear("fc", 64, 64), tanh_activation())), linear("out", 64, 5));
}
/// With running statistics, which are no parameters and have no tie: deterministic mode folds lanes inside the kernels.
inline auto network_with_statistics() {
  using namespace pleat::nn;
  return sequential(linear("in", 12, 260), relu(), linear("wide", 260, 260), batch_norm("norm", 260), relu(),
                    linear("out", 260, 5));
}

struct training {
  pleat::plan::plan plan{.bucket_bytes = 30000};
  int steps = 3;
  std::vector<pleat::index_t> batches{37, 37, 2};  // the last one is smaller than the lanes and some ranks
  int optimizer = 0;                               // 0: SGD with momentum, 1: AdamW
  double norm = 0.5;                               // clip to it; 0: not
  bool quiet = false;                              // nobody looks between two steps: no loss, no norm, no clipping
  int die = -1;                                    // rank 1 throws in this phase of the second step
  bool leaves_steps = false;                       // one before each: backward, and nobody takes its gradients
};

struct outcome {
  std::vector<float> values;
  std::vector<std::vector<float>> states;
  std::vector<double> losses, norms;
  pleat::plan::state_bytes found, said, foretold;  // foretold: by plan::ledger_of before anything was built
  std::size_t allocations_after_first = 0, allocations_after_last = 0;
  pleat::index_t bytes_after_first = 0, bytes_after_last = 0;
};

template <class Net> outcome train(Net net, pleat::comm::communicator c, training const& o) {
  using pleat::index_t;
  auto const described = net;
  pleat::world w(std::move(c), 1);
  auto p = o.plan;
  p.data_ranks = w.size();
  auto m = pleat::parallel::build(std::move(net), p, w, {.seed = 3});
  using settings = pleat::nn::optimizer;
  pleat::nn::optimizer_state<float, space> optimizer(
      m.context(), m.arena(),
      o.optimizer == 0 ? settings(pleat::nn::sgd{.learning_rate = 0.1, .momentum = 0.9, .weight_decay = 0.01})
                       : settings(pleat::nn::adamw{.learning_rate = 0.01}));
  outcome out;
  auto const use = [&] {
    auto const u = m.memory();
    return u.parameters + u.gradients + u.optimizer_state;
  };
  auto const perhaps_die = [&](int step, int phase) {
    if (step == 1 && o.die == phase && w.rank() == 1)
      throw std::runtime_error("rank 1 dies in phase " + std::to_string(phase));
  };
  for (int s = 0; s < o.steps; ++s) {
    index_t const batch = o.batches[static_cast<std::size_t>(s) % o.batches.size()];
    auto const walk = [&](index_t first) {
      m.zero_grad(batch);
      for (auto const& micro : m.share().micro_batches()) {
        index_t const n = micro.rows.size();
        auto x = tensor::allocate(m.context(), {n, 12});
        auto labels = pleat::tensor<std::int32_t, space>::allocate(m.context(), {n});
        std::vector<float> hx(static_cast<std::size_t>(n * 12));
        std::vector<std::int32_t> hl(static_cast<std::size_t>(n));
        for (index_t i = 0; i < n; ++i) {
          index_t const k = first + m.share().rows().begin + micro.rows.begin + i;
          pleat::nn::draw(pleat::nn::initializer::normal(1), 5, "sample " + std::to_string(k), 0, 12,
                          hx.data() + i * 12);
          hl[static_cast<std::size_t>(i)] = static_cast<std::int32_t>((k * 7) % 5);
        }
        pleat::copy_from_host(m.context(), hx.data(), x);
        pleat::copy_from_host(m.context(), hl.data(), labels);
        perhaps_die(s, 0);
        auto [y, saved] = m.forward(x);
        perhaps_die(s, 1);
        m.backward(saved, m.cross_entropy(y, labels).dy);
      }
    };
    if (o.leaves_steps) walk(1000 * s + 500);
    walk(1000 * s);
    perhaps_die(s, 2);
    m.reduce();
    if (!o.quiet) {
      out.losses.push_back(m.loss());
      out.norms.push_back(m.gradient_norm());
    }
    perhaps_die(s, 3);
    m.step(optimizer, 1, o.norm > 0 && !o.quiet ? m.clip_scale(o.norm) : 1);
    if (s == 0) {
      out.allocations_after_first = m.context().pool().statistics().allocations;
      out.bytes_after_first = use();
    }
  }
  out.allocations_after_last = m.context().pool().statistics().allocations;
  out.bytes_after_last = use();
  m.demand_equal_replicas();
  out.values = m.host_values();
  for (int i = 0; i < m.arena().states(); ++i) out.states.push_back(m.host_state(i));
  auto const used = m.memory();
  out.found = {used.parameters, used.gradients, used.optimizer_state};
  auto const& layout = m.arena().layout();
  // Gradient slots may differ by rank (deterministic mode on three ranks); the ledger of a whole rank speaks of rank 0.
  out.said =
      pleat::plan::make_state_bytes(m.plan(), layout, optimizer.buffers(), m.share().slots(),
                                    pleat::parallel::buckets_of_a_layer(m.net(), m.arena()), m.arena().shards().shard);
  auto const foretold =
      pleat::plan::ledger_of(described, m.plan(), {1, 12}, optimizer.buffers(), m.arena().shards().shard);
  out.foretold = {foretold.parameters, foretold.gradients, foretold.optimizer_state};
  return out;
}

/// One gradient summed on a 16-bit wire against the sum of what the ranks had, by the bound of comm/narrow_sum.hpp; and
/// what is no gradient (running statistics, the loss) by that of a sum in full width. Empty if all is well. Collective.
inline std::string narrow_gradient_findings(pleat::comm::communicator c, int stage, pleat::index_t group) {
  using pleat::index_t;
  pleat::world w(std::move(c), 1);
  // Flat gradients of the first batch, whole on every rank; `summed` false: what this rank alone has computed.
  auto const gradients = [&](pleat::plan::plan p, bool summed, std::vector<pleat::nn::arena_entry>& entries) {
    p.data_ranks = w.size();
    p.global_batch = 37;
    p.bucket_bytes = 30000;
    auto m = pleat::parallel::build(network_with_statistics(), p, w, {.seed = 3});
    m.zero_grad(37);
    index_t const n = m.share().rows().size();
    auto x = tensor::allocate(m.context(), {n, 12});
    auto labels = pleat::tensor<std::int32_t, space>::allocate(m.context(), {n});
    std::vector<float> hx(static_cast<std::size_t>(n * 12));
    std::vector<std::int32_t> hl(static_cast<std::size_t>(n));
    for (index_t i = 0; i < n; ++i) {
      index_t const k = m.share().rows().begin + i;
      pleat::nn::draw(pleat::nn::initializer::normal(1), 5, "sample " + std::to_string(k), 0, 12, hx.data() + i * 12);
      hl[static_cast<std::size_t>(i)] = static_cast<std::int32_t>((k * 7) % 5);
    }
    pleat::copy_from_host(m.context(), hx.data(), x);
    pleat::copy_from_host(m.context(), hl.data(), labels);
    auto [y, saved] = m.forward(x);
    m.backward(saved, m.cross_entropy(y, labels).dy);
    auto const& a = m.arena();
    entries = a.entries();
    std::vector<float> flat(static_cast<std::size_t>(a.size()));
    if (!summed) {  // nothing has been sent yet: there is no overlap
      pleat::copy_to_host(m.context(), tensor::wrap(a.gradients(), {a.size()}), flat.data());
      m.reduce();
      return flat;
    }
    m.reduce();
    auto own = tensor::allocate(m.context(), {a.owned()});
    for (auto const& q : a.pieces())
      pleat::compute::copy(m.context().space(), q.size(), static_cast<float const*>(a.owned_gradients(q)),
                           own.data() + q.packed);
    auto const parts =
        pleat::parallel::shard_group(m.plan(), std::make_shared<pleat::comm::communicator>(m.ranks().duplicate()));
    return pleat::parallel::whole_of<float>(m.context(), parts, a, own.data());
  };
  std::vector<pleat::nn::arena_entry> entries;
  auto const mine = gradients({.overlap = false}, false, entries);
  auto const found =
      gradients({.state_stage = stage, .state_ranks = group, .wire = pleat::plan::wire_format::bf16}, true, entries);
  auto const ranks = static_cast<std::size_t>(w.size());
  std::vector<float> all(mine.size() * ranks);
  w.comm.all_gather(mine, all);
  double const u = 0x1p-8;  // of bfloat16
  auto const gamma = [](double n) { return (n - 1) * 0x1p-24 / (1 - (n - 1) * 0x1p-24); };
  auto const scattered = [&](double n, double size) { return n > 1 ? (u + (1 + u) * gamma(n)) * size : 0; };
  auto const everywhere = [&](double n, double size, double sum) {
    return n > 1 ? (1 + u) * scattered(n, size) + u * sum : 0;
  };
  auto const p = static_cast<double>(ranks), members = stage == 0 ? 1.0 : group > 0 ? static_cast<double>(group) : p;
  double rounded = 0;
  for (auto const& e : entries)
    for (index_t i = e.begin; i < e.end; ++i) {
      double sum = 0, size = 0;
      for (std::size_t r = 0; r < ranks; ++r) {
        double const x = all[r * mine.size() + static_cast<std::size_t>(i)];
        sum += x;
        size += std::abs(x);
      }
      bool const gradient = e.kind == pleat::nn::parameter_kind::trainable;
      // then across the groups, of operands that are this much larger at the most
      double const within = scattered(members, size);
      double const bound =
          !gradient ? gamma(p) * size : within + everywhere(p / members, size + within, std::abs(sum) + within);
      double const error = std::abs(found[static_cast<std::size_t>(i)] - sum);
      if (!(error <= bound))
        return e.name + " [" + std::to_string(i - e.begin) + "]: the sum " + std::to_string(sum) + " is off by " +
               std::to_string(error) + ", allowed " + std::to_string(bound);
      if (gradient && size > 0) rounded = std::max(rounded, error / size);
    }
  // The wire was narrow: some element is off by more than a sum in full width could be.
  if (ranks > 1 && !(rounded > 2 * gamma(p))) return "nothing was rounded";
  return {};
}

}  // namespace pleat_test
