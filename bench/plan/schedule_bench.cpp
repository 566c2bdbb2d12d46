// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Making, checking and simulating pipeline schedules: actions per second. The simulator's line in the sand is 10^7.
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include <pleat/plan/schedule_check.hpp>
#include <pleat/plan/schedule_passes.hpp>
#include <pleat/plan/schedules.hpp>
#include <pleat/plan/simulate.hpp>
#include <pleat/plan/stages.hpp>

namespace {

namespace plan = pleat::plan;
using pleat::index_t;

void rate(benchmark::State& state, index_t actions) { state.SetItemsProcessed(state.iterations() * actions); }

void simulate(benchmark::State& state, plan::schedule_kind kind, index_t ranks, index_t micro_batches, bool messages) {
  auto const made = plan::make_schedule(kind, ranks, micro_batches);
  auto const s = messages ? plan::with_messages(made) : made;
  plan::stage_costs const costs{.message_bytes = {1e6}};
  plan::link_costs const link{.latency = 1e-3, .bandwidth = 1e9};
  for (auto _ : state) {
    auto x = plan::simulate(s, costs, link);
    benchmark::DoNotOptimize(x.result.makespan);
  }
  rate(state, s.size());
}

void check(benchmark::State& state, plan::schedule_kind kind, index_t ranks, index_t micro_batches) {
  auto const s = plan::with_messages(plan::make_schedule(kind, ranks, micro_batches));
  for (auto _ : state) {
    auto f = plan::find_fault(s);
    benchmark::DoNotOptimize(f);
  }
  rate(state, s.size());
}

void make(benchmark::State& state, plan::schedule_kind kind, index_t ranks, index_t micro_batches) {
  index_t n = 0;
  for (auto _ : state) {
    auto s = plan::with_messages(plan::make_schedule(kind, ranks, micro_batches));
    n = s.size();
    benchmark::DoNotOptimize(s);
  }
  rate(state, n);
}

void cut(benchmark::State& state) {
  std::vector<double> units;
  for (int i = 0; i < 1000; ++i) units.push_back(1 + (i * 37) % 11);
  for (auto _ : state) {
    auto cuts = plan::cut_stages(units, 16);
    benchmark::DoNotOptimize(cuts);
  }
}

bool const listed = [] {
  struct size {
    index_t ranks, micro_batches;
  };
  for (auto const k : {plan::schedule_kind::one_f_one_b, plan::schedule_kind::interleaved, plan::schedule_kind::zb_v})
    for (auto const [p, m] : {size{8, 32}, size{16, 1024}, size{128, 1024}}) {
      std::string const what = std::string(plan::name(k)) + "/p" + std::to_string(p) + "_m" + std::to_string(m);
      benchmark::RegisterBenchmark(("schedule/simulate/" + what).c_str(), simulate, k, p, m, false);
      benchmark::RegisterBenchmark(("schedule/simulate_messages/" + what).c_str(), simulate, k, p, m, true);
      benchmark::RegisterBenchmark(("schedule/check/" + what).c_str(), check, k, p, m);
      benchmark::RegisterBenchmark(("schedule/make/" + what).c_str(), make, k, p, m);
    }
  benchmark::RegisterBenchmark("stages/cut/units1000_stages16", cut);
  return true;
}();

}  // namespace
