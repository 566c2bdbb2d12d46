// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A step's walk over a pipeline of two ranks (threads) beside its bound: two ranks that each walk half of the layers without talking,
// times the schedule's idle share for those stage times. `share_of_bound` near 1 means that messages and bookkeeping cost nothing.
// Two ranks need two idle processors. `cpu_share` compares processor time in place of time on the clock: under load it still says what
// messages and bookkeeping cost, though not how long ranks idle.
#include <pleat/comm/local.hpp>
#include <pleat/plan/simulate.hpp>
#include <pleat/pleat.hpp>

#include <benchmark/benchmark.h>

#include <time.h>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <string>
#include <vector>

namespace {

namespace pl = pleat;
using space = Kokkos::DefaultExecutionSpace;
using tensor = pl::tensor<float, space>;
using pl::index_t;

constexpr index_t width = 256, rows = 64;  // of a micro-batch: 64 KiB per message

auto network(index_t blocks) { return pl::nn::repeat("block", blocks, pl::nn::sequential(pl::nn::linear("in", width, width), pl::nn::relu(), pl::nn::linear("out", width, width))); }
using net_type = decltype(network(1));

struct inputs {
  pl::parallel::model<net_type>* m;
  tensor x, target;
  explicit inputs(pl::parallel::model<net_type>& model) : m(&model), x(tensor::allocate(model.context(), {rows, width})), target(tensor::allocate(model.context(), {rows, width})) {
    pl::compute::fill(model.context().space(), x.size(), 0.5f, x.data());
    pl::compute::fill(model.context().space(), x.size(), 0.25f, target.data());
  }
  tensor input(pl::parallel::micro_batch const&) { return x; }
  tensor loss(pl::parallel::micro_batch const&, tensor y) { return m->mean_square(y, target).dy; }
};

pl::plan::plan plan_of(char const* schedule, index_t p, index_t m) {
  pl::plan::plan q;
  q.schedule = schedule;
  q.pipeline_ranks = p;
  q.micro_batches = m;
  q.global_batch = rows * m;
  return q;
}

struct seconds {
  double wall = 1e9, processor = 1e9;
};
double processor_now() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// Seconds per step of the slowest rank, the least of `repeats` runs: the others were disturbed.
seconds seconds_of(pl::plan::plan const& p, index_t blocks, bool apart, int repeats) {
  seconds best;
  std::vector<double> slowest(static_cast<std::size_t>(repeats), 0), busiest = slowest;
  std::mutex guard;
  pl::comm::run_local(2, [&](pl::comm::communicator c) {
    auto meet = c.duplicate();
    pl::world w(apart ? pl::comm::communicator(pl::comm::self{}) : std::move(c), 1);
    auto m = pl::parallel::build(network(blocks), p, w, {.seed = 1});
    inputs source(m);
    for (int i = -2; i < repeats; ++i) {
      meet.barrier();
      auto const t = std::chrono::steady_clock::now();
      double const busy = processor_now();
      m.zero_grad(p.global_batch);
      m.walk(source);
      m.context().fence();
      double const s = std::chrono::duration<double>(std::chrono::steady_clock::now() - t).count();
      double const used = processor_now() - busy;
      m.reduce();
      if (i < 0) continue;
      std::lock_guard const lock(guard);
      slowest[static_cast<std::size_t>(i)] = std::max(slowest[static_cast<std::size_t>(i)], s);
      busiest[static_cast<std::size_t>(i)] = std::max(busiest[static_cast<std::size_t>(i)], used);
    }
  });
  for (double const s : slowest) best.wall = std::min(best.wall, s);
  for (double const s : busiest) best.processor = std::min(best.processor, s);
  return best;
}

void pipeline(benchmark::State& state, char const* schedule, index_t m) {
  constexpr index_t blocks = 8;
  constexpr int repeats = 15;
  seconds taken, halves;
  for (auto _ : state) {
    halves = seconds_of(plan_of("1f1b", 1, m), blocks / 2, true, repeats);
    taken = seconds_of(plan_of(schedule, 2, m), blocks, false, repeats);
    state.SetIterationTime(taken.wall);
  }
  auto const s = pl::plan::make_schedule(pl::plan::parse_schedule_kind(schedule), 2, m);
  auto const idle = pl::plan::simulate(s).result.idle_share;
  double const bound = halves.wall / (1 - idle);
  state.counters["bound_ms"] = bound * 1e3;
  state.counters["share_of_bound"] = bound / taken.wall;
  state.counters["cpu_share"] = halves.processor / taken.processor;
  state.counters["idle_share"] = idle;
}

void register_all() {
  for (auto const& [schedule, m] : {std::pair{"1f1b", 32}, {"gpipe", 32}, {"zb-h1", 32}, {"1f1b", 4}, {"zb-h1", 4}, {"zb-v", 4}})
    benchmark::RegisterBenchmark(("pipeline/" + std::string(schedule) + "/ranks:2/micro_batches:" + std::to_string(m)).c_str(), [schedule = schedule, m = m](benchmark::State& s) { pipeline(s, schedule, m); })
        ->UseManualTime()
        ->Iterations(1)
        ->Unit(benchmark::kMillisecond);
}
[[maybe_unused]] bool const registered = (register_all(), true);

}  // namespace
