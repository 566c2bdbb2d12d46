// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A 64-bit checksum against damage (not against malice): XXH64, at memory speed. Needs no Kokkos.
/// Source: Y. Collet, "xxHash fast digest algorithm", specification 0.1.1.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

#include <pleat/base/config.hpp>

namespace pleat::io {

/// XXH64 with seed 0 over bytes that arrive piece by piece; how they are cut does not matter. Little-endian machines.
class checksum {
 public:
  /// Takes the next piece.
  PLEAT_LAZY void add(std::span<std::byte const> bytes) noexcept {
    length_ += bytes.size();
    if (held_ + bytes.size() < block) {
      if (!bytes.empty()) std::memcpy(buffer_.data() + held_, bytes.data(), bytes.size());
      held_ += bytes.size();
      return;
    }
    if (held_ > 0) {
      std::size_t const fill = block - held_;
      std::memcpy(buffer_.data() + held_, bytes.data(), fill);
      take(buffer_.data());
      bytes = bytes.subspan(fill);
    }
    for (; bytes.size() >= block; bytes = bytes.subspan(block)) take(bytes.data());
    if (!bytes.empty()) std::memcpy(buffer_.data(), bytes.data(), bytes.size());
    held_ = bytes.size();
  }

  /// Of everything so far; more may follow.
  PLEAT_LAZY [[nodiscard]] std::uint64_t value() const noexcept {
    std::uint64_t h = p5;
    if (length_ >= block) {
      h = std::rotl(lane_[0], 1) + std::rotl(lane_[1], 7) + std::rotl(lane_[2], 12) + std::rotl(lane_[3], 18);
      for (auto const l : lane_) h = (h ^ round(0, l)) * p1 + p4;
    }
    h += length_;
    std::byte const* at = buffer_.data();
    std::size_t left = held_;
    for (; left >= 8; left -= 8, at += 8) h = std::rotl(h ^ round(0, load<std::uint64_t>(at)), 27) * p1 + p4;
    if (left >= 4) {
      h = std::rotl(h ^ load<std::uint32_t>(at) * p1, 23) * p2 + p3;
      left -= 4, at += 4;
    }
    for (; left > 0; --left, ++at) h = std::rotl(h ^ std::to_integer<std::uint64_t>(*at) * p5, 11) * p1;
    h = (h ^ h >> 33) * p2;
    h = (h ^ h >> 29) * p3;
    return h ^ h >> 32;
  }

  /// 16 hexadecimal digits.
  PLEAT_LAZY [[nodiscard]] static std::string hex(std::uint64_t v) {
    std::string s(16, '0');
    for (std::size_t i = s.size(); i-- > 0; v >>= 4) s[i] = "0123456789abcdef"[v & 15];
    return s;
  }

 private:
  static constexpr std::size_t block = 32;
  static constexpr std::uint64_t p1 = 0x9E3779B185EBCA87u, p2 = 0xC2B2AE3D27D4EB4Fu, p3 = 0x165667B19E3779F9u,
                                 p4 = 0x85EBCA77C2B2AE63u, p5 = 0x27D4EB2F165667C5u;
  template <class T> [[nodiscard]] static std::uint64_t load(std::byte const* p) noexcept {
    static_assert(std::endian::native == std::endian::little);
    T v;
    std::memcpy(&v, p, sizeof v);
    return v;
  }
  [[nodiscard]] static constexpr std::uint64_t round(std::uint64_t acc, std::uint64_t v) noexcept {
    return std::rotl(acc + v * p2, 31) * p1;
  }
  void take(std::byte const* p) noexcept {
    for (std::size_t i = 0; i < 4; ++i) lane_[i] = round(lane_[i], load<std::uint64_t>(p + 8 * i));
  }

  std::array<std::uint64_t, 4> lane_{p1 + p2, p2, 0, 0 - p1};
  std::array<std::byte, block> buffer_{};
  std::size_t held_ = 0;
  std::uint64_t length_ = 0;
};

/// Of bytes that are all there.
PLEAT_LAZY [[nodiscard]] inline std::uint64_t checksum_of(std::span<std::byte const> bytes) noexcept {
  checksum c;
  c.add(bytes);
  return c.value();
}

}  // namespace pleat::io
