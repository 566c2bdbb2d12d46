// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The smallest use of an installed pleat: its version, and a 2 x 2 product with a bias on this machine's host threads.
#include <Kokkos_Core.hpp>

#include <pleat/base/config.hpp>
#include <pleat/compute/gemm.hpp>

#include <cstdio>

int main(int argc, char** argv) {
  Kokkos::ScopeGuard const kokkos(argc, argv);
  float const x[] = {1, 2, 3, 4};
  float const w[] = {5, 6, 7, 8};  // [out, in]
  float const bias[] = {100, 200};
  float y[4] = {};
  pleat::compute::gemm_arguments<float> product{.m = 2,
                                                .n = 2,
                                                .k = 2,
                                                .a = x,
                                                .lda = 2,
                                                .b = w,
                                                .ldb = 2,
                                                .tb = pleat::compute::transpose::yes,
                                                .c = y,
                                                .ldc = 2};
  product.after.bias = bias;
  pleat::compute::gemm(Kokkos::DefaultHostExecutionSpace(), product);
  pleat::version_number const v = pleat::version();
  std::printf("pleat %d.%d.%d: %g %g %g %g\n", v.major, v.minor, v.patch, double(y[0]), double(y[1]), double(y[2]),
              double(y[3]));
  return y[0] == 117 && y[1] == 223 && y[2] == 139 && y[3] == 253 ? 0 : 1;
}
