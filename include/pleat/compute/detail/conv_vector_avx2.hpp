// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Vectors of AVX2 for the kernels of convolution and pooling.
#pragma once

#if defined(__x86_64__)

#include <immintrin.h>

#include <algorithm>
#include <cstdint>

#include <pleat/compute/detail/conv_unroll.hpp>
#include <pleat/base/isa.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::compute::detail::conv_avx2 {

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
    auto const a = static_cast<int>(std::clamp<index_t>(from, 0, width)),
               b = static_cast<int>(std::clamp<index_t>(to, 0, width));
    __m256i const lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_andnot_si256(_mm256_cmpgt_epi32(_mm256_set1_epi32(a), lane),
                               _mm256_cmpgt_epi32(_mm256_set1_epi32(b), lane));
  }
  PLEAT_CONV_INLINE mask either(mask a, mask b) { return _mm256_or_si256(a, b); }
  PLEAT_CONV_INLINE vec load_if(mask m, float const* p) { return _mm256_maskload_ps(p, m); }
  PLEAT_CONV_INLINE void store_if(mask m, float* p, vec v) { _mm256_maskstore_ps(p, m, v); }
  PLEAT_CONV_INLINE vec load_or(mask m, float const* p, vec other) {
    return _mm256_blendv_ps(other, _mm256_maskload_ps(p, m), _mm256_castsi256_ps(m));
  }
  /// p[l] = base + l * step + at[l], as integers.
  PLEAT_CONV_INLINE void store_places(mask m, std::int32_t* p, vec at, std::int32_t base, std::int32_t step) {
    __m256i const lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    __m256i const first = _mm256_add_epi32(_mm256_set1_epi32(base), _mm256_mullo_epi32(lane, _mm256_set1_epi32(step)));
    _mm256_maskstore_epi32(p, m, _mm256_add_epi32(first, _mm256_cvtps_epi32(at)));
  }
  /// Where value is above best, or is the first NaN, it and its place replace best and its place.
  PLEAT_CONV_INLINE void keep_larger(vec& best, vec& at, vec value, vec where) {
    vec const take = _mm256_and_ps(_mm256_cmp_ps(value, best, _CMP_NLE_UQ), _mm256_cmp_ps(best, best, _CMP_ORD_Q));
    best = _mm256_blendv_ps(best, value, take);
    at = _mm256_blendv_ps(at, where, take);
  }
  PLEAT_CONV_INLINE vec broadcast(float const* p) { return _mm256_broadcast_ss(p); }
  PLEAT_CONV_INLINE vec fma(vec a, vec b, vec c) { return _mm256_fmadd_ps(a, b, c); }
  PLEAT_CONV_INLINE vec add(vec a, vec b) { return _mm256_add_ps(a, b); }
  PLEAT_CONV_INLINE mask is_minus_zero(vec v) {
    return _mm256_cmpeq_epi32(_mm256_castps_si256(v), _mm256_set1_epi32(INT32_MIN));
  }
  PLEAT_CONV_INLINE bool any(mask m) { return _mm256_movemask_epi8(m) != 0; }
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
  PLEAT_CONV_INLINE vec load_or(mask m, double const* p, vec other) {
    return _mm256_blendv_pd(other, _mm256_maskload_pd(p, m), _mm256_castsi256_pd(m));
  }
  PLEAT_CONV_INLINE void store_places(mask m, std::int32_t* p, vec at, std::int32_t base, std::int32_t step) {
    __m128i const lane = _mm_setr_epi32(0, 1, 2, 3);
    __m128i const first = _mm_add_epi32(_mm_set1_epi32(base), _mm_mullo_epi32(lane, _mm_set1_epi32(step)));
    __m128i const narrow =
        _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(m, _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6)));
    _mm_maskstore_epi32(p, narrow, _mm_add_epi32(first, _mm256_cvtpd_epi32(at)));
  }
  PLEAT_CONV_INLINE void keep_larger(vec& best, vec& at, vec value, vec where) {
    vec const take = _mm256_and_pd(_mm256_cmp_pd(value, best, _CMP_NLE_UQ), _mm256_cmp_pd(best, best, _CMP_ORD_Q));
    best = _mm256_blendv_pd(best, value, take);
    at = _mm256_blendv_pd(at, where, take);
  }
  PLEAT_CONV_INLINE vec broadcast(double const* p) { return _mm256_broadcast_sd(p); }
  PLEAT_CONV_INLINE vec fma(vec a, vec b, vec c) { return _mm256_fmadd_pd(a, b, c); }
  PLEAT_CONV_INLINE vec add(vec a, vec b) { return _mm256_add_pd(a, b); }
  PLEAT_CONV_INLINE mask is_minus_zero(vec v) {
    return _mm256_cmpeq_epi64(_mm256_castpd_si256(v), _mm256_set1_epi64x(INT64_MIN));
  }
  PLEAT_CONV_INLINE bool any(mask m) { return _mm256_movemask_epi8(m) != 0; }
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

#undef PLEAT_CONV_INLINE

}  // namespace pleat::compute::detail::conv_avx2

#endif
