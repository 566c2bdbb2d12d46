// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A small GPT (examples/07_language_model) as a whole: the same bits on any number of ranks, threads, micro-batches and
// pipeline cuts; it learns; its steady state allocates nothing from the pool.
#include <pleat/parallel/model.hpp>

#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/comm/local.hpp>
#include <pleat/comm/self.hpp>
#include <pleat/io/sampler.hpp>
#include <pleat/io/text.hpp>
#include <pleat/plan/search.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cmath>
#include <string>
#include <vector>

#include "../../examples/07_language_model/network.hpp"

namespace pl = pleat;
using space = Kokkos::DefaultExecutionSpace;
using pl::index_t;
using tensor = pl::tensor<float, space>;

namespace {

gpt::sizes small() {
  return {.vocabulary = 0, .context = 24, .layers = 2, .width = 32, .heads = 4, .key_value_heads = 2};
}

pl::io::text_split const& text() {
  static pl::io::text_split const t = [] {
    std::string s;
    for (int i = 0; i < 60; ++i) s += "the cat sat on the mat, and the dog " + std::to_string(i * i % 7) + " ran; ";
    return pl::io::split_text(s, 24);
  }();
  return t;
}

gpt::sizes sizes() {
  auto s = small();
  s.vocabulary = text().vocabulary.size();
  return s;
}

struct outcome {
  std::vector<float> values;
  std::vector<double> losses;
  std::size_t allocations_after_the_second_step = 0;
};

struct setting {
  int ranks = 1, threads = 1, steps = 3;
  index_t batch = 11, micro = 1;
  bool deterministic = true;
  double rate = 1e-3;
};

outcome train(pl::comm::communicator c, setting const& o) {
  pl::world w(std::move(c), o.threads);
  pl::plan::plan p;
  p.deterministic = o.deterministic;
  p.data_ranks = w.size();
  p.micro_batches = o.micro;
  auto m = pl::parallel::build(gpt::network(sizes()), p, w, {.seed = 3});
  pl::nn::optimizer_state<float, space> optimizer(m.context(), m.arena(), pl::nn::adamw{.learning_rate = o.rate});
  auto const& data = text().train;
  pl::io::sampler const sampler(data.size(), o.batch, {.seed = 5});
  auto const order = sampler.order(0);
  std::vector<float> hx;
  std::vector<std::int32_t> hl;
  outcome out;
  std::size_t allocations = 0;
  for (int s = 0; s < o.steps; ++s) {
    if (s == 2)
      allocations = m.context().pool().statistics().allocations + m.context().host_pool().statistics().allocations;
    auto const positions = sampler.batch(s % sampler.batches_per_epoch());
    m.zero_grad(positions.size());
    for (auto const& micro : m.share().micro_batches()) {
      index_t const n = micro.rows.size(), first = positions.begin + m.share().rows().begin + micro.rows.begin;
      hx.resize(static_cast<std::size_t>(n * data.context));
      hl.resize(hx.size());
      data.gather(std::span(order.data() + first, static_cast<std::size_t>(n)), hx.data(), hl.data());
      auto x = tensor::allocate(m.context(), {n, data.context});
      auto labels = pl::tensor<std::int32_t, space>::allocate(m.context(), x.shape());
      pl::copy_from_host(m.context(), hx.data(), x);
      pl::copy_from_host(m.context(), hl.data(), labels);
      auto [y, saved] = m.forward(x);
      auto dy = m.cross_entropy(y, labels).dy;
      m.backward(saved, std::move(dy));
    }
    m.reduce();
    out.losses.push_back(m.loss());
    m.step(optimizer);
  }
  out.allocations_after_the_second_step =
      m.context().pool().statistics().allocations + m.context().host_pool().statistics().allocations - allocations;
  out.values.resize(static_cast<std::size_t>(m.arena().size()));
  pl::copy_to_host(m.context(), tensor::wrap(m.arena().values(), {m.arena().size()}), out.values.data());
  m.demand_equal_replicas();
  return out;
}

outcome run(setting const& o) {
  if (o.ranks == 1) return train(pl::comm::communicator(pl::comm::self{}), o);
  outcome first;
  pl::comm::run_local(o.ranks, [&](pl::comm::communicator c) {
    bool const root = c.rank() == 0;
    auto r = train(std::move(c), o);
    if (root) first = std::move(r);
  });
  return first;
}

}  // namespace

TEST_CASE("a deterministic GPT has the same bits on any number of ranks, threads and micro-batches") {
  auto const same = [](outcome const& reference, setting const& o) {
    INFO(o.ranks << " ranks, " << o.threads << " threads, " << o.micro << " micro-batches");
    auto const r = run(o);
    bool const values = r.values == reference.values;
    CHECK(values);
    CHECK(r.losses == reference.losses);
  };
  auto const odd = run({});
  CHECK(odd.losses[0] > 0);
  for (setting const& o :
       {setting{.threads = 2}, setting{.ranks = 2}, setting{.ranks = 3}, setting{.ranks = 4}, setting{.ranks = 8}})
    same(odd, o);
  auto const even = run({.batch = 16});
  for (setting const& o : {setting{.batch = 16, .micro = 2}, setting{.batch = 16, .micro = 4},
                           setting{.ranks = 2, .batch = 16, .micro = 2}})
    same(even, o);
  // Of 20 samples, lanes have 3 or 2, and these micro-batches cut some. Each use of the tied weight has a gradient of
  // its own, which goes on where the lane was left.
  auto const cut = run({.batch = 20});
  for (setting const& o : {setting{.batch = 20, .micro = 3}, setting{.ranks = 2, .batch = 20, .micro = 3},
                           setting{.ranks = 3, .batch = 20, .micro = 5}})
    same(cut, o);
}

TEST_CASE("a GPT learns, and allocates nothing while it does") {
  auto const r = run({.threads = 2, .steps = 60, .batch = 16, .deterministic = false, .rate = 3e-3});
  // The first loss is that of guessing: the scores of a fresh network are near zero.
  CHECK(std::abs(r.losses.front() - std::log(static_cast<double>(sizes().vocabulary))) < 0.1);
  CHECK(r.losses.back() < 0.5 * r.losses.front());
  CHECK(r.allocations_after_the_second_step == 0);
}

TEST_CASE("a GPT may be cut between any two units, and backward into halves: the same bits") {
  pl::context<space> c{pl::make_instance<space>(1)};
  auto net = gpt::network(sizes());
  CHECK(net.units() == 1 + 2 + 1 + 1);
  pl::nn::arena<float, space> memory(c, net, 7);
  memory.reserve_gradients(net, 1);
  index_t const m = 3, units = net.units();
  std::vector<index_t> const pick = {4, 90, 33};
  std::vector<float> hx(static_cast<std::size_t>(m * 24));
  text().train.gather(std::span(pick), hx.data(), nullptr);
  auto x = tensor::allocate(c, {m, 24});
  pl::copy_from_host(c, hx.data(), x);
  pl::nn::segment const s{0, pl::compute::lanes::whole(m)};
  pl::nn::pass<space> p;
  p.where = &c;
  p.training = true;
  p.input_gradient = false;
  p.global_batch = m;
  p.segments = {&s, 1};
  auto const gradients = [&] {
    std::vector<float> g(static_cast<std::size_t>(memory.size()));
    pl::copy_to_host(c, tensor::wrap(memory.gradients(), {memory.size()}), g.data());
    return g;
  };
  auto const begin = [&] {
    for (auto& e : memory.entries()) e.use.done = 0;
  };
  std::vector<float> hdy(static_cast<std::size_t>(m * 24 * sizes().vocabulary));
  pl::nn::draw(pl::nn::initializer::normal(1), 1, "dy", 0, static_cast<index_t>(hdy.size()), hdy.data());
  auto const dy = [&] {
    auto t = tensor::allocate(c, {m, 24, sizes().vocabulary});
    pl::copy_from_host(c, hdy.data(), t);
    return t;
  };
  begin();
  auto whole = pl::nn::call(p, net, x);
  (void)pl::nn::call_backward(p, net, whole.saved, dy());
  auto const right = gradients();
  std::vector<float> y(hdy.size()), z(hdy.size());
  pl::copy_to_host(c, whole.y, y.data());
  for (index_t at = 0; at <= units; ++at)
    for (bool const halves : {false, true}) {
      CAPTURE(at, halves);
      begin();
      typename decltype(net)::saved saved;
      CHECK(pl::nn::shape_units(net, pl::nn::shape_units(net, x.shape(), 0, at), at, units) ==
            pl::extents{m, 24, sizes().vocabulary});
      auto out = pl::nn::forward_units(p, net, at, units, pl::nn::forward_units(p, net, 0, at, x, saved), saved);
      pl::copy_to_host(c, out, z.data());
      bool const same_output = y == z;
      CHECK(same_output);
      auto above = p;
      above.input_gradient = at > 0;
      if (halves) {
        auto d = pl::nn::backward_input_units(above, net, at, units, saved, dy());
        if (at > 0) (void)pl::nn::backward_input_units(p, net, 0, at, saved, std::move(d));
        pl::nn::backward_weight_units(above, net, at, units, saved);
        if (at > 0) pl::nn::backward_weight_units(p, net, 0, at, saved);
      } else {
        auto d = pl::nn::backward_units(above, net, at, units, saved, dy());
        if (at > 0) (void)pl::nn::backward_units(p, net, 0, at, saved, std::move(d));
      }
      bool const same_gradients = gradients() == right;
      CHECK(same_gradients);
    }
}

TEST_CASE("a GPT's description: parameters counted once, flops of the products and of attention") {
  gpt::sizes const s{};
  auto const d = pl::nn::describe(gpt::network(s), {4, 256});
  index_t const C = 384, block = 3 * C * C + 3 * C + C * C + C + 8 * C * C + 5 * C + 4 * C;
  CHECK(d.parameters() == 65 * C + 256 * C + 6 * block + 2 * C);
  double const products = 2.0 * 1024 * (6.0 * 12 * C * C + 65.0 * C), attention = 6 * 4.0 * 4 * 6 * 64 * 256 * 257 / 2;
  CHECK(d.forward_flops() > products + attention);
  CHECK(d.forward_flops() < 1.02 * (products + attention));  // norms and activations
}

TEST_CASE("a GPT's sizes are checked in words") {
  using Catch::Matchers::ContainsSubstring;
  CHECK_THROWS_WITH(gpt::network({.width = 384, .heads = 5}), ContainsSubstring("384") && ContainsSubstring("5 heads"));
  CHECK_THROWS_WITH(gpt::network({.width = 384, .heads = 6, .key_value_heads = 4}),
                    ContainsSubstring("key_value_heads = 4"));
  auto const net = gpt::network(sizes());
  CHECK_THROWS_WITH(net.shape({2, 25}), ContainsSubstring("25 tokens") && ContainsSubstring("24 positions"));
}
