// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Blocks of small integers with shared scales, as ggml lays them out: one struct per format. Needs no Kokkos.
///
/// A format stores `block` numbers in `bytes` bytes. In a piece of 32 of them, number i is
///     ŵ = scale(piece) · (code(i) − offset) + base(piece),
/// codes being unsigned. q6_K alone has two multipliers in a piece, one for each half: ŵ = scale · multiplier · (code − offset).
/// Source of the layouts and of the rounding rules: ggml's documentation of its block types and the behaviour of its reference quantizers.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

#include <pleat/base/config.hpp>
#include <pleat/tensor/dtype.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::codec::detail {

using byte_t = unsigned char;

PLEAT_INLINE std::uint16_t load16(byte_t const* p) { return static_cast<std::uint16_t>(p[0] | (p[1] << 8)); }
PLEAT_INLINE std::uint32_t load32(byte_t const* p) {
  return static_cast<std::uint32_t>(p[0]) | static_cast<std::uint32_t>(p[1]) << 8 |
         static_cast<std::uint32_t>(p[2]) << 16 | static_cast<std::uint32_t>(p[3]) << 24;
}
PLEAT_INLINE void store16(byte_t* p, std::uint16_t v) {
  p[0] = static_cast<byte_t>(v & 0xff);
  p[1] = static_cast<byte_t>(v >> 8);
}
/// Half to float without branches; exact for finite numbers.
PLEAT_INLINE float half_float(std::uint16_t h) {
  std::uint32_t const sign = static_cast<std::uint32_t>(h & 0x8000u) << 16;
  float const v = __builtin_bit_cast(float, static_cast<std::uint32_t>(h & 0x7fffu) << 13) * 0x1p112f;
  return __builtin_bit_cast(float, __builtin_bit_cast(std::uint32_t, v) | sign);
}

/// What most formats share.
struct block_format {
  static constexpr int block = 32, offset = 0;
  static constexpr bool has_base = false;     ///< base(piece) is not always 0
  static constexpr bool multipliers = false;  ///< two multipliers in a piece
  static constexpr bool half_first = true;    ///< the scale of the (only) piece is a half in the first two bytes
  PLEAT_INLINE static float scale(byte_t const* b, int) { return half_float(load16(b)); }
  PLEAT_INLINE static float base(byte_t const*, int) { return 0.0f; }
  PLEAT_INLINE static int multiplier(byte_t const*, int, int) { return 1; }
  /// The first `halves` 16-bit numbers that must be finite; where they lie.
  static constexpr int halves = 1, halves_at = 0;
};

struct q8_0_format : block_format {
  static constexpr std::string_view name = "q8_0";
  static constexpr int bytes = 34, offset = 128, most = 255;
  PLEAT_INLINE static int code(byte_t const* b, int, int i) { return b[2 + i] ^ 0x80; }
};

struct q4_0_format : block_format {
  static constexpr std::string_view name = "q4_0";
  static constexpr int bytes = 18, offset = 8, most = 15;
  PLEAT_INLINE static int code(byte_t const* b, int, int i) { return i < 16 ? b[2 + i] & 15 : b[2 + i - 16] >> 4; }
};

struct q4_1_format : block_format {
  static constexpr std::string_view name = "q4_1";
  static constexpr int bytes = 20, most = 15, halves = 2;
  static constexpr bool has_base = true;
  PLEAT_INLINE static int code(byte_t const* b, int, int i) { return i < 16 ? b[4 + i] & 15 : b[4 + i - 16] >> 4; }
  PLEAT_INLINE static float base(byte_t const* b, int) { return half_float(load16(b + 2)); }
};

struct q5_0_format : block_format {
  static constexpr std::string_view name = "q5_0";
  static constexpr int bytes = 22, offset = 16, most = 31;
  PLEAT_INLINE static int code(byte_t const* b, int, int i) {
    int const low = i < 16 ? b[6 + i] & 15 : b[6 + i - 16] >> 4;
    return low | ((b[2 + i / 8] >> (i % 8)) & 1) << 4;
  }
};

struct q5_1_format : block_format {
  static constexpr std::string_view name = "q5_1";
  static constexpr int bytes = 24, most = 31, halves = 2;
  static constexpr bool has_base = true;
  PLEAT_INLINE static int code(byte_t const* b, int, int i) {
    int const low = i < 16 ? b[8 + i] & 15 : b[8 + i - 16] >> 4;
    return low | ((b[4 + i / 8] >> (i % 8)) & 1) << 4;
  }
  PLEAT_INLINE static float base(byte_t const* b, int) { return half_float(load16(b + 2)); }
};

/// 256 numbers: half d, half dmin, 8 scales and 8 minima of 6 bits each in 12 bytes, 128 bytes of nibbles.
struct q4_k_format : block_format {
  static constexpr std::string_view name = "q4_K";
  static constexpr int block = 256, bytes = 144, most = 15, halves = 2;
  static constexpr bool has_base = true, half_first = false;
  PLEAT_INLINE static int code(byte_t const* b, int piece, int i) {
    byte_t const q = b[16 + piece / 2 * 32 + i];
    return piece % 2 == 0 ? q & 15 : q >> 4;
  }
  PLEAT_INLINE static int scale_code(byte_t const* s, int p) {
    return p < 4 ? s[p] & 63 : (s[p + 4] & 15) | (s[p - 4] >> 6) << 4;
  }
  PLEAT_INLINE static int base_code(byte_t const* s, int p) {
    return p < 4 ? s[p + 4] & 63 : s[p + 4] >> 4 | (s[p] >> 6) << 4;
  }
  PLEAT_INLINE static float scale(byte_t const* b, int piece) {
    return half_float(load16(b)) * static_cast<float>(scale_code(b + 4, piece));
  }
  PLEAT_INLINE static float base(byte_t const* b, int piece) {
    return -half_float(load16(b + 2)) * static_cast<float>(base_code(b + 4, piece));
  }
};

/// 256 numbers: 128 bytes of low nibbles, 64 bytes of high bit pairs, 16 multipliers of 8 bits, half d.
struct q6_k_format : block_format {
  static constexpr std::string_view name = "q6_K";
  static constexpr int block = 256, bytes = 210, offset = 32, most = 63, halves_at = 208;
  static constexpr bool multipliers = true, half_first = false;
  PLEAT_INLINE static int code(byte_t const* b, int piece, int i) {
    int const part = piece / 4, quarter = piece % 4;
    byte_t const q = b[part * 64 + quarter % 2 * 32 + i];
    int const low = quarter < 2 ? q & 15 : q >> 4;
    return low | ((b[128 + part * 32 + i] >> (2 * quarter)) & 3) << 4;
  }
  PLEAT_INLINE static float scale(byte_t const* b, int) { return half_float(load16(b + 208)); }
  PLEAT_INLINE static int multiplier(byte_t const* b, int piece, int half) {
    return static_cast<signed char>(b[192 + 2 * piece + half]);
  }
};

/// Groups of G numbers: half d, G/2 bytes of nibbles, laid out as q4_0's in every piece of 32. ŵ = d·(code − 8), codes
/// 1 to 15 (±7).
template <int G> struct int4_format : block_format {
  static_assert(G == 32 || G == 64 || G == 128 || G == 256,
                "pleat: a group of codec::int4 is of 32, 64, 128 or 256 columns");  // each has a name in files
  static constexpr int block = G, bytes = 2 + G / 2, offset = 8, most = 15;
  static constexpr bool half_first = G == 32;
  static constexpr std::string_view name = G == 32    ? "int4_g32"
                                           : G == 64  ? "int4_g64"
                                           : G == 128 ? "int4_g128"
                                                      : "int4_g256";
  PLEAT_INLINE static int code(byte_t const* b, int piece, int i) {
    byte_t const* const q = b + 2 + piece * 16;
    return i < 16 ? q[i] & 15 : q[i - 16] >> 4;
  }
};

template <class F> inline constexpr bool is_int4 = false;
template <int G> inline constexpr bool is_int4<int4_format<G>> = true;

/// Number i of a block.
template <class F> PLEAT_INLINE float block_value(byte_t const* b, int i) {
  int const piece = i / 32, at = i % 32;
  int const u = F::code(b, piece, at) - F::offset;
  if constexpr (F::multipliers)
    return F::scale(b, piece) * static_cast<float>(F::multiplier(b, piece, at / 16)) * static_cast<float>(u);
  else if constexpr (F::has_base) return F::scale(b, piece) * static_cast<float>(u) + F::base(b, piece);
  else return F::scale(b, piece) * static_cast<float>(u);
}

}  // namespace pleat::codec::detail
