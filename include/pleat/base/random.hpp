// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Counter-based random numbers: a number is a function of (seed, purpose, index), never of a rank, a thread or a
/// call's order. Needs no Kokkos.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include <pleat/base/config.hpp>

namespace pleat::random {

using counter = std::array<std::uint32_t, 4>;
using key = std::array<std::uint32_t, 2>;

/// Philox4x32 with 10 rounds (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
/// Four 32-bit words from a 128-bit counter and a 64-bit key.
PLEAT_FUNCTION constexpr counter philox4x32(counter c, key k) noexcept {
  for (int round = 0; round < 10; ++round) {
    std::uint64_t const p0 = std::uint64_t{0xD2511F53u} * c[0], p1 = std::uint64_t{0xCD9E8D57u} * c[2];
    c = {static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ k[0], static_cast<std::uint32_t>(p1),
         static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ k[1], static_cast<std::uint32_t>(p0)};
    k[0] += 0x9E3779B9u;
    k[1] += 0xBB67AE85u;
  }
  return c;
}

/// A 64-bit hash of a name (FNV-1a): turns a parameter's path into a purpose.
PLEAT_LAZY [[nodiscard]] constexpr std::uint64_t hash(std::string_view name) noexcept {
  std::uint64_t h = 0xcbf29ce484222325u;
  for (char const ch : name) h = (h ^ static_cast<unsigned char>(ch)) * 0x100000001b3u;
  return h;
}

/// A stream of numbers for one purpose: the i-th is a pure function of (seed, purpose, i).
class stream {
 public:
  PLEAT_FUNCTION constexpr stream(std::uint64_t seed, std::uint64_t purpose) noexcept
      : key_{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)},
        low_(static_cast<std::uint32_t>(purpose)),
        high_(static_cast<std::uint32_t>(purpose >> 32)) {}

  /// 32 random bits of index i. One Philox block serves four neighbours.
  PLEAT_FUNCTION constexpr std::uint32_t bits(std::uint64_t i) const noexcept { return block(i >> 2)[i & 3u]; }
  /// The block of indices [4·b, 4·b + 4).
  PLEAT_FUNCTION constexpr counter block(std::uint64_t b) const noexcept {
    return philox4x32({static_cast<std::uint32_t>(b), static_cast<std::uint32_t>(b >> 32), low_, high_}, key_);
  }
  /// Uniform in [0, 1): a multiple of 2⁻²⁴, exact in float.
  PLEAT_FUNCTION constexpr float uniform(std::uint64_t i) const noexcept {
    return static_cast<float>(bits(i) >> 8) * 0x1p-24f;
  }
  /// Uniform in {0, …, n−1}, n ≤ 2³²; the bias is below n·2⁻³².
  PLEAT_FUNCTION constexpr std::uint32_t below(std::uint64_t i, std::uint64_t n) const noexcept {
    return static_cast<std::uint32_t>((static_cast<std::uint64_t>(bits(i)) * n) >> 32);
  }

 private:
  key key_;
  std::uint32_t low_, high_;
};

}  // namespace pleat::random
