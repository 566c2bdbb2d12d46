// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A loop whose body is compiled for every instruction set and chosen at run time; as compute/for_each.hpp, for host
/// bit logic. Needs no Kokkos.
#pragma once

#include <pleat/base/config.hpp>
#include <pleat/base/isa.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::codec::detail {

template <class Body> void run_scalar(index_t first, index_t last, Body const& shared) {
  Body const body = shared;
  for (index_t i = first; i < last; ++i) body(i);
}
#if defined(__x86_64__)
template <class Body> PLEAT_TARGET_AVX2 void run_avx2(index_t first, index_t last, Body const& shared) {
  Body const body = shared;
  for (index_t i = first; i < last; ++i) body(i);
}
template <class Body> PLEAT_TARGET_AVX512 void run_avx512(index_t first, index_t last, Body const& shared) {
  Body const body = shared;
  for (index_t i = first; i < last; ++i) body(i);
}
#endif

/// body(first) … body(last − 1); the body's call operator is PLEAT_INLINE.
template <class Body> void run_at(isa::level level, index_t first, index_t last, Body const& body) {
#if defined(__x86_64__)
  if (level == isa::level::avx512) return run_avx512(first, last, body);
  if (level == isa::level::avx2) return run_avx2(first, last, body);
#endif
  static_cast<void>(level);
  run_scalar(first, last, body);
}

/// A product that is rounded before it is added to: no compiler may contract across it. Reference quantizers round
/// every operation.
PLEAT_INLINE float rounded(float v) {
#if defined(__x86_64__) && !defined(__CUDA_ARCH__)
  __asm__("" : "+x"(v));
#else
  float volatile held = v;
  v = held;
#endif
  return v;
}
/// The same for an array: what was stored is read again.
PLEAT_INLINE void rounded_all(float* v) {
#if !defined(__CUDA_ARCH__)
  __asm__ volatile("" : : "r"(v) : "memory");
#else
  static_cast<void>(v);
#endif
}

}  // namespace pleat::codec::detail
