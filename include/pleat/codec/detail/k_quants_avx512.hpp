// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The searches of q4_K and q6_K with AVX-512, sixteen pieces side by side: as k_quants_avx2.hpp, which says how and
/// writes what they find. The same bytes as k_quants.hpp. Needs no Kokkos.
///
/// Zero-masking forms with full masks where an unmasked intrinsic would do: g++ 12 warns of an uninitialized value
/// inside the unmasked ones; the code is the same.
#pragma once

#include <pleat/codec/detail/block_encode_avx512.hpp>
#include <pleat/codec/detail/k_quants_avx2.hpp>
#include <pleat/codec/detail/turn_rows.hpp>

#if defined(__x86_64__)

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
/// The weighted error of codes.
PLEAT_K_INLINE __m512 error16(__m512 const* v, __m512 const* weight, __m512 const* code, __m512 scale, __m512 base) {
  __m512 e = _mm512_setzero_ps();
  for (int i = 0; i < 32; ++i) {
    __m512 const difference = _mm512_sub_ps(_mm512_add_ps(times16(scale, code[i]), base), v[i]);
    e = _mm512_add_ps(e, times16(weight[i], times16(difference, difference)));
  }
  return e;
}

/// search_q4_k for sixteen pieces of 32 that lie behind each other: two super-blocks.
PLEAT_TARGET_AVX512 inline void search_q4_k_avx512(float const* x, q4_k_fits& to) {
  __m512 const zero = _mm512_setzero_ps();
  __m512 v[32], weight[32], code[32];
  for (int c = 0; c < 2; ++c) {
    sixteen_columns const turned = columns_of_64({reinterpret_cast<unsigned char const*>(x), 128}, 64 * c);
    for (int j = 0; j < 16; ++j) v[16 * c + j] = _mm512_castsi512_ps(turned.at[j]);
  }
  __m512 squares = zero;
  for (int i = 0; i < 32; ++i) squares = _mm512_add_ps(squares, times16(v[i], v[i]));
  __m512 const mean = _mm512_maskz_sqrt_ps(0xffff, _mm512_div_ps(squares, _mm512_set1_ps(32.0f)));
  for (int i = 0; i < 32; ++i) weight[i] = _mm512_add_ps(mean, magnitude16(v[i]));

  __m512 low = v[0], high = v[0], sum_w = weight[0], sum_x = times16(weight[0], v[0]);
  // of two equal ones the second operand is taken, as std::min and std::max take the first of theirs
  for (int i = 1; i < 32; ++i) {
    low = _mm512_maskz_min_ps(0xffff, v[i], low);
    high = _mm512_maskz_max_ps(0xffff, v[i], high);
    sum_w = _mm512_add_ps(sum_w, weight[i]);
    sum_x = _mm512_add_ps(sum_x, times16(weight[i], v[i]));
  }
  low = _mm512_maskz_min_ps(0xffff, zero, low);
  __m512 const first_low = low;
  __mmask16 const constant = _mm512_cmp_ps_mask(high, low, _CMP_EQ_OQ);

  __m512 const plain = _mm512_div_ps(_mm512_set1_ps(15.0f), _mm512_sub_ps(high, low));
  for (int i = 0; i < 32; ++i) code[i] = code16(times16(plain, _mm512_sub_ps(v[i], low)), 0, 15);
  __m512 best_scale = _mm512_div_ps(_mm512_set1_ps(1.0f), plain), best_inverse = plain, best_low = low;
  __m512 least = error16(v, weight, code, best_scale, low);
  for (int step = 0; step <= 20; ++step) {
    __m512 const inverse = _mm512_div_ps(_mm512_set1_ps(q4_k_candidate(step)), _mm512_sub_ps(high, low));
    __m512 l = zero, l2 = zero, xl = zero;
    for (int i = 0; i < 32; ++i) {
      code[i] = code16(times16(inverse, _mm512_sub_ps(v[i], low)), 0, 15);
      __m512 const wl = times16(weight[i], code[i]);
      l = _mm512_add_ps(l, wl);
      l2 = _mm512_add_ps(l2, times16(wl, code[i]));
      xl = _mm512_add_ps(xl, times16(wl, v[i]));
    }
    __m512 const determinant = _mm512_sub_ps(times16(sum_w, l2), times16(l, l));
    __m512 const found_scale = _mm512_div_ps(_mm512_sub_ps(times16(sum_w, xl), times16(sum_x, l)), determinant);
    __m512 const found_base = _mm512_div_ps(_mm512_sub_ps(times16(l2, sum_x), times16(l, xl)), determinant);
    __mmask16 const above = _mm512_cmp_ps_mask(found_base, zero, _CMP_GT_OQ);
    __m512 const base = except16(above, found_base), scale = choose16(found_scale, _mm512_div_ps(xl, l2), above);
    __m512 const e = error16(v, weight, code, scale, base);
    auto const better = static_cast<__mmask16>(_mm512_cmp_ps_mask(determinant, zero, _CMP_GT_OQ) &
                                               _mm512_cmp_ps_mask(e, least, _CMP_LT_OQ));
    least = choose16(least, e, better);
    best_scale = choose16(best_scale, scale, better);
    best_inverse = choose16(best_inverse, inverse, better);
    best_low = choose16(best_low, low, better);
    low = choose16(low, base, better);
  }
  _mm512_storeu_ps(to.scale, except16(constant, best_scale));
  _mm512_storeu_ps(to.minimum, flipped(choose16(low, first_low, constant)));
  _mm512_storeu_ps(to.inverse, except16(constant, best_inverse));
  _mm512_storeu_ps(to.low, choose16(best_low, first_low, constant));
}

PLEAT_TARGET_AVX512 inline void encode_blocks_avx512(q4_k_format, float const* x, index_t blocks, byte_t* b) {
  q4_k_fits found;
  index_t i = 0;
  for (; i + 2 <= blocks; i += 2, x += 512, b += 2 * q4_k_format::bytes) {
    search_q4_k_avx512(x, found);
    write_q4_k_avx2(x, found, 0, b);
    write_q4_k_avx2(x + 256, found, 8, b + q4_k_format::bytes);
  }
  if (i == blocks) return;
  float twice[512];
  std::memcpy(twice, x, 256 * sizeof(float));
  std::memcpy(twice + 256, x, 256 * sizeof(float));
  search_q4_k_avx512(twice, found);
  write_q4_k_avx2(x, found, 0, b);
}

/// search_q6_k for the sixteen pieces of a super-block.
PLEAT_TARGET_AVX512 inline void search_q6_k_avx512(float const* x, q6_k_fits& to) {
  __m512 const zero = _mm512_setzero_ps();
  __m512 v[16], square[16], cube[16];
  sixteen_columns const turned = columns_of_64({reinterpret_cast<unsigned char const*>(x), 64}, 0);
  __m512 extreme = zero, amax = zero;
  for (int i = 0; i < 16; ++i) {
    v[i] = _mm512_castsi512_ps(turned.at[i]);
    __m512 const a = magnitude16(v[i]);
    __mmask16 const more = _mm512_cmp_ps_mask(a, amax, _CMP_GT_OQ);
    amax = choose16(amax, a, more);
    extreme = choose16(extreme, v[i], more);
    square[i] = _mm512_mul_ps(v[i], v[i]);
    cube[i] = _mm512_mul_ps(square[i], v[i]);
  }
  __m512 scale = zero, best = zero, best_inverse = zero;
  for (int nth = 0; nth < 19; ++nth) {
    __m512 const inverse = _mm512_div_ps(_mm512_set1_ps(-q6_k_candidate(nth)), extreme);
    __m512 xl = zero, l2 = zero;
    for (int i = 0; i < 16; ++i) {
      __m512 const code = code16(times16(inverse, v[i]), -32, 31);
      xl = _mm512_add_ps(xl, times16(cube[i], code));
      l2 = _mm512_add_ps(l2, times16(times16(square[i], code), code));
    }
    __m512 const fit = _mm512_div_ps(xl, l2);
    if (nth == 0) {
      scale = except16(_mm512_cmp_ps_mask(l2, zero, _CMP_EQ_OQ), fit);
      best = times16(scale, xl);
      best_inverse = inverse;
      continue;
    }
    auto const better = static_cast<__mmask16>(_mm512_cmp_ps_mask(l2, zero, _CMP_GT_OQ) &
                                               _mm512_cmp_ps_mask(times16(xl, xl), times16(best, l2), _CMP_GT_OQ));
    scale = choose16(scale, fit, better);
    best = choose16(best, times16(fit, xl), better);
    best_inverse = choose16(best_inverse, inverse, better);
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
