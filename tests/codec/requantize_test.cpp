// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/codec/requantize.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <limits>

namespace {

using namespace pleat::codec;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

TEST_CASE("a multiplier is held to 31 bits") {
  for (double m : {1e-9, 0.00123, 0.25, 0.5, 0.9999999999, 1.0, 3.7, 1e8}) {
    auto const f = to_fixed(m);
    CHECK(f.mantissa >= 1 << 30);
    CHECK(std::abs(f.value() - m) <= m * 0x1p-31);
  }
  CHECK(to_fixed(1e-30).mantissa == 0);
  for (double bad : {0.0, -1.0, 0x1p30, std::numeric_limits<double>::quiet_NaN()})
    CHECK_THROWS_MATCHES(to_fixed(bad), pleat::error,
                         MessageMatches(ContainsSubstring("expected a positive number below 2^30")));
  CHECK_THROWS_MATCHES(to_fixed(-1e-9), pleat::error, MessageMatches(ContainsSubstring("a multiplier of -1e-09,")));
}

TEST_CASE("the integer steps are the definitions, ends of the range included") {
  std::int32_t const least = std::numeric_limits<std::int32_t>::min(), most = std::numeric_limits<std::int32_t>::max();
  CHECK(doubling_high_product(least, least) == most);
  CHECK(doubling_high_product(most, most) == most - 1);
  CHECK(doubling_high_product(1 << 30, 3) == 2);    // 1.5 rounds up
  CHECK(doubling_high_product(1 << 30, -3) == -1);  // −1.5 rounds up too: halves go to positive infinity
  CHECK(rounding_shift(5, 1) == 3);
  CHECK(rounding_shift(-5, 1) == -3);  // halves away from zero
  CHECK(rounding_shift(4, 3) == 1);
  CHECK(rounding_shift(-4, 3) == -1);
  CHECK(rounding_shift(3, 3) == 0);
  CHECK(rounding_shift(least, 31) == -1);
  CHECK(rounding_shift(most, 31) == 1);
  CHECK(rounding_shift(7, 0) == 7);
}

TEST_CASE("a requantized sum is within one of the exact value, and half a unit and a little where nothing is halfway") {
  std::uint64_t state = 1;
  for (int i = 0; i < 200000; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    auto const sum = static_cast<std::int32_t>(state >> 32) >> (state & 15);
    double const m =
        std::ldexp(1.0 + static_cast<double>(state >> 40 & 0xffff) * 0x1p-16, -static_cast<int>(state >> 8 & 31) - 1);
    double const exact = static_cast<double>(sum) * m;
    auto const code = requantized(sum, to_fixed(m), 0, std::numeric_limits<std::int32_t>::min(),
                                  std::numeric_limits<std::int32_t>::max());
    // 1/2 for the last rounding, 2^-(shift + 1) ≤ 1/2 for the first, the multiplier's relative 2^-31 of at most 2^31.
    CHECK(std::abs(static_cast<double>(code) - exact) <= 1.0 + std::abs(exact) * 0x1p-31);
    CHECK(requantized(sum, to_fixed(m), 3) == (code + 3 > 127 ? 127 : code + 3 < -127 ? -127 : code + 3));
  }
  CHECK(requantized(100, to_fixed(0.5), 0, 0, 127) == 50);
  CHECK(requantized(-100, to_fixed(0.5), 0, 0, 127) == 0);  // a ReLU
  CHECK(requantized(1 << 30, to_fixed(1e8)) == 127);        // saturates on the way
}

}  // namespace
