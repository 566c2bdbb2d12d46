// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// From an installed pleat: the umbrella, MPI and a door to Thrust, under the targets that bring them, and a call that needs each.
#include <pleat/pleat.hpp>

#include <pleat/comm/mpi.hpp>
#include <pleat/compute/scan.hpp>

#include <cstddef>
#include <cstdio>
#include <span>
#include <vector>

int main(int argc, char** argv) {
  if (argc > 1) pleat::comm::mpi_guard const mpi(&argc, &argv);  // linked; no launcher is needed to see that
  Kokkos::ScopeGuard const kokkos(argc, argv);
  std::vector<int> const x{1, 2, 3};
  std::vector<int> sums(3);
  pleat::compute::inclusive_scan(Kokkos::DefaultHostExecutionSpace(), 3, x.data(), sums.data());
  auto const again = pleat::io::gunzip(pleat::io::gzip(std::as_bytes(std::span(sums))), 1 << 10);
  std::printf("%d %d %d, %zu bytes\n", sums[0], sums[1], sums[2], again.size());
  return sums == std::vector<int>{1, 3, 6} && again.size() == 3 * sizeof(int) ? 0 : 1;
}
