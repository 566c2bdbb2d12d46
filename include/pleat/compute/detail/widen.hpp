// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Rows of 16-bit numbers to rows of floats and back on the host, for every instruction set with the same bits.
/// bfloat16 is shifts, which compilers vectorise; half has instructions of its own (F16C), which they do not find.
#pragma once

#include <type_traits>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <pleat/compute/for_each.hpp>
#include <pleat/tensor/dtype.hpp>

namespace pleat::compute::detail {

#if defined(__x86_64__)

PLEAT_TARGET_AVX2 inline void widen_halves_avx2(index_t n, half const* from, float* to) {
  index_t i = 0;
  for (; i + 8 <= n; i += 8)
    _mm256_storeu_ps(to + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<__m128i const*>(from + i))));
  for (; i < n; ++i) to[i] = static_cast<float>(from[i]);
}
// GCC 12 warns of its own intrinsics without a mask.
PLEAT_TARGET_AVX512 inline void widen_halves_avx512(index_t n, half const* from, float* to) {
  constexpr __mmask16 all = 0xffff;
  index_t i = 0;
  for (; i + 16 <= n; i += 16)
    _mm512_storeu_ps(to + i,
                     _mm512_maskz_cvtph_ps(all, _mm256_loadu_si256(reinterpret_cast<__m256i const*>(from + i))));
  for (; i < n; ++i) to[i] = static_cast<float>(from[i]);
}
/// A NaN becomes the one that half_bits makes.
PLEAT_TARGET_AVX2 inline void narrow_halves_avx2(index_t n, float const* from, half* to) {
  index_t i = 0;
  for (; i + 8 <= n; i += 8) {
    __m256 const x = _mm256_loadu_ps(from + i);
    __m128i h = _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256i const wide = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    __m128i const nan = _mm_packs_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
    __m128i const quiet =
        _mm_or_si128(_mm_and_si128(h, _mm_set1_epi16(static_cast<short>(0x8000))), _mm_set1_epi16(0x7e00));
    h = _mm_blendv_epi8(h, quiet, nan);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i), h);
  }
  for (; i < n; ++i) to[i] = half(from[i]);
}
PLEAT_TARGET_AVX512 inline void narrow_halves_avx512(index_t n, float const* from, half* to) {
  constexpr __mmask16 all = 0xffff;
  index_t i = 0;
  for (; i + 16 <= n; i += 16) {
    __m512 const x = _mm512_loadu_ps(from + i);
    __m256i h = _mm512_maskz_cvtps_ph(all, x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256i const quiet =
        _mm256_or_si256(_mm256_and_si256(h, _mm256_set1_epi16(static_cast<short>(0x8000))), _mm256_set1_epi16(0x7e00));
    h = _mm256_mask_blend_epi16(_mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), h, quiet);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i), h);
  }
  for (; i < n; ++i) to[i] = half(from[i]);
}

#endif

template <class T> struct widen_rows_body {
  index_t columns, from_ld, to_ld;
  T const* from;
  float* to;
  PLEAT_INLINE void operator()(index_t r) const {
    T const* const x = from + r * from_ld;
    float* const y = to + r * to_ld;
    index_t const whole = columns / 32 * 32;
    for (index_t j = 0; j < whole; j += 32)  // a constant count: -O2 vectorises it
      for (index_t i = 0; i < 32; ++i) y[j + i] = static_cast<float>(x[j + i]);
    for (index_t j = whole; j < columns; ++j) y[j] = static_cast<float>(x[j]);
  }
};
/// to[r, j] = from[r, j].
template <class T>
void widen_rows(isa::level level, index_t rows, index_t columns, T const* from, index_t from_ld, float* to,
                index_t to_ld) {
#if defined(__x86_64__)
  if constexpr (std::is_same_v<T, half>) {
    if (level != isa::level::scalar) {
      auto* const row = level == isa::level::avx512 ? &widen_halves_avx512 : &widen_halves_avx2;
      for (index_t r = 0; r < rows; ++r) row(columns, from + r * from_ld, to + r * to_ld);
      return;
    }
  }
#endif
  loop_at<true>(level, 0, rows, widen_rows_body<T>{columns, from_ld, to_ld, from, to});
}
/// The same for neighbours.
template <class T> void widen(isa::level level, index_t n, T const* from, float* to) {
  widen_rows(level, 1, n, from, n, to, n);
}

template <class T> struct narrow_body {
  float const* from;
  T* to;
  PLEAT_INLINE void operator()(index_t i) const { to[i] = T(from[i]); }
};
/// Rounded to the nearest, ties to even.
template <class T> void narrow(isa::level level, index_t n, float const* from, T* to) {
#if defined(__x86_64__)
  if constexpr (std::is_same_v<T, half>) {
    if (level == isa::level::avx512) return narrow_halves_avx512(n, from, to);
    if (level == isa::level::avx2) return narrow_halves_avx2(n, from, to);
  }
#endif
  loop_at<false>(level, 0, n, narrow_body<T>{from, to});
}

/// The conversions of an array, shared among the threads of an instance.
template <class From, class To> struct convert_task {
  index_t n;
  int tasks;
  isa::level level;
  From const* from;
  To* to;
  void operator()(int const task) const {
    index_t const blocks = (n + 63) / 64, begin = blocks * task / tasks * 64,
                  end = blocks * (task + 1) / tasks * 64 < n ? blocks * (task + 1) / tasks * 64 : n;
    if (begin >= end) return;
    if constexpr (is_reduced_v<From>) widen(level, end - begin, from + begin, to + begin);
    else narrow(level, end - begin, from + begin, to + begin);
  }
};

}  // namespace pleat::compute::detail
