// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Eight rows of a block format times some columns, written once for every instruction set: included once per set, inside its namespace, with
/// PLEAT_BLOCK_TARGET naming the attribute. Alone it is empty. No `#pragma once`: it is meant to be read repeatedly.
#ifdef PLEAT_BLOCK_TARGET

/// start + Σ (code − offset)·x, in eight lanes; exact.
template <class F> static inline __attribute__((always_inline)) PLEAT_BLOCK_TARGET __m256i piece_dot(__m256i start, __m256i codes, __m256i x) {
#ifdef PLEAT_BLOCK_VNNI
  return _mm256_dpbusd_epi32(start, codes, x);
#else
  __m256i const ones = _mm256_set1_epi16(1);
  if constexpr (F::most > 127) {  // |code| · (x with the code's sign): pairs stay below 2¹⁵
    __m256i const w = _mm256_xor_si256(codes, _mm256_set1_epi8(-128));
    return _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w)), ones);
  } else {
    return _mm256_add_epi32(start, _mm256_madd_epi16(_mm256_maddubs_epi16(codes, x), ones));
  }
#endif
}

/// `acc` is [m][8]. One: there is one column.
template <class F, bool One> PLEAT_BLOCK_TARGET inline void rows8(block_product const& p, byte_t const* const* row, float* acc) {
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
        __m256i const x = _mm256_loadu_si256(reinterpret_cast<__m256i const*>(p.x + i * p.k + q * 32)), start = start_lanes(p.start + 2 * nth);
        for (int r = 0; r < 8; ++r) s[r] = piece_dot<F>(start, u[r], x);
        half_sums h = sum_each(s);
        if constexpr (F::multipliers) {
          h.low = _mm256_mullo_epi32(h.low, _mm256_load_si256(reinterpret_cast<__m256i const*>(f.multiplier[piece][0])));
          h.high = _mm256_mullo_epi32(h.high, _mm256_load_si256(reinterpret_cast<__m256i const*>(f.multiplier[piece][1])));
        }
        __m256 sum = One ? only : _mm256_loadu_ps(acc + 8 * i);
        sum = _mm256_fmadd_ps(_mm256_mul_ps(scale, _mm256_set1_ps(p.x_scale[nth])), _mm256_cvtepi32_ps(_mm256_add_epi32(h.low, h.high)), sum);
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

#endif
