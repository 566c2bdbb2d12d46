// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/parallel/tensor_sums.hpp>

#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/nn.hpp>
#include <pleat/parallel/model.hpp>

#include "parallel/tensor_support.hpp"

#include <catch2/catch_test_macros.hpp>

namespace pl = pleat;
namespace nn = pleat::nn;
namespace par = pleat::parallel;
using namespace pleat::test;

namespace {

constexpr pl::index_t context_length = 6, vocabulary = 11;

auto gpt() {
  auto const block = nn::sequential(nn::residual(nn::sequential(nn::layer_norm("norm1", 16), nn::linear("qkv", 16, nn::attention_width(4, 4)), nn::attention("attention", 4, 4),
                                                                nn::linear("project", 16, 16), nn::dropout("drop", 0.1))),
                                    nn::residual(nn::sequential(nn::layer_norm("norm2", 16), nn::linear("fc1", 16, 36), nn::gelu(), nn::linear("fc2", 36, 16))));
  return nn::sequential(nn::embedding("tokens", vocabulary, 16, {.positions = context_length}), nn::repeat("block", 2, block), nn::layer_norm("norm", 16),
                        nn::linear("output", 16, vocabulary, {.bias = false, .tied_to = "tokens.weight"}));
}

constexpr double rate = 0.1;  // of the one step of plain descent

/// What a training leaves behind: whole parameters, losses, norms.
struct outcome {
  std::map<std::string, std::vector<float>> values;
  std::vector<double> losses, norms;
  long taken_later = 0;  ///< blocks that the pools took from the system after the second step
};

template <class Net> outcome train(Net const& net, pl::plan::plan p, pl::comm::communicator c, int steps) {
  pl::world w(std::move(c), 1);
  w.set_sink({});
  auto m = par::build(net, p, w, {.seed = 3});
  auto const rule = steps == 1 ? nn::optimizer(nn::sgd{.learning_rate = rate}) : nn::optimizer(nn::adamw{.learning_rate = 0.01});
  nn::optimizer_state<float, space> optimizer(m.context(), m.arena(), rule);
  outcome out;
  struct source {
    decltype(m)* model;
    int step;
    pl::tensor<float, space> input(par::micro_batch const& b) {
      std::vector<float> h;
      for (pl::index_t i = b.rows.begin; i < b.rows.end; ++i)
        for (pl::index_t t = 0; t < context_length; ++t) h.push_back(static_cast<float>(token(model->share().rows().begin + i, t)));
      return from(h);
    }
    pl::tensor<float, space> loss(par::micro_batch const& b, pl::tensor<float, space> y) {
      std::vector<std::int32_t> h;
      for (pl::index_t i = b.rows.begin; i < b.rows.end; ++i)
        for (pl::index_t t = 0; t < context_length; ++t) h.push_back(static_cast<std::int32_t>(token(model->share().rows().begin + i, t + 1)));
      auto labels = pl::tensor<std::int32_t, space>::allocate(model->context(), {static_cast<pl::index_t>(h.size())});
      pl::copy_from_host(model->context(), h.data(), labels);
      return model->cross_entropy(std::move(y), labels).dy;
    }
    [[nodiscard]] pl::index_t token(pl::index_t sample, pl::index_t t) const { return (sample * 5 + t * (sample % 3 + 1) + step) % vocabulary; }
    pl::tensor<float, space> from(std::vector<float> const& h) const {
      auto x = pl::tensor<float, space>::allocate(model->context(), {static_cast<pl::index_t>(h.size()) / context_length, context_length});
      pl::copy_from_host(model->context(), h.data(), x);
      return x;
    }
  };
  auto const taken = [&] { return m.context().pool().statistics().allocations + m.context().host_pool().statistics().allocations; };
  auto before = taken();
  for (int s = 0; s < steps; ++s) {
    if (s == 2) before = taken();
    m.zero_grad(p.global_batch);
    m.walk(source{&m, s});
    m.reduce();
    out.losses.push_back(m.loss());
    out.norms.push_back(m.gradient_norm());
    m.step(optimizer, 1, m.clip_scale(0.5));
  }
  out.taken_later = steps > 2 ? static_cast<long>(taken() - before) : 0;
  m.demand_equal_replicas();
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
    out.values[x.name] = std::move(whole);
  });
  return out;
}

template <class Net> outcome train_on(Net const& net, pl::plan::plan const& p, int steps = 1) {
  if (p.ranks() == 1) return train(net, p, pl::comm::communicator(pl::comm::self{}), steps);
  outcome first;
  pl::comm::run_local(static_cast<int>(p.ranks()), [&](pl::comm::communicator c) {
    bool const root = c.rank() == 0;
    auto r = train(net, p, std::move(c), steps);
    if (root) first = std::move(r);
  });
  return first;
}

/// One step of plain descent, clipped, away from the same values. A gradient differs from the serial one by B·‖g‖ at the most, B = 4·1.03^L·eps for L
/// parameters, times 2·√ranks because so many partial sums are made of every product (parity tests of the field; tensor_support.hpp). The norm by B of
/// itself, and so does the factor that clips. Then w − rate·factor·g differs by 2·B of its move, and by one rounding of w. A parameter is at least as
/// large as its move here (biases begin at zero and are the move). The loss has gone through forward only: 64·eps, as the answers of tensor_recipe_test.cpp.
void close(outcome const& a, outcome const& serial, pl::index_t ranks) {
  double const eps = 0x1p-23, bound = 4 * std::pow(1.03, static_cast<double>(serial.values.size())) * eps * 2 * std::sqrt(static_cast<double>(ranks));
  REQUIRE(a.values.size() == serial.values.size());
  for (auto const& [name, v] : serial.values) {
    INFO(name);
    CHECK(distance(a.values.at(name), v) < 2 * bound + eps);
  }
  CHECK(std::abs(a.losses[0] - serial.losses[0]) < 64 * eps * serial.losses[0]);
  CHECK(std::abs(a.norms[0] - serial.norms[0]) < bound * serial.norms[0]);
}
/// Trains `net` under a plan and compares.
template <class Net> void check_close(Net const& net, pl::plan::plan const& p, outcome const& serial) { close(train_on(net, p), serial, p.ranks()); }

}  // namespace

TEST_CASE("data times tensor trains as one rank does, clipping by the norm of whole gradients") {
  auto const serial = train_on(gpt(), {.global_batch = 8});
  for (bool sequence : {false, true})
    for (auto const& [data, tensor] : {std::pair{1, 2}, {2, 2}, {1, 3}, {2, 4}, {3, 2}}) {
      INFO("data " << data << ", tensor " << tensor << ", sequence " << sequence);
      check_close(par::megatron(gpt(), {.sequence = sequence}), {.global_batch = 8, .data_ranks = data, .tensor_ranks = tensor}, serial);
    }
}

TEST_CASE("after the second step the pools of a model over the tensor axis take nothing") {
  for (bool sequence : {false, true})
    for (bool deterministic : {false, true})
      CHECK(train_on(par::megatron(gpt(), {.sequence = sequence}), {.global_batch = 8, .tensor_ranks = 3, .deterministic = deterministic}, 5).taken_later == 0);
}

TEST_CASE("in deterministic mode a fixed tensor extent gives the same bits on any number of data ranks and micro-batches") {
  for (bool sequence : {false, true}) {
    auto const net = par::megatron(gpt(), {.sequence = sequence});
    pl::plan::plan p{.global_batch = 8, .tensor_ranks = 2, .deterministic = true};
    auto const reference = train_on(net, p, 3);
    for (int data : {2, 4})
      for (int micro : {1, 2}) {
        auto q = p;
        q.data_ranks = data;
        q.micro_batches = micro;
        auto const r = train_on(net, q, 3);
        INFO("data " << data << ", micro-batches " << micro << ", sequence " << sequence);
        CHECK(r.values == reference.values);
        CHECK(r.losses == reference.losses);
        CHECK(r.norms == reference.norms);
      }
  }
}

TEST_CASE("tensor times pipeline and tensor times sharded state train as one rank does") {
  auto const serial = train_on(gpt(), {.global_batch = 8});
  for (bool sequence : {false, true}) {
    auto const net = par::megatron(gpt(), {.sequence = sequence});
    INFO("sequence " << sequence);
    check_close(net, {.global_batch = 8, .tensor_ranks = 2, .pipeline_ranks = 2, .micro_batches = 4}, serial);
    check_close(net, {.global_batch = 8, .data_ranks = 2, .tensor_ranks = 2, .pipeline_ranks = 2, .micro_batches = 2}, serial);
    for (int stage : {1, 2, 3}) {
      INFO("stage " << stage);
      check_close(net, {.global_batch = 8, .data_ranks = 2, .tensor_ranks = 3, .state_stage = stage}, serial);  // uneven parts
    }
  }
}
