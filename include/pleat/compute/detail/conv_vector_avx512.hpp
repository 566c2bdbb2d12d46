// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Vectors of AVX-512 for the kernels of convolution and pooling.
#pragma once

#if defined(__x86_64__)

#include <immintrin.h>

#include <algorithm>
#include <cstdint>

#include <pleat/compute/detail/conv_unroll.hpp>
#include <pleat/base/isa.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::compute::detail::conv_avx512 {

#define PLEAT_CONV_INLINE static inline __attribute__((always_inline)) PLEAT_TARGET_AVX512

struct floats {
  using value = float;
  using vec = __m512;
  using mask = __mmask16;
  static constexpr int width = 16;
  // zero-masking forms: g++ 12 warns about the unmasked ones' undefined pass-through
  static constexpr mask all = 0xFFFF;
  PLEAT_CONV_INLINE vec zero() { return _mm512_setzero_ps(); }
  PLEAT_CONV_INLINE vec load(float const* p) { return _mm512_loadu_ps(p); }
  PLEAT_CONV_INLINE void store(float* p, vec v) { _mm512_storeu_ps(p, v); }
  /// Lanes i with from <= i < to.
  PLEAT_CONV_INLINE mask range(index_t from, index_t to) {
    auto const a = static_cast<unsigned>(std::clamp<index_t>(from, 0, width));
    auto const b = static_cast<unsigned>(std::clamp<index_t>(to, 0, width));
    return static_cast<mask>(((1U << b) - 1U) & ~((1U << a) - 1U));
  }
  PLEAT_CONV_INLINE mask either(mask a, mask b) { return static_cast<mask>(a | b); }
  PLEAT_CONV_INLINE vec load_if(mask m, float const* p) { return _mm512_maskz_loadu_ps(m, p); }
  PLEAT_CONV_INLINE void store_if(mask m, float* p, vec v) { _mm512_mask_storeu_ps(p, m, v); }
  PLEAT_CONV_INLINE vec load_or(mask m, float const* p, vec other) { return _mm512_mask_loadu_ps(other, m, p); }
  /// p[l] = base + l * step + at[l], as integers.
  PLEAT_CONV_INLINE void store_places(mask m, std::int32_t* p, vec at, std::int32_t base, std::int32_t step) {
    __m512i const lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512i const first = _mm512_add_epi32(_mm512_set1_epi32(base), _mm512_mullo_epi32(lane, _mm512_set1_epi32(step)));
    _mm512_mask_storeu_epi32(p, m, _mm512_add_epi32(first, _mm512_maskz_cvtps_epi32(all, at)));
  }
  /// Where value is above best, or is the first NaN, it and its place replace best and its place.
  PLEAT_CONV_INLINE void keep_larger(vec& best, vec& at, vec value, vec where) {
    mask const take = _mm512_mask_cmp_ps_mask(_mm512_cmp_ps_mask(best, best, _CMP_ORD_Q), value, best, _CMP_NLE_UQ);
    best = _mm512_mask_mov_ps(best, take, value);
    at = _mm512_mask_mov_ps(at, take, where);
  }
  PLEAT_CONV_INLINE vec broadcast(float const* p) { return _mm512_set1_ps(*p); }
  PLEAT_CONV_INLINE vec fma(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); }
  PLEAT_CONV_INLINE vec add(vec a, vec b) { return _mm512_add_ps(a, b); }
  PLEAT_CONV_INLINE mask is_minus_zero(vec v) { return _mm512_fpclass_ps_mask(v, 0x04); }
  PLEAT_CONV_INLINE bool any(mask m) { return m != 0; }
  PLEAT_CONV_INLINE vec relu(vec v) { return _mm512_maskz_max_ps(all, _mm512_setzero_ps(), v); }
  /// Elements 0, 2, 4, … of a and b.
  PLEAT_CONV_INLINE vec even(vec a, vec b) {
    __m512i const at = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    return _mm512_maskz_permutex2var_ps(all, a, at, b);
  }
  /// Transposes 16 × 16.
  PLEAT_CONV_INLINE void turn(vec (&v)[16]) {
    vec q[16];
    PLEAT_CONV_UNROLL for (int i = 0; i < 16; i += 4) {  // 4 × 4 within each 128-bit lane
      vec const a = _mm512_maskz_unpacklo_ps(all, v[i], v[i + 1]), b = _mm512_maskz_unpackhi_ps(all, v[i], v[i + 1]);
      vec const c = _mm512_maskz_unpacklo_ps(all, v[i + 2], v[i + 3]),
                d = _mm512_maskz_unpackhi_ps(all, v[i + 2], v[i + 3]);
      q[i] = _mm512_maskz_shuffle_ps(all, a, c, 0x44);
      q[i + 1] = _mm512_maskz_shuffle_ps(all, a, c, 0xEE);
      q[i + 2] = _mm512_maskz_shuffle_ps(all, b, d, 0x44);
      q[i + 3] = _mm512_maskz_shuffle_ps(all, b, d, 0xEE);
    }
    PLEAT_CONV_UNROLL for (int i = 0; i < 4; ++i) {  // then the lanes
      vec const a = _mm512_maskz_shuffle_f32x4(all, q[i], q[i + 4], 0x88),
                b = _mm512_maskz_shuffle_f32x4(all, q[i], q[i + 4], 0xDD);
      vec const c = _mm512_maskz_shuffle_f32x4(all, q[i + 8], q[i + 12], 0x88),
                d = _mm512_maskz_shuffle_f32x4(all, q[i + 8], q[i + 12], 0xDD);
      v[i] = _mm512_maskz_shuffle_f32x4(all, a, c, 0x88);
      v[i + 4] = _mm512_maskz_shuffle_f32x4(all, b, d, 0x88);
      v[i + 8] = _mm512_maskz_shuffle_f32x4(all, a, c, 0xDD);
      v[i + 12] = _mm512_maskz_shuffle_f32x4(all, b, d, 0xDD);
    }
  }
};

struct doubles {
  using value = double;
  using vec = __m512d;
  using mask = __mmask8;
  static constexpr int width = 8;
  static constexpr mask all = 0xFF;
  PLEAT_CONV_INLINE vec zero() { return _mm512_setzero_pd(); }
  PLEAT_CONV_INLINE vec load(double const* p) { return _mm512_loadu_pd(p); }
  PLEAT_CONV_INLINE void store(double* p, vec v) { _mm512_storeu_pd(p, v); }
  PLEAT_CONV_INLINE mask range(index_t from, index_t to) {
    auto const a = static_cast<unsigned>(std::clamp<index_t>(from, 0, width));
    auto const b = static_cast<unsigned>(std::clamp<index_t>(to, 0, width));
    return static_cast<mask>(((1U << b) - 1U) & ~((1U << a) - 1U));
  }
  PLEAT_CONV_INLINE mask either(mask a, mask b) { return static_cast<mask>(a | b); }
  PLEAT_CONV_INLINE vec load_if(mask m, double const* p) { return _mm512_maskz_loadu_pd(m, p); }
  PLEAT_CONV_INLINE void store_if(mask m, double* p, vec v) { _mm512_mask_storeu_pd(p, m, v); }
  PLEAT_CONV_INLINE vec load_or(mask m, double const* p, vec other) { return _mm512_mask_loadu_pd(other, m, p); }
  PLEAT_CONV_INLINE void store_places(mask m, std::int32_t* p, vec at, std::int32_t base, std::int32_t step) {
    __m256i const lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    __m256i const first = _mm256_add_epi32(_mm256_set1_epi32(base), _mm256_mullo_epi32(lane, _mm256_set1_epi32(step)));
    _mm256_mask_storeu_epi32(p, m, _mm256_add_epi32(first, _mm512_maskz_cvtpd_epi32(all, at)));
  }
  PLEAT_CONV_INLINE void keep_larger(vec& best, vec& at, vec value, vec where) {
    mask const take = _mm512_mask_cmp_pd_mask(_mm512_cmp_pd_mask(best, best, _CMP_ORD_Q), value, best, _CMP_NLE_UQ);
    best = _mm512_mask_mov_pd(best, take, value);
    at = _mm512_mask_mov_pd(at, take, where);
  }
  PLEAT_CONV_INLINE vec broadcast(double const* p) { return _mm512_set1_pd(*p); }
  PLEAT_CONV_INLINE vec fma(vec a, vec b, vec c) { return _mm512_fmadd_pd(a, b, c); }
  PLEAT_CONV_INLINE vec add(vec a, vec b) { return _mm512_add_pd(a, b); }
  PLEAT_CONV_INLINE mask is_minus_zero(vec v) { return _mm512_fpclass_pd_mask(v, 0x04); }
  PLEAT_CONV_INLINE bool any(mask m) { return m != 0; }
  PLEAT_CONV_INLINE vec relu(vec v) { return _mm512_maskz_max_pd(all, _mm512_setzero_pd(), v); }
  PLEAT_CONV_INLINE vec even(vec a, vec b) {
    return _mm512_maskz_permutex2var_pd(all, a, _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14), b);
  }
  /// Transposes 8 × 8.
  PLEAT_CONV_INLINE void turn(vec (&v)[8]) {
    vec q[8];
    PLEAT_CONV_UNROLL for (int i = 0; i < 8; i += 2) {
      q[i] = _mm512_maskz_unpacklo_pd(all, v[i], v[i + 1]);
      q[i + 1] = _mm512_maskz_unpackhi_pd(all, v[i], v[i + 1]);
    }
    PLEAT_CONV_UNROLL for (int i = 0; i < 2; ++i) {
      vec const a = _mm512_maskz_shuffle_f64x2(all, q[i], q[i + 2], 0x88),
                b = _mm512_maskz_shuffle_f64x2(all, q[i], q[i + 2], 0xDD);
      vec const c = _mm512_maskz_shuffle_f64x2(all, q[i + 4], q[i + 6], 0x88),
                d = _mm512_maskz_shuffle_f64x2(all, q[i + 4], q[i + 6], 0xDD);
      v[i] = _mm512_maskz_shuffle_f64x2(all, a, c, 0x88);
      v[i + 2] = _mm512_maskz_shuffle_f64x2(all, b, d, 0x88);
      v[i + 4] = _mm512_maskz_shuffle_f64x2(all, a, c, 0xDD);
      v[i + 6] = _mm512_maskz_shuffle_f64x2(all, b, d, 0xDD);
    }
  }
};

#undef PLEAT_CONV_INLINE

}  // namespace pleat::compute::detail::conv_avx512

#endif
