// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/parallel/model.hpp>

#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/comm/local.hpp>
#include <pleat/comm/self.hpp>
#include <pleat/nn/activations.hpp>
#include <pleat/nn/linear.hpp>
#include <pleat/nn/sequential.hpp>
#include <pleat/plan/search.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "parallel/steady_steps.hpp"  // redistribute_test.cpp counts

namespace pl = pleat;
using space = Kokkos::DefaultExecutionSpace;
using pl::index_t;
using tensor = pl::tensor<float, space>;

namespace {

auto small_net() {
  return pl::nn::sequential(pl::nn::linear("fc1", 12, 20), pl::nn::relu(), pl::nn::linear("fc2", 20, 9),
                            pl::nn::tanh_activation(), pl::nn::linear("fc3", 9, 5));
}

// Sample i of the whole data set, whatever rank asks.
void sample(index_t i, float* x, std::int32_t* label) {
  pl::nn::draw(pl::nn::initializer::normal(1), 5, "sample " + std::to_string(i), 0, 12, x);
  *label = static_cast<std::int32_t>((i * 7) % 5);
}

struct run_options {
  pl::plan::plan plan{};
  int steps = 4;
  std::vector<index_t> batches{37, 37, 11, 2};  // the last ones are smaller than the ranks and the lanes
  bool delays = false;
  bool leaves_steps = false;  // one before each: backward, and nobody takes its gradients
};

// Trains on the ranks of c; the parameters afterwards, and what the test wants to know.
struct outcome {
  std::vector<float> values;
  std::vector<double> losses;
};

template <class Net> outcome train(Net const& net, pl::comm::communicator c, run_options const& o) {
  pl::world w(std::move(c), 1);
  auto p = o.plan;
  p.data_ranks = w.size();
  auto m = pl::parallel::build(net, p, w, {.seed = 3});
  pl::nn::optimizer_state<float, space> optimizer(m.context(), m.arena(),
                                                  pl::nn::sgd{.learning_rate = 0.1, .momentum = 0.9});
  outcome out;
  for (int s = 0; s < o.steps; ++s) {
    index_t const batch = o.batches[static_cast<std::size_t>(s) % o.batches.size()];
    auto const walk = [&](index_t first) {
      m.zero_grad(batch);
      for (auto const& micro : m.share().micro_batches()) {
        if (o.delays) std::this_thread::sleep_for(std::chrono::microseconds((w.rank() * 37 + s * 11) % 200));
        index_t const n = micro.rows.size();
        auto x = tensor::allocate(m.context(), {n, 12});
        auto labels = pl::tensor<std::int32_t, space>::allocate(m.context(), {n});
        std::vector<float> hx(static_cast<std::size_t>(n * 12));
        std::vector<std::int32_t> hl(static_cast<std::size_t>(n));
        for (index_t i = 0; i < n; ++i)
          sample(first + m.share().rows().begin + micro.rows.begin + i, hx.data() + i * 12, hl.data() + i);
        pl::copy_from_host(m.context(), hx.data(), x);
        pl::copy_from_host(m.context(), hl.data(), labels);
        auto [y, saved] = m.forward(x);
        m.backward(saved, m.cross_entropy(y, labels).dy);
      }
    };
    if (o.leaves_steps) walk(1000 * s + 500);
    walk(1000 * s);
    m.reduce();
    out.losses.push_back(m.loss());
    m.step(optimizer);
  }
  out.values.resize(static_cast<std::size_t>(m.arena().size()));
  pl::copy_to_host(m.context(), tensor::wrap(m.arena().values(), {m.arena().size()}), out.values.data());
  m.demand_equal_replicas();
  return out;
}

template <class Net> outcome train_alone(Net const& net, run_options const& o) {
  return train(net, pl::comm::communicator(pl::comm::self{}), o);
}
template <class Net> outcome train_on(int ranks, Net const& net, run_options const& o) {
  outcome first;
  pl::comm::run_local(ranks, [&](pl::comm::communicator c) {
    bool const root = c.rank() == 0;
    auto r = train(net, std::move(c), o);
    if (root) first = std::move(r);
  });
  return first;
}

}  // namespace

TEST_CASE(
    "deterministic training gives the same bits on any number of ranks, in any number of micro-batches, with and "
    "without overlap") {
  run_options o;
  o.plan.deterministic = true;
  auto const reference = train_alone(small_net(), o);
  for (int ranks : {1, 2, 3, 4, 5, 8})
    for (index_t micro : {1, 2, 3})
      for (bool overlap : {true, false}) {
        auto q = o;
        q.plan.micro_batches = micro;
        q.plan.overlap = overlap;
        q.plan.bucket_bytes = overlap ? 300 : 1 << 20;  // a bucket per layer, or one for all
        q.delays = ranks == 3;
        auto const r = train_on(ranks, small_net(), q);
        INFO(ranks << " ranks, " << micro << " micro-batches, overlap " << overlap);
        CHECK(r.values == reference.values);
        CHECK(r.losses == reference.losses);
      }
}

TEST_CASE("gradients that nobody has reduced move nothing, and can be reduced then") {
  for (bool const deterministic : {true, false})
    for (int const ranks : {1, 2}) {
      std::vector<std::string> said(static_cast<std::size_t>(ranks));
      auto right = std::vector<char>(static_cast<std::size_t>(ranks), 0);
      pl::comm::run_local(ranks, [&](pl::comm::communicator c) {
        pl::world w(std::move(c), 1);
        auto const rank = static_cast<std::size_t>(w.rank());
        auto m =
            pl::parallel::build(small_net(), {.data_ranks = ranks, .deterministic = deterministic}, w, {.seed = 3});
        pl::nn::optimizer_state<float, space> optimizer(m.context(), m.arena(), pl::nn::sgd{.learning_rate = 0.1});
        auto const before = m.host_values();
        m.zero_grad(6);
        index_t const n = m.share().rows().size();
        auto const x = tensor::allocate(m.context(), {n, 12});
        pl::compute::fill(m.context().space(), x.size(), static_cast<float>(rank + 1), x.data());
        auto const labels = pl::tensor<std::int32_t, space>::allocate(m.context(), {n});
        pl::compute::fill(m.context().space(), n, std::int32_t{0}, labels.data());
        auto [y, saved] = m.forward(x);
        m.backward(saved, m.cross_entropy(y, labels).dy);
        try {
          m.step(optimizer);
        } catch (pl::error const& e) {
          said[rank] = e.what();
        }
        bool const stayed = m.host_values() == before && m.steps() == 0 && optimizer.steps() == 0;
        m.reduce();
        m.step(optimizer);
        m.demand_equal_replicas();
        right[rank] = stayed && m.host_values() != before;
      });
      for (auto const& s : said)
        CHECK(s.find("the gradients of step 0 have not been summed over all ranks") != std::string::npos);
      CHECK(std::count(right.begin(), right.end(), 1) == ranks);
    }
}

TEST_CASE("a step that is left after backward leaves nothing in the next one") {
  run_options o;
  o.plan.deterministic = true;
  o.plan.bucket_bytes = 300;
  auto const reference = train_alone(small_net(), o);
  o.leaves_steps = true;
  for (int ranks : {1, 2, 3})
    for (index_t micro : {1, 2})
      for (bool overlap : {true, false})
        for (bool delays : {false, true}) {
          auto q = o;
          q.plan.micro_batches = micro;
          q.plan.overlap = overlap;
          q.delays = delays;
          auto const r = train_on(ranks, small_net(), q);
          INFO(ranks << " ranks, " << micro << " micro-batches, overlap " << overlap << ", delays " << delays);
          CHECK(r.values == reference.values);
          CHECK(r.losses == reference.losses);
        }
}

TEST_CASE("fast training agrees with one rank within the rounding of the sums") {
  run_options o;
  auto const reference = train_alone(small_net(), o);
  for (int ranks : {2, 3, 4})
    for (index_t micro : {1, 3}) {
      auto q = o;
      q.plan.micro_batches = micro;
      auto const r = train_on(ranks, small_net(), q);
      // A gradient is a sum over at most 37 samples; two orders of summation differ by less than 37·2⁻²⁴ of the sum of
      // magnitudes. With rate 0.1, momentum 0.9 and 4 steps a parameter moves by less than 4·0.1·10·|g| with Σ|g_i| ≤ 4
      // here; each step's difference enters the next step's gradient with a factor below 2.
      double const bound = 37 * 0x1p-24 * 4 * 0.1 * 10 * 4 * 8;
      for (std::size_t i = 0; i < r.values.size(); ++i)
        REQUIRE(std::abs(static_cast<double>(r.values[i]) - reference.values[i]) < bound);
    }
}

TEST_CASE("tied weights are summed over both uses, the same bits on any number of ranks") {
  auto const net = pl::nn::sequential(pl::nn::linear("a", 12, 12), pl::nn::relu(),
                                      pl::nn::linear("b", 12, 12, {.tied_to = "a.weight"}), pl::nn::linear("c", 12, 5));
  run_options o;
  o.plan.deterministic = true;
  auto const reference = train_alone(net, o);
  for (int ranks : {1, 2, 3, 4})
    for (index_t micro : {1, 2, 3, 5}) {  // of 37 samples in 8 lanes: cuts inside of lanes
      auto q = o;
      q.plan.micro_batches = micro;
      auto const r = train_on(ranks, net, q);
      INFO(ranks << " ranks, " << micro << " micro-batches");
      CHECK(r.losses == reference.losses);
      for (std::size_t i = 0; i < reference.values.size(); ++i) REQUIRE(r.values[i] == reference.values[i]);
    }
}

TEST_CASE("initial values do not depend on the number of ranks") {
  run_options o;
  o.steps = 0;
  CHECK(train_on(3, small_net(), o).values == train_alone(small_net(), o).values);
}

TEST_CASE("accumulation does not communicate, and all ranks start exchanges in one order") {
  pl::comm::run_local(2, [](pl::comm::communicator c) {
    pl::world w(std::move(c), 1);
    auto net = small_net();
    auto m = pl::parallel::build(net, {.global_batch = 8, .data_ranks = 2, .micro_batches = 4, .bucket_bytes = 1}, w);
    m.zero_grad(8);
    auto const before = m.ranks().counted(pl::comm::call_kind::all_reduce).calls;
    for (std::size_t i = 0; i < 4; ++i) {
      auto x = tensor::allocate(m.context(), {1, 12});
      pl::compute::fill(m.context().space(), 12, 1.0f, x.data());
      auto [y, saved] = m.forward(x);
      auto dy = tensor::allocate(m.context(), {1, 5});
      pl::compute::fill(m.context().space(), 5, 1.0f, dy.data());
      m.backward(saved, dy);
      if (i < 3 && m.ranks().counted(pl::comm::call_kind::all_reduce).calls != before)
        throw std::runtime_error("micro-batch " + std::to_string(i) + " communicated");
    }
    m.reduce();
    // 6 parameters and the loss in buckets of one
    if (m.ranks().counted(pl::comm::call_kind::all_reduce).calls != before + 7)
      throw std::runtime_error("not one exchange per bucket");
  });
}

TEST_CASE("every parameter lies in exactly one bucket, whatever the bucket size") {
  auto net = small_net();
  pl::context<space> where(pl::make_instance<space>(1));
  pl::nn::arena<float, space> arena(where, net, 1);
  for (index_t bytes : {1, 64, 999, 1000, 1001, 1 << 20}) {
    std::vector<int> owner;
    auto const buckets = pl::parallel::make_buckets(arena.entries(), arena.size(), 4, bytes, owner);
    index_t end = arena.size();
    int entries = 0;
    for (auto const& b : buckets) {
      CHECK(b.end == end);
      end = b.begin;
      entries += b.entries;
    }
    CHECK(end == 0);
    CHECK(entries == static_cast<int>(arena.entries().size()));
    for (std::size_t i = 0; i < owner.size(); ++i) {
      auto const& b = buckets[static_cast<std::size_t>(owner[i])];
      CHECK(arena.entries()[i].begin >= b.begin);
      CHECK(arena.entries()[i].end <= b.end);
    }
  }
}

namespace {
// A layer of which some steps use only one branch: the other's gradient stays unwritten.
struct sometimes {
  struct saved {
    tensor x, dy;
    bool used = false;
  };
  pl::nn::values<float, space> used{"used", pl::extents{1}, pl::nn::initializer::constant(1)},
      unused{"unused", pl::extents{3}, pl::nn::initializer::constant(2)};
  pl::extents shape(pl::extents in) const { return in; }
  pl::nn::step<saved, tensor> forward(pl::nn::pass<space> const&, tensor x) const { return {x, {x, {}, true}}; }
  tensor backward(pl::nn::pass<space> const& p, saved& s, tensor dy) {
    pl::nn::accumulate_gradient(p, used, [&](float* out, pl::compute::lanes const& l) {
      pl::compute::column_sum(p.space(), 1, static_cast<float const*>(s.x.data()), 12, out, l);
    });
    return dy;
  }
  void for_each_parameter(auto&& f) { f(used), f(unused); }
};
}  // namespace

TEST_CASE("parameters that no sample used, and ranks without samples, count as zero and do not hang") {
  pl::comm::run_local(3, [](pl::comm::communicator c) {
    pl::world w(std::move(c), 1);
    auto net = pl::nn::sequential(sometimes{});
    auto m = pl::parallel::build(net, {.global_batch = 2, .data_ranks = 3}, w);
    pl::nn::optimizer_state<float, space> optimizer(m.context(), m.arena(), pl::nn::sgd{.learning_rate = 1});
    m.zero_grad(2);  // ranks 0 and 1 have one sample, rank 2 has none
    index_t const n = m.share().rows().size();
    auto x = tensor::allocate(m.context(), {n, 12});
    pl::compute::fill(m.context().space(), x.size(), 0.25f, x.data());
    auto [y, saved] = m.forward(x);
    m.backward(saved, y);
    m.reduce();
    m.step(optimizer);
    float v[4];
    pl::copy_to_host(m.context(), tensor::wrap(m.arena().values(), {1}), v);
    pl::copy_to_host(m.context(), tensor::wrap(m.arena().values() + m.arena().entries()[1].begin, {3}), v + 1);
    if (v[0] != 0.5f || v[1] != 2.0f || v[2] != 2.0f || v[3] != 2.0f)
      throw std::runtime_error("rank " + std::to_string(w.rank()) + ": " + std::to_string(v[0]) + " " +
                               std::to_string(v[1]));
    m.demand_equal_replicas();
  });
}

namespace {
std::string sentence_of(int ranks, auto&& f) {
  std::mutex guard;
  std::string said;
  try {
    pl::comm::run_local(ranks, [&](pl::comm::communicator c) { f(c); });
  } catch (std::exception const& e) {
    std::lock_guard const lock(guard);
    said = e.what();
  }
  return said;
}
}  // namespace

TEST_CASE("plans that differ, worlds that do not fit and names that clash are refused on every rank") {
  std::atomic<int> refused = 0;
  auto const said = sentence_of(3, [&](pl::comm::communicator& c) {
    pl::world w(std::move(c), 1);
    try {
      (void)pl::parallel::build(small_net(), {.global_batch = w.rank() == 1 ? 32 : 64, .data_ranks = 3}, w);
    } catch (pl::error const&) {
      ++refused;
      throw;
    }
  });
  CHECK(refused == 3);
  CHECK(said.find("rank 1 has another plan") != std::string::npos);
  // one of them does not even fit the world: nobody waits for its rank
  CHECK(sentence_of(2, [](pl::comm::communicator& c) {
          pl::world w(std::move(c), 1);
          w.comm.set_timeout(30);
          (void)pl::parallel::build(small_net(), {.global_batch = 64, .data_ranks = w.rank() == 1 ? 3 : 2}, w);
        }).find("rank 1 has another plan than rank 0") != std::string::npos);

  CHECK(sentence_of(1, [](pl::comm::communicator& c) {
          pl::world w(std::move(c), 1);
          (void)pl::parallel::build(small_net(), {.data_ranks = 2}, w);
        }).find("the communicator has 1") != std::string::npos);
  // axes of one's own are part of the nearest mesh
  for (auto const& [ranks, told] : {std::pair<int, std::string>{4, "Use mesh.data = 2, or start 8 ranks"},
                                    {6, "Use mesh.data = 3, mesh.own = node=1, or start 8 ranks"},
                                    {3, "Use mesh.data = 3, mesh.own = node=1, mesh.tensor = 1, or start 8 ranks"}}) {
    auto const refusal = sentence_of(ranks, [](pl::comm::communicator& c) {
      pl::world w(std::move(c), 1);
      pl::plan::plan p{.data_ranks = 4, .tensor_ranks = 2, .order = "pipeline.node.data.tensor", .own_axes = "node=2"};
      (void)pl::parallel::build(small_net(), p, w);
    });
    INFO(refusal);
    CHECK(refusal.find(told) != std::string::npos);
  }
  CHECK(sentence_of(1, [](pl::comm::communicator& c) {
          pl::world w(std::move(c), 1);
          (void)pl::parallel::build(pl::nn::sequential(pl::nn::linear("fc", 2, 2), pl::nn::linear("fc", 2, 2)), {}, w);
        }).find("two parameters are called 'fc.weight'") != std::string::npos);
}

TEST_CASE("a model computes on the instance that it is given") {
  pl::world w(pl::comm::communicator(pl::comm::self{}), 1);
  CHECK(pl::concurrency_of(pl::parallel::build(small_net(), {.global_batch = 4}, w).context().space()) == 1);
  for (int threads : {2, 3}) {
    auto const mine = pl::make_instance<space>(threads);
    auto const m = pl::parallel::build(small_net(), {.global_batch = 4}, w, mine, {.seed = 3});
    CHECK(m.context().space() == mine);
    CHECK(m.clone().context().space() == mine);
    CHECK(m.checksum() == pl::parallel::build(small_net(), {.global_batch = 4}, w, {.seed = 3}).checksum());
  }
}

TEST_CASE("what belongs to a step is refused before one has begun") {
  CHECK(sentence_of(1, [](pl::comm::communicator& c) {
          pl::world w(std::move(c), 1);
          (void)pl::parallel::build(small_net(), {.global_batch = 4}, w).share();
        }).find("Call zero_grad(batch) first") != std::string::npos);
  pl::world w(pl::comm::communicator(pl::comm::self{}), 1);
  auto m = pl::parallel::build(small_net(), {.global_batch = 4}, w);
  auto const x = pl::tensor<float, space>::allocate(m.context(), {4, 12});
  auto const labels = pl::tensor<std::int32_t, space>::allocate(m.context(), {4});
  auto const says = [](auto const& f, char const* words) {
    try {
      f();
    } catch (pl::error const& e) {
      return std::string(e.what()).find(words) != std::string::npos;
    }
    return false;
  };
  CHECK(says([&] { (void)m.forward(x); }, "no step has begun"));
  CHECK(says([&] { (void)m.cross_entropy(x, labels); }, "no step has begun"));
  CHECK(says([&] { m.reduce(); }, "Call"));
}

TEST_CASE("a replica that went astray is named") {
  auto const said = sentence_of(3, [](pl::comm::communicator& c) {
    pl::world w(std::move(c), 1);
    auto m = pl::parallel::build(small_net(), {.data_ranks = 3}, w);
    if (w.rank() == 2) {
      float const wrong = 42;
      pl::copy_from_host(m.context(), &wrong, tensor::wrap(m.arena().values() + 5, {1}));
    }
    m.demand_equal_replicas();
  });
  CHECK(said.find("the parameters of rank 2 differ") != std::string::npos);
}

TEST_CASE("clone and rebuild keep values and have memory of their own") {
  pl::world w(pl::comm::communicator(pl::comm::self{}), 1);
  auto m = pl::parallel::build(small_net(), {}, w, {.seed = 9});
  auto const c = m.clone();
  CHECK(c.checksum() == m.checksum());
  CHECK(c.arena().values() != m.arena().values());
  float const other = 7;
  pl::copy_from_host(m.context(), &other, tensor::wrap(m.arena().values(), {1}));
  CHECK(c.checksum() != m.checksum());
  m.take_values(c);
  CHECK(c.checksum() == m.checksum());
}

namespace {
std::string taken_by_steps(pl::plan::plan const& p) {
  std::mutex guard;
  std::string said;
  pl::comm::run_local(static_cast<int>(p.data_ranks * p.tensor_ranks), [&](pl::comm::communicator c) {
    bool const root = c.rank() == 0;  // counts for all: they are one process
    auto const mine = pleat_test::taken_by_steps(std::move(c), p, root);
    std::lock_guard const lock(guard);
    said += mine;
  });
  return said;
}
}  // namespace

TEST_CASE("a whole step in the steady state allocates nothing: no block, no View, nothing from the heap") {
  for (int ranks : {1, 2, 3})
    for (int stage : {0, 1, 2, 3})
      for (bool deterministic : {false, true})
        for (index_t micro : {1, 2}) {
          INFO(ranks << " ranks, stage " << stage << ", deterministic " << deterministic << ", " << micro
                     << " micro-batches");
          CHECK(taken_by_steps({.data_ranks = ranks,
                                .micro_batches = micro,
                                .state_stage = stage,
                                .deterministic = deterministic,
                                .overlap = micro == 1,
                                .bucket_bytes = 700}) == "");
        }
  for (int data : {1, 2})
    for (int stage : {0, 3}) {
      INFO(data << " data ranks, 2 tensor ranks, stage " << stage);
      CHECK(taken_by_steps({.data_ranks = data, .tensor_ranks = 2, .state_stage = stage, .bucket_bytes = 700}) == "");
    }
}
