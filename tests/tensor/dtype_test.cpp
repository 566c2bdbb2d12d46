// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/tensor/dtype.hpp>

#include <pleat/tensor/detail/number.hpp>

#include <catch2/catch_test_macros.hpp>

#include <bit>
#include <cmath>
#include <limits>
#include <random>

using pleat::bfloat16;
using pleat::half;

TEST_CASE("every half value survives a trip through float") {
  for (std::uint32_t h = 0; h < 0x10000; ++h) {
    half x;
    x.bits = static_cast<std::uint16_t>(h);
    float const f = static_cast<float>(x);
    if (std::isnan(f)) CHECK((half(f).bits & 0x7c00) == 0x7c00);
    else REQUIRE(half(f).bits == h);
  }
}

TEST_CASE("float to half rounds to the nearest, ties to even") {
  // The oracle: the two neighbours among all finite halves, by value.
  std::mt19937 draw(1);
  auto const value = [](std::uint16_t bits) {
    half h;
    h.bits = bits;
    return static_cast<double>(static_cast<float>(h));
  };
  for (int i = 0; i < 20000; ++i) {
    float const x = std::ldexp(static_cast<float>(draw()) * 0x1p-32f, static_cast<int>(draw() % 45) - 28);
    std::uint16_t const r = half(x).bits;
    if (r == 0x7c00) {
      CHECK(x >= 65520.0f);  // halfway between the largest half and 2^16
      continue;
    }
    double const error = std::abs(value(r) - static_cast<double>(x));
    if (r > 0) {
      double const below = std::abs(value(static_cast<std::uint16_t>(r - 1)) - static_cast<double>(x));
      REQUIRE((error < below || (error == below && (r & 1) == 0)));
    }
    if (r < 0x7bff) {
      double const above = std::abs(value(static_cast<std::uint16_t>(r + 1)) - static_cast<double>(x));
      REQUIRE((error < above || (error == above && (r & 1) == 0)));
    }
  }
}

TEST_CASE("bfloat16 is the rounded upper half of a float") {
  CHECK(static_cast<float>(bfloat16(1.0f)) == 1.0f);
  CHECK(bfloat16(std::bit_cast<float>(0x3f808000u)).bits == 0x3f80);  // a tie goes to even
  CHECK(bfloat16(std::bit_cast<float>(0x3f818000u)).bits == 0x3f82);
  CHECK(bfloat16(std::bit_cast<float>(0x3f808001u)).bits == 0x3f81);
  CHECK(std::isnan(static_cast<float>(bfloat16(std::numeric_limits<float>::quiet_NaN()))));
  CHECK(std::isinf(static_cast<float>(bfloat16(std::numeric_limits<float>::infinity()))));
  CHECK(bfloat16(std::numeric_limits<float>::max()).bits == 0x7f80);  // overflow rounds to infinity
}

TEST_CASE("names and sizes are those of safetensors") {
  using pleat::dtype;
  for (int i = 0; i <= static_cast<int>(dtype::u64); ++i)
    CHECK(pleat::dtype_from_name(pleat::name_of(static_cast<dtype>(i))) == static_cast<dtype>(i));
  CHECK(pleat::size_of(pleat::dtype_of<double>) == sizeof(double));
  CHECK(pleat::size_of(dtype::bf16) == 2);
  CHECK_THROWS_AS(pleat::dtype_from_name("F8_E4M3"), pleat::error);
}

namespace {

/// Every middle of two neighbours, and the doubles next to it, against the neighbours themselves.
template <class T> void check_one_rounding(std::uint16_t last) {
  auto const value = [](int bits) {
    T h;
    h.bits = static_cast<std::uint16_t>(bits);
    return pleat::detail::number(h);
  };
  for (int h = 0; h < last; ++h) {
    double const a = value(h), b = value(h + 1), middle = (a + b) / 2;
    auto const bits = [](double x) { return static_cast<int>(pleat::detail::rounded<T>(x).bits); };
    REQUIRE(bits(middle) == h + (h & 1));
    REQUIRE(bits(std::nextafter(middle, a)) == h);
    REQUIRE(bits(std::nextafter(middle, b)) == h + 1);
    REQUIRE(bits(-std::nextafter(middle, b)) == (h + 1) + 0x8000);
    REQUIRE(bits(a) == h);
  }
}

}  // namespace

TEST_CASE("a double becomes 16 bits with one rounding") {
  check_one_rounding<half>(0x7bff);
  check_one_rounding<bfloat16>(0x7f7f);
  double const infinity = std::numeric_limits<double>::infinity();
  for (double const x : {65520.0, 1e300, infinity}) CHECK(pleat::detail::rounded<half>(x).bits == 0x7c00);
  CHECK(pleat::detail::rounded<half>(std::nextafter(65520.0, 0)).bits == 0x7bff);
  CHECK(pleat::detail::rounded<half>(-1e-300).bits == 0x8000);
  CHECK(std::isnan(static_cast<float>(pleat::detail::rounded<half>(std::numeric_limits<double>::quiet_NaN()))));
  CHECK(pleat::detail::rounded<double>(0.1) == 0.1);
  CHECK(pleat::detail::rounded<float>(0.1) == 0.1f);
}
