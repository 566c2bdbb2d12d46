// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Square roots of an update's blocks; included where they are compiled (PLEAT_HAS_VECTORS).
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <pleat/compute/detail/optimizer_blocks.hpp>

namespace pleat::compute::detail {

#if defined(__x86_64__)
template <class> PLEAT_TARGET_AVX2 void root_block_avx2(float* x) {
  for (int j = 0; j < block_width; j += 8) _mm256_storeu_ps(x + j, _mm256_sqrt_ps(_mm256_loadu_ps(x + j)));
}
template <class> PLEAT_TARGET_AVX2 void root_block_avx2(double* x) {
  for (int j = 0; j < block_width; j += 4) _mm256_storeu_pd(x + j, _mm256_sqrt_pd(_mm256_loadu_pd(x + j)));
}
// the masked forms: the plain ones draw a false warning about an uninitialised register from g++ 12
template <class> PLEAT_TARGET_WIDE void root_block_avx512(float* x) {
  for (int j = 0; j < block_width; j += 16)
    _mm512_storeu_ps(x + j, _mm512_maskz_sqrt_ps(static_cast<__mmask16>(-1), _mm512_loadu_ps(x + j)));
}
template <class> PLEAT_TARGET_WIDE void root_block_avx512(double* x) {
  for (int j = 0; j < block_width; j += 8)
    _mm512_storeu_pd(x + j, _mm512_maskz_sqrt_pd(static_cast<__mmask8>(-1), _mm512_loadu_pd(x + j)));
}
#endif

}  // namespace pleat::compute::detail
