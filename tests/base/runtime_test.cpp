// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/base/runtime.hpp>

#include <catch2/catch_test_macros.hpp>

TEST_CASE("a guest's guard starts nothing and ends nothing") {
  REQUIRE(Kokkos::is_initialized());  // by the tests' own main
  {
    pleat::kokkos_guard const guest(1);
    CHECK_FALSE(guest.started());
  }
  CHECK(Kokkos::is_initialized());
  CHECK_FALSE(Kokkos::is_finalized());
}
