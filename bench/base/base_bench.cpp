// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What everything else pays at every call: a block of the pool (beside operator new), a random number by its index, a
// span of a profile that nobody reads. base/pool/<bytes>, peer/operator_new/base/pool/<bytes>; base/random/uniform/<n>;
// base/profile_region.
#include <benchmark/benchmark.h>

#include <cstddef>
#include <string>
#include <vector>

#include <pleat/base/pool.hpp>
#include <pleat/base/profile.hpp>
#include <pleat/base/random.hpp>

namespace {

using host = Kokkos::DefaultHostExecutionSpace;

void pool_block(benchmark::State& state, std::size_t bytes) {
  pleat::pool<host> pool;
  for (auto _ : state) {
    pleat::pool_handle<host> const block(pool.take(bytes));
    benchmark::DoNotOptimize(block.data());
  }
  state.counters["allocations"] = static_cast<double>(pool.statistics().allocations);  // one, however often it is asked
}

void heap_block(benchmark::State& state, std::size_t bytes) {
  for (auto _ : state) {
    void* const block = ::operator new(bytes);
    benchmark::DoNotOptimize(block);
    ::operator delete(block);
  }
}

template <class Draw> void numbers(benchmark::State& state, std::size_t n, Draw const& draw) {
  std::vector<float> x(n);
  for (auto _ : state) {
    draw(x);
    benchmark::DoNotOptimize(x.data());
    benchmark::ClobberMemory();
  }
  state.counters["elements"] =
      benchmark::Counter(static_cast<double>(n), benchmark::Counter::kIsIterationInvariantRate);
}

int const registered = [] {
  for (std::size_t const bytes : {std::size_t{64}, std::size_t{4096}, std::size_t{1} << 20}) {
    auto const name = "base/pool/" + std::to_string(bytes);
    benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& s) { pool_block(s, bytes); });
    benchmark::RegisterBenchmark(("peer/operator_new/" + name).c_str(),
                                 [=](benchmark::State& s) { heap_block(s, bytes); });
  }
  benchmark::RegisterBenchmark("base/random/uniform/262144", [](benchmark::State& s) {
    pleat::random::stream const r(1, 2);
    numbers(s, 262144, [&](std::vector<float>& x) {
      for (std::size_t i = 0; i < x.size(); ++i) x[i] = r.uniform(i);
    });
  });
  benchmark::RegisterBenchmark("base/profile_region", [](benchmark::State& s) {
    for (auto _ : s) {
      pleat::region const here("base/profile_region");
      benchmark::ClobberMemory();
    }
  });
  return 0;
}();

}  // namespace
