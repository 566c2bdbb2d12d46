// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A small transformer trained over any mesh, and what it leaves behind: whole parameters, losses, norms.
#pragma once

#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/nn.hpp>
#include <pleat/parallel/model.hpp>
#include <pleat/plan/search.hpp>

#include "parallel/tensor_support.hpp"

#include <cmath>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace transformer_training {

namespace pl = pleat;
namespace nn = pleat::nn;
namespace par = pleat::parallel;
using namespace pleat::test;

constexpr pl::index_t context_length = 6, vocabulary = 11;

inline auto gpt() {
  auto const block =
      nn::sequential(nn::residual(nn::sequential(
                         nn::layer_norm("norm1", 16), nn::linear("qkv", 16, nn::attention_width(4, 4)),
                         nn::attention("attention", 4, 4), nn::linear("project", 16, 16), nn::dropout("drop", 0.1))),
                     nn::residual(nn::sequential(nn::layer_norm("norm2", 16), nn::linear("fc1", 16, 36), nn::gelu(),
                                                 nn::linear("fc2", 36, 16))));
  return nn::sequential(nn::embedding("tokens", vocabulary, 16, {.positions = context_length}),
                        nn::repeat("block", 2, block), nn::layer_norm("norm", 16),
                        nn::linear("output", 16, vocabulary, {.bias = false, .tied_to = "tokens.weight"}));
}

/// How it trains: one step is plain descent, more are AdamW.
struct lesson {
  int steps = 1;
  double rate = 0.1;  ///< of plain descent
  double clip = 0.5;  ///< the whole gradient's norm; 0: as it is
};

/// What a training leaves behind: whole parameters, losses, norms.
struct outcome {
  std::map<std::string, std::vector<float>> values, first_values;  ///< after training, and as they were drawn
  std::vector<std::string> order;                                  ///< parameters, first layer first
  std::vector<double> losses, norms;
  long taken_later = 0;  ///< blocks that the pools took from the system after the second step
};

template <class Net> outcome train(Net const& net, pl::plan::plan p, pl::comm::communicator c, lesson const& l) {
  pl::world w(std::move(c), 1);
  w.set_sink({});
  auto m = par::build(net, p, w, {.seed = 3});
  auto const rule =
      l.steps == 1 ? nn::optimizer(nn::sgd{.learning_rate = l.rate}) : nn::optimizer(nn::adamw{.learning_rate = 0.01});
  nn::optimizer_state<float, space> optimizer(m.context(), m.arena(), rule);
  outcome out;
  struct source {
    decltype(m)* model;
    int step;
    pl::tensor<float, space> input(par::micro_batch const& b) {
      std::vector<float> h;
      for (pl::index_t i = b.rows.begin; i < b.rows.end; ++i)
        for (pl::index_t t = 0; t < context_length; ++t)
          h.push_back(static_cast<float>(token(model->share().rows().begin + i, t)));
      return from(h);
    }
    pl::tensor<float, space> loss(par::micro_batch const& b, pl::tensor<float, space> y) {
      std::vector<std::int32_t> h;
      for (pl::index_t i = b.rows.begin; i < b.rows.end; ++i)
        for (pl::index_t t = 0; t < context_length; ++t)
          h.push_back(static_cast<std::int32_t>(token(model->share().rows().begin + i, t + 1)));
      auto labels = pl::tensor<std::int32_t, space>::allocate(model->context(), {static_cast<pl::index_t>(h.size())});
      pl::copy_from_host(model->context(), h.data(), labels);
      return model->cross_entropy(std::move(y), labels).dy;
    }
    [[nodiscard]] pl::index_t token(pl::index_t sample, pl::index_t t) const {
      return (sample * 5 + t * (sample % 3 + 1) + step) % vocabulary;
    }
    pl::tensor<float, space> from(std::vector<float> const& h) const {
      auto x = pl::tensor<float, space>::allocate(
          model->context(), {static_cast<pl::index_t>(h.size()) / context_length, context_length});
      pl::copy_from_host(model->context(), h.data(), x);
      return x;
    }
  };
  auto const gather = [&](std::map<std::string, std::vector<float>>& values) {
    auto const flat = m.host_values();
    m.net().for_each_parameter([&](auto& x) {
      if (!x.tied_to.empty()) return;
      std::vector<float> whole(static_cast<std::size_t>(x.whole().size()), 0.0f);
      int const id = m.arena().find(x.name);
      bool const here = id >= 0 && !x.absent;
      if (here) {
        auto const& e = m.arena().entries()[static_cast<std::size_t>(id)];
        put(x, {flat.begin() + e.begin, flat.begin() + e.end}, whole);
      }
      if (x.where.shards()) m.parts().all_reduce(std::span<float>(whole));
      m.pipeline().all_reduce(std::span<float>(whole));  // one stage has it
      values[x.name] = std::move(whole);
    });
  };
  m.net().for_each_parameter([&](auto& x) {
    if (x.tied_to.empty()) out.order.push_back(x.name);
  });
  gather(out.first_values);
  auto const taken = [&] {
    return m.context().pool().statistics().allocations + m.context().host_pool().statistics().allocations;
  };
  auto before = taken();
  for (int s = 0; s < l.steps; ++s) {
    if (s == 2) before = taken();
    m.zero_grad(p.global_batch);
    m.walk(source{&m, s});
    m.reduce();
    out.losses.push_back(m.loss());
    out.norms.push_back(m.gradient_norm());
    m.step(optimizer, 1, l.clip > 0 ? m.clip_scale(l.clip) : 1.0);
  }
  out.taken_later = l.steps > 2 ? static_cast<long>(taken() - before) : 0;
  m.demand_equal_replicas();
  gather(out.values);
  auto const used = m.memory();
  auto const said = pl::plan::make_state_bytes(m.plan(), m.arena().layout(), optimizer.buffers(), m.share().slots(),
                                               par::buckets_of_a_layer(m.net(), m.arena()), m.arena().shards().shard);
  // of every rank: what one throws reaches the test
  if (!(said == pl::plan::state_bytes{used.parameters, used.gradients, used.optimizer_state}))
    throw std::runtime_error("a rank holds other bytes than the ledger says: " + std::to_string(used.parameters) +
                             ", " + std::to_string(used.gradients) + ", " + std::to_string(used.optimizer_state) +
                             " instead of " + std::to_string(said.parameters) + ", " + std::to_string(said.gradients) +
                             ", " + std::to_string(said.optimizer_state));
  // What is said of the described network, before anything is cut; of a pipeline's rank with the parameters of other
  // stages absent.
  auto described = net;
  m.layout().mark_absent(described, m.pipeline().rank());
  auto const foretold = pl::plan::state_ledger(described, m.plan(), optimizer.buffers(), m.arena().shards().shard);
  if (m.share().slots() == pl::plan::gradient_slots(p) &&
      !(said == pl::plan::state_bytes{foretold.parameters, foretold.gradients, foretold.optimizer_state}))
    throw std::runtime_error("the ledger of the described network says " + foretold.to_string() + ", a rank holds " +
                             std::to_string(used.parameters + used.gradients + used.optimizer_state) + " bytes");
  return out;
}

template <class Net> outcome train_on(Net const& net, pl::plan::plan const& p, lesson const& l = {}) {
  if (p.ranks() == 1) return train(net, p, pl::comm::communicator(pl::comm::self{}), l);
  outcome first;
  pl::comm::run_local(static_cast<int>(p.ranks()), [&](pl::comm::communicator c) {
    bool const root = c.rank() == 0;
    auto r = train(net, p, std::move(c), l);
    if (root) first = std::move(r);
  });
  return first;
}

/// One step of plain descent with a rate so large, a power of two, that the parameter's own size hardly rounds what is
/// added to it: the gradient is the difference of the values, divided by it.
constexpr double large_rate = 1024;
constexpr lesson one_large_step{.rate = large_rate, .clip = 0};

/// Gradients of a run of one large step.
inline std::map<std::string, std::vector<double>> gradients_of(outcome const& o) {
  std::map<std::string, std::vector<double>> g;
  for (auto const& [name, after] : o.values) {
    auto const& before = o.first_values.at(name);
    for (std::size_t i = 0; i < after.size(); ++i)
      g[name].push_back((static_cast<double>(before[i]) - after[i]) / large_rate);
  }
  return g;
}
template <class V> double norm(V const& v) {
  double n = 0;
  for (auto const x : v) n += static_cast<double>(x) * x;
  return std::sqrt(n);
}

/// Into how many parts a plan cuts the sums of one gradient: samples over data ranks and micro-batches, products over
/// the tensor axis. A pipeline's ranks share layers out, and no sum.
inline pl::index_t sums_of(pl::plan::plan const& p) { return p.data_ranks * p.tensor_ranks * p.micro_batches; }

/// Empty, or the first layer whose gradient, after one large step, is out of bounds. \param wire what is allowed
/// besides
inline std::string beyond(outcome const& a, outcome const& serial, pl::index_t sums, double wire = 0) {
  auto const got = gradients_of(a), expected = gradients_of(serial);
  auto const layer = layers_of(serial.order);
  for (std::size_t k = 0; k < serial.order.size(); ++k) {
    auto const& name = serial.order[k];
    if (a.first_values.at(name) != serial.first_values.at(name)) return name + " begins with other values";
    auto const& g = expected.at(name);
    double const size = norm(g);
    // value − rate·gradient is rounded once in either run: by eps / 2 of the result, which is at most value +
    // rate·gradient.
    double const rounding = 0x1p-23 * (1 + norm(serial.first_values.at(name)) / (large_rate * size));
    double const bound = gradient_bound(layer[k], layer.back() + 1, sums) + rounding + wire;
    double d = 0;
    for (std::size_t i = 0; i < g.size(); ++i) d += (got.at(name)[i] - g[i]) * (got.at(name)[i] - g[i]);
    if (!(size > 0)) return name + " has no gradient";
    if (!(std::sqrt(d) <= bound * size))
      return name + ": off by " + std::to_string(std::sqrt(d) / size * 0x1p23) + " eps, allowed " +
             std::to_string(bound * 0x1p23);
  }
  return {};
}

/// Empty, or what differs in a bit.
inline std::string other_bits(outcome const& a, outcome const& b) {
  if (a.losses != b.losses) return "another loss";
  if (a.norms != b.norms) return "another norm of the gradient";
  for (auto const& name : b.order)
    if (a.values.at(name) != b.values.at(name)) return name;
  return {};
}

}  // namespace transformer_training
