// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Encoders of q4_K and q6_K without a search: the scale of a piece is its range, at the speed of memory. Files and
/// products are those of the formats; the error is larger than that of searched scales, and bounded in the same words.
/// Needs no Kokkos.
#pragma once

#include <cstdint>
#include <cstring>

#include <pleat/codec/detail/k_quants.hpp>

namespace pleat::codec::detail {

/// The nearest code to v, ties to even, of 0 … most. What is cut first keeps a product from being contracted.
inline std::uint32_t nearest_code(float v, float least, float most) {
  v = v > least ? v : least;
  v = v < most ? v : most;
  return __builtin_bit_cast(std::uint32_t, v + 0x1.8p23f);
}

/// Zero for what a half cannot hold by far, so that nothing overflows that is divided by it.
inline float at_least_some(float v) { return v < 1e-15f ? 0.0f : v; }

/// Eight scales (bytes of s) and minima (of m) of six bits each in the twelve bytes of q4_K, as store_scales_q4_k.
inline void store_six_bits(std::uint64_t s, std::uint64_t m, byte_t* to) {
  auto const first_s = static_cast<std::uint32_t>(s), first_m = static_cast<std::uint32_t>(m),
             last_s = static_cast<std::uint32_t>(s >> 32), last_m = static_cast<std::uint32_t>(m >> 32);
  std::uint32_t const words[3] = {first_s | ((last_s >> 4) & 0x03030303u) << 6,
                                  first_m | ((last_m >> 4) & 0x03030303u) << 6,
                                  (last_s & 0x0f0f0f0fu) | (last_m & 0x0f0f0f0fu) << 4};
  std::memcpy(to, words, 12);
}

/// A piece's step is (largest − min(least, 0))/15; codes are the nearest to what the stored scale and minimum say.
inline void encode_plain(q4_k_format, float const* x, byte_t* b) {
  float scales[8], minima[8];
  for (int p = 0; p < 8; ++p) {
    block_range const r = range32(x + 32 * p);
    float const low = r.least < 0 ? r.least : 0.0f;
    scales[p] = at_least_some((r.most - low) / 15.0f);
    minima[p] = at_least_some(-low);
  }
  store_scales_q4_k(scales, minima, b);
  for (int p = 0; p < 8; p += 2) {
    float const first = inverse_of(q4_k_format::scale(b, p)), second = inverse_of(q4_k_format::scale(b, p + 1)),
                above = -q4_k_format::base(b, p), over = -q4_k_format::base(b, p + 1);
    float const* const v = x + 32 * p;
    for (int i = 0; i < 32; ++i)
      b[16 + 16 * p + i] = static_cast<byte_t>((nearest_code((v[i] + above) * first, 0, 15) & 15) |
                                               (nearest_code((v[32 + i] + over) * second, 0, 15) & 15) << 4);
  }
}

/// A piece's step is its largest magnitude/31.
inline void encode_plain(q6_k_format, float const* x, byte_t* b) {
  float scales[16];
  for (int p = 0; p < 16; ++p) {
    float m[8];
    float const* const v = x + 16 * p;
    for (int j = 0; j < 8; ++j) {
      float const one = __builtin_fabsf(v[j]), other = __builtin_fabsf(v[8 + j]);
      m[j] = one > other ? one : other;
    }
    for (int s = 4; s > 0; s /= 2)
      for (int j = 0; j < s; ++j) m[j] = m[j + s] > m[j] ? m[j + s] : m[j];
    scales[p] = m[0] / 31.0f;
  }
  if (!store_scales_q6_k(scales, b)) return;
  float inverse[16];
  for (int p = 0; p < 16; ++p)
    inverse[p] = inverse_of(q6_k_format::scale(b, 0) * static_cast<float>(static_cast<signed char>(b[192 + p])));
  for (int part = 0; part < 2; ++part) {
    std::uint32_t u[128];
    for (int p = 0; p < 8; ++p)
      for (int i = 0; i < 16; ++i)
        u[16 * p + i] = (nearest_code(x[128 * part + 16 * p + i] * inverse[8 * part + p], -32, 31) + 32) & 63;
    for (int i = 0; i < 32; ++i) {
      b[64 * part + i] = static_cast<byte_t>((u[i] & 15) | (u[64 + i] & 15) << 4);
      b[64 * part + 32 + i] = static_cast<byte_t>((u[32 + i] & 15) | (u[96 + i] & 15) << 4);
      b[128 + 32 * part + i] =
          static_cast<byte_t>(u[i] >> 4 | (u[32 + i] >> 4) << 2 | (u[64 + i] >> 4) << 4 | (u[96 + i] >> 4) << 6);
    }
  }
}

template <class F> struct encode_plain_body {
  float const* x;
  byte_t* out;
  void operator()(index_t r) const { encode_plain(F{}, x + r * F::block, out + r * F::bytes); }
};

}  // namespace pleat::codec::detail
