// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Products with block formats by AVX2, eight rows at a time (block_panel.hpp has AVX-512). See block_product for what
/// they compute. Needs no Kokkos.
#pragma once

#if defined(__x86_64__)

#include <immintrin.h>

#include <pleat/codec/detail/block_product.hpp>
#include <pleat/base/isa.hpp>

namespace pleat::codec::detail {

#define PLEAT_BLOCK_INLINE static inline __attribute__((always_inline)) PLEAT_TARGET_AVX2

/// The codes of a piece, one byte each.
PLEAT_BLOCK_INLINE __m256i nibbles(byte_t const* p) {
  __m128i const v = _mm_loadu_si128(reinterpret_cast<__m128i const*>(p)), low = _mm_set1_epi8(15);
  return _mm256_set_m128i(_mm_and_si128(_mm_srli_epi16(v, 4), low), _mm_and_si128(v, low));
}
PLEAT_BLOCK_INLINE __m256i fifths(byte_t const* p) {  // 32 bits to bytes of 16 or 0
  int bits;
  std::memcpy(&bits, p, 4);
  __m256i const spread = _mm256_shuffle_epi8(
      _mm256_set1_epi32(bits), _mm256_set_epi64x(0x0303030303030303, 0x0202020202020202, 0x0101010101010101, 0));
  __m256i const each = _mm256_or_si256(spread, _mm256_set1_epi64x(0x7fbfdfeff7fbfdfe));
  return _mm256_and_si256(_mm256_cmpeq_epi8(each, _mm256_set1_epi8(-1)), _mm256_set1_epi8(16));
}
PLEAT_BLOCK_INLINE __m256i piece_codes(q8_0_format, byte_t const* b, int) {
  return _mm256_xor_si256(_mm256_loadu_si256(reinterpret_cast<__m256i const*>(b + 2)), _mm256_set1_epi8(-128));
}
PLEAT_BLOCK_INLINE __m256i piece_codes(q4_0_format, byte_t const* b, int) { return nibbles(b + 2); }
PLEAT_BLOCK_INLINE __m256i piece_codes(q4_1_format, byte_t const* b, int) { return nibbles(b + 4); }
PLEAT_BLOCK_INLINE __m256i piece_codes(q5_0_format, byte_t const* b, int) {
  return _mm256_or_si256(nibbles(b + 6), fifths(b + 2));
}
PLEAT_BLOCK_INLINE __m256i piece_codes(q5_1_format, byte_t const* b, int) {
  return _mm256_or_si256(nibbles(b + 8), fifths(b + 4));
}
PLEAT_BLOCK_INLINE __m256i piece_codes(q4_k_format, byte_t const* b, int piece) {
  __m256i const v = _mm256_loadu_si256(reinterpret_cast<__m256i const*>(b + 16 + piece / 2 * 32));
  return _mm256_and_si256(_mm256_srl_epi16(v, _mm_cvtsi32_si128(piece % 2 * 4)), _mm256_set1_epi8(15));
}
PLEAT_BLOCK_INLINE __m256i piece_codes(q6_k_format, byte_t const* b, int piece) {
  int const part = piece / 4, quarter = piece % 4;
  __m256i const low = _mm256_loadu_si256(reinterpret_cast<__m256i const*>(b + part * 64 + quarter % 2 * 32));
  __m256i const high = _mm256_loadu_si256(reinterpret_cast<__m256i const*>(b + 128 + part * 32));
  __m256i const four =
      _mm256_and_si256(_mm256_srl_epi16(low, _mm_cvtsi32_si128(quarter / 2 * 4)), _mm256_set1_epi8(15));
  __m256i const two = _mm256_and_si256(_mm256_srl_epi16(high, _mm_cvtsi32_si128(2 * quarter)), _mm256_set1_epi8(3));
  return _mm256_or_si256(four, _mm256_slli_epi16(two, 4));
}
template <int G> PLEAT_BLOCK_INLINE __m256i piece_codes(int4_format<G>, byte_t const* b, int piece) {
  return nibbles(b + 2 + 16 * piece);
}

/// Lanes 0 and 4 from two integers, zero elsewhere.
PLEAT_BLOCK_INLINE __m256i start_lanes(std::int32_t const* two) {
  __m256i const pair = _mm256_castsi128_si256(_mm_loadl_epi64(reinterpret_cast<__m128i const*>(two)));
  return _mm256_permutevar8x32_epi32(_mm256_inserti128_si256(pair, _mm_setzero_si128(), 1),
                                     _mm256_setr_epi32(0, 2, 2, 2, 1, 2, 2, 2));
}
/// Lane r of the result is the sum of the lower (upper) four lanes of s[r].
struct half_sums {
  __m256i low, high;
};
PLEAT_BLOCK_INLINE half_sums sum_each(__m256i const (&s)[8]) {
  __m256i const a = _mm256_hadd_epi32(_mm256_hadd_epi32(s[0], s[1]), _mm256_hadd_epi32(s[2], s[3]));
  __m256i const b = _mm256_hadd_epi32(_mm256_hadd_epi32(s[4], s[5]), _mm256_hadd_epi32(s[6], s[7]));
  return {_mm256_permute2x128_si256(a, b, 0x20), _mm256_permute2x128_si256(a, b, 0x31)};
}
/// Eight halves that lie at the beginning of eight blocks.
PLEAT_BLOCK_INLINE __m256 halves_at(byte_t const* const (&b)[8], int offset) {
  __m128i h = _mm_setzero_si128();
  short v[8];
  for (int r = 0; r < 8; ++r) std::memcpy(v + r, b[r] + offset, 2);
  h = _mm_setr_epi16(v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7]);
  return _mm256_cvtph_ps(h);
}
/// Rows and columns of 8 × 8 32-bit numbers change places.
PLEAT_BLOCK_INLINE void turn8(__m256i (&v)[8]) {
  __m256i a[8], b[8];
  for (int i = 0; i < 8; i += 2) {
    a[i] = _mm256_unpacklo_epi32(v[i], v[i + 1]);
    a[i + 1] = _mm256_unpackhi_epi32(v[i], v[i + 1]);
  }
  for (int i = 0; i < 8; i += 4)
    for (int h = 0; h < 2; ++h) {
      b[i + 2 * h] = _mm256_unpacklo_epi64(a[i + h], a[i + 2 + h]);
      b[i + 2 * h + 1] = _mm256_unpackhi_epi64(a[i + h], a[i + 2 + h]);
    }
  for (int i = 0; i < 4; ++i) {
    v[i] = _mm256_permute2x128_si256(b[i], b[i + 4], 0x20);
    v[i + 4] = _mm256_permute2x128_si256(b[i], b[i + 4], 0x31);
  }
}

/// What a block says about its pieces, for the same block of eight rows: [piece][row].
template <class F> struct piece_facts {
  static constexpr int pieces = F::block / 32;
  alignas(32) float scale[pieces][8], base[pieces][8];
  alignas(32) std::int32_t multiplier[pieces][2][8];
};
template <class F> PLEAT_BLOCK_INLINE void read_facts(byte_t const* const (&b)[8], piece_facts<F>& f) {
  if constexpr (std::is_same_v<F, q4_k_format>) {
    __m256 scale[8], base[8];
    for (int r = 0; r < 8; ++r) {
      std::uint32_t w[3];
      std::memcpy(w, b[r] + 4, 12);
      std::uint32_t const s1 = (w[2] & 0x0f0f0f0fu) | ((w[0] >> 6) & 0x03030303u) << 4,
                          m1 = ((w[2] >> 4) & 0x0f0f0f0fu) | ((w[1] >> 6) & 0x03030303u) << 4;
      __m128i const s =
          _mm_insert_epi32(_mm_cvtsi32_si128(static_cast<int>(w[0] & 0x3f3f3f3fu)), static_cast<int>(s1), 1);
      __m128i const m =
          _mm_insert_epi32(_mm_cvtsi32_si128(static_cast<int>(w[1] & 0x3f3f3f3fu)), static_cast<int>(m1), 1);
      scale[r] = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(s)), _mm256_set1_ps(half_float(load16(b[r]))));
      base[r] =
          _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(m)), _mm256_set1_ps(-half_float(load16(b[r] + 2))));
    }
    __m256i turned[8];
    for (int r = 0; r < 8; ++r) turned[r] = _mm256_castps_si256(scale[r]);
    turn8(turned);
    for (int p = 0; p < 8; ++p) _mm256_store_ps(f.scale[p], _mm256_castsi256_ps(turned[p]));
    for (int r = 0; r < 8; ++r) turned[r] = _mm256_castps_si256(base[r]);
    turn8(turned);
    for (int p = 0; p < 8; ++p) _mm256_store_ps(f.base[p], _mm256_castsi256_ps(turned[p]));
  } else if constexpr (std::is_same_v<F, q6_k_format>) {
    __m256 const scale = halves_at(b, 208);
    for (int p = 0; p < 8; ++p) _mm256_store_ps(f.scale[p], scale);
    __m256i even[8], odd[8];  // multipliers of the first and the second halves of the pieces
    for (int r = 0; r < 8; ++r) {
      __m128i const m = _mm_loadu_si128(reinterpret_cast<__m128i const*>(b[r] + 192));
      __m256i const words = _mm256_cvtepi16_epi32(m);  // two bytes each: the lower is the first half's
      even[r] = _mm256_srai_epi32(_mm256_slli_epi32(words, 24), 24);
      odd[r] = _mm256_srai_epi32(words, 8);
    }
    turn8(even);
    turn8(odd);
    for (int p = 0; p < 8; ++p) {
      _mm256_store_si256(reinterpret_cast<__m256i*>(f.multiplier[p][0]), even[p]);
      _mm256_store_si256(reinterpret_cast<__m256i*>(f.multiplier[p][1]), odd[p]);
    }
  } else {
    for (int r = 0; r < 8; ++r)
      for (int p = 0; p < F::block / 32; ++p) {
        f.scale[p][r] = F::scale(b[r], p);
        if (F::has_base) f.base[p][r] = F::base(b[r], p);
        if (F::multipliers)
          for (int h = 0; h < 2; ++h) f.multiplier[p][h][r] = F::multiplier(b[r], p, h);
      }
  }
}

/// start + Σ (code − offset)·x, in eight lanes; exact.
template <class F> PLEAT_BLOCK_INLINE __m256i piece_dot(__m256i start, __m256i codes, __m256i x) {
  __m256i const ones = _mm256_set1_epi16(1);
  if constexpr (F::most > 127) {  // |code| · (x with the code's sign): pairs stay below 2¹⁵
    __m256i const w = _mm256_xor_si256(codes, _mm256_set1_epi8(-128));
    return _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w)), ones);
  } else {
    return _mm256_add_epi32(start, _mm256_madd_epi16(_mm256_maddubs_epi16(codes, x), ones));
  }
}

/// `acc` is [m][8]. One: there is one column.
template <class F, bool One>
PLEAT_TARGET_AVX2 inline void rows8(block_product const& p, byte_t const* const* row, float* acc) {
  constexpr int pieces = F::block / 32;
  index_t const blocks = p.k / F::block, x_pieces = p.k / 32, m = One ? 1 : p.m;
  byte_t const* at[8];
  for (int r = 0; r < 8; ++r) at[r] = row[r];
  __m256 only = _mm256_setzero_ps();
  if (!One)
    for (index_t i = 0; i < m; ++i) _mm256_storeu_ps(acc + 8 * i, only);
  for (index_t b = 0; b < blocks; ++b) {
    piece_facts<F> f;
    if (!F::half_first) read_facts<F>(at, f);
    for (int r = 0; r < 8; ++r) __builtin_prefetch(at[r] + 1024);
    for (int piece = 0; piece < pieces; ++piece) {
      __m256i u[8], s[8];
      for (int r = 0; r < 8; ++r) u[r] = piece_codes(F{}, at[r], piece);
      __m256 const scale = F::half_first ? halves_at(at, 0) : _mm256_load_ps(f.scale[piece]);
      for (index_t i = 0; i < m; ++i) {
        index_t const q = b * pieces + piece, nth = i * x_pieces + q;
        __m256i const x = _mm256_loadu_si256(reinterpret_cast<__m256i const*>(p.x + i * p.k + q * 32)),
                      start = start_lanes(p.start + 2 * nth);
        for (int r = 0; r < 8; ++r) s[r] = piece_dot<F>(start, u[r], x);
        half_sums h = sum_each(s);
        if constexpr (F::multipliers) {
          h.low =
              _mm256_mullo_epi32(h.low, _mm256_load_si256(reinterpret_cast<__m256i const*>(f.multiplier[piece][0])));
          h.high =
              _mm256_mullo_epi32(h.high, _mm256_load_si256(reinterpret_cast<__m256i const*>(f.multiplier[piece][1])));
        }
        __m256 sum = One ? only : _mm256_loadu_ps(acc + 8 * i);
        sum = _mm256_fmadd_ps(_mm256_mul_ps(scale, _mm256_set1_ps(p.x_scale[nth])),
                              _mm256_cvtepi32_ps(_mm256_add_epi32(h.low, h.high)), sum);
        if constexpr (F::has_base) {
          __m256 const base = F::half_first ? halves_at(at, 2) : _mm256_load_ps(f.base[piece]);
          sum = _mm256_fmadd_ps(base, _mm256_set1_ps(p.x_sum[nth]), sum);
        }
        if (One) only = sum;
        else _mm256_storeu_ps(acc + 8 * i, sum);
      }
    }
    for (int r = 0; r < 8; ++r) at[r] += F::bytes;
  }
  if (One) _mm256_storeu_ps(acc, only);
}

}  // namespace pleat::codec::detail

#undef PLEAT_BLOCK_INLINE
#endif
