// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The convolution kernels with AVX2: 6 × 2 vectors of 8 floats or 4 doubles; 12 of the 16 registers accumulate.
#pragma once

#if defined(__x86_64__)

#include <immintrin.h>

#include <algorithm>
#include <utility>

#include <pleat/compute/detail/conv_tile.hpp>
#include <pleat/compute/detail/isa.hpp>

namespace pleat::compute::detail::conv_avx2 {

#define PLEAT_CONV_TARGET PLEAT_TARGET_AVX2
#define PLEAT_CONV_INLINE static inline __attribute__((always_inline)) PLEAT_TARGET_AVX2

struct floats {
  using value = float;
  using vec = __m256;
  using mask = __m256i;
  static constexpr int width = 8;
  PLEAT_CONV_INLINE vec zero() { return _mm256_setzero_ps(); }
  PLEAT_CONV_INLINE vec load(float const* p) { return _mm256_loadu_ps(p); }
  PLEAT_CONV_INLINE void store(float* p, vec v) { _mm256_storeu_ps(p, v); }
  /// Lanes i with from <= i < to.
  PLEAT_CONV_INLINE mask range(index_t from, index_t to) {
    auto const a = static_cast<int>(std::clamp<index_t>(from, 0, width)), b = static_cast<int>(std::clamp<index_t>(to, 0, width));
    __m256i const lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_andnot_si256(_mm256_cmpgt_epi32(_mm256_set1_epi32(a), lane), _mm256_cmpgt_epi32(_mm256_set1_epi32(b), lane));
  }
  PLEAT_CONV_INLINE mask either(mask a, mask b) { return _mm256_or_si256(a, b); }
  PLEAT_CONV_INLINE vec load_if(mask m, float const* p) { return _mm256_maskload_ps(p, m); }
  PLEAT_CONV_INLINE void store_if(mask m, float* p, vec v) { _mm256_maskstore_ps(p, m, v); }
  PLEAT_CONV_INLINE vec broadcast(float const* p) { return _mm256_broadcast_ss(p); }
  PLEAT_CONV_INLINE vec fma(vec a, vec b, vec c) { return _mm256_fmadd_ps(a, b, c); }
  PLEAT_CONV_INLINE vec add(vec a, vec b) { return _mm256_add_ps(a, b); }
  PLEAT_CONV_INLINE vec relu(vec v) { return _mm256_max_ps(_mm256_setzero_ps(), v); }
  /// Elements 0, 2, 4, … of a and b.
  PLEAT_CONV_INLINE vec even(vec a, vec b) {
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(_mm256_shuffle_ps(a, b, 0x88)), 0xD8));
  }
  /// Transposes 8 × 8.
  PLEAT_CONV_INLINE void turn(vec (&v)[8]) {
    vec q[8];
    PLEAT_CONV_UNROLL for (int i = 0; i < 8; i += 4) {
      vec const a = _mm256_unpacklo_ps(v[i], v[i + 1]), b = _mm256_unpackhi_ps(v[i], v[i + 1]);
      vec const c = _mm256_unpacklo_ps(v[i + 2], v[i + 3]), d = _mm256_unpackhi_ps(v[i + 2], v[i + 3]);
      q[i] = _mm256_shuffle_ps(a, c, 0x44);
      q[i + 1] = _mm256_shuffle_ps(a, c, 0xEE);
      q[i + 2] = _mm256_shuffle_ps(b, d, 0x44);
      q[i + 3] = _mm256_shuffle_ps(b, d, 0xEE);
    }
    PLEAT_CONV_UNROLL for (int i = 0; i < 4; ++i) {
      v[i] = _mm256_permute2f128_ps(q[i], q[i + 4], 0x20);
      v[i + 4] = _mm256_permute2f128_ps(q[i], q[i + 4], 0x31);
    }
  }
};

struct doubles {
  using value = double;
  using vec = __m256d;
  using mask = __m256i;
  static constexpr int width = 4;
  PLEAT_CONV_INLINE vec zero() { return _mm256_setzero_pd(); }
  PLEAT_CONV_INLINE vec load(double const* p) { return _mm256_loadu_pd(p); }
  PLEAT_CONV_INLINE void store(double* p, vec v) { _mm256_storeu_pd(p, v); }
  PLEAT_CONV_INLINE mask range(index_t from, index_t to) {
    __m256i const lane = _mm256_setr_epi64x(0, 1, 2, 3);
    return _mm256_andnot_si256(_mm256_cmpgt_epi64(_mm256_set1_epi64x(from), lane),
                               _mm256_cmpgt_epi64(_mm256_set1_epi64x(to), lane));
  }
  PLEAT_CONV_INLINE mask either(mask a, mask b) { return _mm256_or_si256(a, b); }
  PLEAT_CONV_INLINE vec load_if(mask m, double const* p) { return _mm256_maskload_pd(p, m); }
  PLEAT_CONV_INLINE void store_if(mask m, double* p, vec v) { _mm256_maskstore_pd(p, m, v); }
  PLEAT_CONV_INLINE vec broadcast(double const* p) { return _mm256_broadcast_sd(p); }
  PLEAT_CONV_INLINE vec fma(vec a, vec b, vec c) { return _mm256_fmadd_pd(a, b, c); }
  PLEAT_CONV_INLINE vec add(vec a, vec b) { return _mm256_add_pd(a, b); }
  PLEAT_CONV_INLINE vec relu(vec v) { return _mm256_max_pd(_mm256_setzero_pd(), v); }
  PLEAT_CONV_INLINE vec even(vec a, vec b) { return _mm256_permute4x64_pd(_mm256_unpacklo_pd(a, b), 0xD8); }
  PLEAT_CONV_INLINE void turn(vec (&v)[4]) {
    vec const a = _mm256_unpacklo_pd(v[0], v[1]), b = _mm256_unpackhi_pd(v[0], v[1]);
    vec const c = _mm256_unpacklo_pd(v[2], v[3]), d = _mm256_unpackhi_pd(v[2], v[3]);
    v[0] = _mm256_permute2f128_pd(a, c, 0x20);
    v[1] = _mm256_permute2f128_pd(b, d, 0x20);
    v[2] = _mm256_permute2f128_pd(a, c, 0x31);
    v[3] = _mm256_permute2f128_pd(b, d, 0x31);
  }
};

#include <pleat/compute/detail/conv_tile_body.hpp>

#undef PLEAT_CONV_INLINE
#undef PLEAT_CONV_TARGET

template <class T> inline constexpr conv_kernels<T> kernels = {};
template <> inline constexpr conv_kernels<float> kernels<float> = make_kernels<floats, 2, 6>();
template <> inline constexpr conv_kernels<double> kernels<double> = make_kernels<doubles, 2, 6>();

}  // namespace pleat::compute::detail::conv_avx2

#endif
