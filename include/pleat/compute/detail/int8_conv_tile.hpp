// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Register tiles of the int8 convolution that scale and store what they summed: R output channels × up to 64 pixels.
/// Needs no Kokkos.
///
/// The pixels lie in vectors of 16 × 4 bytes, G numbers a pixel; the g-th group of G products has four vectors, at
/// offset[g], one vector on, `apart` bytes on, and one vector after that. The weights lie as [channels][groups][G]; G is
/// 4 with AVX512-VNNI (pixels are bytes + 128, see int8_tile.hpp) and 2 with AVX2 (pixels and weights are widened to 16
/// bits). The sums are exact, so their order is nobody's concern, and the last steps are those of int8_finish: the same
/// bits as any other path.
#pragma once

#include <cstdint>
#include <cstring>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <pleat/base/config.hpp>
#include <pleat/compute/activation.hpp>
#include <pleat/base/isa.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::compute::detail {

inline constexpr index_t int8_conv_pixels = 64;

/// R channels of an image's outputs.
struct int8_conv_tile {
  void const* weights;  ///< VNNI: int8, AVX2: int16; R rows
  index_t row_bytes, groups;
  unsigned char const* pixels;
  std::int32_t const* offset;  ///< [groups], bytes
  index_t apart;
  index_t columns;                  ///< of the 64 pixels, those that are stored
  std::int32_t const* weight_sums;  ///< [R], VNNI only
  float x_scale;
  float const *w_scale, *bias;  ///< [R]; bias or null
  float* y;
  index_t ldy;
  bool relu;
  bool pooled;  ///< columns are windows: the largest of the four vectors is stored
};
using int8_conv_tile_function = void (*)(int8_conv_tile const&);

#if defined(__x86_64__)

/// What an output's sum becomes; of a window the largest sum becomes the largest output, as scales are not negative and
/// roundings ascend.
struct int8_conv_scales_avx512 {
  __m512 x, w, bias;
  bool relu;
  [[nodiscard]] __attribute__((always_inline)) PLEAT_TARGET_AVX512 __m512 finish(__m512i sum) const {
    __m512 const y = _mm512_fmadd_ps(_mm512_mul_ps(_mm512_maskz_cvtepi32_ps(0xffff, sum), x), w, bias),
                 zero = _mm512_setzero_ps();
    return relu ? _mm512_mask_mov_ps(y, _mm512_cmp_ps_mask(y, zero, _CMP_LT_OQ), zero) : y;
  }
};
struct int8_conv_scales_avx2 {
  __m256 x, w, bias;
  bool relu;
  [[nodiscard]] __attribute__((always_inline)) PLEAT_TARGET_AVX2 __m256 finish(__m256i sum) const {
    __m256 const y = _mm256_fmadd_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(sum), x), w, bias), zero = _mm256_setzero_ps();
    return relu ? _mm256_blendv_ps(y, zero, _mm256_cmp_ps(y, zero, _CMP_LT_OQ)) : y;
  }
};

/// Sums [rows][stride] of the first pixels to floats.
PLEAT_TARGET_AVX512 inline void int8_conv_store_vnni(int8_conv_tile const& t, int rows, int stride,
                                                     std::int32_t const* sums) {
  for (int r = 0; r < rows; ++r, sums += stride) {
    int8_conv_scales_avx512 const scales{_mm512_set1_ps(t.x_scale), _mm512_set1_ps(t.w_scale[r]),
                                         _mm512_set1_ps(t.bias ? t.bias[r] : 0.0f), t.relu};
    float* to = t.y + r * t.ldy;
    index_t left = t.columns;
    for (int v = 0; v < stride && left > 0; v += 16, left -= 16, to += 16) {
      __m512 const y = scales.finish(_mm512_load_si512(sums + v));
      if (left >= 16) _mm512_storeu_ps(to, y);
      else _mm512_mask_storeu_ps(to, static_cast<__mmask16>((1u << left) - 1), y);
    }
  }
}
/// Sums [rows][64] to floats.
PLEAT_TARGET_AVX2 inline void int8_conv_store_avx2(int8_conv_tile const& t, int rows, std::int32_t const* sums) {
  for (int r = 0; r < rows; ++r, sums += int8_conv_pixels) {
    int8_conv_scales_avx2 const scales{_mm256_set1_ps(t.x_scale), _mm256_set1_ps(t.w_scale[r]),
                                       _mm256_set1_ps(t.bias ? t.bias[r] : 0.0f), t.relu};
    float* to = t.y + r * t.ldy;
    index_t left = t.columns;
    for (int v = 0; left > 0; v += 8, left -= 8, to += 8) {
      auto const load = reinterpret_cast<__m256i const*>(sums + v);
      __m256i sum = _mm256_load_si256(load);
      if (t.pooled)
        for (int q = 2; q < 8; q += 2) sum = _mm256_max_epi32(sum, _mm256_load_si256(load + q));
      __m256 const y = scales.finish(sum);
      if (left >= 8) {
        _mm256_storeu_ps(to, y);
      } else {  // masked stores of AVX2 are slow
        float some[8];
        _mm256_storeu_ps(some, y);
        for (index_t l = 0; l < left; ++l) to[l] = some[l];
      }
    }
  }
}

/// V vectors of 16 pixels; pooled, of the four of a window the largest.
template <int R, int V, bool Pooled, class Lazy = void>
PLEAT_TARGET_AVX512VNNI inline void int8_conv_tile_vnni(int8_conv_tile const& t) {
  __m512i acc[R][V];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) acc[r][v] = _mm512_set1_epi32(static_cast<int>(std::int64_t{-128} * t.weight_sums[r]));
  auto const* const w = static_cast<char const*>(t.weights);
  for (index_t g = 0; g < t.groups; ++g) {
    unsigned char const* const b = t.pixels + t.offset[g];
    __m512i pixel[V];
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) pixel[v] = _mm512_load_si512(b + v / 2 * t.apart + v % 2 * 64);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      std::int32_t four;
      std::memcpy(&four, w + r * t.row_bytes + 4 * g, 4);
      __m512i const quad = _mm512_set1_epi32(four);
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) acc[r][v] = _mm512_dpbusd_epi32(acc[r][v], pixel[v], quad);
    }
  }
  if constexpr (Pooled) {
    alignas(64) std::int32_t largest[R][16];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) __asm__("" : "+v"(acc[r][v]));  // else g++ spills within the loop
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
      _mm512_store_si512(largest[r],
                         _mm512_maskz_max_epi32(0xffff, _mm512_maskz_max_epi32(0xffff, acc[r][0], acc[r][1]),
                                                _mm512_maskz_max_epi32(0xffff, acc[r][2], acc[r][3])));
    int8_conv_store_vnni(t, R, 16, largest[0]);
    return;
  }
  // Through memory: an index that is not constant would keep the sums there all the time.
  alignas(64) std::int32_t sums[R][16 * V];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) _mm512_store_si512(sums[r] + 16 * v, acc[r][v]);
  int8_conv_store_vnni(t, R, 16 * V, sums[0]);
}

/// 16 pixels at a time.
template <int R, class Lazy = void> PLEAT_TARGET_AVX2 inline void int8_conv_tile_avx2(int8_conv_tile const& t) {
  auto const* const w = static_cast<char const*>(t.weights);
  alignas(32) std::int32_t sums[R][int8_conv_pixels];
  for (index_t first = 0; first < (t.pooled ? int8_conv_pixels : t.columns); first += 16) {
    __m256i acc[R][2];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) acc[r][0] = acc[r][1] = _mm256_setzero_si256();
    unsigned char const* const corner = t.pixels + first / 32 * t.apart + first % 32 * 4;
    for (index_t g = 0; g < t.groups; ++g) {
      auto const* const b = reinterpret_cast<__m256i const*>(corner + t.offset[g]);
      __m256i const b0 = _mm256_load_si256(b), b1 = _mm256_load_si256(b + 1);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        std::int32_t two;
        std::memcpy(&two, w + r * t.row_bytes + 4 * g, 4);
        __m256i const pair = _mm256_set1_epi32(two);
        acc[r][0] = _mm256_add_epi32(acc[r][0], _mm256_madd_epi16(pair, b0));
        acc[r][1] = _mm256_add_epi32(acc[r][1], _mm256_madd_epi16(pair, b1));
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      _mm256_store_si256(reinterpret_cast<__m256i*>(sums[r] + first), acc[r][0]);
      _mm256_store_si256(reinterpret_cast<__m256i*>(sums[r] + first + 8), acc[r][1]);
    }
  }
  int8_conv_store_avx2(t, R, sums[0]);
}

/// Heights 6, 4, 2, 1; all 64 pixels, the first 32, or 16 windows.
template <int R, class Lazy = void>
inline constexpr int8_conv_tile_function int8_conv_widths_vnni[3] = {&int8_conv_tile_vnni<R, 4, false, Lazy>,
                                                                     &int8_conv_tile_vnni<R, 2, false, Lazy>,
                                                                     &int8_conv_tile_vnni<R, 4, true, Lazy>};
template <class Lazy = void>
inline constexpr int8_conv_tile_function const* int8_conv_tiles_vnni[4] = {
    int8_conv_widths_vnni<6, Lazy>, int8_conv_widths_vnni<4, Lazy>, int8_conv_widths_vnni<2, Lazy>,
    int8_conv_widths_vnni<1, Lazy>};
template <class Lazy = void>
inline constexpr int8_conv_tile_function int8_conv_tiles_avx2[4] = {
    &int8_conv_tile_avx2<6, Lazy>, &int8_conv_tile_avx2<4, Lazy>, &int8_conv_tile_avx2<2, Lazy>,
    &int8_conv_tile_avx2<1, Lazy>};

#endif

/// All `rows` channels of a tile's arguments, which stand at the first.
template <class Lazy = void> inline void int8_conv_rows(int8_conv_tile t, index_t rows) {
#if defined(__x86_64__)
  bool const vnni = isa::has_vnni();
  constexpr int heights[4] = {6, 4, 2, 1};
  for (index_t r = 0; r < rows;) {
    int h = 0;
    while (heights[h] > rows - r) ++h;
    if (vnni) int8_conv_tiles_vnni<Lazy>[h][t.pooled ? 2 : t.columns > 32 ? 0 : 1](t);
    else int8_conv_tiles_avx2<Lazy>[h](t);
    index_t const done = heights[h];
    r += done;
    t.weights = static_cast<char const*>(t.weights) + done * t.row_bytes;
    t.weight_sums += done;
    t.w_scale += done;
    if (t.bias) t.bias += done;
    t.y += done * t.ldy;
  }
#else
  static_cast<void>(t), static_cast<void>(rows);
#endif
}

}  // namespace pleat::compute::detail
