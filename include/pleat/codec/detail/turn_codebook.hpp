// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Turned rows of codes into a table of at most 256 floats that lies in vector registers. Needs no Kokkos.
#pragma once

#include <pleat/base/config.hpp>
#include <pleat/codec/detail/turn_rows.hpp>

#if defined(__x86_64__)

namespace pleat::codec::detail {

/// Codes of Width bits, whose upper bits need not be cut off: a permute looks at no more than it needs, and a table of
/// fewer than 16 entries is repeated.
template <int Width> struct code_table {
  static constexpr int entries = Width < 4 ? 16 : 1 << Width;
  float const* at;  ///< the book itself where it has all entries
  float own[entries];
  code_table(code_table const&) = delete;
  code_table& operator=(code_table const&) = delete;
  code_table(float const* book, index_t given) : at(own) {
    if (given == entries) {
      at = book;
      return;
    }
    for (index_t i = 0; i < entries; ++i) {
      index_t const code = i & ((1 << Width) - 1);
      own[i] = code < given ? book[code] : 0.0f;
    }
  }
};

/// See turn_units_avx512.
template <int Width> struct turn_codes {
  static constexpr index_t columns = 32;
  static constexpr int vectors = code_table<Width>::entries / 16;
  sixteen_rows rows;
  index_t ahead;  ///< bytes
  float const* table;

  /// One of 16 · Vectors entries by the bits of v.
  template <int Vectors>
  __attribute__((always_inline)) PLEAT_TARGET_AVX512 static __m512 look_up(__m512 const* in, __m512i v) {
    if constexpr (Vectors == 1) {
      return _mm512_maskz_permutexvar_ps(0xffff, v, in[0]);
    } else if constexpr (Vectors == 2) {
      return _mm512_maskz_permutex2var_ps(0xffff, in[0], v, in[1]);
    } else {
      __m512 const low = look_up<Vectors / 2>(in, v), high = look_up<Vectors / 2>(in + Vectors / 2, v);
      return _mm512_mask_blend_ps(_mm512_test_epi32_mask(v, _mm512_set1_epi32(8 * Vectors)), low, high);
    }
  }
  __attribute__((always_inline)) PLEAT_TARGET_AVX512 void write_avx512(index_t k, float* to, index_t stride) const {
    sixteen_rows const w{rows.at + k / 8 * Width, rows.stride};
    if (k * Width / 8 % 64 < columns * Width / 8) fetch_rows<16>(w, ahead);
    __m512 entries[vectors];
#pragma GCC unroll 16
    for (int i = 0; i < vectors; ++i) entries[i] = _mm512_loadu_ps(table + 16 * i);
    __m512i word[(Width + 3) / 4 * 4];
#pragma GCC unroll 2
    for (int g = 0; g < (Width + 3) / 4; ++g) {
      four_columns const four = columns_of_16(w, 16 * g);
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) word[4 * g + i] = four.at[i];
    }
#pragma GCC unroll 32
    for (int c = 0; c < columns; ++c, to += stride) {
      int const at = c * Width / 32, shift = c * Width % 32;
      __m512i v = shift == 0 ? word[at] : _mm512_maskz_srli_epi32(0xffff, word[at], static_cast<unsigned>(shift));
      if (shift + Width > 32)
        v = _mm512_or_si512(v, _mm512_maskz_slli_epi32(0xffff, word[at + 1], static_cast<unsigned>(32 - shift)));
      _mm512_storeu_ps(to, look_up<vectors>(entries, v));
    }
  }
  /// A table of more than 16 entries is gathered from.
  __attribute__((always_inline)) PLEAT_TARGET_AVX2 void write_avx2(index_t k, float* to, index_t stride) const {
    sixteen_rows const w{rows.at + k / 8 * Width, rows.stride};
    if (k * Width / 8 % 64 < columns * Width / 8) fetch_rows<8>(w, ahead);
    __m256 const low = _mm256_loadu_ps(table), high = _mm256_loadu_ps(table + 8);
    __m256i word[(Width + 3) / 4 * 4];
#pragma GCC unroll 2
    for (int g = 0; g < (Width + 3) / 4; ++g) {
      eight_columns const four = eight_columns_of_16(w, 16 * g);
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) word[4 * g + i] = four.at[i];
    }
#pragma GCC unroll 32
    for (int c = 0; c < columns; ++c, to += stride) {
      int const at = c * Width / 32, shift = c * Width % 32;
      __m256i v = shift == 0 ? word[at] : _mm256_srli_epi32(word[at], shift);
      if (shift + Width > 32) v = _mm256_or_si256(v, _mm256_slli_epi32(word[at + 1], 32 - shift));
      __m256 value;
      if constexpr (Width <= 3) value = _mm256_permutevar8x32_ps(low, v);
      else if constexpr (Width == 4)
        value = _mm256_blendv_ps(_mm256_permutevar8x32_ps(low, v), _mm256_permutevar8x32_ps(high, v),
                                 _mm256_castsi256_ps(_mm256_slli_epi32(v, 28)));
      else value = _mm256_i32gather_ps(table, _mm256_and_si256(v, _mm256_set1_epi32((1 << Width) - 1)), 4);
      _mm256_storeu_ps(to, value);
    }
  }
};

template <int Width>
void turn_codes_of(bool wide, sixteen_rows const& rows, float const* book, index_t entries, index_t columns_ahead,
                   index_t k0, index_t k1, float* to, index_t stride) {
  code_table<Width> const table(book, entries);
  turn_codes<Width> const unit{rows, columns_ahead * Width / 8, table.at};
  if (wide) turn_units_avx512(unit, k0, k1, to, stride);
  else turn_units_avx2(unit, k0, k1, to, stride);
}
/// Sixteen rows with AVX-512 (`wide`), or eight with AVX2, of codes of `width` bits into one book.
PLEAT_ONCE void turn_code_rows(bool wide, int width, sixteen_rows const& rows, float const* book, index_t entries,
                               index_t columns_ahead, index_t k0, index_t k1, float* to, index_t stride) {
  constexpr void (*of[])(bool, sixteen_rows const&, float const*, index_t, index_t, index_t, index_t, float*,
                         index_t) = {&turn_codes_of<1>, &turn_codes_of<2>, &turn_codes_of<3>, &turn_codes_of<4>,
                                     &turn_codes_of<5>, &turn_codes_of<6>, &turn_codes_of<7>, &turn_codes_of<8>};
  of[width - 1](wide, rows, book, entries, columns_ahead, k0, k1, to, stride);
}

}  // namespace pleat::codec::detail

#endif
