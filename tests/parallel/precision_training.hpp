// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A small GPT (examples/07_language_model) of any type under any plan, for the tests of 16-bit training on ranks as
// threads and as processes.
#pragma once

#include <pleat/comm/local.hpp>
#include <pleat/comm/self.hpp>
#include <pleat/io/text.hpp>
#include <pleat/parallel/model.hpp>
#include <pleat/plan/search.hpp>

#include <cmath>
#include <limits>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "../../examples/07_language_model/network.hpp"
#include "../../examples/07_language_model/windows.hpp"

namespace precision_training {

namespace pl = pleat;
using pl::index_t;
using space = Kokkos::DefaultExecutionSpace;

inline pl::io::text_split const& text() {
  static pl::io::text_split const t = [] {
    std::string s;
    for (int i = 0; i < 60; ++i) s += "the cat sat on the mat, and the dog " + std::to_string(i * i % 7) + " ran; ";
    return pl::io::split_text(s, 24);
  }();
  return t;
}
inline gpt::sizes sizes() {
  return {.vocabulary = text().vocabulary.size(),
          .context = 24,
          .layers = 2,
          .width = 32,
          .heads = 4,
          .key_value_heads = 2};
}

template <class T> constexpr pl::plan::compute_precision precision_of() {
  return std::is_same_v<T, pl::bfloat16> ? pl::plan::compute_precision::bf16
         : std::is_same_v<T, pl::half>   ? pl::plan::compute_precision::f16
                                         : pl::plan::compute_precision::f32;
}

/// A plan of these ranks.
template <class T>
pl::plan::plan layout(index_t data, index_t tensor = 1, index_t pipeline = 1, index_t micro = 1,
                      std::string const& schedule = "1f1b") {
  pl::plan::plan p;
  p.deterministic = tensor == 1;
  p.data_ranks = data;
  p.tensor_ranks = tensor;
  p.pipeline_ranks = pipeline;
  p.micro_batches = micro;
  p.schedule = schedule;
  p.precision = precision_of<T>();
  return p;
}

struct options {
  pl::plan::plan plan;
  int threads = 1, steps = 3;
  index_t batch = 8;
  double rate = 1e-3;
  pl::parallel::loss_scale_options scale{};
  bool written_out = false;                   ///< forward and backward by hand, not a walk
  int poisoned_step = -1, poisoned_rank = 0;  ///< of all ranks: an infinity in its gradients
};

struct outcome {
  std::map<std::string, std::vector<float>> values;  ///< of the parameters that live on this rank
  std::vector<double> losses, norms, scales;
  std::vector<bool> moved;
  std::int64_t skipped = 0;
  std::size_t peak = 0;                                            ///< of the pool, in bytes
  std::map<std::string, std::vector<float>> masters;               ///< as values; empty where numbers are full width
  std::vector<std::map<std::string, std::vector<float>>> moments;  ///< of the optimizer, buffer by buffer
  /// bytes of this rank: allocated; by the formula; by the ledger of the described network (rank 0's lanes)
  pl::plan::state_bytes held, said, foretold;
  /// of this rank's pieces; of a flat buffer; of what every piece-holder has
  index_t owned = 0, elements = 0, replicated = 0;
  index_t master_bytes = 0;  ///< state that is no moment
};

/// Four batches of windows, over and over.
template <class T> outcome train(pl::comm::communicator c, options const& o) {
  pl::world w(std::move(c), o.threads);
  auto net = gpt::network<T>(sizes());
  auto m = o.plan.tensor_ranks > 1 ? pl::parallel::build(pl::parallel::megatron(std::move(net)), o.plan, w,
                                                         {.seed = 3, .loss_scale = o.scale})
                                   : pl::parallel::build(std::move(net), o.plan, w, {.seed = 3, .loss_scale = o.scale});
  using model = decltype(m);
  pl::nn::optimizer_state<T, space> optimizer(m.context(), m.arena(), pl::nn::adamw{.learning_rate = o.rate});
  gpt::window_source<model> source(m, text().train);
  std::vector<index_t> order(static_cast<std::size_t>(text().train.size()));
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<index_t>(i * 37 % order.size());
  outcome out;
  for (int s = 0; s < o.steps; ++s) {
    m.zero_grad(o.batch);
    source.begin(order, s % 4 * o.batch);
    if (!o.written_out) m.walk(source);
    else
      for (auto const& micro : m.share().micro_batches()) {
        auto [y, saved] = m.forward(source.input(micro));
        m.backward(saved, source.loss(micro, std::move(y)));
      }
    m.reduce();
    out.losses.push_back(m.loss());
    if (s == o.poisoned_step && m.all_ranks().rank() == o.poisoned_rank) {
      auto const& piece = m.arena().pieces().front();
      pl::compute::fill(m.context().space(), 1, std::numeric_limits<float>::infinity(),
                        m.arena().owned_gradients(piece));
    } else if (s != o.poisoned_step) {
      out.norms.push_back(m.gradient_norm());
    }
    out.moved.push_back(m.step(optimizer));
    out.scales.push_back(m.loss_factor());
  }
  if (m.scaling()) out.skipped = m.scaling()->skipped();
  out.peak = m.context().pool().statistics().bytes_peak;
  auto const& memory = m.arena();
  auto const by_name = [&](auto const& host) {
    std::map<std::string, std::vector<float>> all;
    for (auto const& e : memory.entries()) {
      if (e.name == pl::nn::loss_entry) continue;  // no parameter
      auto& v = all[e.name];
      for (index_t i = e.begin; i < e.end; ++i) v.push_back(static_cast<float>(host[static_cast<std::size_t>(i)]));
    }
    return all;
  };
  out.values = by_name(m.host_values());
  for (int i = 0; i < memory.states(); ++i) out.moments.push_back(by_name(m.host_state(i)));
  pl::parallel::shard_group const pieces(m.plan(), std::make_shared<pl::comm::communicator>(m.ranks().duplicate()));
  if (memory.masters())
    out.masters = by_name(pl::parallel::whole_of<float>(m.context(), pieces, memory, memory.masters()));
  auto const used = m.memory();
  auto const& layout = memory.layout();
  int const shard = memory.shards().shard, buffers = optimizer.buffers();
  out.held = {used.parameters, used.gradients, used.optimizer_state};
  if (o.plan.pipeline_ranks == 1 && o.plan.tensor_ranks == 1) {
    out.said = pl::plan::make_state_bytes(m.plan(), layout, buffers, m.share().slots(),
                                          pl::parallel::buckets_of_a_layer(m.net(), memory), shard, sizeof(T));
    auto const l = pl::plan::state_ledger(gpt::network<T>(sizes()), m.plan(), buffers, shard);
    out.foretold = {l.parameters, l.gradients, l.optimizer_state};
  }
  out.owned = memory.owned(), out.elements = layout.size();
  for (std::size_t b = 0; b < layout.buckets().size(); ++b)
    if (layout.replicated(b)) out.replicated += layout.buckets()[b].size();
  out.master_bytes = memory.state_bytes() - memory.owned() * memory.states() * 4;
  m.demand_equal_replicas();
  return out;
}

/// On ranks as threads: rank by rank.
template <class T> std::vector<outcome> run(options const& o) {
  std::vector<outcome> all(static_cast<std::size_t>(o.plan.ranks()));
  pl::comm::run_local(static_cast<int>(o.plan.ranks()), [&](pl::comm::communicator c) {
    auto const rank = static_cast<std::size_t>(c.rank());
    all[rank] = train<T>(std::move(c), o);
  });
  return all;
}

}  // namespace precision_training
