// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A matrix product whose code pleat::kernels has. Who includes the umbrella need not say so.
#include <pleat/compute/instances.hpp>

#include <cstdio>

#ifndef PLEAT_ONCE_ELSEWHERE
#error "pleat::kernels says nothing to those who link it"
#endif

int main(int argc, char** argv) {
  Kokkos::ScopeGuard const kokkos(argc, argv);
  using space = Kokkos::DefaultExecutionSpace;
  Kokkos::View<float**, Kokkos::LayoutRight, space> const x("x", 2, 2), y("y", 2, 2);
  Kokkos::deep_copy(x, 3.0f);
  pleat::compute::gemm(
      space(), pleat::compute::gemm_arguments<float>{
                   .m = 2, .n = 2, .k = 2, .a = x.data(), .lda = 2, .b = x.data(), .ldb = 2, .c = y.data(), .ldc = 2});
  auto const host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), y);
  std::printf("%g\n", double(host(1, 1)));
  return host(1, 1) == 18 ? 0 : 1;
}
