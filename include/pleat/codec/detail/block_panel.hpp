// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Products with block formats by panels (AVX-512 with VNNI): sixteen or thirty-two rows whose codes are unpacked once,
/// a row in each lane, and then multiplied with every column. See block_product for what they compute. Needs no Kokkos.
///
/// Zero-masking forms with full masks where an unmasked intrinsic would do: g++ 12 warns of an uninitialized value
/// inside the unmasked ones; the code is the same.
#pragma once

#if defined(__x86_64__)

#include <immintrin.h>

#include <pleat/codec/detail/block_product.hpp>
#include <pleat/codec/detail/turn_rows.hpp>
#include <pleat/base/isa.hpp>

namespace pleat::codec::detail {

#define PLEAT_PANEL_INLINE static inline __attribute__((always_inline)) PLEAT_TARGET_AVX512VNNI

PLEAT_PANEL_INLINE __m512i low_bits(__m512i v, int right, int mask) {
  return _mm512_and_si512(right == 0 ? v : _mm512_maskz_srli_epi32(0xffff, v, static_cast<unsigned>(right)),
                          _mm512_set1_epi32(mask * 0x01010101));
}
PLEAT_PANEL_INLINE __m512i left_bits(__m512i v, int left, int mask) {
  return _mm512_and_si512(_mm512_maskz_slli_epi32(0xffff, v, static_cast<unsigned>(left)),
                          _mm512_set1_epi32(mask * 0x01010101));
}
/// Sixteen halves at `offset`; the lower or the upper 16 bits of each lane as halves.
PLEAT_PANEL_INLINE __m512 halves_of_16(sixteen_rows const& w, int offset) {
  short v[16];
  sixteen_rows const here = w.afresh();
  for (int r = 0; r < 16; ++r) __builtin_memcpy(v + r, here.row(r, offset), 2);
  return _mm512_maskz_cvtph_ps(0xffff, _mm256_setr_epi16(v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8], v[9],
                                                         v[10], v[11], v[12], v[13], v[14], v[15]));
}
PLEAT_PANEL_INLINE __m512 low_halves(__m512i v) {
  return _mm512_maskz_cvtph_ps(0xffff, _mm512_maskz_cvtepi32_epi16(0xffff, v));
}
PLEAT_PANEL_INLINE __m512 high_halves(__m512i v) { return low_halves(_mm512_maskz_srli_epi32(0xffff, v, 16)); }
PLEAT_PANEL_INLINE __m512i byte_of(__m512i v, int i) {
  return _mm512_and_si512(i == 0 ? v : _mm512_maskz_srli_epi32(0xffff, v, static_cast<unsigned>(8 * i)),
                          _mm512_set1_epi32(255));
}
PLEAT_PANEL_INLINE __m512 floats_of(__m512i v) { return _mm512_maskz_cvtepi32_ps(0xffff, v); }

/// Up to thirty-two rows, unpacked: whole blocks, of about 16 pieces together.
template <class F> struct block_panel {
  static constexpr int pieces = F::block / 32, depth = pieces > 16 ? pieces : 16 / pieces *pieces;
  alignas(64) byte_t codes[depth][8][2][64];  ///< [piece][four columns][sixteen rows][row, column]
  alignas(64) float scale[depth][2][16];
  alignas(64) float base[F::has_base ? depth : 1][2][16];
  alignas(64) std::int32_t multiplier[F::multipliers ? depth : 1][2][2][16];  ///< [piece][half][sixteen rows][row]
};

/// What a piece's codes are multiplied with.
struct piece_scales {
  __m512 scale, base;
  __m512i multiplier[2];
};
/// Where unpacked pieces go, first: into the v-th sixteen rows of a panel, from piece `nth` on.
template <class F> struct into_panel {
  block_panel<F>& to;
  index_t nth;
  int v;
  __attribute__((always_inline)) PLEAT_TARGET_AVX512VNNI void begin(int piece, piece_scales const& f) {
    _mm512_store_ps(to.scale[nth + piece][v], f.scale);
    if constexpr (F::has_base) _mm512_store_ps(to.base[nth + piece][v], f.base);
    if constexpr (F::multipliers)
      for (int h = 0; h < 2; ++h) _mm512_store_si512(to.multiplier[nth + piece][h][v], f.multiplier[h]);
  }
  __attribute__((always_inline)) PLEAT_TARGET_AVX512VNNI void codes(int piece, int j, __m512i u) {
    _mm512_store_si512(to.codes[nth + piece][j][v], u);
  }
  __attribute__((always_inline)) void end(int, piece_scales const&) {}
};
/// Second: multiplied with the only column at once; from piece `nth` of the rows on.
template <class F> struct into_column {
  block_product const& p;
  __m512 sum;
  index_t nth;
  __m512i a, b;
  __attribute__((always_inline)) PLEAT_TARGET_AVX512VNNI void begin(int piece, piece_scales const&) {
    a = F::offset == 0 ? _mm512_setzero_si512() : _mm512_set1_epi32(p.start[2 * (nth + piece)]);
    b = F::offset == 0 ? _mm512_setzero_si512() : _mm512_set1_epi32(p.start[2 * (nth + piece) + 1]);
  }
  __attribute__((always_inline)) PLEAT_TARGET_AVX512VNNI void codes(int piece, int j, __m512i u) {
    std::int32_t four;
    __builtin_memcpy(&four, p.x + (nth + piece) * 32 + 4 * j, 4);
    if (j < 4) a = _mm512_dpbusd_epi32(a, u, _mm512_set1_epi32(four));
    else b = _mm512_dpbusd_epi32(b, u, _mm512_set1_epi32(four));
  }
  __attribute__((always_inline)) PLEAT_TARGET_AVX512VNNI void end(int piece, piece_scales const& f) {
    if constexpr (F::multipliers)
      a = _mm512_mullo_epi32(a, f.multiplier[0]), b = _mm512_mullo_epi32(b, f.multiplier[1]);
    sum = _mm512_fmadd_ps(_mm512_mul_ps(f.scale, _mm512_set1_ps(p.x_scale[nth + piece])),
                          floats_of(_mm512_add_epi32(a, b)), sum);
    if constexpr (F::has_base) sum = _mm512_fmadd_ps(f.base, _mm512_set1_ps(p.x_sum[nth + piece]), sum);
  }
};

/// The codes of a piece of a format with nibbles, and of those with a fifth bit.
template <class F, class To> PLEAT_PANEL_INLINE void unpack_codes(F, sixteen_rows const& w, int piece, To& to) {
  constexpr int nibbles = F::bytes - F::block / 2;
  four_columns const c = columns_of_16(w, nibbles + 16 * piece);
  __m512i u[8];
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) u[j] = low_bits(c.at[j], 0, 15), u[j + 4] = low_bits(c.at[j], 4, 15);
  if constexpr (F::most == 31) {
    std::int32_t bits[16];
    sixteen_rows const here = w.afresh();
    for (int r = 0; r < 16; ++r) __builtin_memcpy(bits + r, here.row(r, nibbles - 4), 4);
    __m512i const all = _mm512_setr_epi32(bits[0], bits[1], bits[2], bits[3], bits[4], bits[5], bits[6], bits[7],
                                          bits[8], bits[9], bits[10], bits[11], bits[12], bits[13], bits[14], bits[15]);
#pragma GCC unroll 8
    for (int j = 0; j < 8; ++j) {  // four bits of each row: byte j/2 four times, a bit of each
      int const byte = j / 2 * 0x01010101;
      __m512i const spread = _mm512_maskz_shuffle_epi8(
          ~__mmask64{0}, all, _mm512_set4_epi32(0x0c0c0c0c + byte, 0x08080808 + byte, 0x04040404 + byte, byte));
      __mmask64 const set =
          _mm512_test_epi8_mask(spread, _mm512_set1_epi32(j % 2 == 0 ? 0x08040201 : static_cast<int>(0x80402010u)));
      u[j] = _mm512_mask_add_epi8(u[j], set, u[j], _mm512_set1_epi8(16));
    }
  }
#pragma GCC unroll 8
  for (int j = 0; j < 8; ++j) to.codes(piece, j, u[j]);
}
template <class To> PLEAT_PANEL_INLINE void unpack_codes(q8_0_format, sixteen_rows const& w, int piece, To& to) {
#pragma GCC unroll 2
  for (int h = 0; h < 2; ++h) {
    four_columns const c = columns_of_16(w, 2 + 16 * h);
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) to.codes(piece, 4 * h + j, _mm512_xor_si512(c.at[j], _mm512_set1_epi8(-128)));
  }
}

/// A block of sixteen rows, its pieces in ascending order.
template <class F, class To> PLEAT_PANEL_INLINE void unpack_block(F, sixteen_rows const& w, To& to) {
  piece_scales f{};
  f.scale = halves_of_16(w, 0);
  if constexpr (F::has_base) f.base = halves_of_16(w, 2);
  for (int p = 0; p < F::block / 32; ++p) {
    to.begin(p, f);
    unpack_codes(F{}, w, p, to);
    to.end(p, f);
  }
}
template <class To> PLEAT_PANEL_INLINE void unpack_block(q4_k_format, sixteen_rows const& w, To& to) {
  four_columns const head = columns_of_16(w, 0);  // the two halves; 12 bytes of scales and minima, see q4_k_format
  __m512 const d = low_halves(head.at[0]),
               minus_dmin = _mm512_maskz_xor_ps(0xffff, high_halves(head.at[0]), _mm512_set1_ps(-0.0f));
  __m512i const scales[2] = {low_bits(head.at[1], 0, 63),
                             _mm512_or_si512(low_bits(head.at[3], 0, 15), low_bits(head.at[1], 2, 48))};
  __m512i const minima[2] = {low_bits(head.at[2], 0, 63),
                             _mm512_or_si512(low_bits(head.at[3], 4, 15), low_bits(head.at[2], 2, 48))};
#pragma GCC unroll 2
  for (int half = 0; half < 2; ++half) {
    sixteen_columns const c = columns_of_64(w, 16 + 64 * half);
#pragma GCC unroll 4
    for (int p = 4 * half; p < 4 * half + 4; ++p) {
      piece_scales f{};
      f.scale = _mm512_mul_ps(d, floats_of(byte_of(scales[half], p % 4)));
      f.base = _mm512_mul_ps(minus_dmin, floats_of(byte_of(minima[half], p % 4)));
      to.begin(p, f);
#pragma GCC unroll 8
      for (int j = 0; j < 8; ++j) to.codes(p, j, low_bits(c.at[p % 4 / 2 * 8 + j], p % 2 * 4, 15));
      to.end(p, f);
    }
  }
}
template <class To> PLEAT_PANEL_INLINE void unpack_block(q6_k_format, sixteen_rows const& w, To& to) {
  piece_scales f{};
  f.scale = high_halves(columns_of_16(w, 194).at[3]);
  four_columns const multipliers = columns_of_16(w, 192);
  sixteen_columns const high = columns_of_64(w, 128);
#pragma GCC unroll 2
  for (int part = 0; part < 2; ++part) {
    sixteen_columns const low = columns_of_64(w, 64 * part);
#pragma GCC unroll 4
    for (int quarter = 0; quarter < 4; ++quarter) {
      int const p = 4 * part + quarter;
#pragma GCC unroll 2
      for (int h = 0; h < 2; ++h) {
        __m512i const& four = multipliers.at[(2 * p + h) / 4];
        f.multiplier[h] = _mm512_maskz_srai_epi32(
            0xffff, _mm512_maskz_slli_epi32(0xffff, four, static_cast<unsigned>(24 - (2 * p + h) % 4 * 8)), 24);
      }
      to.begin(p, f);
#pragma GCC unroll 8
      for (int j = 0; j < 8; ++j) {
        __m512i const four = low_bits(low.at[quarter % 2 * 8 + j], quarter / 2 * 4, 15), two = high.at[part * 8 + j];
        to.codes(p, j,
                 _mm512_or_si512(
                     four, quarter < 2 ? left_bits(two, 4 - 2 * quarter, 48) : low_bits(two, 2 * quarter - 4, 48)));
      }
      to.end(p, f);
    }
  }
}

/// What is unpacked after this comes from memory meanwhile: rows are too many streams for the processor to foresee.
template <class F> PLEAT_PANEL_INLINE void fetch_block(sixteen_rows const& w, index_t nth) {
  constexpr int every = F::bytes < 64 ? 64 / F::bytes : 1;
  if (nth % every != 0) return;
  sixteen_rows const here = w.afresh();
  for (int r = 0; r < 16; ++r)
    for (int offset = 0; offset < F::bytes; offset += 64) __builtin_prefetch(here.row(r, offset));
}

/// C columns of x, from `column` on, over pieces [first, last) with 16·V rows; `acc` is [C][32].
template <class F, int V, int C>
PLEAT_TARGET_AVX512VNNI inline void panel_columns(block_product const& p, block_panel<F> const& w, index_t first,
                                                  index_t last, index_t column, float* acc) {
  index_t const pieces = p.k / 32;
  __m512 sum[C][V];
  for (int c = 0; c < C; ++c)
    for (int v = 0; v < V; ++v) sum[c][v] = _mm512_loadu_ps(acc + 32 * c + 16 * v);
  for (index_t q = first; q < last; ++q) {
    auto const nth = q - first;
    signed char const* const x = p.x + column * p.k + q * 32;
    __m512i a[C][V];
    [[maybe_unused]] __m512i half[C][V];
#pragma GCC unroll 8
    for (int c = 0; c < C; ++c)
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v)
        a[c][v] = F::offset == 0 ? _mm512_setzero_si512() : _mm512_set1_epi32(p.start[2 * ((column + c) * pieces + q)]);
#pragma GCC unroll 8
    for (int j = 0; j < 8; ++j) {
      if (j == 4 && F::offset != 0) {
#pragma GCC unroll 8
        for (int c = 0; c < C; ++c)
#pragma GCC unroll 2
          for (int v = 0; v < V; ++v) {
            __m512i const start = _mm512_set1_epi32(p.start[2 * ((column + c) * pieces + q) + 1]);
            if constexpr (F::multipliers) {
              half[c][v] = _mm512_mullo_epi32(a[c][v], _mm512_load_si512(w.multiplier[nth][0][v]));
              a[c][v] = start;
            } else {
              a[c][v] = _mm512_add_epi32(a[c][v], start);
            }
          }
      }
      __m512i u[V];
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) u[v] = _mm512_load_si512(w.codes[nth][j][v]);
#pragma GCC unroll 8
      for (int c = 0; c < C; ++c) {
        std::int32_t four;
        __builtin_memcpy(&four, x + c * p.k + 4 * j, 4);
        __m512i const xs = _mm512_set1_epi32(four);
#pragma GCC unroll 2
        for (int v = 0; v < V; ++v) a[c][v] = _mm512_dpbusd_epi32(a[c][v], u[v], xs);
      }
    }
#pragma GCC unroll 8
    for (int c = 0; c < C; ++c) {
      index_t const at = (column + c) * pieces + q;
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) {
        if constexpr (F::multipliers)
          a[c][v] =
              _mm512_add_epi32(half[c][v], _mm512_mullo_epi32(a[c][v], _mm512_load_si512(w.multiplier[nth][1][v])));
        sum[c][v] = _mm512_fmadd_ps(_mm512_mul_ps(_mm512_load_ps(w.scale[nth][v]), _mm512_set1_ps(p.x_scale[at])),
                                    floats_of(a[c][v]), sum[c][v]);
        if constexpr (F::has_base)
          sum[c][v] = _mm512_fmadd_ps(_mm512_load_ps(w.base[nth][v]), _mm512_set1_ps(p.x_sum[at]), sum[c][v]);
      }
    }
  }
  for (int c = 0; c < C; ++c)
    for (int v = 0; v < V; ++v) _mm512_storeu_ps(acc + 32 * c + 16 * v, sum[c][v]);
}

/// All columns with 16·V rows from `row` on; `acc` is [m][32].
template <class F, int V>
PLEAT_TARGET_AVX512VNNI inline void panel_rows(block_product const& p, byte_t const* row, block_panel<F>& w,
                                               float* acc) {
  constexpr int pieces = block_panel<F>::pieces, depth = block_panel<F>::depth;
  for (index_t i = 0; i < 32 * p.m; ++i) acc[i] = 0;
  for (index_t q = 0; q < p.k / 32; q += depth) {
    index_t const last = q + depth < p.k / 32 ? q + depth : p.k / 32;
    byte_t const *const here = row + q / pieces * F::bytes, *const next = last < p.k / 32
                                                                              ? row + last / pieces * F::bytes
                                                                              : row + 16 * V * p.row_bytes;
    for (int v = 0; v < V; ++v)
      for (index_t b = 0; b < (last - q) / pieces; ++b) {
        index_t const at = 16 * v * p.row_bytes + b * F::bytes;
        fetch_block<F>({next + at, p.row_bytes}, b);
        into_panel<F> to{w, b * pieces, v};
        unpack_block(F{}, {here + at, p.row_bytes}, to);
      }
    index_t i = 0;
    for (; i + 4 <= p.m; i += 4) panel_columns<F, V, 4>(p, w, q, last, i, acc + 32 * i);
    for (; i < p.m; ++i) panel_columns<F, V, 1>(p, w, q, last, i, acc + 32 * i);
  }
}

/// Four blocks of q8_0 of sixteen rows with the only column, from piece `nth` on. They are 136 bytes: 34 columns of
/// four, turned together with their scales, which takes far fewer instructions than blocks of 34 bytes by themselves.
/// Blocks 0 and 2 begin with a column of which two bytes are their scale, and end in the first half of the column whose
/// second half is the scale of the next; x is zero beside a code that is none.
PLEAT_PANEL_INLINE void multiply_four_blocks(block_product const& p, sixteen_rows const& w, index_t nth, __m512& sum) {
  auto const bytes_of_x = [](signed char const* x, auto to) {
    __builtin_memcpy(&to, x, sizeof to);
    return static_cast<std::uint32_t>(to);
  };
  sixteen_columns c = columns_of_64(w, 0);
  four_columns last{};
#pragma GCC unroll 4
  for (int block = 0; block < 4; ++block) {
    index_t const q = nth + block;
    signed char const* const x = p.x + q * 32;
    // column of the scale; how many bytes of x it takes already
    int const first = block * 17 / 2, shift = block % 2 == 0 ? 2 : 0;
    __m512 const scale = shift ? low_halves(c.at[first % 16]) : high_halves(c.at[first % 16]);
    __m512i half[2] = {_mm512_set1_epi32(p.start[2 * q]), _mm512_set1_epi32(p.start[2 * q + 1])};
#pragma GCC unroll 9
    for (int j = shift ? 0 : 1; j < 9; ++j) {
      int const at = first + j;
      if (at == 16) c = columns_of_64(w, 64);
      if (at == 32) last = columns_of_16(w, 120);
      std::uint32_t const codes = !shift   ? bytes_of_x(x + 4 * j - 4, std::uint32_t{})
                                  : j == 0 ? bytes_of_x(x, std::uint16_t{}) << 16
                                  : j == 8 ? bytes_of_x(x + 30, std::uint16_t{})
                                           : bytes_of_x(x + 4 * j - 2, std::uint32_t{});
      __m512i const u = _mm512_xor_si512(at < 32 ? c.at[at % 16] : last.at[at - 30], _mm512_set1_epi8(-128));
      half[j % 2] = _mm512_dpbusd_epi32(half[j % 2], u, _mm512_set1_epi32(static_cast<int>(codes)));
    }
    sum = _mm512_fmadd_ps(_mm512_mul_ps(scale, _mm512_set1_ps(p.x_scale[q])),
                          floats_of(_mm512_add_epi32(half[0], half[1])), sum);
  }
}

/// Sums of up to sixteen blocks of q6_K of sixteen rows with the only column.
struct q6_k_run {
  static constexpr index_t blocks = 16;
  alignas(64) std::int32_t sums[16][8 * blocks];  ///< [row][piece]
  /// of half h of piece p: at [4·(2p % 4 + h) + p / 2], where its sum is
  alignas(64) std::int32_t start[blocks][16];
  alignas(32) std::uint16_t scale[blocks][16];  ///< [block][row]
};
/// A block: its codes are multiplied as they lie, 64 at a time (pieces 0 and 1, 2 and 3, …), and summed in four lanes
/// each, of which a half piece, which has one multiplier, has 128 bits.
PLEAT_PANEL_INLINE void multiply_block(q6_k_format, byte_t const* b, signed char const* x, std::int32_t const* start,
                                       std::int32_t* sums) {
  __m512i const low_four = _mm512_set1_epi8(15), middle_two = _mm512_set1_epi8(48);
  long long constexpr two = 0x0002000200020002, four = 0x0004000400040004;
  __m512i const left = _mm512_set_epi64(two, two, two, two, four, four, four, four),
                right = _mm512_set_epi64(two, two, two, two, 0, 0, 0, 0);
  __m512i s[4];
#pragma GCC unroll 2
  for (int part = 0; part < 2; ++part) {
    __m512i const low = _mm512_loadu_si512(b + 64 * part);
    __m512i const high =
        _mm512_maskz_broadcast_i64x4(0xff, _mm256_loadu_si256(reinterpret_cast<__m256i const*>(b + 128 + 32 * part)));
    // a | (b & c)
    __m512i const first = _mm512_ternarylogic_epi32(
        _mm512_and_si512(low, low_four), _mm512_maskz_sllv_epi16(~__mmask32{0}, high, left), middle_two, 0xf8);
    __m512i const second =
        _mm512_ternarylogic_epi32(_mm512_and_si512(_mm512_maskz_srli_epi16(~__mmask32{0}, low, 4), low_four),
                                  _mm512_maskz_srlv_epi16(~__mmask32{0}, high, right), middle_two, 0xf8);
    s[2 * part] = _mm512_dpbusd_epi32(_mm512_setzero_si512(), first, _mm512_loadu_si512(x + 128 * part));
    s[2 * part + 1] = _mm512_dpbusd_epi32(_mm512_setzero_si512(), second, _mm512_loadu_si512(x + 128 * part + 64));
  }
  __m512i const t0 = _mm512_add_epi32(_mm512_maskz_unpacklo_epi32(0xffff, s[0], s[1]),
                                      _mm512_maskz_unpackhi_epi32(0xffff, s[0], s[1]));
  __m512i const t1 = _mm512_add_epi32(_mm512_maskz_unpacklo_epi32(0xffff, s[2], s[3]),
                                      _mm512_maskz_unpackhi_epi32(0xffff, s[2], s[3]));
  __m512i const halves =
      _mm512_add_epi32(_mm512_maskz_unpacklo_epi64(0xff, t0, t1), _mm512_maskz_unpackhi_epi64(0xff, t0, t1));
  __m128i const multipliers = _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<__m128i const*>(b + 192)),
                                               _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
  __m512i const scaled = _mm512_mullo_epi32(_mm512_add_epi32(halves, _mm512_load_si512(start)),
                                            _mm512_maskz_cvtepi8_epi32(0xffff, multipliers));
  // even ones in lanes 0 … 3, odd ones in 8 … 11
  __m512i const pieces = _mm512_add_epi32(scaled, _mm512_maskz_shuffle_i32x4(0xffff, scaled, scaled, 0xb1));
  __m512i const in_order = _mm512_maskz_permutexvar_epi32(
      0xffff, _mm512_setr_epi32(0, 8, 1, 9, 2, 10, 3, 11, 0, 0, 0, 0, 0, 0, 0, 0), pieces);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums), _mm512_maskz_extracti64x4_epi64(0xff, in_order, 0));
}
/// The only column with sixteen rows of q6_K from `row` on, a row after the other as memory has them; then the sums are
/// turned, a quarter of what the codes are. `acc` is [16].
PLEAT_TARGET_AVX512VNNI inline void column_rows_of_q6_k(block_product const& p, byte_t const* row, float* acc) {
  __m512i const turn = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  index_t const blocks = p.k / q6_k_format::block;
  q6_k_run run;
  __m512 sum = _mm512_setzero_ps();
  for (index_t first = 0; first < blocks; first += q6_k_run::blocks) {
    index_t const some = blocks - first < q6_k_run::blocks ? blocks - first : q6_k_run::blocks;
    for (index_t i = 0; i < some; ++i)
      _mm512_store_si512(run.start[i],
                         _mm512_maskz_permutexvar_epi32(0xffff, turn, _mm512_loadu_si512(p.start + 16 * (first + i))));
    for (index_t r = 0; r < 16; ++r) {
      byte_t const* b = row + r * p.row_bytes + first * q6_k_format::bytes;
      for (index_t i = 0; i < some; ++i, b += q6_k_format::bytes) {
        multiply_block(q6_k_format{}, b, p.x + 256 * (first + i), run.start[i], run.sums[r] + 8 * i);
        __builtin_memcpy(&run.scale[i][r], b + 208, 2);
      }
    }
    for (index_t i = 0; i < some; ++i) {
      sixteen_rows const rows{reinterpret_cast<byte_t const*>(run.sums), static_cast<index_t>(sizeof run.sums[0])};
      four_columns const turned[2] = {columns_of_16(rows, static_cast<int>(32 * i)),
                                      columns_of_16(rows, static_cast<int>(32 * i + 16))};
      __m512 const scale =
          _mm512_maskz_cvtph_ps(0xffff, _mm256_load_si256(reinterpret_cast<__m256i const*>(run.scale[i])));
#pragma GCC unroll 8
      for (int q = 0; q < 8; ++q)
        sum = _mm512_fmadd_ps(_mm512_mul_ps(scale, _mm512_set1_ps(p.x_scale[8 * (first + i) + q])),
                              floats_of(turned[q / 4].at[q % 4]), sum);
    }
  }
  _mm512_storeu_ps(acc, sum);
}

/// The only column with sixteen rows from `row` on; `acc` is [16].
template <class F>
PLEAT_TARGET_AVX512VNNI inline void column_rows(block_product const& p, byte_t const* row, float* acc) {
  if constexpr (std::is_same_v<F, q6_k_format>) return column_rows_of_q6_k(p, row, acc);
  constexpr index_t pieces = F::block / 32, ahead = F::bytes < 1024 ? 1024 / F::bytes : 1;  // blocks
  index_t const blocks = p.k / F::block;
  into_column<F> to{p, _mm512_setzero_ps(), 0, _mm512_setzero_si512(), _mm512_setzero_si512()};
  index_t b = 0;
  // the next rows come next
  auto const after = [&](index_t later) {
    return later < blocks ? later * F::bytes : 16 * p.row_bytes + (later - blocks) * F::bytes;
  };
  if constexpr (std::is_same_v<F, q8_0_format>)
    for (; b + 4 <= blocks; b += 4, to.nth += 4) {
      for (int line = 0; line < 3; ++line) fetch_rows<16>({row, p.row_bytes}, after(b + ahead) + 64 * line);
      multiply_four_blocks(p, {row + b * F::bytes, p.row_bytes}, to.nth, to.sum);
    }
  for (; b < blocks; ++b, to.nth += pieces) {
    fetch_block<F>({row + after(b + ahead), p.row_bytes}, b);
    unpack_block(F{}, {row + b * F::bytes, p.row_bytes}, to);
  }
  _mm512_storeu_ps(acc, to.sum);
}

}  // namespace pleat::codec::detail

#undef PLEAT_PANEL_INLINE
#endif
