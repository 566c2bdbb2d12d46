// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What a row times.
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>

namespace bench {

/// Times f() again and again, but not the first call: it takes memory from the system (a pool's blocks, scratch), and in
/// a virtual machine the first touch of 64 MiB may take 130 ms, a hundred times what follows. Rows that take long have
/// one iteration. The fastest call is the row's figure (`least_ns`): where a second processor is lent at times only, a
/// mean of few milliseconds says more about the lender, and peers' scripts take the fastest call too. A reading of the
/// clock is part of both.
template <class F> void repeat(benchmark::State& state, F const& f) {
  using clock = std::chrono::steady_clock;
  f();
  auto least = clock::duration::max();
  for (auto _ : state) {
    auto const begin = clock::now();
    f();
    least = std::min(least, clock::now() - begin);
  }
  state.counters["least_ns"] = std::chrono::duration<double, std::nano>(least).count();
}

}  // namespace bench
