// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Whole training steps: forward, loss, backward, optimizer on data that lie in memory. Alone (beside PyTorch:
// bench/peers/ pytorch_steps.py), on two ranks as threads beside two ranks that do not talk (the compute-only bound),
// and in deterministic mode.
#include <pleat/pleat.hpp>

#include <benchmark/benchmark.h>

#include <support/repeat.hpp>
#include <support/turns.hpp>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "networks.hpp"

namespace {

namespace pl = pleat;
using space = Kokkos::DefaultExecutionSpace;

/// One rank's model, data and optimizer.
template <class Net> class trainer {
 public:
  trainer(Net const& net, pl::extents sample, pl::index_t batch, bool adamw, pl::world& w, bool deterministic = false)
      : model_(pl::parallel::build(
            net, pl::plan::search(net, w, {.global_batch = batch, .deterministic = deterministic}), w, {.seed = 1})),
        optimizer_(model_.context(), model_.arena(),
                   adamw ? pl::nn::optimizer(pl::nn::adamw{.learning_rate = 1e-5})
                         : pl::nn::optimizer(pl::nn::sgd{.learning_rate = 1e-4, .momentum = 0.9})) {
    model_.zero_grad(batch);
    auto const rows = model_.share().rows();
    x_ = pl::tensor<float, space>::allocate(model_.context(), sample.with_batch(rows.size()));
    labels_ = pl::tensor<std::int32_t, space>::allocate(model_.context(), {rows.size()});
    std::vector<float> x(static_cast<std::size_t>(x_.size()));
    pl::nn::draw(pl::nn::initializer::normal(1), 1, "data", 0, x_.size(), x.data());
    std::vector<std::int32_t> labels(static_cast<std::size_t>(rows.size()));
    for (std::size_t i = 0; i < labels.size(); ++i)
      labels[i] = static_cast<std::int32_t>((static_cast<std::size_t>(rows.begin) + i) % 10);
    pl::copy_from_host(model_.context(), x.data(), x_);
    pl::copy_from_host(model_.context(), labels.data(), labels_);
  }

  void step() {
    model_.zero_grad(model_.plan().global_batch);
    auto [y, saved] = model_.forward(x_);
    model_.backward(saved, model_.cross_entropy(y, labels_).dy);
    model_.reduce();
    model_.step(optimizer_);
    model_.context().fence();
  }

 private:
  pl::parallel::model<Net> model_;
  pl::nn::optimizer_state<float, space> optimizer_;
  pl::tensor<float, space> x_;
  pl::tensor<std::int32_t, space> labels_;
};

template <class Net>
void alone(benchmark::State& state, Net net, pl::extents sample, pl::index_t batch, bool adamw, int threads,
           bool deterministic) {
  pl::world w(pl::comm::communicator(pl::comm::self{}), threads);
  trainer t(net, sample, batch, adamw, w, deterministic);
  for (int i = 0; i < 3; ++i) t.step();
  bench::repeat(state, [&] { t.step(); });
  state.counters["samples/s"] =
      benchmark::Counter(static_cast<double>(batch), benchmark::Counter::kIsIterationInvariantRate);
}

/// Two ranks as threads, by turns with two that do not talk, each with a model of its own over half of the batch (what
/// computing alone costs), and with one rank that has the whole batch. `share` and `speedup` are medians of the
/// quotients of a round. \param steps of a block \param window seconds: so many that `share` is known to 0.01
template <class Net>
void two_ranks(benchmark::State& state, Net net, pl::extents sample, pl::index_t batch, int steps, double window) {
  bench::turns turns(2);
  for (auto _ : state) {
    pl::comm::run_local(2, [&](pl::comm::communicator c) {
      int const rank = c.rank();
      pl::world ours(std::move(c), 1), mine(pl::comm::communicator(pl::comm::self{}), 1);
      trainer talking(net, sample, batch, false, ours);
      trainer half(net, sample, batch / 2, false, mine), whole(net, sample, batch, false, mine);
      // of a block of several steps the first one only brings its model into the caches
      auto const by_turns = [&](auto& t, int every) {
        std::function<void()> const step = [&t] { t.step(); };
        return bench::piece{step, steps, steps > 1 ? step : nullptr, nullptr, every};
      };
      turns.take(rank,
                 {by_turns(half, 1), by_turns(talking, 1),
                  rank == 0 ? by_turns(whole, 2) : bench::piece{nullptr, steps, nullptr, nullptr, 2}},
                 window, 41);
    });
    state.SetIterationTime(turns.median(1).median);
  }
  turns.quotient(2, 1).tell(state, "speedup");
  turns.quotient(0, 1).tell(state, "share");
  state.counters["silent_ms"] = turns.median(0).median * 1e3;
  state.counters["rounds"] = turns.rounds();
}

template <class Net>
void add(std::string const& network, Net const& net, pl::extents const& sample, pl::index_t batch,
         std::initializer_list<char const*> optimizers, int steps, double window) {
  std::string const stem = "train_step/" + network + "/batch:" + std::to_string(batch) + "/";
  auto const set = [](auto* b) { b->Unit(benchmark::kMicrosecond); };
  for (std::string const optimizer : optimizers)
    for (int threads : {1, 2})
      set(benchmark::RegisterBenchmark(
          (stem + optimizer + "/threads:" + std::to_string(threads)).c_str(),
          [=](benchmark::State& s) { alone(s, net, sample, batch, optimizer == "adamw", threads, false); }));
  set(benchmark::RegisterBenchmark((stem + "sgd/deterministic/threads:1").c_str(),
                                   [=](benchmark::State& s) { alone(s, net, sample, batch, false, 1, true); }));
  benchmark::RegisterBenchmark((stem + "sgd/thread_ranks:2").c_str(),
                               [=](benchmark::State& s) { two_ranks(s, net, sample, batch, steps, window); })
      ->Unit(benchmark::kMicrosecond)
      ->UseManualTime()
      ->Iterations(1);
}

/// 400 parameters so small that computing is nothing: what is left is our host code (and 4x4 products).
void host_cost(benchmark::State& state) {
  pl::world w(pl::comm::communicator(pl::comm::self{}), 1);
  auto const net =
      pl::nn::sequential(pl::nn::repeat("block", 200, pl::nn::linear("fc", 4, 4)), pl::nn::linear("out", 4, 10));
  trainer t(net, {1, 4}, 1, false, w);
  for (int i = 0; i < 3; ++i) t.step();
  bench::repeat(state, [&] { t.step(); });
  state.counters["us/parameter"] =
      benchmark::Counter(402e-6, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

int const registered = [] {
  benchmark::RegisterBenchmark("host_cost/parameters:402", host_cost)->Unit(benchmark::kMicrosecond);
  for (pl::index_t batch : {64, 256, 1024})
    add("mlp", bench::mlp(), {1, 1, 28, 28}, batch, {"sgd", "adamw"},
        batch == 64    ? 4
        : batch == 256 ? 2
                       : 1,
        batch == 64 ? 4 : 6);
  for (pl::index_t batch : {64, 256})
    add("lenet-5", bench::lenet_5(), {1, 1, 28, 28}, batch, {"sgd"}, 1, batch == 64 ? 4 : 10);
  add("resnet-20", bench::resnet_20(), {1, 3, 32, 32}, 32, {"sgd"}, 1, 10);
  return 0;
}();

}  // namespace
