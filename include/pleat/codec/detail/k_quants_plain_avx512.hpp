// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The encoders of k_quants_plain.hpp with AVX-512, a block in sixteen registers: the same bytes. Needs no Kokkos.
#pragma once

#include <pleat/codec/detail/block_encode_avx512.hpp>
#include <pleat/codec/detail/k_quants_plain.hpp>

#if defined(__x86_64__)

namespace pleat::codec::detail {

/// The reduction of whole registers, four at a time: lane l of the result has in its first half what is left of v[l], two
/// numbers, and nothing is left to do but to combine such registers.
template <bool Least> struct register_tree {
  PLEAT_TARGET_AVX512 static __m512 pick(__m512 a, __m512 b) {
    return Least ? _mm512_maskz_min_ps(0xffff, a, b) : _mm512_maskz_max_ps(0xffff, a, b);
  }
  /// Four numbers of each of v[0 … 3], one lane each.
  PLEAT_TARGET_AVX512 static __m512 four(__m512 const* v) {
    __m512 const a = pick(_mm512_maskz_shuffle_f32x4(0xffff, v[0], v[1], 0x44),
                          _mm512_maskz_shuffle_f32x4(0xffff, v[0], v[1], 0xee)),
                 b = pick(_mm512_maskz_shuffle_f32x4(0xffff, v[2], v[3], 0x44),
                          _mm512_maskz_shuffle_f32x4(0xffff, v[2], v[3], 0xee));
    return pick(_mm512_maskz_shuffle_f32x4(0xffff, a, b, 0x88), _mm512_maskz_shuffle_f32x4(0xffff, a, b, 0xdd));
  }
  /// Two numbers of each of v[0 … 7]: lane l has v[l]'s and v[4 + l]'s.
  PLEAT_TARGET_AVX512 static __m512 eight(__m512 const* v) {
    __m512 const a = four(v), b = four(v + 4);
    return pick(_mm512_maskz_shuffle_ps(0xffff, a, b, 0x44), _mm512_maskz_shuffle_ps(0xffff, a, b, 0xee));
  }
};

PLEAT_TARGET_AVX512 inline __m512 at_least_some(__m512 v) {
  return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(v, _mm512_set1_ps(1e-15f), _CMP_NLT_UQ), v);
}
/// inverse_of of each.
PLEAT_TARGET_AVX512 inline __m512 inverses_of(__m512 d) {
  __m512 const inverse =
      _mm512_maskz_div_ps(_mm512_cmp_ps_mask(d, _mm512_setzero_ps(), _CMP_NEQ_OQ), _mm512_set1_ps(1.0f), d);
  return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(_mm512_sub_ps(inverse, inverse), _mm512_setzero_ps(), _CMP_EQ_OQ),
                             inverse);
}
PLEAT_TARGET_AVX512 inline __m512i nearest_codes(__m512 v, __m512 least, __m512 most) {
  return _mm512_maskz_cvtps_epi32(0xffff, _mm512_maskz_min_ps(0xffff, _mm512_maskz_max_ps(0xffff, v, least), most));
}
/// Of q4_K's scales or minima, of which `most` is the largest.
PLEAT_TARGET_AVX512 inline __m512i six_bit_codes(__m512 v, float most) {
  return _mm512_maskz_cvtps_epi32(0xffff, _mm512_mul_ps(_mm512_set1_ps(most > 0 ? 63.0f / most : 0.0f), v));
}
PLEAT_TARGET_AVX512 inline void store_low_bytes(byte_t* to, __m512i v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_maskz_cvtepi32_epi8(0xffff, v));
}

PLEAT_TARGET_AVX512 inline void encode_plain_avx512(q4_k_format, float const* x, index_t blocks, byte_t* b) {
  __m512 const zero = _mm512_setzero_ps(), fifteen = _mm512_set1_ps(15.0f);
  __m512i const in_order = _mm512_setr_epi32(0, 4, 8, 12, 2, 6, 10, 14, 0, 4, 8, 12, 2, 6, 10, 14);
  for (index_t n = 0; n < blocks; ++n, x += 256, b += 144) {
    __m512 low[8], high[8];
    for (int p = 0; p < 8; ++p) {
      __m512 const one = _mm512_loadu_ps(x + 32 * p), other = _mm512_loadu_ps(x + 32 * p + 16);
      low[p] = register_tree<true>::pick(one, other);
      high[p] = register_tree<false>::pick(one, other);
    }
    __m512 lows = register_tree<true>::eight(low), highs = register_tree<false>::eight(high);
    lows = register_tree<true>::pick(lows, _mm512_maskz_permute_ps(0xffff, lows, 0xb1));
    highs = register_tree<false>::pick(highs, _mm512_maskz_permute_ps(0xffff, highs, 0xb1));
    __m512 const least = _mm512_maskz_min_ps(0xffff, _mm512_maskz_permutexvar_ps(0xffff, in_order, lows), zero),
                 scale = at_least_some(_mm512_div_ps(
                     _mm512_sub_ps(_mm512_maskz_permutexvar_ps(0xffff, in_order, highs), least), fifteen)),
                 minimum = at_least_some(_mm512_sub_ps(zero, least));
    // eight pieces side by side (twice, in a register of sixteen)
    float const most_scale = largest8(_mm512_maskz_extractf32x8_ps(0xff, scale, 0)),
                most_minimum = largest8(_mm512_maskz_extractf32x8_ps(0xff, minimum, 0));
    __m512i const scale_codes = six_bit_codes(scale, most_scale), minimum_codes = six_bit_codes(minimum, most_minimum);
    std::uint64_t s[2], m[2];
    store_low_bytes(reinterpret_cast<byte_t*>(s), scale_codes);
    store_low_bytes(reinterpret_cast<byte_t*>(m), minimum_codes);
    store_six_bits(s[0], m[0], b + 4);
    std::uint16_t const d = half_of(most_scale / 63.0f), base = half_of(most_minimum / 63.0f);
    store16(b, d);
    store16(b + 2, base);
    alignas(64) float inverse[16], above[16];
    _mm512_store_ps(inverse, inverses_of(_mm512_mul_ps(_mm512_set1_ps(half_float(d)),
                                                       _mm512_maskz_cvtepi32_ps(0xffff, scale_codes))));
    _mm512_store_ps(above,
                    _mm512_mul_ps(_mm512_set1_ps(half_float(base)), _mm512_maskz_cvtepi32_ps(0xffff, minimum_codes)));
    for (int p = 0; p < 8; p += 2)
      for (int h = 0; h < 2; ++h) {
        __m512i code[2];
        for (int side = 0; side < 2; ++side)
          code[side] = nearest_codes(_mm512_mul_ps(_mm512_add_ps(_mm512_loadu_ps(x + 32 * (p + side) + 16 * h),
                                                                 _mm512_set1_ps(above[p + side])),
                                                   _mm512_set1_ps(inverse[p + side])),
                                     zero, fifteen);
        store_low_bytes(b + 16 + 16 * p + 16 * h,
                        _mm512_or_si512(code[0], _mm512_maskz_slli_epi32(0xffff, code[1], 4)));
      }
  }
}

PLEAT_TARGET_AVX512 inline void encode_plain_avx512(q6_k_format, float const* x, index_t blocks, byte_t* b) {
  __m512 const sign = _mm512_set1_ps(-0.0f), first = _mm512_set1_ps(-32.0f), last = _mm512_set1_ps(31.0f);
  __m512i const in_order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15),
                fifteen = _mm512_set1_epi32(15), offset = _mm512_set1_epi32(32);
  for (index_t n = 0; n < blocks; ++n, x += 256, b += 210) {
    __m512 size[16];
    for (int p = 0; p < 16; ++p) size[p] = _mm512_maskz_andnot_ps(0xffff, sign, _mm512_loadu_ps(x + 16 * p));
    using tree = register_tree<false>;
    __m512 const a = tree::eight(size), c = tree::eight(size + 8);
    __m512 const scale = _mm512_div_ps(
        _mm512_maskz_permutexvar_ps(
            0xffff, in_order,
            tree::pick(_mm512_maskz_shuffle_ps(0xffff, a, c, 0x88), _mm512_maskz_shuffle_ps(0xffff, a, c, 0xdd))),
        _mm512_set1_ps(31.0f));
    float const most = largest8(
        _mm256_max_ps(_mm512_maskz_extractf32x8_ps(0xff, scale, 0), _mm512_maskz_extractf32x8_ps(0xff, scale, 1)));
    if (most < 1e-15f) {
      std::fill_n(b, 210, byte_t{0});
      continue;
    }
    float const per_scale = -128.0f / most;
    std::uint16_t const d = half_of(1.0f / per_scale);
    store16(b + 208, d);
    __m512i const scale_codes = _mm512_maskz_cvtps_epi32(0xffff, _mm512_mul_ps(_mm512_set1_ps(per_scale), scale));
    store_low_bytes(b + 192, scale_codes);
    alignas(64) float inverse[16];
    _mm512_store_ps(inverse, inverses_of(_mm512_mul_ps(_mm512_set1_ps(half_float(d)),
                                                       _mm512_maskz_cvtepi32_ps(0xffff, scale_codes))));
    for (int part = 0; part < 2; ++part)
      for (int h = 0; h < 2; ++h) {
        __m512i u[4];
        for (int q = 0; q < 4; ++q) {
          int const p = 8 * part + 2 * q + h;
          u[q] = _mm512_add_epi32(
              nearest_codes(_mm512_mul_ps(_mm512_loadu_ps(x + 16 * p), _mm512_set1_ps(inverse[p])), first, last),
              offset);
        }
        for (int q = 0; q < 2; ++q)
          store_low_bytes(
              b + 64 * part + 32 * q + 16 * h,
              _mm512_or_si512(_mm512_and_si512(u[q], fifteen), _mm512_maskz_slli_epi32(0xffff, u[q + 2], 4)));
        for (auto& code : u) code = _mm512_maskz_srli_epi32(0xffff, code, 4);
        store_low_bytes(b + 128 + 32 * part + 16 * h,
                        _mm512_or_si512(_mm512_or_si512(u[0], _mm512_maskz_slli_epi32(0xffff, u[1], 2)),
                                        _mm512_or_si512(_mm512_maskz_slli_epi32(0xffff, u[2], 4),
                                                        _mm512_maskz_slli_epi32(0xffff, u[3], 6))));
      }
  }
}

}  // namespace pleat::codec::detail

#endif
