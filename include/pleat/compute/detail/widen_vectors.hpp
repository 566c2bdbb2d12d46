// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The instructions for half; included where they are compiled (PLEAT_HAS_VECTORS).
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <pleat/compute/detail/widen.hpp>

namespace pleat::compute::detail {

#if defined(__x86_64__)

template <class> PLEAT_TARGET_AVX2 void widen_halves_avx2(index_t n, half const* from, float* to) {
  index_t i = 0;
  for (; i + 8 <= n; i += 8)
    _mm256_storeu_ps(to + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<__m128i const*>(from + i))));
  for (; i < n; ++i) to[i] = static_cast<float>(from[i]);
}
// GCC 12 warns of its own intrinsics without a mask.
template <class> PLEAT_TARGET_AVX512 void widen_halves_avx512(index_t n, half const* from, float* to) {
  constexpr __mmask16 all = 0xffff;
  index_t i = 0;
  for (; i + 16 <= n; i += 16)
    _mm512_storeu_ps(to + i,
                     _mm512_maskz_cvtph_ps(all, _mm256_loadu_si256(reinterpret_cast<__m256i const*>(from + i))));
  for (; i < n; ++i) to[i] = static_cast<float>(from[i]);
}
template <class> PLEAT_TARGET_AVX2 void narrow_halves_avx2(index_t n, float const* from, half* to) {
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
template <class> PLEAT_TARGET_AVX512 void narrow_halves_avx512(index_t n, float const* from, half* to) {
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

}  // namespace pleat::compute::detail
