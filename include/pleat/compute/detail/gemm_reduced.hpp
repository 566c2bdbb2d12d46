// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The host product of 16-bit operands: pieces are widened on their way into the float product, whose chains are the
/// same; sums are rounded once, when an element of C is finished. What lies in memory as float is a panel of A and of C
/// per thread.
#pragma once

#include <algorithm>
#include <limits>
#include <type_traits>

#include <pleat/base/config.hpp>
#include <pleat/compute/detail/gemm_host.hpp>
#include <pleat/compute/detail/scratch.hpp>
#include <pleat/compute/detail/widen.hpp>
#include <pleat/compute/element.hpp>
#include <pleat/compute/for_each.hpp>

namespace pleat::compute::detail {

/// What follows the last term of an element, and the one rounding.
template <class T> struct narrow_rows_body {
  index_t columns, from_ld, to_ld;
  float const* from;
  T* to;
  epilogue<T> after;
  PLEAT_INLINE static float finished(float v, float bias, bool biased, bool relu) {
    v = biased ? v + bias : v;
    return relu && v < 0.0f ? 0.0f : v;
  }
  PLEAT_INLINE void operator()(index_t r) const {
    float const* const x = from + r * from_ld;
    T* const y = to + r * to_ld;
    T const* const bias = after.bias;
    bool const relu = after.act == activation::relu;
    if (after.mask != nullptr) {
      T const* const mask = after.mask + r * after.ldmask;
      for (index_t j = 0; j < columns; ++j) {
        float const v = finished(x[j], bias ? static_cast<float>(bias[j]) : 0.0f, bias != nullptr, relu);
        y[j] = T(static_cast<float>(mask[j]) > 0.0f ? v : 0.0f);
      }
      return;
    }
    index_t const whole = columns / 32 * 32;
    if (bias != nullptr)
      for (index_t j = 0; j < whole; j += 32)
        for (index_t i = 0; i < 32; ++i) y[j + i] = T(finished(x[j + i], static_cast<float>(bias[j + i]), true, relu));
    else
      for (index_t j = 0; j < whole; j += 32)
        for (index_t i = 0; i < 32; ++i) y[j + i] = T(finished(x[j + i], 0.0f, false, relu));
    for (index_t j = whole; j < columns; ++j)
      y[j] = T(finished(x[j], bias ? static_cast<float>(bias[j]) : 0.0f, bias != nullptr, relu));
  }
};
/// The same for a run of floats, with a bias of -0 (which changes nothing) and a mask of ones where there is none.
struct finish_run_body {
  float const *from, *bias, *mask;
  float lowest;  ///< what lies below it becomes zero
  float* to;
  PLEAT_INLINE void operator()(index_t i) const {
    float v = from[i] + bias[i];
    v = v < lowest ? 0.0f : v;
    to[i] = mask[i] > 0.0f ? v : 0.0f;
  }
};
/// Half is rounded by instructions that compilers do not find, so what is before that is done in floats.
PLEAT_LAZY inline void narrow_rows_of_half(isa::level level, index_t rows, index_t columns, float const* from,
                                           index_t from_ld, half* to, index_t to_ld, epilogue<half> const& after) {
  bool const plain = after.bias == nullptr && after.mask == nullptr && after.act != activation::relu;
  constexpr index_t run = 256;
  alignas(64) float bias[run], mask[run], finished[run];
  for (index_t j = 0; j < columns; j += run) {
    index_t const n = std::min(run, columns - j);
    if (after.bias != nullptr) widen(level, n, after.bias + j, bias);
    else std::fill(bias, bias + n, -0.0f);
    if (after.mask == nullptr) std::fill(mask, mask + n, 1.0f);
    for (index_t r = 0; r < rows; ++r) {
      float const* const x = from + r * from_ld + j;
      if (plain) {
        narrow(level, n, x, to + r * to_ld + j);
        continue;
      }
      if (after.mask != nullptr) widen(level, n, after.mask + r * after.ldmask + j, mask);
      loop_at<false>(
          level, 0, n,
          finish_run_body{x, bias, mask, after.act == activation::relu ? 0.0f : -std::numeric_limits<float>::infinity(),
                          finished});
      narrow(level, n, finished, to + r * to_ld + j);
    }
  }
}
template <class T>
void narrow_rows(isa::level level, index_t rows, index_t columns, float const* from, index_t from_ld, T* to,
                 index_t to_ld, epilogue<T> const& after = {}) {
  if constexpr (std::is_same_v<T, half>)
    if (level != isa::level::scalar) return narrow_rows_of_half(level, rows, columns, from, from_ld, to, to_ld, after);
  loop_at<true>(level, 0, rows, narrow_rows_body<T>{columns, from_ld, to_ld, from, to, after});
}

/// A B operand of 16 bits as gemm_host.hpp wants it.
template <class T> struct widened_b {
  T const* b = nullptr;
  index_t stored = 0;   ///< distance of two stored rows
  bool turned = false;  ///< stored [n, k]
  isa::level level = isa::level::scalar;
  tile_kernels<float> const* kernels = nullptr;
  index_t ld = 0;

  void pack(index_t k0, index_t k1, index_t n0, index_t n1, float* to, index_t stride) const {
    if (!turned) return widen_rows(level, k1 - k0, n1 - n0, b + k0 * stored + n0, stored, to, stride);
    constexpr index_t depth = 256, width = 48;
    alignas(64) float rows[width * depth];
    for (index_t n = n0; n < n1; n += width) {
      index_t const some = std::min(width, n1 - n);
      for (index_t k = k0; k < k1; k += depth) {
        index_t const deep = std::min(depth, k1 - k);
        widen_rows(level, some, deep, b + n * stored + k, stored, rows, depth);
        float* const out = to + (k - k0) * stride + (n - n0);
        if (kernels && n1 - n0 <= width) kernels->turn_b(rows, depth, deep, some, out, stride);
        else
          for (index_t l = 0; l < deep; ++l)
            for (index_t j = 0; j < some; ++j) out[l * stride + j] = rows[j * depth + l];
      }
    }
  }
  [[nodiscard]] float const* direct(index_t, index_t) const { return nullptr; }
};

struct reduced_scratch {};

/// One rectangle of a product, on the calling thread. To: T, or float (then without an epilogue).
template <class T, class To>
void gemm_reduced_part(isa::level level, gemm_arguments<T, To> const& g, lanes const& cut, gemm_rectangle const& r) {
  constexpr bool wide = std::is_same_v<To, float>;
  constexpr index_t most_rows = 384, most_columns = 4096;
  index_t const k0 = cut.begin(0), k = cut.rows();
  index_t cuts[lanes::max_count + 1];
  for (int s = 0; s <= cut.count; ++s) cuts[s] = cut.row[static_cast<std::size_t>(s)] - k0;
  bool const a_rows = g.ta == transpose::no, b_turned = g.tb == transpose::yes;
  widened_b<T> const source{g.b + (b_turned ? k0 : k0 * g.ldb), g.ldb, b_turned, level, kernels_at<float>(level)};
  index_t const panels = (r.m1 - r.m0 + most_rows - 1) / most_rows;
  for (index_t p = 0; p < panels; ++p) {
    index_t const i0 = r.m0 + part_begin(r.m1 - r.m0, panels, p), i1 = r.m0 + part_begin(r.m1 - r.m0, panels, p + 1),
                  rows = i1 - i0;
    index_t const c_columns = wide ? 0 : std::min(most_columns, r.n1 - r.n0);
    // a vector beyond the end of A may be read where its columns are packed
    float* const a = static_cast<float*>(
        scratch<reduced_scratch>(sizeof(float) * static_cast<std::size_t>(rows * k + 64 + rows * c_columns)));
    float* const c = a + rows * k + 64;
    if (a_rows) widen_rows(level, rows, k, g.a + i0 * g.lda + k0, g.lda, a, k);
    else widen_rows(level, k, rows, g.a + k0 * g.lda + i0, g.lda, a, rows);
    gemm_arguments<float> f;
    f.m = rows, f.k = k;
    f.a = a, f.lda = a_rows ? k : rows, f.ta = g.ta;
    f.accumulate = g.accumulate;
    for (index_t j0 = r.n0; j0 < r.n1; j0 += wide ? r.n1 - r.n0 : most_columns) {
      index_t const j1 = wide ? r.n1 : std::min(r.n1, j0 + most_columns), n = j1 - j0;
      f.n = n;
      auto here = source;
      here.b += b_turned ? j0 * g.ldb : j0;
      if constexpr (wide) {
        f.c = g.c + i0 * g.ldc + j0, f.ldc = g.ldc;
        gemm_part(level, f, here, cuts, cut.count, {0, rows, 0, n});
      } else {
        f.c = c, f.ldc = n;
        if (g.accumulate) widen_rows(level, rows, n, g.c + i0 * g.ldc + j0, g.ldc, c, n);
        gemm_part(level, f, here, cuts, cut.count, {0, rows, 0, n});
        epilogue<T> after = g.after;
        if (after.bias) after.bias += j0;
        if (after.mask) after.mask += i0 * after.ldmask + j0;
        narrow_rows(level, rows, n, c, n, g.c + i0 * g.ldc + j0, g.ldc, after);
      }
    }
  }
}

template <class T, class To> struct gemm_reduced_task {
  gemm_arguments<T, To> const& g;
  lanes const& cut;
  int tasks;
  isa::level level;
  void operator()(int nth) const { gemm_reduced_part(level, g, cut, gemm_cut(g.m, g.n, tasks, nth)); }
};

}  // namespace pleat::compute::detail
