// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What sharded state costs: training steps of a language model on two ranks as threads, under stages 0 to 3. An
// iteration runs a few steps under stage 0 and as many under the other stage, in turn, so that both see the same
// machine; `ratio` is the median of their quotients. Several steps, because what one sends travels beside the next one.
// Exposed communication: what a step takes longer than one of two ranks that do not talk, as a share of what its
// exchange takes alone. Ranks of one machine exchange with the processors that they compute on, so there little can be
// hidden; over a link that carries by itself (here a modelled one, of 10 Gbit/s) nearly everything can.
#include <pleat/pleat.hpp>

#include <benchmark/benchmark.h>

#include <algorithm>
#include <barrier>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "../../examples/07_language_model/network.hpp"
#include "../support/linked.hpp"

namespace {

namespace pl = pleat;
using space = Kokkos::DefaultExecutionSpace;
using clock_type = std::chrono::steady_clock;

constexpr int steps_of_a_turn = 4;
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
  /// The exchanges of a turn alone: every bucket, one after the other, nothing to hide behind.
  void exchanges() {
    auto& a = model_.arena();
    for (int i = 0; i < steps_of_a_turn; ++i)
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

double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v[v.size() / 2];
}

/// A piece of work that is timed, between what leads into it and what ends it.
struct work {
  std::function<void()> begin, timed, end;
};
/// `works(rank's communicator)` gives one rank's pieces of work; an iteration runs them in turn, all ranks together.
void in_turn(benchmark::State& state, std::function<std::vector<work>(pl::comm::communicator)> const& works,
             std::vector<std::vector<double>>& seconds) {
  std::barrier<> gate(2);
  bool go = true;
  pl::comm::run_local(2, [&](pl::comm::communicator c) {
    bool const root = c.rank() == 0;
    auto const mine = works(std::move(c));
    if (root) seconds.resize(mine.size());
    auto const round = [&](bool record) {
      for (std::size_t k = 0; k < mine.size(); ++k) {
        mine[k].begin();
        gate.arrive_and_wait();
        auto const t = clock_type::now();
        mine[k].timed();
        gate.arrive_and_wait();
        if (root && record)
          seconds[k].push_back(std::chrono::duration<double>(clock_type::now() - t).count() / steps_of_a_turn);
        mine[k].end();
      }
    };
    auto const goes_on = [&](bool root_says) {
      if (root) go = root_says;
      gate.arrive_and_wait();
      return go;
    };
    for (int i = 0; i < 2; ++i) round(false);
    if (root) {
      for (auto _ : state) {
        goes_on(true);
        round(true);
        state.SetIterationTime(seconds.back().back());
      }
      goes_on(false);
    } else {
      while (goes_on(true)) round(false);
    }
  });
}

/// Steps in the middle of training: what the step before has sent travels when they begin, what the last one sends when
/// they end.
work steps_of(std::shared_ptr<trainer> t) {
  return {[t] { t->step(); },
          [t] {
            for (int i = 0; i < steps_of_a_turn; ++i) t->step();
          },
          [t] { t->settle(); }};
}

void stage_against_0(benchmark::State& state, int stage) {
  std::vector<std::vector<double>> seconds;
  double held[2] = {};
  in_turn(
      state,
      [&](pl::comm::communicator c) {
        pl::plan::plan p;
        auto const root = c.rank() == 0;
        auto second = c.duplicate();
        auto zero = std::make_shared<trainer>(std::move(c), p);
        p.state_stage = stage;
        auto other = std::make_shared<trainer>(std::move(second), p);
        if (root) held[0] = zero->mebibytes(), held[1] = other->mebibytes();
        return std::vector<work>{steps_of(zero), steps_of(other)};
      },
      seconds);
  std::vector<double> ratios;
  for (std::size_t i = 0; i < seconds[0].size(); ++i) ratios.push_back(seconds[1][i] / seconds[0][i]);
  state.counters["ratio"] = median(ratios);
  state.counters["stage0_ms"] = median(seconds[0]) * 1e3;
  state.counters["stage_ms"] = median(seconds[1]) * 1e3;
  state.counters["stage0_MiB"] = held[0];
  state.counters["stage_MiB"] = held[1];
}

void exposed(benchmark::State& state, int stage, double bytes_per_second) {
  std::vector<std::vector<double>> seconds;
  in_turn(
      state,
      [&](pl::comm::communicator c) {
        pl::plan::plan p;
        auto const over_link = [&](pl::comm::communicator x) {
          return bytes_per_second > 0 ? pl::comm::communicator(bench::linked(std::move(x), bytes_per_second))
                                      : std::move(x);
        };
        auto alone = std::make_shared<trainer>(pl::comm::communicator(pl::comm::self{}), p);
        auto zero = std::make_shared<trainer>(over_link(c.duplicate()), p);
        p.state_stage = stage;
        auto both = stage == 0 ? zero : std::make_shared<trainer>(over_link(std::move(c)), p);
        return std::vector<work>{steps_of(alone), {[] {}, [zero] { zero->exchanges(); }, [] {}}, steps_of(both)};
      },
      seconds);
  std::vector<double> longer, relative;  // of each round by itself: the machine drifts
  for (std::size_t i = 0; i < seconds[0].size(); ++i) {
    longer.push_back(seconds[2][i] - seconds[0][i]);
    relative.push_back(seconds[2][i] / seconds[0][i]);
  }
  double const exchange = median(seconds[1]);
  state.counters["silent_ms"] = median(seconds[0]) * 1e3;
  state.counters["exchange_ms"] = exchange * 1e3;
  state.counters["step_ms"] = median(seconds[2]) * 1e3;
  state.counters["exposed"] = std::max(0.0, median(longer)) / exchange;
  state.counters["to_silent"] = median(relative);
}

int const registered = [] {
  for (int stage : {1, 2, 3})
    benchmark::RegisterBenchmark(("state/gpt_4x256/thread_ranks:2/stage:" + std::to_string(stage)).c_str(),
                                 [=](benchmark::State& s) { stage_against_0(s, stage); })
        ->UseManualTime()
        ->Unit(benchmark::kMillisecond)
        ->Iterations(10);
  for (auto const& [link, bytes_per_second] : {std::pair{"", 0.0}, {"/link:10Gbit", 1.25e9}})
    for (int stage : {0, 1})
      benchmark::RegisterBenchmark(
          ("exposed_communication/gpt_4x256/thread_ranks:2/stage:" + std::to_string(stage) + link).c_str(),
          [=, rate = bytes_per_second](benchmark::State& s) { exposed(s, stage, rate); })
          ->UseManualTime()
          ->Unit(benchmark::kMillisecond)
          ->Iterations(bytes_per_second > 0 ? 60 : 15);  // the claim: a tenth of 10 ms, and steps differ by 1 ms
  return 0;
}();

}  // namespace
