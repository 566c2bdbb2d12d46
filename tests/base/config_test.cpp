// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/base/config.hpp>

#include <catch2/catch_test_macros.hpp>

TEST_CASE("the version is the one that the build read") {
  STATIC_REQUIRE(pleat::version() == pleat::version_number{PLEAT_VERSION_MAJOR, PLEAT_VERSION_MINOR, PLEAT_VERSION_PATCH});
  STATIC_REQUIRE(pleat::version() < pleat::version_number{PLEAT_VERSION_MAJOR, PLEAT_VERSION_MINOR, PLEAT_VERSION_PATCH + 1});
}
