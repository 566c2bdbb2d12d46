// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Sorting and ranking through Thrust beside the standard library's sort; the exact threshold of magnitude pruning,
// which counts digits, beside std::nth_element of a copy.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include <pleat/base/random.hpp>
#include <pleat/compute/threshold.hpp>
#if __has_include(<thrust/version.h>)
#include <pleat/compute/sort.hpp>
#include <pleat/compute/top_k.hpp>
#endif

namespace {

namespace pc = pleat::compute;
using pleat::index_t;
using host = Kokkos::DefaultHostExecutionSpace;

host with_threads([[maybe_unused]] int threads) {
#if defined(KOKKOS_ENABLE_OPENMP)
  if constexpr (std::is_same_v<host, Kokkos::OpenMP>) return Kokkos::OpenMP(threads);
#endif
  return host{};
}

std::vector<float> numbers(index_t n) {
  std::vector<float> x(static_cast<std::size_t>(n));
  pleat::random::stream const r(1, 2);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = r.uniform(i) - 0.5f;
  return x;
}

template <class F>
void measure(benchmark::State& state, index_t n, F const& f) {
  for (auto _ : state) f();
  state.counters["elements"] =
      benchmark::Counter(static_cast<double>(n), benchmark::Counter::kIsIterationInvariantRate);
}

int const registered = [] {
  for (index_t const n : {index_t{266200}, index_t{4000000}}) {
    std::string const size = "/" + std::to_string(n);
    benchmark::RegisterBenchmark(("peer/std_nth_element" + size).c_str(), [=](benchmark::State& state) {
      auto const x = numbers(n);
      std::vector<float> y(x.size());
      measure(state, n, [&] {
        std::transform(x.begin(), x.end(), y.begin(), [](float v) { return std::abs(v); });
        std::nth_element(y.begin(), y.begin() + n / 10, y.end(), std::greater<float>());
        benchmark::DoNotOptimize(y[static_cast<std::size_t>(n / 10)]);
      });
    });
    benchmark::RegisterBenchmark(("peer/std_sort" + size).c_str(), [=](benchmark::State& state) {
      auto const x = numbers(n);
      auto y = x;
      measure(state, n, [&] {
        y = x;
        std::sort(y.begin(), y.end());
      });
    });
    for (int const threads : {1, 2}) {
      std::string const end = size + "/threads:" + std::to_string(threads);
      benchmark::RegisterBenchmark(("threshold_of_top_k/f32" + end).c_str(), [=](benchmark::State& state) {
        auto const space = with_threads(threads);
        auto const x = numbers(n);
        measure(state, n, [&] { benchmark::DoNotOptimize(pc::threshold_of_top_k(space, n, x.data(), n / 10)); });
      });
#if __has_include(<thrust/version.h>)
      benchmark::RegisterBenchmark(("sort/f32" + end).c_str(), [=](benchmark::State& state) {
        auto const space = with_threads(threads);
        auto const x = numbers(n);
        auto y = x;
        measure(state, n, [&] {
          y = x;
          pc::sort(space, n, y.data());
        });
      });
      benchmark::RegisterBenchmark(("top_k/f32/tenth" + end).c_str(), [=](benchmark::State& state) {
        auto const space = with_threads(threads);
        auto const x = numbers(n);
        std::vector<index_t> index(x.size());
        measure(state, n, [&] { pc::top_k(space, n, x.data(), n / 10, static_cast<float*>(nullptr), index.data()); });
      });
#endif
    }
  }
  return 0;
}();

}  // namespace
