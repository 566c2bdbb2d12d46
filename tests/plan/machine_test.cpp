// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/plan/machine.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <string>

using pleat::plan::machine;

namespace {
// Powers of two, so that every formula is exact.
machine exact() {
  return {.flops = 0x1p30, .bandwidth = 0x1p20, .launch = 0x1p-10, .latency = 0x1p-8, .link_bandwidth = 0x1p18};
}
}  // namespace

TEST_CASE("a kernel takes the longer of computing and moving, after its launch") {
  auto const m = exact();
  CHECK(m.kernel_seconds(0x1p30, 0) == 0x1p-10 + 1);
  CHECK(m.kernel_seconds(0, 0x1p21) == 0x1p-10 + 2);
  CHECK(m.kernel_seconds(0x1p30, 0x1p21) == 0x1p-10 + 2);
  CHECK(m.kernel_seconds(0, 0) == 0x1p-10);
}

TEST_CASE("an all-reduce takes the fastest of three algorithms, each at its published cost") {
  auto const m = exact();
  CHECK(m.all_reduce_seconds(1e6, 1) == 0);
  // Two ranks, n bytes: doubling is one round (α + n(β+γ)); ring and halving are 2α + nβ + nγ/2.
  double const alpha = 0x1p-8, beta = 0x1p-18, gamma = 0x1p-20;
  CHECK(m.all_reduce_seconds(16, 2) == alpha + 16 * (beta + gamma));
  double const n = 0x1p20;
  CHECK(m.all_reduce_seconds(n, 2) == 2 * alpha + n * beta + n / 2 * gamma);
  // Eight ranks and long messages: halving has fewer rounds than the ring and the same bytes.
  CHECK(m.all_reduce_seconds(n, 8) == 6 * alpha + 2 * 0.875 * n * beta + 0.875 * n * gamma);
  // Three ranks: no power of two, so halving pays one more exchange and the ring wins.
  CHECK(std::abs(m.all_reduce_seconds(n, 3) - (4 * alpha + 4.0 / 3 * n * beta + 2.0 / 3 * n * gamma)) < 1e-12);
  for (int p = 2; p < 40; ++p) CHECK(m.all_reduce_seconds(n, p) <= m.all_reduce_seconds(2 * n, p));
}

TEST_CASE("a machine prints its numbers") {
  CHECK(machine{.flops = 1e11, .bandwidth = 2e10}.to_string().find("100.0 GFLOP/s, memory 20.0 GB/s") !=
        std::string::npos);
}
