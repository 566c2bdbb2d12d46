// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The tile kernels with AVX-512: 8 × 3 vectors of 16 floats or 8 doubles; 24 of the 32 registers accumulate.
/// Full masks where an unmasked intrinsic would do: g++ 12 warns of an uninitialized value inside the unmasked ones;
/// the code is the same.
#pragma once

#if defined(__x86_64__)

#include <pleat/compute/detail/gemm_tile_avx2.hpp>

namespace pleat::compute::detail::avx512 {

#define PLEAT_TILE_TARGET PLEAT_TARGET_AVX512
#define PLEAT_TILE_INLINE static inline __attribute__((always_inline)) PLEAT_TARGET_AVX512

struct floats {
  using value = float;
  using vec = __m512;
  using mask = __mmask16;
  static constexpr int width = 16, depth = 8;
  static constexpr bool masked_b = true;
  PLEAT_TILE_INLINE vec zero() { return _mm512_setzero_ps(); }
  PLEAT_TILE_INLINE vec load(float const* p) { return _mm512_loadu_ps(p); }
  PLEAT_TILE_INLINE vec load(float const* p, mask m) { return _mm512_maskz_loadu_ps(m, p); }
  PLEAT_TILE_INLINE void store(float* p, vec v) { _mm512_storeu_ps(p, v); }
  PLEAT_TILE_INLINE void store(float* p, vec v, mask m) { _mm512_mask_storeu_ps(p, m, v); }
  PLEAT_TILE_INLINE vec broadcast(float const* p) { return _mm512_set1_ps(*p); }
  PLEAT_TILE_INLINE vec fma(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); }
  PLEAT_TILE_INLINE vec add(vec a, vec b) { return _mm512_add_ps(a, b); }
  PLEAT_TILE_INLINE vec relu(vec v) { return _mm512_maskz_max_ps(0xffff, _mm512_setzero_ps(), v); }
  PLEAT_TILE_INLINE vec where_positive(vec m, vec v) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(m, _mm512_setzero_ps(), _CMP_GT_OQ), v);
  }
  /// v[i] = column k + i of the 'width' rows, for i < left ≤ depth.
  PLEAT_TILE_INLINE void turn(float const* const* row, index_t k, index_t left, vec (&v)[8]) {
    // Rows i and i + 4 side by side, then transposes within 128 bits, then whole 128-bit pieces to their places.
    __mmask8 const m = left >= 8 ? static_cast<__mmask8>(0xff) : static_cast<__mmask8>((1U << left) - 1U);
    vec pair[8], quad[8];
    PLEAT_UNROLL for (int i = 0; i < 8; ++i) {
      int const low = i < 4 ? i : i + 4;
      __m512 const a = _mm512_maskz_loadu_ps(m, row[low] + k);  // g++ 12 takes a widening cast through memory
      __m256 const b = _mm256_maskz_loadu_ps(m, row[low + 4] + k);
      v[i] = _mm512_maskz_insertf32x8(0xffff, a, b, 1);
    }
    PLEAT_UNROLL for (int i = 0; i < 8; i += 2) {
      pair[i] = _mm512_maskz_unpacklo_ps(0xffff, v[i], v[i + 1]);
      pair[i + 1] = _mm512_maskz_unpackhi_ps(0xffff, v[i], v[i + 1]);
    }
    PLEAT_UNROLL for (int i = 0; i < 8; i += 4) PLEAT_UNROLL for (int h = 0; h < 2; ++h) {
      __m512d const a = _mm512_castps_pd(pair[i + h]), b = _mm512_castps_pd(pair[i + 2 + h]);
      quad[i + 2 * h] = _mm512_castpd_ps(_mm512_maskz_unpacklo_pd(0xff, a, b));
      quad[i + 2 * h + 1] = _mm512_castpd_ps(_mm512_maskz_unpackhi_pd(0xff, a, b));
    }
    PLEAT_UNROLL for (int i = 0; i < 4; ++i) {
      v[i] = _mm512_maskz_shuffle_f32x4(0xffff, quad[i], quad[i + 4], 0x88);
      v[i + 4] = _mm512_maskz_shuffle_f32x4(0xffff, quad[i], quad[i + 4], 0xdd);
    }
  }
  /// The first n elements.
  PLEAT_TILE_INLINE mask first(index_t n) { return static_cast<__mmask16>((1U << n) - 1U); }
};

struct doubles {
  using value = double;
  using vec = __m512d;
  using mask = __mmask8;
  static constexpr int width = 8, depth = 4;
  static constexpr bool masked_b = true;
  PLEAT_TILE_INLINE vec zero() { return _mm512_setzero_pd(); }
  PLEAT_TILE_INLINE vec load(double const* p) { return _mm512_loadu_pd(p); }
  PLEAT_TILE_INLINE vec load(double const* p, mask m) { return _mm512_maskz_loadu_pd(m, p); }
  PLEAT_TILE_INLINE void store(double* p, vec v) { _mm512_storeu_pd(p, v); }
  PLEAT_TILE_INLINE void store(double* p, vec v, mask m) { _mm512_mask_storeu_pd(p, m, v); }
  PLEAT_TILE_INLINE vec broadcast(double const* p) { return _mm512_set1_pd(*p); }
  PLEAT_TILE_INLINE vec fma(vec a, vec b, vec c) { return _mm512_fmadd_pd(a, b, c); }
  PLEAT_TILE_INLINE vec add(vec a, vec b) { return _mm512_add_pd(a, b); }
  PLEAT_TILE_INLINE vec relu(vec v) { return _mm512_maskz_max_pd(0xff, _mm512_setzero_pd(), v); }
  PLEAT_TILE_INLINE vec where_positive(vec m, vec v) {
    return _mm512_maskz_mov_pd(_mm512_cmp_pd_mask(m, _mm512_setzero_pd(), _CMP_GT_OQ), v);
  }
  /// v[i] = column k + i of the 'width' rows, for i < left ≤ depth.
  PLEAT_TILE_INLINE void turn(double const* const* row, index_t k, index_t left, vec (&v)[4]) {
    __mmask8 const m = left >= 4 ? static_cast<__mmask8>(0x0f) : static_cast<__mmask8>((1U << left) - 1U);
    vec pair[4];
    PLEAT_UNROLL for (int i = 0; i < 4; ++i) {  // rows i and i + 2 side by side
      int const low = i < 2 ? i : i + 2;
      __m512d const a = _mm512_maskz_loadu_pd(m, row[low] + k);
      __m256d const b = _mm256_maskz_loadu_pd(m, row[low + 2] + k);
      v[i] = _mm512_maskz_insertf64x4(0xff, a, b, 1);
    }
    PLEAT_UNROLL for (int i = 0; i < 4; i += 2) {
      pair[i] = _mm512_maskz_unpacklo_pd(0xff, v[i], v[i + 1]);
      pair[i + 1] = _mm512_maskz_unpackhi_pd(0xff, v[i], v[i + 1]);
    }
    PLEAT_UNROLL for (int i = 0; i < 2; ++i) {
      v[i] = _mm512_maskz_shuffle_f64x2(0xff, pair[i], pair[i + 2], 0x88);
      v[i + 2] = _mm512_maskz_shuffle_f64x2(0xff, pair[i], pair[i + 2], 0xdd);
    }
  }
  /// The first n elements.
  PLEAT_TILE_INLINE mask first(index_t n) { return static_cast<__mmask8>((1U << n) - 1U); }
};

/// Half a vector: where 512 bits pass through units of 256, twice as many of these are computed in a cycle; elsewhere
/// as many.
struct short_floats : avx2::floats {
  using mask = __mmask8;
  static constexpr bool masked_b = true;
  using avx2::floats::load, avx2::floats::store;
  PLEAT_TILE_INLINE vec load(float const* p, mask m) { return _mm256_maskz_loadu_ps(m, p); }
  PLEAT_TILE_INLINE void store(float* p, vec v, mask m) { _mm256_mask_storeu_ps(p, m, v); }
  PLEAT_TILE_INLINE mask first(index_t n) { return static_cast<__mmask8>((1U << n) - 1U); }
};

struct short_doubles : avx2::doubles {
  using mask = __mmask8;
  static constexpr bool masked_b = true;
  using avx2::doubles::load, avx2::doubles::store;
  PLEAT_TILE_INLINE vec load(double const* p, mask m) { return _mm256_maskz_loadu_pd(m, p); }
  PLEAT_TILE_INLINE void store(double* p, vec v, mask m) { _mm256_mask_storeu_pd(p, m, v); }
  PLEAT_TILE_INLINE mask first(index_t n) { return static_cast<__mmask8>((1U << n) - 1U); }
};

#include <pleat/compute/detail/gemm_tile_body.hpp>

#undef PLEAT_TILE_INLINE
#undef PLEAT_TILE_TARGET

template <class V, int... R>
constexpr void fill_tiles(tile_kernels<typename V::value>& k, std::integer_sequence<int, R...>) {
  ((k.tile[1][R] = &tile<V, R + 1, 1>, k.tile[2][R] = &tile<V, R + 1, 2>, k.tile[3][R] = &tile<V, R + 1, 3>), ...);
}

template <class V, int... R>
constexpr void fill_short(tile_kernels<typename V::value>& k, std::integer_sequence<int, R...>) {
  ((k.tile[0][R] = &tile<V, R + 1, 1>), ...);
}

/// V: vectors of the tile; S: half as long; A: vectors of 8 elements, for packing 8 rows of A.
template <class V, class S, class A> constexpr tile_kernels<typename V::value> make_kernels() {
  tile_kernels<typename V::value> k;
  k.width = V::width;
  k.rows = 8;
  k.vectors = 3;
  k.short_width = S::width;
  k.short_rows = 12;
  k.brief_k = 72;
  k.masked_b = V::masked_b;
  k.block_k = 512, k.block_m = 768 / static_cast<index_t>(sizeof(typename V::value)), k.block_n = 2048;
  fill_tiles<V>(k, std::make_integer_sequence<int, 8>{});
  fill_short<S>(k, std::make_integer_sequence<int, 12>{});
  k.copy_b = &pack_copy<V>;
  k.turn_b = &pack_turn<V>;
  k.copy_a = &pack_copy<A>;
  k.turn_a = &pack_turn<A>;
  k.narrow = &narrow<V>;
  return k;
}

/// A template, so that a translation unit pays only for the types that it multiplies.
template <class T>
inline constexpr tile_kernels<T> kernels =
    make_kernels<std::conditional_t<std::is_same_v<T, float>, floats, doubles>,
                 std::conditional_t<std::is_same_v<T, float>, short_floats, short_doubles>,
                 std::conditional_t<std::is_same_v<T, float>, avx2::floats, doubles>>();

}  // namespace pleat::compute::detail::avx512

#endif
