// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The machine's numbers, measured in about a second.
#pragma once

#include <algorithm>
#include <chrono>
#include <limits>
#include <vector>

#include <pleat/comm/communicator.hpp>
#include <pleat/compute/elementwise.hpp>
#include <pleat/compute/gemm.hpp>
#include <pleat/plan/machine.hpp>
#include <pleat/tensor/tensor.hpp>

namespace pleat::plan {

namespace detail {
/// The shortest of repeated runs within `budget` seconds, at least three.
template <class F> [[nodiscard]] double shortest(double budget, F&& f) {
  using clock = std::chrono::steady_clock;
  double best = std::numeric_limits<double>::infinity(), spent = 0;
  for (int i = 0; i < 3 || spent < budget; ++i) {
    auto const t = clock::now();
    f();
    double const s = std::chrono::duration<double>(clock::now() - t).count();
    best = std::min(best, s);
    spent += s;
  }
  return best;
}
}  // namespace detail

/// Measures this rank's instance and the link between neighbours; every rank gets the slowest rank's numbers.
/// Collective.
template <class Space> [[nodiscard]] machine measure_machine(context<Space>& where, comm::communicator& ranks) {
  constexpr double budget = 0.1;
  machine m;
  {
    constexpr index_t n = 256;
    auto a = tensor<float, Space>::allocate(where, {n, n}), b = tensor<float, Space>::allocate(where, {n, n}),
         c = tensor<float, Space>::allocate(where, {n, n});
    compute::fill(where.space(), n * n, 0.5f, a.data());
    compute::fill(where.space(), n * n, 0.25f, b.data());
    double const s = detail::shortest(budget, [&] {
      compute::gemm(
          where.space(),
          compute::gemm_arguments<float>{
              .m = n, .n = n, .k = n, .a = a.data(), .lda = n, .b = b.data(), .ldb = n, .c = c.data(), .ldc = n});
      where.fence();
    });
    m.flops = 2.0 * n * n * n / s;
  }
  {
    constexpr index_t n = index_t{1} << 24;  // 64 MiB in and out: beyond the caches
    auto a = tensor<float, Space>::allocate(where, {n}), b = tensor<float, Space>::allocate(where, {n});
    compute::fill(where.space(), n, 1.0f, a.data());
    double const s = detail::shortest(budget, [&] {
      compute::copy(where.space(), n, static_cast<float const*>(a.data()), b.data());
      where.fence();
    });
    m.bandwidth = 2.0 * n * sizeof(float) / s;
    m.launch = detail::shortest(budget / 10, [&] {
      compute::fill(where.space(), index_t{64}, 1.0f, b.data());
      where.fence();
    });
  }
  if (ranks.size() > 1) {
    // Rounds around the ring: everybody sends to the right and receives from the left, a fixed number of times on every
    // rank.
    int const right = (ranks.rank() + 1) % ranks.size(), left = (ranks.rank() + ranks.size() - 1) % ranks.size();
    auto const round = [&](std::vector<std::byte>& out, std::vector<std::byte>& in) {
      auto r = ranks.ireceive(in, left, comm::tags::measured);
      auto s = ranks.isend(out, right, comm::tags::measured);
      r.wait();
      s.wait();
    };
    auto const best_of = [&](std::size_t bytes, int rounds) {
      std::vector<std::byte> out(bytes), in(bytes);
      double best = std::numeric_limits<double>::infinity();
      for (int i = 0; i < rounds; ++i) {
        auto const t = std::chrono::steady_clock::now();
        round(out, in);
        best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - t).count());
      }
      return best;
    };
    m.latency = best_of(8, 200);
    constexpr std::size_t large = std::size_t{1} << 22;
    m.link_bandwidth = static_cast<double>(large) / std::max(best_of(large, 20) - m.latency, 1e-9);
    double rates[] = {m.flops, m.bandwidth, m.link_bandwidth};
    double waits[] = {m.launch, m.latency};
    ranks.all_reduce(rates, comm::reduction::min);
    ranks.all_reduce(waits, comm::reduction::max);
    m.flops = rates[0], m.bandwidth = rates[1], m.link_bandwidth = rates[2];
    m.launch = waits[0], m.latency = waits[1];
  }
  return m;
}

#ifdef PLEAT_FORM  // of this, too, pleat::kernels has the code (compute/instances.hpp)
PLEAT_FORM template machine measure_machine(context<Kokkos::DefaultExecutionSpace>&, comm::communicator&);
#endif

}  // namespace pleat::plan
