// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Encoders of the 32-number block types and of int4 with AVX2: the same bytes as block_encode.hpp. Needs no Kokkos.
///
/// A block lies in four vectors of eight numbers. Bytes come out of the packing instructions in pieces of four from
/// either half of a register; one permutation at the end puts them in order.
#pragma once

#include <pleat/codec/detail/block_encode.hpp>

#if defined(__x86_64__)

#include <immintrin.h>

namespace pleat::codec::detail {

PLEAT_TARGET_AVX2 inline float largest_of_8(__m256 a) {
  __m128 m = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  m = _mm_max_ps(m, _mm_movehl_ps(m, m));
  return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}
PLEAT_TARGET_AVX2 inline float least_of_8(__m256 a) {
  __m128 m = _mm_min_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  m = _mm_min_ps(m, _mm_movehl_ps(m, m));
  return _mm_cvtss_f32(_mm_min_ss(m, _mm_movehdup_ps(m)));
}
PLEAT_TARGET_AVX2 inline std::uint16_t half_of_avx2(float d) {
  return static_cast<std::uint16_t>(_mm_cvtsi128_si32(_mm_cvtps_ph(_mm_set_ss(d), _MM_FROUND_TO_NEAREST_INT)));
}
/// A zero that no compiler knows: a product that is joined with it is rounded by itself, as intrinsics are contracted,
/// too. (An assembler statement on the product would do, where no device compiler before 13 reads it: k_quants_avx2.hpp.)
PLEAT_TARGET_AVX2 inline __m256 unknown_zero() {
  int zero = 0;
  __asm__("" : "+r"(zero));
  return _mm256_castsi256_ps(_mm256_set1_epi32(zero));
}
/// The low bytes of 32 numbers within ±128 (or 0 … 127), in order.
PLEAT_TARGET_AVX2 inline __m256i bytes_of_32(__m256i const* q) {
  __m256i const mixed = _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
  return _mm256_permutevar8x32_epi32(mixed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

PLEAT_TARGET_AVX2 inline void encode_blocks_avx2(q8_0_format, float const* x, index_t blocks, byte_t* b) {
  __m256 const magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff)), half = _mm256_set1_ps(0.5f),
               minus_half = _mm256_set1_ps(-0.5f);
  __m256 const nothing = unknown_zero();
  for (index_t i = 0; i < blocks; ++i, x += 32, b += 34) {
    __m256 v[4], a[4];
    for (int h = 0; h < 4; ++h) a[h] = _mm256_and_ps(v[h] = _mm256_loadu_ps(x + 8 * h), magnitude);
    float const d = largest_of_8(_mm256_max_ps(_mm256_max_ps(a[0], a[1]), _mm256_max_ps(a[2], a[3]))) / 127.0f;
    __m256 const inverse = _mm256_set1_ps(inverse_of(d));
    store16(b, half_of_avx2(d));
    __m256i code[4];
    for (int h = 0; h < 4; ++h) {
      __m256 const t = _mm256_or_ps(_mm256_mul_ps(v[h], inverse), nothing);
      __m256i const whole = _mm256_cvttps_epi32(t);
      __m256 const rest = _mm256_sub_ps(t, _mm256_cvtepi32_ps(whole));
      // A comparison that holds is −1.
      __m256i const up = _mm256_sub_epi32(whole, _mm256_castps_si256(_mm256_cmp_ps(rest, half, _CMP_GE_OQ)));
      code[h] = _mm256_add_epi32(up, _mm256_castps_si256(_mm256_cmp_ps(rest, minus_half, _CMP_LE_OQ)));
    }
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(b + 2), bytes_of_32(code));
  }
}

/// q4_0, q4_1, q5_0, q5_1.
template <class F> PLEAT_TARGET_AVX2 inline void encode_blocks_avx2(F, float const* x, index_t blocks, byte_t* b) {
  constexpr bool five = F::most == 31;
  constexpr int bits_at = F::has_base ? 4 : 2, nibbles_at = bits_at + (five ? 4 : 0);
  __m256 const nothing = unknown_zero();
  for (index_t i = 0; i < blocks; ++i, x += 32, b += F::bytes) {
    __m256 v[4];
    for (int h = 0; h < 4; ++h) v[h] = _mm256_loadu_ps(x + 8 * h);
    float const most = largest_of_8(_mm256_max_ps(_mm256_max_ps(v[0], v[1]), _mm256_max_ps(v[2], v[3])));
    float const least = least_of_8(_mm256_min_ps(_mm256_min_ps(v[0], v[1]), _mm256_min_ps(v[2], v[3])));
    // Which of two equal magnitudes comes first decides; and which zero is the least.
    if (F::has_base ? least == 0 : most == -least) {
      encode_block(F{}, x, b);
      continue;
    }
    // Without a branch that cannot be foreseen.
    std::uint32_t const negative = 0u - static_cast<std::uint32_t>(-least > most);
    float const extreme = __builtin_bit_cast(float, (__builtin_bit_cast(std::uint32_t, least) & negative) |
                                                        (__builtin_bit_cast(std::uint32_t, most) & ~negative));
    float const d =
        F::has_base ? (most - least) / static_cast<float>(F::most) : extreme / static_cast<float>(-F::offset);
    __m256 const base = _mm256_set1_ps(F::has_base ? least : 0.0f), inverse = _mm256_set1_ps(inverse_of(d)),
                 shift = _mm256_set1_ps(F::has_base ? 0.5f : static_cast<float>(F::offset) + 0.5f);
    store16(b, half_of_avx2(d));
    if constexpr (F::has_base) store16(b + 2, half_of_avx2(least));
    __m256i code[4];
    for (int h = 0; h < 4; ++h) {
      __m256 const t = _mm256_add_ps(_mm256_or_ps(_mm256_mul_ps(_mm256_sub_ps(v[h], base), inverse), nothing), shift);
      code[h] = _mm256_min_epi32(_mm256_cvttps_epi32(t), _mm256_set1_epi32(F::most));
    }
    __m256i const u = bytes_of_32(code);
    if constexpr (five) {  // the fifth bit of each byte to its top, then all tops at once
      int const bits = _mm256_movemask_epi8(_mm256_slli_epi16(u, 3));
      std::memcpy(b + bits_at, &bits, 4);
    }
    __m128i const fifteen = _mm_set1_epi8(15), low = _mm_and_si128(_mm256_castsi256_si128(u), fifteen),
                  high = _mm_and_si128(_mm256_extracti128_si256(u, 1), fifteen);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(b + nibbles_at), _mm_or_si128(low, _mm_slli_epi16(high, 4)));
  }
}

template <int G>
PLEAT_TARGET_AVX2 inline void encode_blocks_avx2(int4_format<G>, float const* x, index_t blocks, byte_t* b) {
  __m256 const magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff)), seven = _mm256_set1_ps(7.0f),
               minus_seven = _mm256_set1_ps(-7.0f);
  for (index_t i = 0; i < blocks; ++i, x += G, b += int4_format<G>::bytes) {
    __m256 largest = _mm256_setzero_ps();
    for (int p = 0; p < G; p += 8) largest = _mm256_max_ps(largest, _mm256_and_ps(_mm256_loadu_ps(x + p), magnitude));
    std::uint16_t const bits = half_of_avx2(largest_of_8(largest) / 7.0f);
    __m256 const inverse = _mm256_set1_ps(inverse_of(half_float(bits)));
    store16(b, bits);
    for (int p = 0; p < G; p += 32) {
      __m256i code[4];
      for (int h = 0; h < 4; ++h) {  // what is cut in between keeps the product from being contracted
        __m256 const v =
            _mm256_max_ps(_mm256_min_ps(_mm256_mul_ps(_mm256_loadu_ps(x + p + 8 * h), inverse), seven), minus_seven);
        code[h] = _mm256_add_epi32(_mm256_cvtps_epi32(v), _mm256_set1_epi32(8));
      }
      __m256i const u = bytes_of_32(code);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(b + 2 + p / 2),
                       _mm_or_si128(_mm256_castsi256_si128(u), _mm_slli_epi16(_mm256_extracti128_si256(u, 1), 4)));
    }
  }
}

}  // namespace pleat::codec::detail

#endif
