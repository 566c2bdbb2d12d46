// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Encoders of the 32-number block formats, rounding as ggml's reference quantizers do: same input, same bytes. Needs
/// no Kokkos.
///
/// Every operation is rounded to float by itself. Where the reference divides by a subnormal step (1/d overflows) its
/// codes are undefined; ours are those of a step of zero, and decode to zero as the 16-bit scale is zero there.
#pragma once

#include <pleat/base/math.hpp>
#include <pleat/codec/detail/at_level.hpp>
#include <pleat/codec/detail/block_formats.hpp>

namespace pleat::codec::detail {

/// To the nearest integer, halves away from zero (roundf), in a form that vectorises; |v| < 2²².
PLEAT_INLINE int round_half_away(float v) {
  int const whole = static_cast<int>(v);
  float const rest = v - static_cast<float>(whole);
  return whole + (rest >= 0.5f ? 1 : 0) - (rest <= -0.5f ? 1 : 0);
}

/// To the nearest integer, ties to even, by adding 1.5·2²³ (as the K-quants' reference does); |v| ≤ 2²².
PLEAT_INLINE int round_half_even(float v) {
  return static_cast<int>(__builtin_bit_cast(std::uint32_t, v + 12582912.0f) & 0x007fffffu) - 0x00400000;
}

PLEAT_INLINE float inverse_of(float d) {
  float const inverse = d != 0.0f ? 1.0f / d : 0.0f;
  return inverse - inverse == 0.0f ? inverse : 0.0f;
}

struct block_range {
  float least, most, amax;
};
PLEAT_INLINE block_range range32(float const* x) {
  float low[8], high[8];
  for (int j = 0; j < 8; ++j) low[j] = high[j] = x[j];
  for (int i = 8; i < 32; i += 8)
    for (int j = 0; j < 8; ++j) {
      low[j] = x[i + j] < low[j] ? x[i + j] : low[j];
      high[j] = x[i + j] > high[j] ? x[i + j] : high[j];
    }
  for (int s = 4; s > 0; s /= 2)
    for (int j = 0; j < s; ++j) {
      low[j] = low[j + s] < low[j] ? low[j + s] : low[j];
      high[j] = high[j + s] > high[j] ? high[j + s] : high[j];
    }
  return {low[0], high[0], __builtin_fabsf(-low[0] > high[0] ? -low[0] : high[0])};
}
/// The element of the largest magnitude, the first one where several have it; of zeros, whatever their signs, +0.
PLEAT_INLINE float signed_extreme(float const* x, block_range const& r) {
  if (r.most != -r.least) return -r.least > r.most ? r.least : r.most;
  if (r.most == 0) return 0;
  for (int i = 0; i < 32; ++i)
    if (x[i] == r.most || x[i] == r.least) return x[i];
  return 0;
}

PLEAT_INLINE void encode_block(q8_0_format, float const* x, byte_t* b) {
  block_range const r = range32(x);
  float const d = r.amax / 127.0f, inverse = inverse_of(d);
  store16(b, pleat::detail::half_bits(d));
  float v[32];
  for (int i = 0; i < 32; ++i) v[i] = x[i] * inverse;
  rounded_all(v);
  for (int i = 0; i < 32; ++i) b[2 + i] = static_cast<byte_t>(round_half_away(v[i]));
}

/// The least element, the first one where several zeros are.
PLEAT_INLINE float first_least(float const* x, block_range const& r) {
  if (r.least == 0)
    for (int i = 0; i < 32; ++i)
      if (x[i] == 0) return x[i];
  return r.least;
}

/// u[i] = min(most, trunc((x[i] − base)·inverse + shift)).
PLEAT_INLINE void codes32(float const* x, float base, float inverse, float shift, int most, byte_t* u) {
  float v[32];
  for (int i = 0; i < 32; ++i) v[i] = (x[i] - base) * inverse;
  rounded_all(v);
  for (int i = 0; i < 32; ++i) {
    int const q = static_cast<int>(v[i] + shift);
    u[i] = static_cast<byte_t>(q < most ? q : most);
  }
}
PLEAT_INLINE void nibbles32(byte_t const* u, byte_t* to) {
  for (int i = 0; i < 16; ++i) to[i] = static_cast<byte_t>((u[i] & 15) | (u[i + 16] & 15) << 4);
}
PLEAT_INLINE void fifth_bits(byte_t const* u, byte_t* to) {
  std::uint32_t high = 0;
  for (int i = 0; i < 32; ++i) high |= static_cast<std::uint32_t>((u[i] >> 4) & 1) << i;
  for (int i = 0; i < 4; ++i) to[i] = static_cast<byte_t>(high >> (8 * i));
}

/// q4_0, q4_1, q5_0, q5_1: codes of F::most + 1 steps, around zero or above the least number.
template <class F> PLEAT_INLINE void encode_block(F, float const* x, byte_t* b) {
  constexpr bool five = F::most == 31;
  constexpr int bits_at = F::has_base ? 4 : 2, nibbles_at = bits_at + (five ? 4 : 0);
  block_range const r = range32(x);
  byte_t u[32];
  float d;
  if constexpr (F::has_base) {
    float const least = first_least(x, r);
    d = r.most == least ? 0.0f : (r.most - least) / static_cast<float>(F::most);
    codes32(x, least, inverse_of(d), 0.5f, F::most, u);
    store16(b + 2, pleat::detail::half_bits(least));
  } else {
    constexpr float steps = static_cast<float>((F::most + 1) / 2);
    d = signed_extreme(x, r) / -steps;
    codes32(x, 0.0f, inverse_of(d), steps + 0.5f, F::most, u);
  }
  store16(b, pleat::detail::half_bits(d));
  if constexpr (five) fifth_bits(u, b + bits_at);
  nibbles32(u, b + nibbles_at);
}

/// d = amax/7, codes = round(x/d) in ±7, ties to even; zero stays zero.
template <int G> PLEAT_INLINE void encode_block(int4_format<G>, float const* x, byte_t* b) {
  float amax = 0;
  for (int p = 0; p < G; p += 32) {
    float const a = range32(x + p).amax;
    amax = a > amax ? a : amax;
  }
  // The codes belong to the scale that is stored: no second error.
  std::uint16_t const bits = pleat::detail::half_bits(amax / 7.0f);
  float const inverse = inverse_of(half_float(bits));
  store16(b, bits);
  for (int p = 0; p < G; p += 32) {
    byte_t u[32];
    for (int i = 0; i < 32; ++i) {
      float v = x[p + i] * inverse;
      v = v > 7.0f ? 7.0f : v < -7.0f ? -7.0f : v;
      u[i] = static_cast<byte_t>((__builtin_bit_cast(std::uint32_t, v + 0x1.8p23f) + 8u) & 15u);
    }
    nibbles32(u, b + 2 + p / 2);
  }
}

template <class F> struct encode_row_body {
  float const* x;
  byte_t* out;
  index_t columns;
  void operator()(index_t r) const {
    float const* from = x + r * columns;
    byte_t* to = out + r * (columns / F::block * F::bytes);
    for (index_t k = 0; k < columns; k += F::block, to += F::bytes) encode_block(F{}, from + k, to);
  }
};

}  // namespace pleat::codec::detail
