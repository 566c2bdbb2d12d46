// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/base/checks.hpp>

#include <catch2/catch_test_macros.hpp>

TEST_CASE("the ladder's rungs have names and an order") {
  CHECK(pleat::name_of(pleat::checks::off) == "off");
  CHECK(pleat::name_of(pleat::checks::cheap) == "cheap");
  CHECK(pleat::name_of(pleat::checks::collective) == "collective");
  CHECK((pleat::checks::off < pleat::checks::cheap && pleat::checks::cheap < pleat::checks::collective));
}
