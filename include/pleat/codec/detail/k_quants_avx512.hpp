// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The searches of q4_K and q6_K with AVX-512, 32 and sixteen pieces side by side: as k_quants_avx2.hpp, which says how and
/// writes what they find. The same bytes as k_quants.hpp. Needs no Kokkos.
///
/// Zero-masking forms with full masks where an unmasked intrinsic would do: g++ 12 warns of an uninitialized value
/// inside the unmasked ones; the code is the same.
#pragma once

#include <pleat/codec/detail/block_encode_avx512.hpp>
#include <pleat/codec/detail/k_quants_avx2.hpp>
#include <pleat/codec/detail/turn_rows.hpp>

#if defined(__x86_64__)

#include <algorithm>
#include <cstring>

#include <immintrin.h>

namespace pleat::codec::detail {

#define PLEAT_K_INLINE static inline __attribute__((always_inline)) PLEAT_TARGET_AVX512

/// A product that is rounded by itself: an operation with a rounding mode of its own is never contracted.
PLEAT_K_INLINE __m512 times16(__m512 a, __m512 b) {
  return _mm512_maskz_mul_round_ps(static_cast<__mmask16>(-1), a, b, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
/// clamp(round_half_even(v), least, most), in floats, for any v: as code8.
PLEAT_K_INLINE __m512 code16(__m512 v, float least, float most) {
  __m512i const sum = _mm512_castps_si512(_mm512_add_ps(v, _mm512_set1_ps(12582912.0f)));
  __m512 const whole = _mm512_castsi512_ps(
      _mm512_or_si512(_mm512_and_si512(sum, _mm512_set1_epi32(0x007fffff)), _mm512_set1_epi32(0x4b000000)));
  __m512 const held =
      _mm512_maskz_min_ps(0xffff, _mm512_maskz_max_ps(0xffff, whole, _mm512_set1_ps(12582912.0f + least)),
                          _mm512_set1_ps(12582912.0f + most));
  return _mm512_sub_ps(held, _mm512_set1_ps(12582912.0f));
}
PLEAT_K_INLINE __m512 choose16(__m512 otherwise, __m512 then, __mmask16 where) {
  return _mm512_mask_blend_ps(where, otherwise, then);
}
PLEAT_K_INLINE __m512 flipped(__m512 v) {
  return _mm512_castsi512_ps(
      _mm512_xor_si512(_mm512_castps_si512(v), _mm512_set1_epi32(static_cast<int>(0x80000000u))));
}
PLEAT_K_INLINE __m512 magnitude16(__m512 v) {
  return _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(v), _mm512_set1_epi32(0x7fffffff)));
}
/// Zero where the mask is set.
PLEAT_K_INLINE __m512 except16(__mmask16 where, __m512 v) { return choose16(v, _mm512_setzero_ps(), where); }
/// How many vectors of pieces are searched at once: a candidate is chains of additions, of which one vector's alone would
/// wait for themselves.
inline constexpr int vectors_at_once = 2;
/// One number for each of the pieces.
struct piece_numbers {
  __m512 of[vectors_at_once];
};
/// The sums of a candidate's codes.
struct candidate_sums {
  __m512 l, l2, xl;
};
/// 32 numbers of every piece, beside each other.
struct q4_k_pieces {
  __m512 v[32][vectors_at_once], weight[32][vectors_at_once], code[32][vectors_at_once];
};

/// clamp(round_half_even(v), 0, 15) for −8 ≤ v ≤ 23: what follows the point of v + 1.5·2²³ chooses among 32 answers.
PLEAT_K_INLINE __m512 code16_of_few(__m512 v) {
  __m512 const up = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
               clamped = _mm512_setr_ps(15, 15, 15, 15, 15, 15, 15, 15, 0, 0, 0, 0, 0, 0, 0, 0);
  return _mm512_permutex2var_ps(up, _mm512_castps_si512(_mm512_add_ps(v, _mm512_set1_ps(12582912.0f))), clamped);
}
/// Whether that can be asked: for the least and the largest number of a piece, and so for all.
PLEAT_K_INLINE __mmask16 few(__m512 v) {
  return _mm512_cmp_ps_mask(magnitude16(_mm512_sub_ps(v, _mm512_set1_ps(7.5f))), _mm512_set1_ps(15.5f), _CMP_LE_OQ);
}

/// The codes round(inverse·(x − low)), and their sums where these are wanted.
template <bool Few, bool Sums>
PLEAT_K_INLINE void codes_q4_k(q4_k_pieces& p, piece_numbers const& low, piece_numbers const& inverse,
                               candidate_sums* sums) {
  candidate_sums s[vectors_at_once];
  for (auto& of : s) of.l = of.l2 = of.xl = _mm512_setzero_ps();
#pragma GCC unroll 2
  for (int i = 0; i < 32; ++i)
#pragma GCC unroll 2
    for (int h = 0; h < vectors_at_once; ++h) {
      __m512 const t = times16(inverse.of[h], _mm512_sub_ps(p.v[i][h], low.of[h]));
      __m512 const code = Few ? code16_of_few(t) : code16(t, 0, 15);
      p.code[i][h] = code;
      if (!Sums) continue;
      __m512 const wl = times16(p.weight[i][h], code);
      s[h].l = _mm512_add_ps(s[h].l, wl);
      s[h].l2 = _mm512_add_ps(s[h].l2, times16(wl, code));
      s[h].xl = _mm512_add_ps(s[h].xl, times16(wl, p.v[i][h]));
    }
  if (Sums)
    for (int h = 0; h < vectors_at_once; ++h) sums[h] = s[h];
}
/// The weighted error of the codes.
PLEAT_K_INLINE piece_numbers errors_q4_k(q4_k_pieces const& p, piece_numbers const& scale, piece_numbers const& base) {
  piece_numbers e;
  for (auto& of : e.of) of = _mm512_setzero_ps();
#pragma GCC unroll 2
  for (int i = 0; i < 32; ++i)
#pragma GCC unroll 2
    for (int h = 0; h < vectors_at_once; ++h) {
      __m512 const difference = _mm512_sub_ps(_mm512_add_ps(times16(scale.of[h], p.code[i][h]), base.of[h]), p.v[i][h]);
      e.of[h] = _mm512_add_ps(e.of[h], times16(p.weight[i][h], times16(difference, difference)));
    }
  return e;
}

/// search_q4_k for the pieces of 32 of four super-blocks; a vector's fits to each of `to`.
PLEAT_TARGET_AVX512 inline void search_q4_k_avx512(float const* x, q4_k_fits* to) {
  __m512 const zero = _mm512_setzero_ps();
  q4_k_pieces p;
  piece_numbers sum_w, sum_x, low, high, first_low, plain, best_scale, best_inverse, best_low;
  __mmask16 constant[vectors_at_once];
  for (int h = 0; h < vectors_at_once; ++h) {
    for (int c = 0; c < 2; ++c) {
      sixteen_columns const turned = columns_of_64({reinterpret_cast<unsigned char const*>(x + 512 * h), 128}, 64 * c);
      for (int j = 0; j < 16; ++j) p.v[16 * c + j][h] = _mm512_castsi512_ps(turned.at[j]);
    }
    __m512 squares = zero;
    for (int i = 0; i < 32; ++i) squares = _mm512_add_ps(squares, times16(p.v[i][h], p.v[i][h]));
    __m512 const mean = _mm512_maskz_sqrt_ps(0xffff, _mm512_div_ps(squares, _mm512_set1_ps(32.0f)));
    for (int i = 0; i < 32; ++i) p.weight[i][h] = _mm512_add_ps(mean, magnitude16(p.v[i][h]));

    __m512 least = p.v[0][h], most = p.v[0][h], w = p.weight[0][h], wx = times16(p.weight[0][h], p.v[0][h]);
    // of two equal ones the second operand is taken, as std::min and std::max take the first of theirs
    for (int i = 1; i < 32; ++i) {
      least = _mm512_maskz_min_ps(0xffff, p.v[i][h], least);
      most = _mm512_maskz_max_ps(0xffff, p.v[i][h], most);
      w = _mm512_add_ps(w, p.weight[i][h]);
      wx = _mm512_add_ps(wx, times16(p.weight[i][h], p.v[i][h]));
    }
    low.of[h] = first_low.of[h] = _mm512_maskz_min_ps(0xffff, zero, least);
    high.of[h] = most;
    sum_w.of[h] = w;
    sum_x.of[h] = wx;
    constant[h] = _mm512_cmp_ps_mask(high.of[h], low.of[h], _CMP_EQ_OQ);
    plain.of[h] = _mm512_div_ps(_mm512_set1_ps(15.0f), _mm512_sub_ps(high.of[h], low.of[h]));
    best_scale.of[h] = _mm512_div_ps(_mm512_set1_ps(1.0f), plain.of[h]);
    best_inverse.of[h] = plain.of[h];
    best_low.of[h] = low.of[h];
  }
  codes_q4_k<false, false>(p, low, plain, nullptr);
  piece_numbers least = errors_q4_k(p, best_scale, low);
  for (int step = 0; step <= 20; ++step) {
    piece_numbers inverse, scale, base;
    candidate_sums s[vectors_at_once];
    __mmask16 determined[vectors_at_once];
    bool all_few = true;
    for (int h = 0; h < vectors_at_once; ++h) {
      inverse.of[h] = _mm512_div_ps(_mm512_set1_ps(q4_k_candidate(step)), _mm512_sub_ps(high.of[h], low.of[h]));
      auto const in_range =
          static_cast<__mmask16>(few(times16(inverse.of[h], _mm512_sub_ps(first_low.of[h], low.of[h]))) &
                                 few(times16(inverse.of[h], _mm512_sub_ps(high.of[h], low.of[h]))));
      all_few = all_few && static_cast<__mmask16>(in_range | constant[h]) == 0xffff;
    }
    if (all_few) codes_q4_k<true, true>(p, low, inverse, s);
    else codes_q4_k<false, true>(p, low, inverse, s);
    for (int h = 0; h < vectors_at_once; ++h) {
      auto const [l, l2, xl] = s[h];
      __m512 const determinant = _mm512_sub_ps(times16(sum_w.of[h], l2), times16(l, l));
      __m512 const found_scale =
          _mm512_div_ps(_mm512_sub_ps(times16(sum_w.of[h], xl), times16(sum_x.of[h], l)), determinant);
      __m512 const found_base = _mm512_div_ps(_mm512_sub_ps(times16(l2, sum_x.of[h]), times16(l, xl)), determinant);
      __mmask16 const above = _mm512_cmp_ps_mask(found_base, zero, _CMP_GT_OQ);
      determined[h] = _mm512_cmp_ps_mask(determinant, zero, _CMP_GT_OQ);
      base.of[h] = except16(above, found_base);
      scale.of[h] = choose16(found_scale, _mm512_div_ps(xl, l2), above);
    }
    piece_numbers const e = errors_q4_k(p, scale, base);
    for (int h = 0; h < vectors_at_once; ++h) {
      auto const better = static_cast<__mmask16>(determined[h] & _mm512_cmp_ps_mask(e.of[h], least.of[h], _CMP_LT_OQ));
      least.of[h] = choose16(least.of[h], e.of[h], better);
      best_scale.of[h] = choose16(best_scale.of[h], scale.of[h], better);
      best_inverse.of[h] = choose16(best_inverse.of[h], inverse.of[h], better);
      best_low.of[h] = choose16(best_low.of[h], low.of[h], better);
      low.of[h] = choose16(low.of[h], base.of[h], better);
    }
  }
  for (int h = 0; h < vectors_at_once; ++h) {
    _mm512_storeu_ps(to[h].scale, except16(constant[h], best_scale.of[h]));
    _mm512_storeu_ps(to[h].minimum, flipped(choose16(low.of[h], first_low.of[h], constant[h])));
    _mm512_storeu_ps(to[h].inverse, except16(constant[h], best_inverse.of[h]));
    _mm512_storeu_ps(to[h].low, choose16(best_low.of[h], first_low.of[h], constant[h]));
  }
}

PLEAT_TARGET_AVX512 inline void encode_blocks_avx512(q4_k_format, float const* x, index_t blocks, byte_t* b) {
  constexpr index_t together = 2 * vectors_at_once;
  for (index_t left = 0; blocks > 0; blocks -= left, x += 256 * left, b += q4_k_format::bytes * left) {
    q4_k_fits found[vectors_at_once];
    left = std::min(together, blocks);
    if (left == together) {
      search_q4_k_avx512(x, found);
    } else {  // what is left, and the first of it again
      float filled[256 * together];
      for (index_t k = 0; k < together; ++k)
        std::memcpy(filled + 256 * k, x + (k < left ? 256 * k : 0), 256 * sizeof(float));
      search_q4_k_avx512(filled, found);
    }
    for (index_t k = 0; k < left; ++k)
      write_q4_k_avx2(x + 256 * k, found[k / 2], static_cast<int>(k % 2) * 8, b + q4_k_format::bytes * k);
  }
}

/// search_q6_k for the sixteen pieces of a super-block.
PLEAT_TARGET_AVX512 inline void search_q6_k_avx512(float const* x, q6_k_fits& to) {
  __m512 const zero = _mm512_setzero_ps();
  __m512 v[16], square[16], cube[16];
  sixteen_columns const turned = columns_of_64({reinterpret_cast<unsigned char const*>(x), 64}, 0);
  __m512 extreme = zero, amax = zero;
  for (int i = 0; i < 16; ++i) {
    v[i] = _mm512_castsi512_ps(turned.at[i]);
    amax = _mm512_maskz_max_ps(0xffff, amax, magnitude16(v[i]));
    square[i] = _mm512_mul_ps(v[i], v[i]);
    cube[i] = _mm512_mul_ps(square[i], v[i]);
  }
  for (int i = 15; i >= 0; --i)  // the first of equal magnitudes
    extreme = choose16(extreme, v[i], _mm512_cmp_ps_mask(magnitude16(v[i]), amax, _CMP_EQ_OQ));
  __m512 scale = zero, best = zero, best_inverse = zero;
  constexpr int candidates = 19, together = 4;  // one comes from memory for as many
  for (int first = 0; first < candidates; first += together) {
    __m512 inverse[together], xl[together], l2[together];
    for (int c = 0; c < together; ++c) {  // the last one twice
      int const nth = std::min(first + c, candidates - 1);
      inverse[c] = _mm512_div_ps(_mm512_set1_ps(-q6_k_candidate(nth)), extreme);
      xl[c] = l2[c] = zero;
    }
#pragma GCC unroll 2
    for (int i = 0; i < 16; ++i)
#pragma GCC unroll 4
      for (int c = 0; c < together; ++c) {
        // no number exceeds the extreme one, nor its code 33: the bits of the sum are in the order of the codes
        __m512 const sum = _mm512_add_ps(times16(inverse[c], v[i]), _mm512_set1_ps(12582912.0f));
        __m512 const held = _mm512_castsi512_ps(_mm512_maskz_min_epi32(
            0xffff, _mm512_maskz_max_epi32(0xffff, _mm512_castps_si512(sum), _mm512_set1_epi32(0x4b400000 - 32)),
            _mm512_set1_epi32(0x4b400000 + 31)));
        __m512 const code = _mm512_sub_ps(held, _mm512_set1_ps(12582912.0f));
        xl[c] = _mm512_add_ps(xl[c], times16(cube[i], code));
        l2[c] = _mm512_add_ps(l2[c], times16(times16(square[i], code), code));
      }
    for (int c = 0; c < together; ++c) {
      __m512 const fit = _mm512_div_ps(xl[c], l2[c]);
      if (first + c == 0) {
        scale = except16(_mm512_cmp_ps_mask(l2[c], zero, _CMP_EQ_OQ), fit);
        best = times16(scale, xl[c]);
        best_inverse = inverse[c];
        continue;
      }
      auto const better =
          static_cast<__mmask16>(_mm512_cmp_ps_mask(l2[c], zero, _CMP_GT_OQ) &
                                 _mm512_cmp_ps_mask(times16(xl[c], xl[c]), times16(best, l2[c]), _CMP_GT_OQ));
      scale = choose16(scale, fit, better);
      best = choose16(best, times16(fit, xl[c]), better);
      best_inverse = choose16(best_inverse, inverse[c], better);
    }
  }
  __mmask16 const tiny = _mm512_cmp_ps_mask(amax, _mm512_set1_ps(1e-15f), _CMP_LT_OQ);
  _mm512_storeu_ps(to.scale, except16(tiny, scale));
  _mm512_storeu_ps(to.inverse, except16(tiny, best_inverse));
  _mm512_storeu_ps(to.middle, except16(tiny, _mm512_set1_ps(32.0f)));
}

PLEAT_TARGET_AVX512 inline void encode_blocks_avx512(q6_k_format, float const* x, index_t blocks, byte_t* b) {
  for (index_t i = 0; i < blocks; ++i, x += 256, b += q6_k_format::bytes) {
    q6_k_fits found;
    search_q6_k_avx512(x, found);
    write_q6_k_avx2(x, found, b);
  }
}

}  // namespace pleat::codec::detail

#undef PLEAT_K_INLINE
#endif
