// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A small network with tied weights, and its training under any layout: what tests of the pipeline compare.
#pragma once

#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/comm/local.hpp>
#include <pleat/comm/self.hpp>
#include <pleat/nn/activations.hpp>
#include <pleat/nn/dropout.hpp>
#include <pleat/nn/linear.hpp>
#include <pleat/nn/repeat.hpp>
#include <pleat/nn/residual.hpp>
#include <pleat/nn/sequential.hpp>
#include <pleat/parallel/model.hpp>

#include <catch2/catch_test_macros.hpp>

#include <chrono>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace pipeline_training {

namespace pl = pleat;
using space = Kokkos::DefaultExecutionSpace;
using pl::index_t;
using tensor = pl::tensor<float, space>;

// 9 units: fc1, relu, 4 blocks, dropout, a layer whose weight is the first block input's twin, the last one.
inline auto network() {
  namespace nn = pl::nn;
  return nn::sequential(
      nn::linear("fc1", 12, 10), nn::relu(), nn::linear("square", 10, 10),
      nn::repeat(
          "block", 3,
          nn::residual(nn::sequential(nn::linear("in", 10, 14), nn::tanh_activation(), nn::linear("out", 14, 10)))),
      nn::dropout("drop", 0.25), nn::linear("again", 10, 10, {.tied_to = "square.weight"}), nn::linear("last", 10, 5));
}

struct options {
  pl::plan::plan plan{};
  int steps = 3;
  std::vector<index_t> batches{37, 24, 5};
  bool sleeps = false;
  bool clip = false;
  std::string frozen{};
  std::optional<pl::plan::schedule> schedule{};
  enum letter { none, sent, awaited } mail = none;  // beside the first step: of the user's, to the next rank
};

struct outcome {
  std::map<std::string, std::vector<float>> values;
  std::vector<double> losses, norms;
};

template <class Net> struct samples {
  using value = pl::nn::value_type_of<Net>;
  using tensor = pl::tensor<value, space>;
  pl::parallel::model<Net>* m;
  int step = 0;
  bool sleeps = false;
  void maybe_sleep(index_t i) const {
    if (sleeps)
      std::this_thread::sleep_for(std::chrono::microseconds((m->all_ranks().rank() * 71 + i * 37 + step * 13) % 300));
  }
  index_t first(pl::parallel::micro_batch const& b) const { return m->share().rows().begin + b.rows.begin; }
  tensor input(pl::parallel::micro_batch const& b) {
    maybe_sleep(b.index);
    index_t const n = b.rows.size();
    std::vector<float> host(static_cast<std::size_t>(n * 12));
    for (index_t i = 0; i < n; ++i)
      pl::nn::draw(pl::nn::initializer::normal(1), 5, "sample " + std::to_string(1000 * step + first(b) + i), 0, 12,
                   host.data() + i * 12);
    auto x = tensor::allocate(m->context(), {n, 12});
    std::vector<value> const typed(host.begin(), host.end());
    pl::copy_from_host(m->context(), typed.data(), x);
    return x;
  }
  tensor loss(pl::parallel::micro_batch const& b, tensor y) {
    maybe_sleep(b.index + 5);
    std::vector<std::int32_t> host(static_cast<std::size_t>(b.rows.size()));
    for (std::size_t i = 0; i < host.size(); ++i)
      host[i] = static_cast<std::int32_t>((1000 * step + first(b) + static_cast<index_t>(i)) * 7 % 5);
    auto labels = pl::tensor<std::int32_t, space>::allocate(m->context(), {b.rows.size()});
    pl::copy_from_host(m->context(), host.data(), labels);
    return m->cross_entropy(y, labels).dy;
  }
};

inline std::mutex guard;

// A message of the user's on many of their tags, the first and the last ones, to the next rank, on a communicator that steps use, too: posted
// before a step, or waiting for it, and read afterwards.
struct letters {
  letters(letters&&) = default;
  letters(pl::comm::communicator& c, bool receives_first) : ranks(&c), receives_first(receives_first) {
    if (c.size() == 1) return;
    for (int tag = 0; tag < pl::comm::user_tags; tag += tag >= 64 && tag < pl::comm::user_tags - 64 ? 64 : 1)
      tags.push_back(tag), out.push_back(7 * tag + c.rank());
    in.resize(tags.size());
    receives_first ? receive() : send();
  }
  void read() {
    if (ranks->size() == 1) return;
    receives_first ? send() : receive();
    for (auto& r : under_way) r.wait();
    for (std::size_t i = 0; i < tags.size(); ++i)
      if (in[i] != 7 * tags[i] + before())
        throw pl::error{"test", "the letter with tag " + std::to_string(tags[i]) + " is another one"};
  }

 private:
  int before() const { return (ranks->rank() + ranks->size() - 1) % ranks->size(); }
  void send() {
    int const next = (ranks->rank() + 1) % ranks->size();
    for (std::size_t i = 0; i < tags.size(); ++i)
      under_way.push_back(ranks->isend(std::span<int const>(&out[i], 1), next, tags[i]));
  }
  void receive() {
    for (std::size_t i = 0; i < tags.size(); ++i)
      under_way.push_back(ranks->ireceive(std::span<int>(&in[i], 1), before(), tags[i]));
  }
  pl::comm::communicator* ranks;
  bool receives_first;
  std::vector<int> tags, out, in;
  std::vector<pl::comm::request> under_way;
};

// Trains; everybody's parameters into `out`, which must agree where two ranks have the same.
template <class Net> void train(Net net, pl::comm::communicator c, options const& o, outcome& out) {
  pl::world w(std::move(c), 1);
  if (!o.frozen.empty()) pl::nn::freeze(net, o.frozen);
  auto m = pl::parallel::build(std::move(net), o.plan, w, {.seed = 3, .schedule = o.schedule});
  pl::nn::optimizer_state<float, space> optimizer(m.context(), m.arena(),
                                                  pl::nn::sgd{.learning_rate = 0.1, .momentum = 0.9});
  std::vector<double> losses, norms;
  samples<Net> source{&m, 0, o.sleeps};
  for (int s = 0; s < o.steps; ++s) {
    source.step = s;
    std::vector<letters> mail;
    if (o.mail != options::none && s == 0)
      for (auto* c : std::set{&m.all_ranks(), &m.pipeline(), &m.ranks()})  // a group may be another one, too
        mail.emplace_back(*c, o.mail == options::awaited);
    m.zero_grad(o.batches[static_cast<std::size_t>(s) % o.batches.size()]);
    m.walk(source);
    m.reduce();
    losses.push_back(m.loss());
    norms.push_back(m.gradient_norm());
    m.step(optimizer, 1, o.clip ? m.clip_scale(0.5) : 1.0);
    for (auto& l : mail) l.read();
  }
  m.demand_equal_replicas();
  std::lock_guard const lock(guard);
  if (out.losses.empty()) out.losses = losses, out.norms = norms;
  if (out.losses != losses) throw pl::error{"test", "rank " + std::to_string(w.rank()) + " reports other losses"};
  if (out.norms != norms) throw pl::error{"test", "rank " + std::to_string(w.rank()) + " reports other norms"};
  for (auto const& e : m.arena().entries()) {
    if (e.name == pl::nn::loss_entry || e.kind == pl::nn::parameter_kind::use) continue;
    std::vector<float> v(static_cast<std::size_t>(e.end - e.begin));
    pl::copy_to_host(m.context(), tensor::wrap(m.arena().values() + e.begin, {e.end - e.begin}), v.data());
    auto const [at, fresh] = out.values.try_emplace(e.name, v);
    if (!fresh && at->second != v)
      throw pl::error{"test", "rank " + std::to_string(w.rank()) + " has another " + e.name};
  }
}

template <class Net> outcome run(Net const& net, options const& o) {
  outcome out;
  pl::comm::run_local(static_cast<int>(o.plan.ranks()),
                      [&](pl::comm::communicator c) { train(net, std::move(c), o, out); });
  return out;
}

inline void check_equal(outcome const& a, outcome const& b) {
  CHECK(a.losses == b.losses);
  CHECK(a.norms == b.norms);
  REQUIRE(a.values.size() == b.values.size());
  for (auto const& [name, v] : a.values) {
    INFO(name);
    CHECK(v == b.values.at(name));
  }
}

inline pl::plan::plan layout(std::string schedule, index_t pipeline, index_t data, index_t micro) {
  pl::plan::plan p;
  p.deterministic = true;
  p.schedule = std::move(schedule);
  p.pipeline_ranks = pipeline;
  p.data_ranks = data;
  p.micro_batches = micro;
  return p;
}

}  // namespace pipeline_training
