// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/base/random.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <set>
#include <vector>

using namespace pleat::random;

TEST_CASE("philox4x32-10 gives the published vectors") {
  // Random123 1.14, kat_vectors: zero, all ones, and the digits of pi.
  CHECK(philox4x32({0, 0, 0, 0}, {0, 0}) == counter{0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u});
  CHECK(philox4x32({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}) == counter{0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu});
  CHECK(philox4x32({0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u}, {0xa4093822u, 0x299f31d0u}) ==
        counter{0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u});
}

TEST_CASE("philox is constexpr") { STATIC_CHECK(philox4x32({0, 0, 0, 0}, {0, 0})[0] == 0x6627e8d5u); }

TEST_CASE("a stream depends on seed, purpose and index alone") {
  stream const a(1, hash("fc1.weight")), b(1, hash("fc2.weight")), c(2, hash("fc1.weight"));
  int same_purpose = 0, same_seed = 0;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    CHECK(a.bits(i) == stream(1, hash("fc1.weight")).bits(i));
    CHECK(a.bits(i) == a.block(i / 4)[i % 4]);
    same_purpose += a.bits(i) == b.bits(i);
    same_seed += a.bits(i) == c.bits(i);
  }
  // P(a collision of 32 bits in 1000 draws) < 2.4e-7
  CHECK(same_purpose == 0);
  CHECK(same_seed == 0);
}

TEST_CASE("uniform numbers lie in [0, 1) and have the right mean and variance") {
  stream const s(7, 7);
  constexpr int n = 100000;
  double sum = 0, squares = 0;
  for (std::uint64_t i = 0; i < n; ++i) {
    float const u = s.uniform(i);
    REQUIRE(u >= 0.0f);
    REQUIRE(u < 1.0f);
    sum += u;
    squares += static_cast<double>(u) * u;
  }
  // Standard error of the mean: 1/sqrt(12 n) = 9.1e-4; of the mean square 1/3: sqrt((1/5 − 1/9)/n) = 9.4e-4. Six of
  // them: 1 in 5e8.
  CHECK(std::abs(sum / n - 0.5) < 6 * 9.2e-4);
  CHECK(std::abs(squares / n - 1.0 / 3) < 6 * 9.5e-4);
}

TEST_CASE("below covers its range and nothing else") {
  stream const s(3, 9);
  std::set<std::uint32_t> seen;
  for (std::uint64_t i = 0; i < 1000; ++i) seen.insert(s.below(i, 10));
  CHECK(seen.size() == 10);
  CHECK(*seen.rbegin() == 9);
}
