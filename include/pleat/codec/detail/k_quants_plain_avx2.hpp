// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The encoders of k_quants_plain.hpp with AVX2: the same bytes. Needs no Kokkos.
#pragma once

#include <pleat/codec/detail/block_encode_avx2.hpp>
#include <pleat/codec/detail/k_quants_plain.hpp>

#if defined(__x86_64__)

#include <immintrin.h>

namespace pleat::codec::detail {

/// The least or the largest number of each of eight registers, in their order.
template <bool Least> struct row_tree {
  PLEAT_TARGET_AVX2 static __m256 pick(__m256 a, __m256 b) { return Least ? _mm256_min_ps(a, b) : _mm256_max_ps(a, b); }
  /// Of four, in both lanes.
  PLEAT_TARGET_AVX2 static __m256 four(__m256 const* v) {
    __m256 const a = pick(_mm256_unpacklo_ps(v[0], v[1]), _mm256_unpackhi_ps(v[0], v[1])),
                 b = pick(_mm256_unpacklo_ps(v[2], v[3]), _mm256_unpackhi_ps(v[2], v[3]));
    return pick(_mm256_shuffle_ps(a, b, 0x44), _mm256_shuffle_ps(a, b, 0xee));
  }
  PLEAT_TARGET_AVX2 static __m256 eight(__m256 const* v) {
    __m256 const a = four(v), b = four(v + 4);
    return pick(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
  }
};
PLEAT_TARGET_AVX2 inline __m256 at_least_some(__m256 v) {
  return _mm256_andnot_ps(_mm256_cmp_ps(v, _mm256_set1_ps(1e-15f), _CMP_LT_OQ), v);
}
/// inverse_of of each.
PLEAT_TARGET_AVX2 inline __m256 inverses_of(__m256 d) {
  __m256 const zero = _mm256_setzero_ps(), inverse = _mm256_div_ps(_mm256_set1_ps(1.0f), d);
  return _mm256_and_ps(inverse, _mm256_and_ps(_mm256_cmp_ps(d, zero, _CMP_NEQ_OQ),
                                              _mm256_cmp_ps(_mm256_sub_ps(inverse, inverse), zero, _CMP_EQ_OQ)));
}
PLEAT_TARGET_AVX2 inline __m256i nearest_codes(__m256 v, __m256 least, __m256 most) {
  return _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(v, least), most));
}
/// The low bytes of eight codes within ±127 or 0 … 255, as 64 bits.
PLEAT_TARGET_AVX2 inline std::uint64_t low_bytes(__m256i v) {
  __m256i const bytes = _mm256_and_si256(v, _mm256_set1_epi32(255));
  __m128i const words = _mm_packus_epi32(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1));
  return static_cast<std::uint64_t>(_mm_cvtsi128_si64(_mm_packus_epi16(words, words)));
}
/// 32 codes of 0 … 255.
PLEAT_TARGET_AVX2 inline void store_bytes(byte_t* to, __m256i const* v) {
  __m256i const bytes = _mm256_packus_epi16(_mm256_packus_epi32(v[0], v[1]), _mm256_packus_epi32(v[2], v[3]));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                      _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)));
}
/// Of q4_K's scales or minima.
PLEAT_TARGET_AVX2 inline __m256i six_bit_codes(__m256 v, float most) {
  return _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_set1_ps(most > 0 ? 63.0f / most : 0.0f), v));
}
PLEAT_TARGET_AVX2 inline __m256i nibbles_of(__m256i low, __m256i high) {
  __m256i const fifteen = _mm256_set1_epi32(15);
  return _mm256_or_si256(_mm256_and_si256(low, fifteen), _mm256_slli_epi32(_mm256_and_si256(high, fifteen), 4));
}

PLEAT_TARGET_AVX2 inline void encode_plain_avx2(q4_k_format, float const* x, index_t blocks, byte_t* b) {
  __m256 const zero = _mm256_setzero_ps(), fifteen = _mm256_set1_ps(15.0f);
  for (index_t n = 0; n < blocks; ++n, x += 256, b += 144) {
    __m256 low[8], high[8];
    for (int p = 0; p < 8; ++p) {
      __m256 v[4];
      for (int i = 0; i < 4; ++i) v[i] = _mm256_loadu_ps(x + 32 * p + 8 * i);
      low[p] = _mm256_min_ps(_mm256_min_ps(v[0], v[1]), _mm256_min_ps(v[2], v[3]));
      high[p] = _mm256_max_ps(_mm256_max_ps(v[0], v[1]), _mm256_max_ps(v[2], v[3]));
    }
    __m256 const least = _mm256_min_ps(row_tree<true>::eight(low), zero),
                 scale = at_least_some(_mm256_div_ps(_mm256_sub_ps(row_tree<false>::eight(high), least), fifteen)),
                 minimum = at_least_some(_mm256_sub_ps(zero, least));
    float const most_scale = largest_of_8(scale), most_minimum = largest_of_8(minimum);
    __m256i const scale_codes = six_bit_codes(scale, most_scale), minimum_codes = six_bit_codes(minimum, most_minimum);
    std::uint64_t const s = low_bytes(scale_codes), m = low_bytes(minimum_codes);
    store_six_bits(s, m, b + 4);
    std::uint16_t const d = half_of_avx2(most_scale / 63.0f), base = half_of_avx2(most_minimum / 63.0f);
    store16(b, d);
    store16(b + 2, base);
    alignas(32) float inverse[8], above[8];
    _mm256_store_ps(inverse,
                    inverses_of(_mm256_mul_ps(_mm256_set1_ps(half_float(d)), _mm256_cvtepi32_ps(scale_codes))));
    _mm256_store_ps(above, _mm256_mul_ps(_mm256_set1_ps(half_float(base)), _mm256_cvtepi32_ps(minimum_codes)));
    for (int p = 0; p < 8; p += 2) {
      __m256i codes[4];
      for (int i = 0; i < 4; ++i) {
        __m256i code[2];
        for (int side = 0; side < 2; ++side)
          code[side] = nearest_codes(_mm256_mul_ps(_mm256_add_ps(_mm256_loadu_ps(x + 32 * (p + side) + 8 * i),
                                                                 _mm256_set1_ps(above[p + side])),
                                                   _mm256_set1_ps(inverse[p + side])),
                                     zero, fifteen);
        codes[i] = nibbles_of(code[0], code[1]);
      }
      store_bytes(b + 16 + 16 * p, codes);
    }
  }
}

PLEAT_TARGET_AVX2 inline void encode_plain_avx2(q6_k_format, float const* x, index_t blocks, byte_t* b) {
  __m256 const sign = _mm256_set1_ps(-0.0f), first = _mm256_set1_ps(-32.0f), last = _mm256_set1_ps(31.0f),
               steps = _mm256_set1_ps(31.0f);
  __m256i const offset = _mm256_set1_epi32(32);
  for (index_t n = 0; n < blocks; ++n, x += 256, b += 210) {
    __m256 size[16], scale[2];
    for (int p = 0; p < 16; ++p)
      size[p] = _mm256_max_ps(_mm256_andnot_ps(sign, _mm256_loadu_ps(x + 16 * p)),
                              _mm256_andnot_ps(sign, _mm256_loadu_ps(x + 16 * p + 8)));
    for (int h = 0; h < 2; ++h) scale[h] = _mm256_div_ps(row_tree<false>::eight(size + 8 * h), steps);
    float const most = largest_of_8(_mm256_max_ps(scale[0], scale[1]));
    if (most < 1e-15f) {
      std::fill_n(b, 210, byte_t{0});
      continue;
    }
    float const per_scale = -128.0f / most;
    std::uint16_t const d = half_of_avx2(1.0f / per_scale);
    store16(b + 208, d);
    alignas(32) float inverse[16];
    for (int h = 0; h < 2; ++h) {
      __m256i const codes = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_set1_ps(per_scale), scale[h]));
      std::uint64_t const bytes = low_bytes(codes);
      std::memcpy(b + 192 + 8 * h, &bytes, 8);
      _mm256_store_ps(inverse + 8 * h,
                      inverses_of(_mm256_mul_ps(_mm256_set1_ps(half_float(d)), _mm256_cvtepi32_ps(codes))));
    }
    for (int part = 0; part < 2; ++part) {
      __m256i low[4], other[4], high[4];
      for (int i = 0; i < 4; ++i) {
        __m256i u[4];
        for (int q = 0; q < 4; ++q) {
          int const p = 8 * part + 2 * q + i / 2;
          u[q] = _mm256_add_epi32(
              nearest_codes(_mm256_mul_ps(_mm256_loadu_ps(x + 16 * p + 8 * (i % 2)), _mm256_set1_ps(inverse[p])), first,
                            last),
              offset);
        }
        low[i] = nibbles_of(u[0], u[2]);
        other[i] = nibbles_of(u[1], u[3]);
        for (auto& code : u) code = _mm256_srli_epi32(code, 4);
        high[i] = _mm256_or_si256(_mm256_or_si256(u[0], _mm256_slli_epi32(u[1], 2)),
                                  _mm256_or_si256(_mm256_slli_epi32(u[2], 4), _mm256_slli_epi32(u[3], 6)));
      }
      store_bytes(b + 64 * part, low);
      store_bytes(b + 64 * part + 32, other);
      store_bytes(b + 128 + 32 * part, high);
    }
  }
}

}  // namespace pleat::codec::detail

#endif
