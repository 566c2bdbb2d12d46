// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What sharded state costs: training steps of a language model on two ranks as threads, under stages 0 to 3. A round has
// a few steps under stage 0 and as many under the other stage, so that both see the same machine; `ratio` is the median
// of their quotients. Several steps, because what one sends travels beside the next one.
// Exposed communication: what a step takes longer than one of two ranks that do not talk, as a share of what its
// exchange takes alone. Ranks of one machine exchange with the processors that they compute on, so there little can be
// hidden; over a link that carries by itself (here a modelled one, of 10 Gbit/s) nearly everything can.
#include <pleat/pleat.hpp>

#include <benchmark/benchmark.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "../../examples/07_language_model/network.hpp"
#include "../support/linked.hpp"
#include "../support/turns.hpp"

namespace {

namespace pl = pleat;
using space = Kokkos::DefaultExecutionSpace;

constexpr pl::index_t batch = 8, positions = 64, vocabulary = 65;
auto net() {
  return gpt::network({.vocabulary = vocabulary, .context = positions, .layers = 4, .width = 256, .heads = 4});
}

/// One rank's model, data and optimizer.
class trainer {
  using network = decltype(net());

 public:
  trainer(pl::comm::communicator c, pl::plan::plan p)
      : world_(std::move(c), 1),
        model_(pl::parallel::build(net(), with_ranks(p, world_.size()), world_, {.seed = 1})),
        optimizer_(model_.context(), model_.arena(), pl::nn::adamw{.learning_rate = 1e-5}) {
    model_.zero_grad(model_.plan().global_batch);
    auto const rows = model_.share().rows().size();
    x_ = pl::tensor<float, space>::allocate(model_.context(), {rows, positions});
    labels_ = pl::tensor<std::int32_t, space>::allocate(model_.context(), {rows, positions});
    std::vector<float> x(static_cast<std::size_t>(x_.size()));
    std::vector<std::int32_t> labels(x.size());
    for (std::size_t i = 0; i < x.size(); ++i)
      x[i] = static_cast<float>(i * 7 % vocabulary), labels[i] = static_cast<std::int32_t>(i * 11 % vocabulary);
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
  void settle() { model_.settle(); }
  /// A step's exchange alone: every bucket, one after the other, nothing to hide behind.
  void exchange() {
    auto& a = model_.arena();
    for (auto const& b : a.layout().buckets())
      model_.ranks().all_reduce(std::span<float>(a.gradients() + b.begin, static_cast<std::size_t>(b.size())));
  }
  [[nodiscard]] double mebibytes() const {
    auto const m = model_.memory();
    return static_cast<double>(m.parameters + m.gradients + m.optimizer_state) / (1 << 20);
  }

 private:
  static pl::plan::plan with_ranks(pl::plan::plan p, int n) {
    p.data_ranks = n;
    p.global_batch = batch * n / 2;
    return p;
  }
  pl::world world_;
  pl::parallel::model<network> model_;
  pl::nn::optimizer_state<float, space> optimizer_;
  pl::tensor<float, space> x_;
  pl::tensor<std::int32_t, space> labels_;
};

/// Steps in the middle of training: what the step before has sent travels when they begin, what the last one sends when
/// they end.
bench::piece steps_of(trainer& t, int steps) {
  return {[&t, steps] {
            for (int i = 0; i < steps; ++i) t.step();
          },
          1, [&t] { t.step(); }, [&t] { t.settle(); }};
}

void stage_against_0(benchmark::State& state, int stage) {
  constexpr int steps = 2;
  bench::turns turns(2);
  double held[2] = {};
  for (auto _ : state) {
    pl::comm::run_local(2, [&](pl::comm::communicator c) {
      pl::plan::plan p;
      int const rank = c.rank();
      trainer zero(c.duplicate(), p);
      p.state_stage = stage;
      trainer other(std::move(c), p);
      if (rank == 0) held[0] = zero.mebibytes(), held[1] = other.mebibytes();
      turns.take(rank, {steps_of(zero, steps), steps_of(other, steps)}, 7, 10);
    });
    state.SetIterationTime(turns.median(1).median / steps);
  }
  turns.quotient(1, 0).tell(state, "ratio");
  state.counters["stage0_ms"] = turns.median(0).median / steps * 1e3;
  state.counters["stage_ms"] = turns.median(1).median / steps * 1e3;
  state.counters["stage0_MiB"] = held[0];
  state.counters["stage_MiB"] = held[1];
  state.counters["rounds"] = turns.rounds();
}

/// A step of ranks that do not talk beside one of ranks that do: single ones, for they drift by more than what is looked
/// for.
void exposed(benchmark::State& state, int stage, double bytes_per_second, double window) {
  bench::turns turns(2);
  for (auto _ : state) {
    pl::comm::run_local(2, [&](pl::comm::communicator c) {
      int const rank = c.rank();
      auto const over_link = [&](pl::comm::communicator x) {
        return bytes_per_second > 0 ? pl::comm::communicator(bench::linked(std::move(x), bytes_per_second))
                                    : std::move(x);
      };
      pl::plan::plan p;
      trainer alone(pl::comm::communicator(pl::comm::self{}), p), zero(over_link(c.duplicate()), p);
      p.state_stage = stage;
      std::optional<trainer> other;
      if (stage != 0) other.emplace(over_link(std::move(c)), p);
      auto talking = steps_of(other ? *other : zero, 1);
      if (stage == 0) talking.begin = nullptr;  // nothing of a step travels beside the next one
      bench::piece const silent{[&] { alone.step(); }};
      turns.take(rank, {silent, talking, {[&] { zero.exchange(); }, 4, nullptr, nullptr, 8}}, window, 10);
    });
    state.SetIterationTime(turns.median(1).median);
  }
  double const exchange = turns.median(2).median;
  auto longer = turns.median(0, 1, [](double apart, double together) { return together - apart; });
  for (double* x : {&longer.median, &longer.low, &longer.high}) *x = std::max(0.0, *x) / exchange;
  longer.tell(state, "exposed");
  turns.quotient(1, 0).tell(state, "to_silent");
  state.counters["silent_ms"] = turns.median(0).median * 1e3;
  state.counters["exchange_ms"] = exchange * 1e3;
  state.counters["step_ms"] = turns.median(1).median * 1e3;
  state.counters["rounds"] = turns.rounds();
}

int const registered = [] {
  for (int stage : {1, 2, 3})
    benchmark::RegisterBenchmark(("state/gpt_4x256/thread_ranks:2/stage:" + std::to_string(stage)).c_str(),
                                 [=](benchmark::State& s) { stage_against_0(s, stage); })
        ->UseManualTime()
        ->Unit(benchmark::kMillisecond)
        ->Iterations(1);
  for (auto const& [link, bytes_per_second] : {std::pair{"", 0.0}, {"/link:10Gbit", 1.25e9}})
    for (int stage : {0, 1})
      benchmark::RegisterBenchmark(
          ("exposed_communication/gpt_4x256/thread_ranks:2/stage:" + std::to_string(stage) + link).c_str(),
          // the claim is about the link's rows: a tenth of 10 ms, and steps differ by 1 ms
          [=, rate = bytes_per_second](benchmark::State& s) { exposed(s, stage, rate, rate > 0 ? 42 : 10); })
          ->UseManualTime()
          ->Unit(benchmark::kMillisecond)
          ->Iterations(1);
  return 0;
}();

}  // namespace
