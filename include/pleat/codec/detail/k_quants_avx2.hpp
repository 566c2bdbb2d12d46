// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Encoders of q4_K and q6_K with AVX2: the same bytes as k_quants.hpp. Needs no Kokkos.
///
/// The pieces of a super-block are searched each by itself: eight of them side by side, one in a lane. A lane does what
/// the reference does, operation by operation and in its order; what the reference would not do for a piece is computed
/// and not taken. What a search finds are steps and bases; the few codes that stay as it found them are computed again
/// from these, so that candidates need not be kept.
#pragma once

#include <pleat/codec/detail/block_encode_avx2.hpp>
#include <pleat/codec/detail/k_quants.hpp>
#include <pleat/codec/detail/turn_rows.hpp>

#if defined(__x86_64__)

#include <immintrin.h>

namespace pleat::codec::detail {

#define PLEAT_K_INLINE static inline __attribute__((always_inline)) PLEAT_TARGET_AVX2

/// What the search found for up to sixteen pieces: the fit, and what the codes were found with: round(inverse·(x −
/// low)).
struct q4_k_fits {
  alignas(64) float scale[16], minimum[16], inverse[16], low[16];
};
/// The same: round(inverse·x) + middle; zeros for a piece that is none but zeros.
struct q6_k_fits {
  alignas(64) float scale[16], inverse[16], middle[16];
};

/// A product that is rounded by itself: of one that compilers know nothing of they cannot contract a sum.
PLEAT_K_INLINE __m256 times8(__m256 a, __m256 b) {
  __m256 product = _mm256_mul_ps(a, b);
#if defined(__CUDACC__)  // before 13 the device compiler, which reads this, takes no statements on vectors
  return _mm256_or_ps(product, unknown_zero());
#else
  __asm__("" : "+x"(product));
  return product;
#endif
}
/// clamp(round_half_even(v), least, most), in floats, for any v: 23 bits of v + 1.5·2²³ are the number, whatever its
/// exponent.
PLEAT_K_INLINE __m256 code8(__m256 v, float least, float most) {
  __m256 const sum = _mm256_add_ps(v, _mm256_set1_ps(12582912.0f));
  __m256 const fraction = _mm256_and_ps(sum, _mm256_castsi256_ps(_mm256_set1_epi32(0x007fffff)));
  __m256 const whole = _mm256_or_ps(fraction, _mm256_castsi256_ps(_mm256_set1_epi32(0x4b000000)));
  __m256 const held =
      _mm256_min_ps(_mm256_max_ps(whole, _mm256_set1_ps(12582912.0f + least)), _mm256_set1_ps(12582912.0f + most));
  return _mm256_sub_ps(held, _mm256_set1_ps(12582912.0f));
}
PLEAT_K_INLINE __m256 choose8(__m256 otherwise, __m256 then, __m256 where) {
  return _mm256_blendv_ps(otherwise, then, where);
}
/// The weighted error of codes.
PLEAT_K_INLINE __m256 error8(__m256 const* v, __m256 const* weight, __m256 const* code, __m256 scale, __m256 base) {
  __m256 e = _mm256_setzero_ps();
  for (int i = 0; i < 32; ++i) {
    __m256 const difference = _mm256_sub_ps(_mm256_add_ps(times8(scale, code[i]), base), v[i]);
    e = _mm256_add_ps(e, times8(weight[i], _mm256_mul_ps(difference, difference)));
  }
  return e;
}

/// The lower four bits of codes below 64, two in a byte; the upper two bits.
PLEAT_K_INLINE __m256i nibble_pairs(__m256i lower, __m256i upper) {
  __m256i const four = _mm256_set1_epi8(15);
  return _mm256_or_si256(_mm256_and_si256(lower, four), _mm256_slli_epi16(_mm256_and_si256(upper, four), 4));
}
PLEAT_K_INLINE __m256i upper_bits(__m256i q) { return _mm256_and_si256(_mm256_srli_epi16(q, 4), _mm256_set1_epi8(3)); }

/// search_q4_k for eight pieces of 32 that lie behind each other.
PLEAT_TARGET_AVX2 inline void search_q4_k_avx2(float const* x, q4_k_fits& to) {
  __m256 const zero = _mm256_setzero_ps(), sign = _mm256_set1_ps(-0.0f);
  __m256 v[32], weight[32], code[32];
  for (int c = 0; c < 4; ++c) {
    eight_columns const turned = eight_columns_of_32({reinterpret_cast<unsigned char const*>(x), 128}, 32 * c);
    for (int j = 0; j < 8; ++j) v[8 * c + j] = _mm256_castsi256_ps(turned.at[j]);
  }
  __m256 squares = zero;
  for (int i = 0; i < 32; ++i) squares = _mm256_add_ps(squares, times8(v[i], v[i]));
  __m256 const mean = _mm256_sqrt_ps(_mm256_div_ps(squares, _mm256_set1_ps(32.0f)));
  for (int i = 0; i < 32; ++i) weight[i] = _mm256_add_ps(mean, _mm256_andnot_ps(sign, v[i]));

  __m256 low = v[0], high = v[0], sum_w = weight[0], sum_x = times8(weight[0], v[0]);
  // of two equal ones the second operand is taken, as std::min and std::max take the first of theirs
  for (int i = 1; i < 32; ++i) {
    low = _mm256_min_ps(v[i], low);
    high = _mm256_max_ps(v[i], high);
    sum_w = _mm256_add_ps(sum_w, weight[i]);
    sum_x = _mm256_add_ps(sum_x, times8(weight[i], v[i]));
  }
  low = _mm256_min_ps(zero, low);
  __m256 const first_low = low, constant = _mm256_cmp_ps(high, low, _CMP_EQ_OQ);

  __m256 const plain = _mm256_div_ps(_mm256_set1_ps(15.0f), _mm256_sub_ps(high, low));
  for (int i = 0; i < 32; ++i) code[i] = code8(times8(plain, _mm256_sub_ps(v[i], low)), 0, 15);
  __m256 best_scale = _mm256_div_ps(_mm256_set1_ps(1.0f), plain), best_inverse = plain, best_low = low;
  __m256 least = error8(v, weight, code, best_scale, low);
  for (int step = 0; step <= 20; ++step) {
    __m256 const inverse = _mm256_div_ps(_mm256_set1_ps(q4_k_candidate(step)), _mm256_sub_ps(high, low));
    __m256 l = zero, l2 = zero, xl = zero;
    for (int i = 0; i < 32; ++i) {
      code[i] = code8(times8(inverse, _mm256_sub_ps(v[i], low)), 0, 15);
      __m256 const wl = times8(weight[i], code[i]);
      l = _mm256_add_ps(l, wl);
      l2 = _mm256_add_ps(l2, times8(wl, code[i]));
      xl = _mm256_add_ps(xl, times8(wl, v[i]));
    }
    __m256 const determinant = _mm256_sub_ps(times8(sum_w, l2), times8(l, l));
    __m256 const found_scale = _mm256_div_ps(_mm256_sub_ps(times8(sum_w, xl), times8(sum_x, l)), determinant);
    __m256 const found_base = _mm256_div_ps(_mm256_sub_ps(times8(l2, sum_x), times8(l, xl)), determinant);
    __m256 const above = _mm256_cmp_ps(found_base, zero, _CMP_GT_OQ);
    __m256 const base = _mm256_andnot_ps(above, found_base), scale = choose8(found_scale, _mm256_div_ps(xl, l2), above);
    __m256 const e = error8(v, weight, code, scale, base);
    __m256 const better =
        _mm256_and_ps(_mm256_cmp_ps(determinant, zero, _CMP_GT_OQ), _mm256_cmp_ps(e, least, _CMP_LT_OQ));
    least = choose8(least, e, better);
    best_scale = choose8(best_scale, scale, better);
    best_inverse = choose8(best_inverse, inverse, better);
    best_low = choose8(best_low, low, better);
    low = choose8(low, base, better);
  }
  _mm256_storeu_ps(to.scale, _mm256_andnot_ps(constant, best_scale));
  _mm256_storeu_ps(to.minimum, _mm256_xor_ps(choose8(low, first_low, constant), sign));
  _mm256_storeu_ps(to.inverse, _mm256_andnot_ps(constant, best_inverse));
  _mm256_storeu_ps(to.low, choose8(best_low, first_low, constant));
}

/// A super-block from what the search found for its pieces, of which the first is number `first`.
PLEAT_TARGET_AVX2 inline void write_q4_k_avx2(float const* x, q4_k_fits const& found, int first, byte_t* b) {
  store_scales_q4_k(found.scale + first, found.minimum + first, b);
  for (int p = 0; p < 8; p += 2) {
    __m256i u[2];
    for (int h = 0; h < 2; ++h) {
      float const d = q4_k_format::scale(b, p + h);
      bool const kept = d == 0;  // the search's codes stay
      __m256 const add = _mm256_set1_ps(kept ? -found.low[first + p + h] : -q4_k_format::base(b, p + h)),
                   step = _mm256_set1_ps(kept ? found.inverse[first + p + h] : d);
      __m256i code[4];
      for (int i = 0; i < 4; ++i) {
        __m256 const v = _mm256_add_ps(_mm256_loadu_ps(x + 32 * (p + h) + 8 * i), add);
        code[i] = _mm256_cvtps_epi32(code8(kept ? times8(v, step) : _mm256_div_ps(v, step), 0, 15));
      }
      u[h] = bytes_of_32(code);
    }
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(b + 16 + 16 * p), nibble_pairs(u[0], u[1]));
  }
}

PLEAT_TARGET_AVX2 inline void encode_blocks_avx2(q4_k_format, float const* x, index_t blocks, byte_t* b) {
  for (index_t i = 0; i < blocks; ++i, x += 256, b += q4_k_format::bytes) {
    q4_k_fits found;
    search_q4_k_avx2(x, found);
    write_q4_k_avx2(x, found, 0, b);
  }
}

/// search_q6_k for eight pieces of 16 that lie behind each other, of which the first is number `first`.
PLEAT_TARGET_AVX2 inline void search_q6_k_avx2(float const* x, int first, q6_k_fits& to) {
  __m256 const zero = _mm256_setzero_ps(), sign = _mm256_set1_ps(-0.0f);
  __m256 v[16], square[16], cube[16];
  for (int c = 0; c < 2; ++c) {
    eight_columns const turned = eight_columns_of_32({reinterpret_cast<unsigned char const*>(x), 64}, 32 * c);
    for (int j = 0; j < 8; ++j) v[8 * c + j] = _mm256_castsi256_ps(turned.at[j]);
  }
  __m256 extreme = zero, amax = zero;
  for (int i = 0; i < 16; ++i) {
    amax = _mm256_max_ps(amax, _mm256_andnot_ps(sign, v[i]));
    square[i] = _mm256_mul_ps(v[i], v[i]);
    cube[i] = _mm256_mul_ps(square[i], v[i]);
  }
  for (int i = 15; i >= 0; --i)  // the first of equal magnitudes
    extreme = choose8(extreme, v[i], _mm256_cmp_ps(_mm256_andnot_ps(sign, v[i]), amax, _CMP_EQ_OQ));
  __m256 scale = zero, best = zero, best_inverse = zero;
  for (int nth = 0; nth < 19; ++nth) {
    __m256 const inverse = _mm256_div_ps(_mm256_set1_ps(-q6_k_candidate(nth)), extreme);
    __m256 xl = zero, l2 = zero;
    for (int i = 0; i < 16; ++i) {
      // no number exceeds the extreme one, nor its code 33: the bits of the sum are in the order of the codes
      __m256i const sum = _mm256_castps_si256(_mm256_add_ps(times8(inverse, v[i]), _mm256_set1_ps(12582912.0f)));
      __m256i const held = _mm256_min_epi32(_mm256_max_epi32(sum, _mm256_set1_epi32(0x4b400000 - 32)),
                                            _mm256_set1_epi32(0x4b400000 + 31));
      __m256 const code = _mm256_sub_ps(_mm256_castsi256_ps(held), _mm256_set1_ps(12582912.0f));
      xl = _mm256_add_ps(xl, times8(cube[i], code));
      l2 = _mm256_add_ps(l2, times8(_mm256_mul_ps(square[i], code), code));
    }
    __m256 const fit = _mm256_div_ps(xl, l2);
    if (nth == 0) {
      scale = _mm256_and_ps(_mm256_cmp_ps(l2, zero, _CMP_NEQ_UQ), fit);
      best = _mm256_mul_ps(scale, xl);
      best_inverse = inverse;
      continue;
    }
    __m256 const better = _mm256_and_ps(_mm256_cmp_ps(l2, zero, _CMP_GT_OQ),
                                        _mm256_cmp_ps(_mm256_mul_ps(xl, xl), _mm256_mul_ps(best, l2), _CMP_GT_OQ));
    scale = choose8(scale, fit, better);
    best = choose8(best, _mm256_mul_ps(fit, xl), better);
    best_inverse = choose8(best_inverse, inverse, better);
  }
  __m256 const tiny = _mm256_cmp_ps(amax, _mm256_set1_ps(1e-15f), _CMP_LT_OQ);
  _mm256_storeu_ps(to.scale + first, _mm256_andnot_ps(tiny, scale));
  _mm256_storeu_ps(to.inverse + first, _mm256_andnot_ps(tiny, best_inverse));
  _mm256_storeu_ps(to.middle + first, _mm256_andnot_ps(tiny, _mm256_set1_ps(32.0f)));
}

/// A super-block from what the search found for its pieces.
PLEAT_TARGET_AVX2 inline void write_q6_k_avx2(float const* x, q6_k_fits const& found, byte_t* b) {
  if (!store_scales_q6_k(found.scale, b)) return;
  __m256i u[8];  // codes of 32 numbers each
  for (int piece = 0; piece < 8; ++piece) {
    __m256i code[4];
    for (int h = 0; h < 2; ++h) {
      int const p = 2 * piece + h;
      float const d = q6_k_format::scale(b, 0) * static_cast<float>(q6_k_format::multiplier(b, piece, h));
      bool const kept = d == 0;  // the search's codes stay
      __m256 const step = _mm256_set1_ps(kept ? found.inverse[p] : d),
                   middle = _mm256_set1_ps(kept ? found.middle[p] : 32.0f);
      for (int i = 0; i < 2; ++i) {
        __m256 const v = _mm256_loadu_ps(x + 16 * p + 8 * i);
        code[2 * h + i] =
            _mm256_cvtps_epi32(_mm256_add_ps(code8(kept ? times8(v, step) : _mm256_div_ps(v, step), -32, 31), middle));
      }
    }
    u[piece] = bytes_of_32(code);
  }
  for (int part = 0; part < 2; ++part) {
    __m256i const* const q = u + 4 * part;
    __m256i const pairs = _mm256_or_si256(
        _mm256_or_si256(upper_bits(q[0]), _mm256_slli_epi16(upper_bits(q[1]), 2)),
        _mm256_or_si256(_mm256_slli_epi16(upper_bits(q[2]), 4), _mm256_slli_epi16(upper_bits(q[3]), 6)));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(b + 64 * part), nibble_pairs(q[0], q[2]));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(b + 64 * part + 32), nibble_pairs(q[1], q[3]));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(b + 128 + 32 * part), pairs);
  }
}

PLEAT_TARGET_AVX2 inline void encode_blocks_avx2(q6_k_format, float const* x, index_t blocks, byte_t* b) {
  for (index_t i = 0; i < blocks; ++i, x += 256, b += q6_k_format::bytes) {
    q6_k_fits found;
    search_q6_k_avx2(x, 0, found);
    search_q6_k_avx2(x + 128, 8, found);
    write_q6_k_avx2(x, found, b);
  }
}

}  // namespace pleat::codec::detail

#undef PLEAT_K_INLINE
#endif
