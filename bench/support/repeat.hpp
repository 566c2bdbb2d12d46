// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What a row times.
#pragma once

#include <benchmark/benchmark.h>

namespace bench {

/// Times f() again and again, but not the first call: it takes memory from the system (a pool's blocks, scratch), and in
/// a virtual machine the first touch of 64 MiB may take 130 ms, a hundred times what follows. Rows that take long have
/// one iteration.
template <class F> void repeat(benchmark::State& state, F const& f) {
  f();
  for (auto _ : state) f();
}

}  // namespace bench
