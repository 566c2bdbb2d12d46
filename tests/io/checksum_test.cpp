// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/io/checksum.hpp>

#include <vector>

#include <catch2/catch_test_macros.hpp>

namespace io = pleat::io;

namespace {
std::vector<std::byte> ramp(std::size_t n) {
  std::vector<std::byte> b(n);
  for (std::size_t i = 0; i < n; ++i) b[i] = static_cast<std::byte>(i * 31 + 7);
  return b;
}
}  // namespace

TEST_CASE("XXH64 of known inputs", "[io][checksum]") {
  // From the reference implementation, over bytes (31·i + 7) mod 256; the first is the specification's own.
  struct known {
    std::size_t length;
    std::uint64_t value;
  };
  for (auto const& k : {known{0, 0xef46db3751d8e999},
                        {1, 0xa96c7f0ce858bbb7},
                        {3, 0x56e6957632a487f9},
                        {4, 0xc60d15b1e3ff8f04},
                        {8, 0x3da5c7aa269683e0},
                        {31, 0x4a74f3a1a39ad4a1},
                        {32, 0x8d57d6a4671cc43d},
                        {33, 0x62c9fd21ed857664},
                        {63, 0x5c320a0d2707057f},
                        {64, 0x7bbabbc45729d17e},
                        {100, 0xefa0ad2d3e70c151},
                        {1000, 0x99594f4828043d35}})
    CHECK(io::checksum_of(ramp(k.length)) == k.value);
  CHECK(io::checksum::hex(0xef46db3751d8e999) == "ef46db3751d8e999");
  CHECK(io::checksum::hex(1) == "0000000000000001");
}

TEST_CASE("how the bytes are cut does not matter", "[io][checksum]") {
  auto const all = ramp(200);
  auto const whole = io::checksum_of(all);
  for (std::size_t a = 0; a <= all.size(); ++a)
    for (std::size_t b = a; b <= all.size(); b += 13) {
      io::checksum c;
      c.add(std::span(all).first(a));
      c.add(std::span(all).subspan(a, b - a));
      c.add(std::span(all).subspan(b));
      REQUIRE(c.value() == whole);
    }
}

TEST_CASE("every single bit counts", "[io][checksum]") {
  auto all = ramp(77);
  auto const whole = io::checksum_of(all);
  for (std::size_t i = 0; i < all.size() * 8; ++i) {
    all[i / 8] ^= static_cast<std::byte>(1u << i % 8);
    REQUIRE(io::checksum_of(all) != whole);
    all[i / 8] ^= static_cast<std::byte>(1u << i % 8);
  }
}
