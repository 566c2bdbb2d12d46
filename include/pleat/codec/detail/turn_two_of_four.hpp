// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Turned rows of two numbers of each group of four columns, with four bits that say where they lie. Needs no Kokkos.
#pragma once

#include <pleat/base/config.hpp>
#include <pleat/codec/detail/turn_rows.hpp>

#if defined(__x86_64__)

namespace pleat::codec::detail {

/// See turn_units_avx512. The place of the first number is less than that of the second: 0 to 2, and 1 to 3.
struct turn_two_of_four {
  static constexpr index_t columns = 32;
  sixteen_rows values, places;
  index_t ahead;  ///< bytes of values

  /// Lane r: the 32 bits at `offset` of row r.
  template <int Rows> __attribute__((always_inline)) static void places_of(sixteen_rows const& w, int (&out)[Rows]) {
    sixteen_rows const here = w.afresh();
    for (int r = 0; r < Rows; ++r) __builtin_memcpy(out + r, here.row(r, 0), 4);
  }
  __attribute__((always_inline)) PLEAT_TARGET_AVX512 void write_avx512(index_t k, float* to, index_t stride) const {
    sixteen_rows const w{values.at + 2 * k, values.stride};
    fetch_rows<16>(w, ahead);
    sixteen_columns const v = columns_of_64(w, 0);
    int p[16];
    places_of<16>({places.at + k / 8, places.stride}, p);
    __m512i const place = _mm512_setr_epi32(p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7], p[8], p[9], p[10], p[11],
                                            p[12], p[13], p[14], p[15]);
#pragma GCC unroll 8
    for (int g = 0; g < 8; ++g, to += 4 * stride) {
      __m512i const a = v.at[2 * g], b = v.at[2 * g + 1];
      __mmask16 const a1 = _mm512_test_epi32_mask(place, bit(4 * g)),
                      a2 = _mm512_test_epi32_mask(place, bit(4 * g + 1));
      __mmask16 const b2 = _mm512_testn_epi32_mask(place, bit(4 * g + 2)),
                      b1 = _mm512_testn_epi32_mask(place, bit(4 * g + 3));
      __mmask16 const a0 = static_cast<__mmask16>(~(a1 | a2)), b3 = static_cast<__mmask16>(~(b1 | b2));
      _mm512_storeu_si512(to, _mm512_maskz_mov_epi32(a0, a));
      _mm512_storeu_si512(to + stride, _mm512_mask_mov_epi32(_mm512_maskz_mov_epi32(a1, a), b1, b));
      _mm512_storeu_si512(to + 2 * stride, _mm512_mask_mov_epi32(_mm512_maskz_mov_epi32(a2, a), b2, b));
      _mm512_storeu_si512(to + 3 * stride, _mm512_maskz_mov_epi32(b3, b));
    }
  }
  __attribute__((always_inline)) PLEAT_TARGET_AVX2 void write_avx2(index_t k, float* to, index_t stride) const {
    sixteen_rows const w{values.at + 2 * k, values.stride};
    fetch_rows<8>(w, ahead);
    int p[8];
    places_of<8>({places.at + k / 8, places.stride}, p);
    __m256i const place = _mm256_setr_epi32(p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7]);
#pragma GCC unroll 2
    for (int h = 0; h < 2; ++h) {
      eight_columns const v = eight_columns_of_32(w, 32 * h);
#pragma GCC unroll 4
      for (int g = 0; g < 4; ++g, to += 4 * stride) {
        __m256i const a = v.at[2 * g], b = v.at[2 * g + 1];
        int const shift = 16 * h + 4 * g;
        put(to, _mm256_and_si256(a, is(place, 3, 0, shift)));
        put(to + stride,
            _mm256_or_si256(_mm256_and_si256(a, is(place, 3, 1, shift)), _mm256_and_si256(b, is(place, 12, 4, shift))));
        put(to + 2 * stride,
            _mm256_or_si256(_mm256_and_si256(a, is(place, 3, 2, shift)), _mm256_and_si256(b, is(place, 12, 8, shift))));
        put(to + 3 * stride, _mm256_and_si256(b, is(place, 12, 12, shift)));
      }
    }
  }

 private:
  __attribute__((always_inline)) PLEAT_TARGET_AVX512 static __m512i bit(int i) {
    return _mm512_set1_epi32(static_cast<int>(1u << i));
  }
  /// All ones where the bits `mask` << left of x are `wanted` << left.
  __attribute__((always_inline)) PLEAT_TARGET_AVX2 static __m256i is(__m256i x, unsigned mask, unsigned wanted,
                                                                     int left) {
    return _mm256_cmpeq_epi32(_mm256_and_si256(x, _mm256_set1_epi32(static_cast<int>(mask << left))),
                              _mm256_set1_epi32(static_cast<int>(wanted << left)));
  }
  __attribute__((always_inline)) PLEAT_TARGET_AVX2 static void put(float* at, __m256i x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(at), x);
  }
};

/// Sixteen rows with AVX-512 (`wide`), or eight with AVX2.
PLEAT_ONCE void turn_two_of_four_rows(bool wide, sixteen_rows const& values, sixteen_rows const& places,
                                      index_t columns_ahead, index_t k0, index_t k1, float* to, index_t stride) {
  turn_two_of_four const unit{values, places, 2 * columns_ahead};
  if (wide) turn_units_avx512(unit, k0, k1, to, stride);
  else turn_units_avx2(unit, k0, k1, to, stride);
}

/// N of M numbers where M divides 16, sixteen columns at a time, with AVX-512: rows are expanded by a bit per element,
/// then turned.
template <int N, int M> struct turn_n_of_m {
  static constexpr index_t columns = 16;
  sixteen_rows values;
  std::uint16_t const* masks;
  index_t sixteens;  ///< masks of a row
  index_t ahead;     ///< bytes of values

  __attribute__((always_inline)) PLEAT_TARGET_AVX512 void write_avx512(index_t k, float* to, index_t stride) const {
    sixteen_rows const w{values.at + k / M * N * 4, values.stride};
    fetch_rows<16>(w, ahead);
    std::uint16_t const* mask = masks + k / 16;
    sixteen_columns v;
#pragma GCC unroll 16
    for (int r = 0; r < 16; ++r, mask += sixteens)
      v.at[r] = _mm512_maskz_expand_epi32(*mask, _mm512_loadu_si512(w.row(r, 0)));
    v = turned(v);
#pragma GCC unroll 16
    for (int c = 0; c < 16; ++c, to += stride) _mm512_storeu_si512(to, v.at[c]);
  }
};

}  // namespace pleat::codec::detail

#endif
