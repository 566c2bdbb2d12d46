// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Rows of 16-bit numbers to rows of floats and back on the host, for every instruction set with the same bits.
/// bfloat16 is shifts, which compilers vectorise; half has instructions of its own (F16C), which they do not find.
#pragma once

#include <type_traits>

#include <pleat/compute/for_each.hpp>
#include <pleat/tensor/dtype.hpp>

namespace pleat::compute::detail {

#if defined(__x86_64__)
PLEAT_LAZY PLEAT_TARGET_AVX2 void widen_halves_avx2(index_t n, half const* from, float* to);
PLEAT_LAZY PLEAT_TARGET_AVX512 void widen_halves_avx512(index_t n, half const* from, float* to);
/// A NaN becomes the one that half_bits makes.
PLEAT_LAZY PLEAT_TARGET_AVX2 void narrow_halves_avx2(index_t n, float const* from, half* to);
PLEAT_LAZY PLEAT_TARGET_AVX512 void narrow_halves_avx512(index_t n, float const* from, half* to);
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
      auto* const row = level == isa::level::avx512 ? &widen_halves_avx512<> : &widen_halves_avx2<>;
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

#if defined(PLEAT_HAS_VECTORS)
#include <pleat/compute/detail/widen_vectors.hpp>
#endif
