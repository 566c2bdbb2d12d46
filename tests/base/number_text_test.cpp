// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/base/number_text.hpp>

#include <catch2/catch_test_macros.hpp>

#include <limits>

TEST_CASE("numbers in sentences have as few digits as say which one it is, and what is none has no sign") {
  using pleat::detail::number_text;
  CHECK(number_text(0.1) == "0.1");
  CHECK(number_text(0.1f) == "0.1");
  CHECK(number_text(-std::numeric_limits<float>::quiet_NaN()) == "nan");
  CHECK(number_text(-2) == "-2");
  CHECK(number_text(1e300) == "1e+300");
  CHECK(number_text(0.1 + 0.2) == "0.30000000000000004");
  CHECK(number_text(-std::numeric_limits<double>::denorm_min()) == "-5e-324");
  CHECK(number_text(-std::numeric_limits<double>::max()) == "-1.7976931348623157e+308");
  CHECK(number_text(std::numeric_limits<double>::infinity()) == "inf");
  CHECK(number_text(std::numeric_limits<double>::quiet_NaN()) == "nan");
  CHECK(number_text(-std::numeric_limits<double>::quiet_NaN()) == "nan");
}
