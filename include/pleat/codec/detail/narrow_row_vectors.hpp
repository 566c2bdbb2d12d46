// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The rows of narrow_row.hpp for every instruction set; included where they are compiled (PLEAT_HAS_VECTORS).
///
/// Zero-masking forms with full masks where an unmasked intrinsic would do: g++ 12 warns of an uninitialized value
/// inside the unmasked ones.
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <cstdint>
#include <cstring>

#include <pleat/codec/detail/int8_codes.hpp>
#include <pleat/codec/detail/narrow_row.hpp>
#include <pleat/tensor/dtype.hpp>

namespace pleat::codec::detail {

/// Adding and taking away this rounds a number within ±127 to whole 2⁻³⁴. So a quotient x/scale of two floats may be
/// had as x·(1/scale), in double: that is off by less than 2⁻⁴⁴, so a tie between two codes becomes the tie that it is;
/// and whatever is no tie is at least 2⁻²⁶ away from one (numerator and denominator have 24 bits), on the side where it
/// stays.
inline constexpr double code_snap = 0x1.8p18;

#if defined(__x86_64__)

struct narrow_row_avx512 {
  /// The first multiple of 16 of n numbers; `most` becomes the largest bits of a magnitude among them.
  template <bool Half>
  PLEAT_TARGET_AVX512 static index_t sixteen_bits(index_t n, float const* from, std::uint16_t* to,
                                                  std::uint32_t& most) {
    __m512i largest = _mm512_setzero_si512();
    __m512i const magnitude = _mm512_set1_epi32(0x7fffffff);
    index_t i = 0;
    for (; i + 16 <= n; i += 16) {
      __m512i const u = _mm512_loadu_si512(from + i);
      largest = _mm512_maskz_max_epu32(0xffff, largest, _mm512_and_si512(u, magnitude));
      __m256i bits;
      if constexpr (Half) {
        bits = _mm512_maskz_cvtps_ph(0xffff, _mm512_castsi512_ps(u), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
      } else {
        __m512i const odd = _mm512_and_si512(_mm512_maskz_srli_epi32(0xffff, u, 16), _mm512_set1_epi32(1));
        __m512i const up = _mm512_add_epi32(u, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
        bits = _mm512_maskz_cvtepi32_epi16(0xffff, _mm512_maskz_srli_epi32(0xffff, up, 16));
      }
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i), bits);
    }
    most = largest_of(largest);
    return i;
  }
  PLEAT_TARGET_AVX512 static index_t magnitudes(index_t n, float const* from, std::uint32_t& most) {
    __m512i largest = _mm512_setzero_si512();
    __m512i const magnitude = _mm512_set1_epi32(0x7fffffff);
    index_t i = 0;
    for (; i + 16 <= n; i += 16)
      largest = _mm512_maskz_max_epu32(0xffff, largest, _mm512_and_si512(_mm512_loadu_si512(from + i), magnitude));
    most = largest_of(largest);
    return i;
  }
  /// See int8_code and code_snap. Clipped before it is rounded, which is the same for whole borders. `alive` grows by
  /// the codes that are not zero.
  PLEAT_TARGET_AVX512 static index_t codes(index_t n, float const* from, float scale, std::int8_t* to, index_t& alive) {
    __m512d const per_step = _mm512_set1_pd(1 / static_cast<double>(scale)), snap = _mm512_set1_pd(code_snap),
                  border = _mm512_set1_pd(127), other = _mm512_set1_pd(-127);
    index_t i = 0;
    for (; i + 16 <= n; i += 16) {
      __m256i half[2];
      for (int h = 0; h < 2; ++h) {
        __m512d const q = _mm512_mul_pd(_mm512_maskz_cvtps_pd(0xff, _mm256_loadu_ps(from + i + 8 * h)), per_step);
        __m512d const held = _mm512_maskz_min_pd(0xff, _mm512_maskz_max_pd(0xff, q, other), border);
        half[h] = _mm512_maskz_cvtpd_epi32(0xff, _mm512_sub_pd(_mm512_add_pd(held, snap), snap));
      }
      __m512i const code = _mm512_maskz_inserti64x4(0xff, _mm512_castsi256_si512(half[0]), half[1], 1);
      alive += __builtin_popcount(_mm512_test_epi32_mask(code, code));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i), _mm512_maskz_cvtepi32_epi8(0xffff, code));
    }
    return i;
  }

 private:
  PLEAT_TARGET_AVX512 static std::uint32_t largest_of(__m512i v) {
    alignas(64) std::uint32_t all[16];
    _mm512_store_si512(all, v);
    std::uint32_t most = 0;
    for (auto u : all) most = most > u ? most : u;
    return most;
  }
};

struct narrow_row_avx2 {
  template <bool Half>
  PLEAT_TARGET_AVX2 static index_t sixteen_bits(index_t n, float const* from, std::uint16_t* to, std::uint32_t& most) {
    __m256i largest = _mm256_setzero_si256();
    __m256i const magnitude = _mm256_set1_epi32(0x7fffffff);
    index_t i = 0;
    for (; i + 8 <= n; i += 8) {
      __m256i const u = _mm256_loadu_si256(reinterpret_cast<__m256i const*>(from + i));
      largest = _mm256_max_epu32(largest, _mm256_and_si256(u, magnitude));
      __m128i bits;
      if constexpr (Half) {
        bits = _mm256_cvtps_ph(_mm256_castsi256_ps(u), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
      } else {
        __m256i const odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
        __m256i const up = _mm256_srli_epi32(_mm256_add_epi32(u, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
        bits = _mm_packus_epi32(_mm256_castsi256_si128(up), _mm256_extracti128_si256(up, 1));
      }
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i), bits);
    }
    most = largest_of(largest);
    return i;
  }
  PLEAT_TARGET_AVX2 static index_t magnitudes(index_t n, float const* from, std::uint32_t& most) {
    __m256i largest = _mm256_setzero_si256();
    __m256i const magnitude = _mm256_set1_epi32(0x7fffffff);
    index_t i = 0;
    for (; i + 8 <= n; i += 8)
      largest = _mm256_max_epu32(
          largest, _mm256_and_si256(_mm256_loadu_si256(reinterpret_cast<__m256i const*>(from + i)), magnitude));
    most = largest_of(largest);
    return i;
  }
  PLEAT_TARGET_AVX2 static index_t codes(index_t n, float const* from, float scale, std::int8_t* to, index_t& alive) {
    __m256d const per_step = _mm256_set1_pd(1 / static_cast<double>(scale)), snap = _mm256_set1_pd(code_snap),
                  border = _mm256_set1_pd(127), other = _mm256_set1_pd(-127);
    index_t i = 0;
    for (; i + 8 <= n; i += 8) {
      __m128i four[2];
      for (int h = 0; h < 2; ++h) {
        __m256d const q = _mm256_mul_pd(_mm256_cvtps_pd(_mm_loadu_ps(from + i + 4 * h)), per_step);
        __m256d const held = _mm256_min_pd(_mm256_max_pd(q, other), border);
        four[h] = _mm256_cvtpd_epi32(_mm256_sub_pd(_mm256_add_pd(held, snap), snap));
      }
      __m128i const eight = _mm_packs_epi32(four[0], four[1]), code = _mm_packs_epi16(eight, eight);
      int const zeros = _mm_movemask_epi8(_mm_cmpeq_epi8(code, _mm_setzero_si128())) & 0xff;
      alive += 8 - __builtin_popcount(static_cast<unsigned>(zeros));
      _mm_storel_epi64(reinterpret_cast<__m128i*>(to + i), code);
    }
    return i;
  }

 private:
  PLEAT_TARGET_AVX2 static std::uint32_t largest_of(__m256i v) {
    alignas(32) std::uint32_t all[8];
    _mm256_store_si256(reinterpret_cast<__m256i*>(all), v);
    std::uint32_t most = 0;
    for (auto u : all) most = most > u ? most : u;
    return most;
  }
};

#endif

template <class> [[nodiscard]] std::uint32_t largest_magnitude_at(isa::level level, index_t n, float const* from) {
  std::uint32_t most = 0;
  index_t i = 0;
#if defined(__x86_64__)
  if (level == isa::level::avx512) i = narrow_row_avx512::magnitudes(n, from, most);
  if (level == isa::level::avx2) i = narrow_row_avx2::magnitudes(n, from, most);
#endif
  static_cast<void>(level);
  for (; i < n; ++i) {
    std::uint32_t u;
    std::memcpy(&u, from + i, 4);
    u &= 0x7fffffffu;
    most = most > u ? most : u;
  }
  return most;
}

template <class>
[[nodiscard]] std::uint32_t narrow_to_sixteen(isa::level level, bool half, index_t n, float const* from,
                                              std::uint16_t* to) {
  std::uint32_t most = 0;
  index_t i = 0;
#if defined(__x86_64__)
  if (level == isa::level::avx512)
    i = half ? narrow_row_avx512::sixteen_bits<true>(n, from, to, most)
             : narrow_row_avx512::sixteen_bits<false>(n, from, to, most);
  if (level == isa::level::avx2)
    i = half ? narrow_row_avx2::sixteen_bits<true>(n, from, to, most)
             : narrow_row_avx2::sixteen_bits<false>(n, from, to, most);
#endif
  static_cast<void>(level);
  for (; i < n; ++i) {
    std::uint32_t u;
    std::memcpy(&u, from + i, 4);
    u &= 0x7fffffffu;
    most = most > u ? most : u;
    to[i] = half ? pleat::half(from[i]).bits : bfloat16(from[i]).bits;
  }
  return most;
}

template <class> index_t int8_codes_at(isa::level level, index_t n, float const* from, float scale, std::int8_t* to) {
  index_t i = 0, alive = 0;
#if defined(__x86_64__)
  if (scale != 0 && level == isa::level::avx512) i = narrow_row_avx512::codes(n, from, scale, to, alive);
  if (scale != 0 && level == isa::level::avx2) i = narrow_row_avx2::codes(n, from, scale, to, alive);
#endif
  static_cast<void>(level);
  for (; i < n; ++i) alive += (to[i] = int8_code(from[i], scale)) != 0;
  return alive;
}

}  // namespace pleat::codec::detail
