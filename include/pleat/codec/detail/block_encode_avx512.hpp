// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Encoders of the 32-number block types and of int4 with AVX-512: the same bytes as block_encode.hpp, at the speed of
/// memory. Needs no Kokkos.
#pragma once

#include <pleat/codec/detail/block_encode.hpp>

#if defined(__x86_64__)

#include <immintrin.h>

namespace pleat::codec::detail {

/// Rounded by itself: an operation with a rounding mode of its own is never contracted.
#define PLEAT_TIMES(a, b) \
  _mm512_maskz_mul_round_ps(static_cast<__mmask16>(-1), a, b, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)

PLEAT_TARGET_AVX512 inline float largest8(__m256 a) {
  __m128 m = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  m = _mm_max_ps(m, _mm_movehl_ps(m, m));
  return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}
/// The largest of 32 numbers whose bits are first masked and then flipped (flip: the sign; −largest is then the least).
PLEAT_TARGET_AVX512 inline float largest32(float const* x, std::uint32_t mask, std::uint32_t flip) {
  __m256 const keep = _mm256_castsi256_ps(_mm256_set1_epi32(static_cast<int>(mask))),
               turn = _mm256_castsi256_ps(_mm256_set1_epi32(static_cast<int>(flip)));
  __m256 v[4];
  for (int i = 0; i < 4; ++i) v[i] = _mm256_xor_ps(_mm256_and_ps(_mm256_loadu_ps(x + 8 * i), keep), turn);
  return largest8(_mm256_max_ps(_mm256_max_ps(v[0], v[1]), _mm256_max_ps(v[2], v[3])));
}
PLEAT_TARGET_AVX512 inline std::uint16_t half_of(float d) {
  return static_cast<std::uint16_t>(_mm_cvtsi128_si32(_mm_cvtps_ph(_mm_set_ss(d), _MM_FROUND_TO_NEAREST_INT)));
}

PLEAT_TARGET_AVX512 inline void encode_blocks_avx512(q8_0_format, float const* x, index_t blocks, byte_t* b) {
  __m512 const half = _mm512_set1_ps(0.5f), minus_half = _mm512_set1_ps(-0.5f);
  __m512i const one = _mm512_set1_epi32(1);
  for (index_t i = 0; i < blocks; ++i, x += 32, b += 34) {
    __m512 const v[2] = {_mm512_loadu_ps(x), _mm512_loadu_ps(x + 16)};
    float const d = largest32(x, 0x7fffffffu, 0) / 127.0f;
    __m512 const inverse = _mm512_set1_ps(inverse_of(d));
    store16(b, half_of(d));
    for (int h = 0; h < 2; ++h) {
      __m512 const t = PLEAT_TIMES(v[h], inverse);
      __m512i const whole = _mm512_maskz_cvttps_epi32(0xffff, t);
      __m512 const rest = _mm512_sub_ps(t, _mm512_maskz_cvtepi32_ps(0xffff, whole));
      __m512i const up = _mm512_mask_add_epi32(whole, _mm512_cmp_ps_mask(rest, half, _CMP_GE_OQ), whole, one);
      __m512i const code = _mm512_mask_sub_epi32(up, _mm512_cmp_ps_mask(rest, minus_half, _CMP_LE_OQ), up, one);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(b + 2 + 16 * h), _mm512_maskz_cvtepi32_epi8(0xffff, code));
    }
  }
}

/// q4_0, q4_1, q5_0, q5_1.
template <class F> PLEAT_TARGET_AVX512 inline void encode_blocks_avx512(F, float const* x, index_t blocks, byte_t* b) {
  constexpr bool five = F::most == 31;
  constexpr int bits_at = F::has_base ? 4 : 2, nibbles_at = bits_at + (five ? 4 : 0);
  for (index_t i = 0; i < blocks; ++i, x += 32, b += F::bytes) {
    __m512 const v[2] = {_mm512_loadu_ps(x), _mm512_loadu_ps(x + 16)};
    float const most = largest32(x, 0xffffffffu, 0), minus_least = largest32(x, 0xffffffffu, 0x80000000u),
                least = -minus_least;
    // Which of two equal magnitudes comes first decides; and which zero is the least.
    if (F::has_base ? least == 0 : most == -least) {
      encode_block(F{}, x, b);
      continue;
    }
    // Without a branch that cannot be foreseen.
    std::uint32_t const negative = 0u - static_cast<std::uint32_t>(minus_least > most);
    float const extreme = __builtin_bit_cast(float, (__builtin_bit_cast(std::uint32_t, least) & negative) |
                                                        (__builtin_bit_cast(std::uint32_t, most) & ~negative));
    float const d =
        F::has_base ? (most - least) / static_cast<float>(F::most) : extreme / static_cast<float>(-F::offset);
    __m512 const base = _mm512_set1_ps(F::has_base ? least : 0.0f), inverse = _mm512_set1_ps(inverse_of(d)),
                 shift = _mm512_set1_ps(F::has_base ? 0.5f : static_cast<float>(F::offset) + 0.5f);
    store16(b, half_of(d));
    if constexpr (F::has_base) store16(b + 2, half_of(least));
    __m512i code[2];
    for (int h = 0; h < 2; ++h) {
      __m512 const t = _mm512_add_ps(PLEAT_TIMES(_mm512_sub_ps(v[h], base), inverse), shift);
      code[h] = _mm512_maskz_min_epi32(0xffff, _mm512_maskz_cvttps_epi32(0xffff, t), _mm512_set1_epi32(F::most));
    }
    if constexpr (five) {
      __m512i const fifth = _mm512_set1_epi32(16);
      std::uint32_t const bits = static_cast<std::uint32_t>(_mm512_test_epi32_mask(code[0], fifth)) |
                                 static_cast<std::uint32_t>(_mm512_test_epi32_mask(code[1], fifth)) << 16;
      std::memcpy(b + bits_at, &bits, 4);
      for (auto& c : code) c = _mm512_and_si512(c, _mm512_set1_epi32(15));
    }
    _mm_storeu_si128(
        reinterpret_cast<__m128i*>(b + nibbles_at),
        _mm512_maskz_cvtepi32_epi8(0xffff, _mm512_or_si512(code[0], _mm512_maskz_slli_epi32(0xffff, code[1], 4))));
  }
}
#undef PLEAT_TIMES

template <int G>
PLEAT_TARGET_AVX512 inline void encode_blocks_avx512(int4_format<G>, float const* x, index_t blocks, byte_t* b) {
  constexpr __mmask16 all = 0xffff;
  __m512 const seven = _mm512_set1_ps(7.0f), minus_seven = _mm512_set1_ps(-7.0f);
  for (index_t i = 0; i < blocks; ++i, x += G, b += int4_format<G>::bytes) {
    __m512 largest = _mm512_setzero_ps();
    for (int p = 0; p < G; p += 16)
      largest =
          _mm512_maskz_max_ps(all, largest, _mm512_maskz_andnot_ps(all, _mm512_set1_ps(-0.0f), _mm512_loadu_ps(x + p)));
    std::uint16_t const bits = half_of(largest8(_mm256_max_ps(_mm512_maskz_extractf32x8_ps(0xff, largest, 0),
                                                              _mm512_maskz_extractf32x8_ps(0xff, largest, 1))) /
                                       7.0f);
    __m512 const inverse = _mm512_set1_ps(inverse_of(half_float(bits)));
    store16(b, bits);
    for (int p = 0; p < G; p += 32) {
      __m512i code[2];
      for (int h = 0; h < 2; ++h) {  // what is cut in between keeps the product from being contracted
        __m512 const v = _mm512_maskz_max_ps(
            all, _mm512_maskz_min_ps(all, _mm512_mul_ps(_mm512_loadu_ps(x + p + 16 * h), inverse), seven), minus_seven);
        code[h] = _mm512_add_epi32(_mm512_maskz_cvtps_epi32(all, v), _mm512_set1_epi32(8));
      }
      _mm_storeu_si128(
          reinterpret_cast<__m128i*>(b + 2 + p / 2),
          _mm512_maskz_cvtepi32_epi8(all, _mm512_or_si512(code[0], _mm512_maskz_slli_epi32(all, code[1], 4))));
    }
  }
}

}  // namespace pleat::codec::detail

#endif
