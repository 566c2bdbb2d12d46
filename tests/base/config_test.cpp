// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/base/config.hpp>
#include <pleat/base/configuration.hpp>
#include <pleat/base/runtime.hpp>

#include <catch2/catch_test_macros.hpp>

#include <string>

TEST_CASE("the version is one number in three places") {
  CHECK(pleat::version() == pleat::version_number{PLEAT_VERSION_MAJOR, PLEAT_VERSION_MINOR, PLEAT_VERSION_PATCH});
  CHECK(pleat::version() < pleat::version_number{PLEAT_VERSION_MAJOR, PLEAT_VERSION_MINOR, PLEAT_VERSION_PATCH + 1});
  auto const report = pleat::configuration_report();
  CHECK(report.find(std::to_string(PLEAT_VERSION_MAJOR) + "." + std::to_string(PLEAT_VERSION_MINOR)) !=
        std::string::npos);
  CHECK(report.find(Kokkos::DefaultExecutionSpace::name()) != std::string::npos);
}

TEST_CASE("a guard inside a running Kokkos starts and ends nothing") {
  REQUIRE(Kokkos::is_initialized());
  {
    pleat::kokkos_guard const guard(1);
    CHECK_FALSE(guard.started());
  }
  CHECK(Kokkos::is_initialized());
  CHECK_FALSE(Kokkos::is_finalized());
}
