// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Neighbouring rows of a stored weight turned in registers before they are decoded: what takes fewer bits than a float
/// is turned with fewer instructions, and lands where a matrix product wants it, a row in each lane. Needs no Kokkos.
///
/// A view whose rows can be turned offers, for 16 rows with AVX-512 (`wide`) and for 8 with AVX2,
///   bool turn(wide, row, k0, k1, to, stride, ahead) const:  to[(k - k0) * stride + r] = element (row + r, k);
/// false, and nothing is written, where these rows need another way. What lies `ahead` columns later comes from memory meanwhile.
///
/// Zero-masking forms with full masks where an unmasked intrinsic would do: g++ 12 warns of an uninitialized value
/// inside the unmasked ones; the code is the same.
#pragma once

#if defined(__x86_64__)

#include <immintrin.h>

#include <pleat/base/config.hpp>
#include <pleat/base/isa.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::codec::detail {

#define PLEAT_TURN_INLINE static inline __attribute__((always_inline)) PLEAT_TARGET_AVX512
#define PLEAT_TURN_INLINE_AVX2 static inline __attribute__((always_inline)) PLEAT_TARGET_AVX2

/// Sixteen rows that lie `stride` bytes apart, at the same block of each.
struct sixteen_rows {
  unsigned char const* at;
  index_t stride;
  /// The same, of which compilers know nothing: they would keep the sixteen addresses in registers that there are not.
  [[nodiscard]] __attribute__((always_inline)) sixteen_rows afresh() const {
    sixteen_rows w = *this;
    __asm__("" : "+r"(w.stride));
    return w;
  }
  [[nodiscard]] __attribute__((always_inline)) unsigned char const* row(int r, int offset) const {
    return at + r * stride + offset;
  }
};

/// Lane r of [c] is bytes [4c, 4c + 4) of the 16 bytes at `offset` of row r.
struct four_columns {
  __m512i at[4];
};
PLEAT_TURN_INLINE __m512i every_fourth(unsigned char const* first, index_t four_rows) {
  auto const load = [](unsigned char const* p) { return reinterpret_cast<__m128i const*>(p); };
  __m512i z = _mm512_maskz_broadcast_i32x4(0x000f, _mm_loadu_si128(load(first)));
  z = _mm512_mask_broadcast_i32x4(z, 0x00f0, _mm_loadu_si128(load(first + four_rows)));
  z = _mm512_mask_broadcast_i32x4(z, 0x0f00, _mm_loadu_si128(load(first + 2 * four_rows)));
  return _mm512_mask_broadcast_i32x4(z, 0xf000, _mm_loadu_si128(load(first + 3 * four_rows)));
}
PLEAT_TURN_INLINE four_columns columns_of_16(sixteen_rows const& w, int offset) {
  sixteen_rows const here = w.afresh();
  unsigned char const* const first = here.at + offset;
  __m512i const z0 = every_fourth(first, 4 * here.stride), z1 = every_fourth(first + here.stride, 4 * here.stride);
  __m512i const z2 = every_fourth(first + 2 * here.stride, 4 * here.stride),
                z3 = every_fourth(first + 3 * here.stride, 4 * here.stride);
  __m512i const a = _mm512_maskz_unpacklo_epi32(0xffff, z0, z1), b = _mm512_maskz_unpackhi_epi32(0xffff, z0, z1);
  __m512i const c = _mm512_maskz_unpacklo_epi32(0xffff, z2, z3), d = _mm512_maskz_unpackhi_epi32(0xffff, z2, z3);
  return {{_mm512_maskz_unpacklo_epi64(0xff, a, c), _mm512_maskz_unpackhi_epi64(0xff, a, c),
           _mm512_maskz_unpacklo_epi64(0xff, b, d), _mm512_maskz_unpackhi_epi64(0xff, b, d)}};
}
struct sixteen_columns {
  __m512i at[16];
};
/// Lane r of column i is lane i of v.at[r].
PLEAT_TURN_INLINE sixteen_columns turned(sixteen_columns v) {
  sixteen_columns a;
#pragma GCC unroll 16
  for (int i = 0; i < 16; i += 2) {
    a.at[i] = _mm512_maskz_unpacklo_epi32(0xffff, v.at[i], v.at[i + 1]);
    a.at[i + 1] = _mm512_maskz_unpackhi_epi32(0xffff, v.at[i], v.at[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    v.at[i] = _mm512_maskz_unpacklo_epi64(0xff, a.at[i], a.at[i + 2]);
    v.at[i + 1] = _mm512_maskz_unpackhi_epi64(0xff, a.at[i], a.at[i + 2]);
    v.at[i + 2] = _mm512_maskz_unpacklo_epi64(0xff, a.at[i + 1], a.at[i + 3]);
    v.at[i + 3] = _mm512_maskz_unpackhi_epi64(0xff, a.at[i + 1], a.at[i + 3]);
  }
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {  // 128-bit pieces to their places
    __m512i const low = _mm512_maskz_shuffle_i32x4(0xffff, v.at[c], v.at[4 + c], 0x44),
                  low2 = _mm512_maskz_shuffle_i32x4(0xffff, v.at[8 + c], v.at[12 + c], 0x44);
    __m512i const high = _mm512_maskz_shuffle_i32x4(0xffff, v.at[c], v.at[4 + c], 0xee),
                  high2 = _mm512_maskz_shuffle_i32x4(0xffff, v.at[8 + c], v.at[12 + c], 0xee);
    a.at[c] = _mm512_maskz_shuffle_i32x4(0xffff, low, low2, 0x88);
    a.at[4 + c] = _mm512_maskz_shuffle_i32x4(0xffff, low, low2, 0xdd);
    a.at[8 + c] = _mm512_maskz_shuffle_i32x4(0xffff, high, high2, 0x88);
    a.at[12 + c] = _mm512_maskz_shuffle_i32x4(0xffff, high, high2, 0xdd);
  }
  return a;
}
/// Lane r of column i is bytes [4i, 4i + 4) of the 64 bytes at `offset` of row r.
PLEAT_TURN_INLINE sixteen_columns columns_of_64(sixteen_rows const& w, int offset) {
  sixteen_rows const here = w.afresh();
  sixteen_columns v;
#pragma GCC unroll 16
  for (int r = 0; r < 16; ++r) v.at[r] = _mm512_loadu_si512(here.row(r, offset));
  return turned(v);
}

/// Lane r of column i is bytes [4i, 4i + 4) of the 32 bytes at `offset` of row r, for eight rows.
struct eight_columns {
  __m256i at[8];
};
PLEAT_TURN_INLINE_AVX2 eight_columns eight_columns_of_32(sixteen_rows const& w, int offset) {
  sixteen_rows const here = w.afresh();
  eight_columns v, a;
#pragma GCC unroll 8
  for (int r = 0; r < 8; ++r) v.at[r] = _mm256_loadu_si256(reinterpret_cast<__m256i const*>(here.row(r, offset)));
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    a.at[i] = _mm256_unpacklo_epi32(v.at[i], v.at[i + 1]);
    a.at[i + 1] = _mm256_unpackhi_epi32(v.at[i], v.at[i + 1]);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
    v.at[i] = _mm256_unpacklo_epi64(a.at[i], a.at[i + 2]);
    v.at[i + 1] = _mm256_unpackhi_epi64(a.at[i], a.at[i + 2]);
    v.at[i + 2] = _mm256_unpacklo_epi64(a.at[i + 1], a.at[i + 3]);
    v.at[i + 3] = _mm256_unpackhi_epi64(a.at[i + 1], a.at[i + 3]);
  }
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {
    a.at[c] = _mm256_permute2x128_si256(v.at[c], v.at[4 + c], 0x20);
    a.at[4 + c] = _mm256_permute2x128_si256(v.at[c], v.at[4 + c], 0x31);
  }
  return a;
}
/// The same of the 16 bytes at `offset`: the first four columns.
PLEAT_TURN_INLINE_AVX2 eight_columns eight_columns_of_16(sixteen_rows const& w, int offset) {
  sixteen_rows const here = w.afresh();
  eight_columns v, a;
  __m256i z[4];
#pragma GCC unroll 4
  for (int r = 0; r < 4; ++r) {
    auto const load = [](unsigned char const* p) { return _mm_loadu_si128(reinterpret_cast<__m128i const*>(p)); };
    z[r] = _mm256_inserti128_si256(_mm256_castsi128_si256(load(here.row(r, offset))), load(here.row(r + 4, offset)), 1);
  }
  a.at[0] = _mm256_unpacklo_epi32(z[0], z[1]), a.at[1] = _mm256_unpackhi_epi32(z[0], z[1]);
  a.at[2] = _mm256_unpacklo_epi32(z[2], z[3]), a.at[3] = _mm256_unpackhi_epi32(z[2], z[3]);
  v.at[0] = _mm256_unpacklo_epi64(a.at[0], a.at[2]), v.at[1] = _mm256_unpackhi_epi64(a.at[0], a.at[2]);
  v.at[2] = _mm256_unpacklo_epi64(a.at[1], a.at[3]), v.at[3] = _mm256_unpackhi_epi64(a.at[1], a.at[3]);
  return v;
}

/// Bytes [offset, offset + bytes) of all rows, later.
template <int Rows>
static inline __attribute__((always_inline)) void fetch_rows(sixteen_rows const& w, index_t offset) {
  sixteen_rows const here = w.afresh();
  for (int r = 0; r < Rows; ++r) __builtin_prefetch(here.at + offset + r * here.stride);
}

/// Columns [k0, k1) by units of Unit::columns, whose functions write all columns of the unit that begins at k to
/// to[column][stride].
template <class Unit>
PLEAT_TARGET_AVX512 inline void turn_units_avx512(Unit const unit, index_t k0, index_t k1, float* to, index_t stride) {
  constexpr index_t columns = Unit::columns;
  alignas(64) float part[columns * 16];
  for (index_t k = k0 / columns * columns; k < k1; k += columns) {
    bool const whole = k >= k0 && k + columns <= k1;
    unit.write_avx512(k, whole ? to + (k - k0) * stride : part, whole ? stride : 16);
    if (whole) continue;
    index_t const last = k + columns < k1 ? k + columns : k1;
    for (index_t c = k < k0 ? k0 : k; c < last; ++c)
      __builtin_memcpy(to + (c - k0) * stride, part + (c - k) * 16, 16 * sizeof(float));
  }
}
template <class Unit>
PLEAT_TARGET_AVX2 inline void turn_units_avx2(Unit const unit, index_t k0, index_t k1, float* to, index_t stride) {
  constexpr index_t columns = Unit::columns;
  alignas(64) float part[columns * 8];
  for (index_t k = k0 / columns * columns; k < k1; k += columns) {
    bool const whole = k >= k0 && k + columns <= k1;
    unit.write_avx2(k, whole ? to + (k - k0) * stride : part, whole ? stride : 8);
    if (whole) continue;
    index_t const last = k + columns < k1 ? k + columns : k1;
    for (index_t c = k < k0 ? k0 : k; c < last; ++c)
      __builtin_memcpy(to + (c - k0) * stride, part + (c - k) * 8, 8 * sizeof(float));
  }
}

}  // namespace pleat::codec::detail

#undef PLEAT_TURN_INLINE
#undef PLEAT_TURN_INLINE_AVX2
#endif
