// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Sorting, and ranking through Thrust, beside the standard library's sort; the exact threshold of magnitude pruning,
// which counts digits, beside std::nth_element of a copy; the histogram, which counts in one pass, beside the one that
// Thrust can make: sorted bins and where each ends. threshold_of_top_k/…/100000000: `over_read` is its time over that
// of one read of the same memory, by turns; `reads` how often it reads a number.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include <pleat/base/random.hpp>
#include <pleat/compute/histogram.hpp>
#include <pleat/compute/threshold.hpp>
#include <support/clock.hpp>
#include <support/repeat.hpp>
#if __has_include(<thrust/version.h>)
#include <pleat/compute/sort.hpp>
#include <pleat/compute/top_k.hpp>
#include <thrust/binary_search.h>
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

template <class F> void measure(benchmark::State& state, index_t n, F const& f) {
  bench::repeat(state, f);
  state.counters["elements"] =
      benchmark::Counter(static_cast<double>(n), benchmark::Counter::kIsIterationInvariantRate);
}

#if __has_include(<thrust/version.h>)
// counts[b] = how many keys are at most b, minus those below: Thrust has no histogram of its own.
struct counted_by_sorting {
  using result = int;
  index_t n, bins;
  std::int32_t* key;
  index_t* counts;
  template <class Policy> int operator()(Policy const& policy) const {
    thrust::counting_iterator<std::int32_t> const bin(0);
    thrust::sort(policy, key, key + n);
    thrust::upper_bound(policy, key, key + n, bin, bin + bins, counts);
    for (index_t b = bins; --b > 0;) counts[b] -= counts[b - 1];
    return 0;
  }
};
#endif

/// One read of memory.
std::uint32_t read_once(float const* x, index_t n) {
  std::uint32_t all[16] = {};
  for (index_t i = 0; i + 16 <= n; i += 16) {
    std::uint32_t some[16];
    std::memcpy(some, x + i, sizeof some);
    for (int j = 0; j < 16; ++j) all[j] |= some[j];
  }
  std::uint32_t any = 0;
  for (auto const a : all) any |= a;
  return any;
}

/// The key that thresholds rank by, and how often one was made of a number: on one thread.
struct counting_key : pc::detail::magnitude_key<float> {
  static inline index_t reads = 0;
  static std::uint32_t key(float x) { return ++reads, pc::detail::magnitude_key<float>::key(x); }
};

/// A row of which one iteration takes a good part of a second.
void register_large(index_t n) {
  benchmark::RegisterBenchmark(
      ("threshold_of_top_k/f32/" + std::to_string(n) + "/threads:1").c_str(),
      [=](benchmark::State& state) {
        auto const space = with_threads(1);
        auto const x = numbers(n);
        measure(state, n, [&] { benchmark::DoNotOptimize(pc::threshold_of_top_k(space, n, x.data(), n / 10)); });
        auto const seconds = [](auto const& f) {  // of the processor: other programs do not count
          auto const began = bench::process_seconds();
          f();
          return bench::process_seconds() - began;
        };
        double least = 1e30, least_read = 1e30;
        for (int turn = 0; turn < 5; ++turn) {
          least_read = std::min(least_read, seconds([&] { benchmark::DoNotOptimize(read_once(x.data(), n)); }));
          least = std::min(
              least, seconds([&] { benchmark::DoNotOptimize(pc::threshold_of_top_k(space, n, x.data(), n / 10)); }));
        }
        state.counters["over_read"] = least / least_read;
        counting_key::reads = 0;
        pc::number_run<float> const some{x.data(), 100000};
        benchmark::DoNotOptimize(
            pc::detail::select_kth<counting_key>(space, std::span<pc::number_run<float> const>(&some, 1), 10000));
        state.counters["reads"] = static_cast<double>(counting_key::reads) / 100000;
      })
      ->Unit(benchmark::kMillisecond);
}

int const registered = [] {
  register_large(100000000);
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
      benchmark::RegisterBenchmark(("histogram/f32/2048" + end).c_str(), [=](benchmark::State& state) {
        auto const space = with_threads(threads);
        auto const x = numbers(n);
        std::vector<index_t> counts(2048);
        measure(state, n, [&] { pc::magnitude_histogram(space, n, x.data(), 0.5f, 2048, counts.data()); });
      });
#if __has_include(<thrust/version.h>)
      benchmark::RegisterBenchmark(("peer/thrust/histogram/f32/2048" + end).c_str(), [=](benchmark::State& state) {
        auto const space = with_threads(threads);
        auto const x = numbers(n);
        std::vector<std::int32_t> key(x.size());
        std::vector<index_t> counts(2048);
        measure(state, n, [&] {
          std::transform(x.begin(), x.end(), key.begin(),
                         [](float v) { return std::min(2047, static_cast<int>(std::abs(v) * 4096)); });
          pc::detail::with_thrust(space, 2.0 * static_cast<double>(n),
                                  counted_by_sorting{n, 2048, key.data(), counts.data()});
        });
      });
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
