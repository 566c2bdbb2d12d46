// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A machine as numbers, and the time that work takes on it. Needs no Kokkos; plan/measure.hpp fills the numbers.
#pragma once

#include <algorithm>
#include <cstdio>
#include <string>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/base/math.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::plan {

/// One rank's processor and the link between two ranks. All ranks are taken as equal (the slowest one's numbers).
struct machine {
  double flops = 1e11;          ///< floating-point operations per second of one rank's matrix product
  double bandwidth = 1e10;      ///< bytes per second that one rank's elementwise pass moves
  double launch = 1e-6;         ///< seconds that starting a kernel costs
  double latency = 2e-6;        ///< seconds for an empty message between two ranks (α)
  double link_bandwidth = 5e9;  ///< bytes per second between two ranks (1/β)

  /// Roofline: launch + the longer of computing and moving (Williams, Waterman, Patterson, CACM 2009).
  [[nodiscard]] double kernel_seconds(double work_flops, double bytes) const noexcept {
    return launch + std::max(work_flops / flops, bytes / bandwidth);
  }

  /// All-reduce of `bytes` over p ranks: the fastest of ring, recursive doubling and Rabenseifner's halving
  /// (Thakur, Rabenseifner, Gropp, IJHPCA 19(1), 2005; the cost of adding is taken from `bandwidth`).
  PLEAT_LAZY [[nodiscard]] double all_reduce_seconds(double bytes, index_t p) const noexcept {
    if (p < 2) return 0;
    double const n = bytes, ranks = static_cast<double>(p), beta = 1 / link_bandwidth, gamma = 1 / bandwidth;
    double const rounds = std::ceil(std::log2(ranks)), share = (ranks - 1) / ranks;
    double const ring = 2 * (ranks - 1) * latency + 2 * share * n * beta + share * n * gamma;
    double const doubling = rounds * (latency + n * beta + n * gamma);
    bool const power = (p & (p - 1)) == 0;
    double const halving = 2 * rounds * latency + 2 * share * n * beta + share * n * gamma +
                           (power ? 0 : 2 * (latency + n * beta) + n * gamma);
    return std::min({ring, doubling, halving});
  }

  PLEAT_ONCE [[nodiscard]] std::string to_string() const;
};

template <class> std::string machine::to_string() const {
  char text[240];
  std::snprintf(text, sizeof text,
                "%.1f GFLOP/s, memory %.1f GB/s, launch %.2f us; between ranks: latency %.2f us, %.2f GB/s",
                flops * 1e-9, bandwidth * 1e-9, launch * 1e6, latency * 1e6, link_bandwidth * 1e-9);
  return text;
}
PLEAT_COMPILED_ONCE(std::string machine::to_string() const);

}  // namespace pleat::plan
