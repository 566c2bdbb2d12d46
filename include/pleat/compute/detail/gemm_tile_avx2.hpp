// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The tile kernels with AVX2: 6 × 2 vectors of 8 floats or 4 doubles; 12 of the 16 registers accumulate.
#pragma once

#if defined(__x86_64__)

#include <immintrin.h>

#include <pleat/compute/detail/gemm_tile.hpp>
#include <pleat/base/isa.hpp>
#include <type_traits>
#include <utility>

#if defined(__CUDACC__)
#define PLEAT_UNROLL  // nvcc drops the pragma; the host compiler unrolls constant loops by itself at -O3
#elif defined(__clang__)
#define PLEAT_UNROLL _Pragma("unroll")
#else
#define PLEAT_UNROLL _Pragma("GCC unroll 16")
#endif

namespace pleat::compute::detail::avx2 {

#define PLEAT_TILE_TARGET PLEAT_TARGET_AVX2
#define PLEAT_TILE_INLINE static inline __attribute__((always_inline)) PLEAT_TARGET_AVX2

struct floats {
  using value = float;
  using vec = __m256;
  using mask = __m256i;
  static constexpr int width = 8, depth = 4;
  static constexpr bool masked_b = false;
  PLEAT_TILE_INLINE vec zero() { return _mm256_setzero_ps(); }
  PLEAT_TILE_INLINE vec load(float const* p) { return _mm256_loadu_ps(p); }
  PLEAT_TILE_INLINE vec load(float const* p, mask m) { return _mm256_maskload_ps(p, m); }
  PLEAT_TILE_INLINE void store(float* p, vec v) { _mm256_storeu_ps(p, v); }
  PLEAT_TILE_INLINE void store(float* p, vec v, mask m) { _mm256_maskstore_ps(p, m, v); }
  PLEAT_TILE_INLINE vec broadcast(float const* p) { return _mm256_broadcast_ss(p); }
  PLEAT_TILE_INLINE vec fma(vec a, vec b, vec c) { return _mm256_fmadd_ps(a, b, c); }
  PLEAT_TILE_INLINE vec add(vec a, vec b) { return _mm256_add_ps(a, b); }
  PLEAT_TILE_INLINE vec relu(vec v) { return _mm256_max_ps(_mm256_setzero_ps(), v); }
  PLEAT_TILE_INLINE vec where_positive(vec m, vec v) {
    return _mm256_and_ps(_mm256_cmp_ps(m, _mm256_setzero_ps(), _CMP_GT_OQ), v);
  }
  /// v[i] = column k + i of the 'width' rows, for i < left ≤ depth.
  PLEAT_TILE_INLINE void turn(float const* const* row, index_t k, index_t left, vec (&v)[4]) {
    __m128i const m = _mm_cmpgt_epi32(_mm_set1_epi32(static_cast<int>(left)), _mm_setr_epi32(0, 1, 2, 3));
    PLEAT_UNROLL for (int i = 0; i < 4; ++i) {  // rows i and i + 4 side by side; transposes within 128 bits
      float const *const low = row[i] + k, *const high = row[i + 4] + k;
      __m128 const a = left >= 4 ? _mm_loadu_ps(low) : _mm_maskload_ps(low, m);
      __m128 const b = left >= 4 ? _mm_loadu_ps(high) : _mm_maskload_ps(high, m);
      v[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(a), b, 1);
    }
    __m256d const ab = _mm256_castps_pd(_mm256_unpacklo_ps(v[0], v[1])),
                  cd = _mm256_castps_pd(_mm256_unpacklo_ps(v[2], v[3]));
    __m256d const ef = _mm256_castps_pd(_mm256_unpackhi_ps(v[0], v[1])),
                  gh = _mm256_castps_pd(_mm256_unpackhi_ps(v[2], v[3]));
    v[0] = _mm256_castpd_ps(_mm256_unpacklo_pd(ab, cd));
    v[1] = _mm256_castpd_ps(_mm256_unpackhi_pd(ab, cd));
    v[2] = _mm256_castpd_ps(_mm256_unpacklo_pd(ef, gh));
    v[3] = _mm256_castpd_ps(_mm256_unpackhi_pd(ef, gh));
  }
  /// The first n elements.
  PLEAT_TILE_INLINE mask first(index_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
};

struct doubles {
  using value = double;
  using vec = __m256d;
  using mask = __m256i;
  static constexpr int width = 4, depth = 2;
  static constexpr bool masked_b = false;
  PLEAT_TILE_INLINE vec zero() { return _mm256_setzero_pd(); }
  PLEAT_TILE_INLINE vec load(double const* p) { return _mm256_loadu_pd(p); }
  PLEAT_TILE_INLINE vec load(double const* p, mask m) { return _mm256_maskload_pd(p, m); }
  PLEAT_TILE_INLINE void store(double* p, vec v) { _mm256_storeu_pd(p, v); }
  PLEAT_TILE_INLINE void store(double* p, vec v, mask m) { _mm256_maskstore_pd(p, m, v); }
  PLEAT_TILE_INLINE vec broadcast(double const* p) { return _mm256_broadcast_sd(p); }
  PLEAT_TILE_INLINE vec fma(vec a, vec b, vec c) { return _mm256_fmadd_pd(a, b, c); }
  PLEAT_TILE_INLINE vec add(vec a, vec b) { return _mm256_add_pd(a, b); }
  PLEAT_TILE_INLINE vec relu(vec v) { return _mm256_max_pd(_mm256_setzero_pd(), v); }
  PLEAT_TILE_INLINE vec where_positive(vec m, vec v) {
    return _mm256_and_pd(_mm256_cmp_pd(m, _mm256_setzero_pd(), _CMP_GT_OQ), v);
  }
  /// v[i] = column k + i of the 'width' rows, for i < left ≤ depth.
  PLEAT_TILE_INLINE void turn(double const* const* row, index_t k, index_t left, vec (&v)[2]) {
    __m256d w[2];
    PLEAT_UNROLL for (int i = 0; i < 2; ++i) {  // rows i and i + 2 side by side
      double const *const low = row[i] + k, *const high = row[i + 2] + k;
      __m128d const a = left >= 2 ? _mm_loadu_pd(low) : _mm_load_sd(low),
                    b = left >= 2 ? _mm_loadu_pd(high) : _mm_load_sd(high);
      w[i] = _mm256_insertf128_pd(_mm256_castpd128_pd256(a), b, 1);
    }
    v[0] = _mm256_unpacklo_pd(w[0], w[1]);
    v[1] = _mm256_unpackhi_pd(w[0], w[1]);
  }
  /// The first n elements.
  PLEAT_TILE_INLINE mask first(index_t n) {
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
  }
};

#include <pleat/compute/detail/gemm_tile_body.hpp>

#undef PLEAT_TILE_INLINE
#undef PLEAT_TILE_TARGET

template <class V, int... R>
constexpr void fill_tiles(tile_kernels<typename V::value>& k, std::integer_sequence<int, R...>) {
  ((k.tile[1][R] = &tile<V, R + 1, 1>, k.tile[2][R] = &tile<V, R + 1, 2>), ...);
}

template <class V> constexpr tile_kernels<typename V::value> make_kernels() {
  tile_kernels<typename V::value> k;
  k.width = V::width;
  k.rows = 6;
  k.vectors = 2;
  k.masked_b = V::masked_b;
  k.block_k = 320, k.block_m = 1056 / static_cast<index_t>(sizeof(typename V::value)), k.block_n = 4096;
  fill_tiles<V>(k, std::make_integer_sequence<int, 6>{});
  k.copy_b = &pack_copy<V>;
  k.turn_b = &pack_turn<V>;
  k.copy_a = &pack_copy<V>;
  k.turn_a = &pack_turn<V>;
  k.narrow = &narrow<V>;
  return k;
}

/// A template, so that a translation unit pays only for the types that it multiplies.
template <class T>
inline constexpr tile_kernels<T> kernels =
    make_kernels<std::conditional_t<std::is_same_v<T, float>, floats, doubles>>();

}  // namespace pleat::compute::detail::avx2

#endif
