// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The tiles of the int8 product for every instruction set; included where they are compiled (PLEAT_HAS_VECTORS).
#pragma once

#include <cstdint>
#include <cstring>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <pleat/base/isa.hpp>
#include <pleat/compute/detail/int8_tile.hpp>

namespace pleat::compute::detail {

/// The plain loop: one panel.
template <int R, class Lazy = void> inline void int8_tile_scalar(int8_tile const& t) {
  auto const* const a = static_cast<std::int16_t const*>(t.a);
  auto const* const b = reinterpret_cast<std::int8_t const*>(t.b);
  for (index_t g = 0; 2 * g < t.k; ++g)
    for (int r = 0; r < R; ++r) {
      std::int32_t const a0 = a[r * t.lda + 2 * g], a1 = a[r * t.lda + 2 * g + 1];
      for (int c = 0; c < 16; ++c) {
        auto const add = static_cast<std::uint32_t>(a0 * b[g * 32 + 2 * c] + a1 * b[g * 32 + 2 * c + 1]);
        std::int32_t& s = t.sums[r * sums_stride + c];
        s = static_cast<std::int32_t>(static_cast<std::uint32_t>(s) + add);
      }
    }
}

#if defined(__x86_64__)

template <int R, class Lazy = void> PLEAT_TARGET_AVX2 inline void int8_tile_avx2(int8_tile const& t) {
  __m256i acc[R][2];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    acc[r][0] = _mm256_loadu_si256(reinterpret_cast<__m256i const*>(t.sums + r * sums_stride));
    acc[r][1] = _mm256_loadu_si256(reinterpret_cast<__m256i const*>(t.sums + r * sums_stride + 8));
  }
  auto const* const a = static_cast<std::int16_t const*>(t.a);
  unsigned char const* b = t.b;
  for (index_t k = 0; k < t.k; k += 2, b += 32) {
    __m256i const b0 = _mm256_cvtepi8_epi16(_mm_load_si128(reinterpret_cast<__m128i const*>(b)));
    __m256i const b1 = _mm256_cvtepi8_epi16(_mm_load_si128(reinterpret_cast<__m128i const*>(b + 16)));
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      std::int32_t two;
      std::memcpy(&two, a + r * t.lda + k, 4);
      __m256i const pair = _mm256_set1_epi32(two);
      acc[r][0] = _mm256_add_epi32(acc[r][0], _mm256_madd_epi16(pair, b0));
      acc[r][1] = _mm256_add_epi32(acc[r][1], _mm256_madd_epi16(pair, b1));
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(t.sums + r * sums_stride), acc[r][0]);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(t.sums + r * sums_stride + 8), acc[r][1]);
  }
}

template <int R, int V, class Lazy = void> PLEAT_TARGET_AVX512 inline void int8_tile_avx512(int8_tile const& t) {
  __m512i acc[R][V];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) acc[r][v] = _mm512_loadu_si512(t.sums + r * sums_stride + 16 * v);
  auto const* const a = static_cast<std::int16_t const*>(t.a);
  unsigned char const* b = t.b;
  for (index_t k = 0; k < t.k; k += 2, b += 32) {
    __m512i bv[V];
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v)
      bv[v] = _mm512_cvtepi8_epi16(_mm256_load_si256(reinterpret_cast<__m256i const*>(b + v * t.panel_stride)));
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      std::int32_t two;
      std::memcpy(&two, a + r * t.lda + k, 4);
      __m512i const pair = _mm512_set1_epi32(two);
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) acc[r][v] = _mm512_add_epi32(acc[r][v], _mm512_madd_epi16(pair, bv[v]));
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) _mm512_storeu_si512(t.sums + r * sums_stride + 16 * v, acc[r][v]);
}

template <int R, int V, class Lazy = void> PLEAT_TARGET_AVX512VNNI inline void int8_tile_vnni(int8_tile const& t) {
  __m512i acc[R][V];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) acc[r][v] = _mm512_loadu_si512(t.sums + r * sums_stride + 16 * v);
  auto const* const a = static_cast<std::int8_t const*>(t.a);
  unsigned char const* b = t.b;
  index_t const whole = t.k / 4 * 4;
  for (index_t k = 0; k < whole; k += 4, b += 64) {
    __m512i bv[V];
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) bv[v] = _mm512_load_si512(b + v * t.panel_stride);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      std::int32_t four;
      std::memcpy(&four, a + r * t.lda + k, 4);
      __m512i const quad = _mm512_set1_epi32(four);
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) acc[r][v] = _mm512_dpbusd_epi32(acc[r][v], bv[v], quad);
    }
  }
  if (whole < t.k) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      std::int8_t last[4] = {0, 0, 0, 0};
      for (index_t j = 0; whole + j < t.k; ++j) last[j] = a[r * t.lda + whole + j];
      std::int32_t four;
      std::memcpy(&four, last, 4);
      __m512i const quad = _mm512_set1_epi32(four);
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v)
        acc[r][v] = _mm512_dpbusd_epi32(acc[r][v], _mm512_load_si512(b + v * t.panel_stride), quad);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) _mm512_storeu_si512(t.sums + r * sums_stride + 16 * v, acc[r][v]);
}

/// Σ of k int8.
PLEAT_TARGET_AVX512VNNI inline std::int32_t int8_sum_vnni(std::int8_t const* a, index_t k) {
  __m512i acc = _mm512_setzero_si512();
  __m512i const ones = _mm512_set1_epi8(1);
  index_t i = 0;
  for (; i + 64 <= k; i += 64) acc = _mm512_dpbusd_epi32(acc, ones, _mm512_loadu_si512(a + i));
  if (i < k) acc = _mm512_dpbusd_epi32(acc, ones, _mm512_maskz_loadu_epi8((__mmask64{1} << (k - i)) - 1, a + i));
  alignas(64) std::int32_t lane[16];  // not _mm512_reduce_add_epi32: it draws a false warning from g++ 12
  _mm512_store_si512(lane, acc);
  std::int32_t sum = 0;
  for (int j = 0; j < 16; ++j) sum += lane[j];
  return sum;
}

PLEAT_TARGET_AVX2 inline void widen_int8_avx2(std::int8_t const* from, index_t k, std::int16_t* to) {
  index_t i = 0;
  for (; i + 16 <= k; i += 16)
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i),
                        _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<__m128i const*>(from + i))));
  for (; i < k; ++i) to[i] = from[i];
}

#endif  // __x86_64__

template <class> [[nodiscard]] std::int32_t int8_sum(std::int8_t const* a, index_t k) {
#if defined(__x86_64__)
  if (isa::has_vnni()) return int8_sum_vnni(a, k);
#endif
  std::int32_t s = 0;
  for (index_t i = 0; i < k; ++i) s += a[i];
  return s;
}

template <class> void widen_int8(std::int8_t const* from, index_t k, std::int16_t* to) {
#if defined(__x86_64__)
  if (isa::best() >= isa::level::avx2) return widen_int8_avx2(from, k, to);
#endif
  for (index_t i = 0; i < k; ++i) to[i] = from[i];
}

template <class Lazy = void>
inline constexpr int8_kernels int8_scalar_kernels{int8_layout::pairs,
                                                  {{nullptr, nullptr, &int8_tile_scalar<6, Lazy>},
                                                   {nullptr, nullptr, &int8_tile_scalar<4, Lazy>},
                                                   {nullptr, nullptr, &int8_tile_scalar<2, Lazy>},
                                                   {nullptr, nullptr, &int8_tile_scalar<1, Lazy>}}};
#if defined(__x86_64__)
template <class Lazy = void>
inline constexpr int8_kernels int8_avx2_kernels{int8_layout::pairs,
                                                {{nullptr, nullptr, &int8_tile_avx2<6, Lazy>},
                                                 {nullptr, nullptr, &int8_tile_avx2<4, Lazy>},
                                                 {nullptr, nullptr, &int8_tile_avx2<2, Lazy>},
                                                 {nullptr, nullptr, &int8_tile_avx2<1, Lazy>}}};
template <class Lazy = void>
inline constexpr int8_kernels int8_avx512_kernels{
    int8_layout::pairs,
    {{&int8_tile_avx512<6, 4, Lazy>, &int8_tile_avx512<6, 2, Lazy>, &int8_tile_avx512<6, 1, Lazy>},
     {&int8_tile_avx512<4, 4, Lazy>, &int8_tile_avx512<4, 2, Lazy>, &int8_tile_avx512<4, 1, Lazy>},
     {&int8_tile_avx512<2, 4, Lazy>, &int8_tile_avx512<2, 2, Lazy>, &int8_tile_avx512<2, 1, Lazy>},
     {&int8_tile_avx512<1, 4, Lazy>, &int8_tile_avx512<1, 2, Lazy>, &int8_tile_avx512<1, 1, Lazy>}}};
template <class Lazy = void>
inline constexpr int8_kernels int8_vnni_kernels{
    int8_layout::quads,
    {{&int8_tile_vnni<6, 4, Lazy>, &int8_tile_vnni<6, 2, Lazy>, &int8_tile_vnni<6, 1, Lazy>},
     {&int8_tile_vnni<4, 4, Lazy>, &int8_tile_vnni<4, 2, Lazy>, &int8_tile_vnni<4, 1, Lazy>},
     {&int8_tile_vnni<2, 4, Lazy>, &int8_tile_vnni<2, 2, Lazy>, &int8_tile_vnni<2, 1, Lazy>},
     {&int8_tile_vnni<1, 4, Lazy>, &int8_tile_vnni<1, 2, Lazy>, &int8_tile_vnni<1, 1, Lazy>}}};
#endif

template <class Lazy> [[nodiscard]] int8_kernels const& int8_best_kernels() noexcept {
#if defined(__x86_64__)
  if (isa::has_vnni()) return int8_vnni_kernels<Lazy>;
  if (isa::best() == isa::level::avx512) return int8_avx512_kernels<Lazy>;
  if (isa::best() == isa::level::avx2) return int8_avx2_kernels<Lazy>;
#endif
  return int8_scalar_kernels<Lazy>;
}

}  // namespace pleat::compute::detail
