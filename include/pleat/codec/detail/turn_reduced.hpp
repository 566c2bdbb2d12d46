// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Turned rows of 16-bit numbers: pairs of neighbours are turned together and widened after that. Needs no Kokkos.
#pragma once

#include <pleat/base/config.hpp>
#include <pleat/codec/detail/turn_rows.hpp>

#if defined(__x86_64__)

namespace pleat::codec::detail {

/// See turn_units_avx512. A whole unit is read, at the end of a weight from behind it: the block has room there.
template <bool Half> struct turn_reduced {
  static constexpr index_t columns = 32;
  sixteen_rows rows;
  index_t ahead;  ///< bytes

  __attribute__((always_inline)) PLEAT_TARGET_AVX512 void write_avx512(index_t k, float* to, index_t stride) const {
    sixteen_rows const w{rows.at + 2 * k, rows.stride};
    fetch_rows<16>(w, ahead);
    sixteen_columns const pairs = columns_of_64(w, 0);
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i, to += 2 * stride) {
      if constexpr (Half) {
        __m512i const parted = _mm512_maskz_permutexvar_epi16(~__mmask32{0}, even_first_avx512(), pairs.at[i]);
        _mm512_storeu_ps(to, _mm512_maskz_cvtph_ps(0xffff, _mm512_maskz_extracti64x4_epi64(0x0f, parted, 0)));
        _mm512_storeu_ps(to + stride, _mm512_maskz_cvtph_ps(0xffff, _mm512_maskz_extracti64x4_epi64(0x0f, parted, 1)));
      } else {
        _mm512_storeu_si512(to, _mm512_maskz_slli_epi32(0xffff, pairs.at[i], 16));
        _mm512_storeu_si512(to + stride,
                            _mm512_and_si512(pairs.at[i], _mm512_set1_epi32(static_cast<int>(0xffff0000u))));
      }
    }
  }
  __attribute__((always_inline)) PLEAT_TARGET_AVX2 void write_avx2(index_t k, float* to, index_t stride) const {
    sixteen_rows const w{rows.at + 2 * k, rows.stride};
    fetch_rows<8>(w, ahead);
#pragma GCC unroll 2
    for (int h = 0; h < 2; ++h) {
      eight_columns const pairs = eight_columns_of_32(w, 32 * h);
#pragma GCC unroll 8
      for (int i = 0; i < 8; ++i, to += 2 * stride) {
        if constexpr (Half) {
          __m256i const order = _mm256_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15, 0, 1, 4, 5, 8, 9,
                                                 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
          __m256i const parted = _mm256_permute4x64_epi64(_mm256_shuffle_epi8(pairs.at[i], order), 0xd8);
          _mm256_storeu_ps(to, _mm256_cvtph_ps(_mm256_castsi256_si128(parted)));
          _mm256_storeu_ps(to + stride, _mm256_cvtph_ps(_mm256_extracti128_si256(parted, 1)));
        } else {
          _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_slli_epi32(pairs.at[i], 16));
          _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + stride),
                              _mm256_and_si256(pairs.at[i], _mm256_set1_epi32(static_cast<int>(0xffff0000u))));
        }
      }
    }
  }

 private:
  __attribute__((always_inline)) PLEAT_TARGET_AVX512 static __m512i even_first_avx512() {
    return _mm512_set_epi16(31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1, 30, 28, 26, 24, 22, 20, 18, 16,
                            14, 12, 10, 8, 6, 4, 2, 0);
  }
};

/// Sixteen rows with AVX-512 (`wide`), or eight with AVX2. `columns_ahead`: see turn_rows.hpp.
PLEAT_ONCE void turn_reduced_rows(bool wide, bool half, sixteen_rows const& rows, index_t columns_ahead, index_t k0,
                                  index_t k1, float* to, index_t stride) {
  index_t const ahead = 2 * columns_ahead;
  if (wide && half) turn_units_avx512(turn_reduced<true>{rows, ahead}, k0, k1, to, stride);
  else if (wide) turn_units_avx512(turn_reduced<false>{rows, ahead}, k0, k1, to, stride);
  else if (half) turn_units_avx2(turn_reduced<true>{rows, ahead}, k0, k1, to, stride);
  else turn_units_avx2(turn_reduced<false>{rows, ahead}, k0, k1, to, stride);
}

}  // namespace pleat::codec::detail

#endif
