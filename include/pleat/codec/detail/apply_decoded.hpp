// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The product of a weight that is decoded while it is packed for the matrix product: any form whose view can decode a
/// piece of a row.
#pragma once

#include <algorithm>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <pleat/base/context.hpp>
#include <pleat/codec/file_tensor.hpp>
#include <pleat/compute/detail/scratch.hpp>
#include <pleat/compute/for_each.hpp>
#include <pleat/compute/gemm.hpp>

namespace pleat::codec::detail {

/// What follows the last term of an element.
PLEAT_FUNCTION float finish(compute::epilogue<float> const& after, index_t i, index_t j, float value) {
  if (after.bias) value += after.bias[j];
  if (after.act == compute::activation::relu) value = value < 0.0f ? 0.0f : value;
  if (after.mask) value = after.mask[i * after.ldmask + j] > 0.0f ? value : 0.0f;
  return value;
}

template <class View> struct decode_piece_body {
  View const* view;
  index_t first_row, k0, k1, ld;
  float* out;
  PLEAT_INLINE void operator()(index_t r) const { view->decode(first_row + r, k0, k1, out + r * ld); }
};

/// Rows [row, row + rows), columns [k0, k1), to out with `ld` between rows.
template <class View>
void decode_piece(View const& view, index_t row, index_t rows, index_t k0, index_t k1, float* out, index_t ld) {
#if defined(__x86_64__)
  if constexpr (requires { view.decode_avx512(row, k0, k1, out); })
    if (View::has_decode_avx512 && k0 % 16 == 0 && k1 % 16 == 0 && isa::best() == isa::level::avx512) {
      for (index_t r = 0; r < rows; ++r) view.decode_avx512(row + r, k0, k1, out + r * ld);
      return;
    }
#endif
  compute::detail::loop_at<true>(isa::best(), 0, rows, decode_piece_body<View>{&view, row, k0, k1, ld, out});
}

/// The B operand W of x·Wᵀ as compute/detail/gemm_host.hpp wants it.
template <class View> struct decoded_b {
  View const* view = nullptr;
  compute::detail::tile_kernels<float> const* kernels = nullptr;
  index_t ahead = 0;  ///< columns from what is packed to what is packed later, and may come from memory meanwhile
  index_t ld = 0;

  void pack(index_t k0, index_t k1, index_t n0, index_t n1, float* to, index_t stride) const {
    constexpr index_t depth = 256, width = 48;
    alignas(64) float rows[width * depth];
    for (index_t n = n0 + turned(k0, k1, n0, n1, to, stride); n < n1; n += width) {
      index_t const some = std::min(width, n1 - n);
      for (index_t k = k0; k < k1; k += depth) {
        index_t const deep = std::min(depth, k1 - k);
        decode_piece(*view, n, some, k, k + deep, rows, depth);
        float* const out = to + (k - k0) * stride + (n - n0);
        if (kernels && n - n0 + (some + kernels->width - 1) / kernels->width * kernels->width <= stride)
          kernels->turn_b(rows, depth, deep, some, out, stride);
        else
          for (index_t l = 0; l < deep; ++l)
            for (index_t j = 0; j < some; ++j) out[l * stride + j] = rows[j * depth + l];
      }
    }
  }
  [[nodiscard]] float const* direct(index_t, index_t) const { return nullptr; }

 private:
  /// The first rows, as many as the view turns by itself.
  [[nodiscard]] index_t turned(index_t k0, index_t k1, index_t n0, index_t n1, float* to, index_t stride) const {
    index_t n = n0;
#if defined(__x86_64__)
    if constexpr (requires { view->turn(true, n, k0, k1, to, stride, ahead); }) {
      auto const level = isa::best();
      bool const wide = level == isa::level::avx512;
      index_t const lanes = wide ? 16 : 8;
      if (level != isa::level::scalar)
        while (n + lanes <= n1 && view->turn(wide, n, k0, k1, to + (n - n0), stride, ahead)) n += lanes;
    }
#endif
    return n - n0;
  }
};

/// One element of the product: the same chain as the matrix product's.
template <class View> struct decoded_dot_body {
  View view;
  index_t n, k;
  float const* x;
  float* y;
  compute::epilogue<float> after;
  PLEAT_FUNCTION void operator()(index_t e) const {
    constexpr index_t piece = 32;
    index_t const i = e / n, j = e % n;
    float w[piece], sum = 0;
    for (index_t l = 0; l < k; l += piece) {
      index_t const last = l + piece < k ? l + piece : k;
      view.decode(j, l, last, w);
      for (index_t q = l; q < last; ++q) sum = compute::fma(x[i * k + q], w[q - l], sum);
    }
    y[e] = finish(after, i, j, sum);
  }
};

/// sums[column][height] of `height` rows += panel[deep][height] · x, for Columns columns of x that lie k apart.
struct few_chains {
  static constexpr index_t height = 64;
  float const* panel;
  float const* x;
  index_t k, deep;
  float* sums;
#if defined(__x86_64__)
  template <int Columns> PLEAT_TARGET_AVX512 static void run_avx512(few_chains const f) {
    constexpr int vectors = height / 16;
    __m512 sum[Columns][vectors];
#pragma GCC unroll 4
    for (int c = 0; c < Columns; ++c)
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) sum[c][v] = _mm512_loadu_ps(f.sums + c * height + 16 * v);
    float const *w = f.panel, *x = f.x;
    for (index_t l = 0; l < f.deep; ++l, w += height, ++x) {
#pragma GCC unroll 4
      for (int c = 0; c < Columns; ++c) {
        __m512 const one = _mm512_set1_ps(x[c * f.k]);
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) sum[c][v] = _mm512_fmadd_ps(_mm512_loadu_ps(w + 16 * v), one, sum[c][v]);
      }
    }
#pragma GCC unroll 4
    for (int c = 0; c < Columns; ++c)
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) _mm512_storeu_ps(f.sums + c * height + 16 * v, sum[c][v]);
  }
  PLEAT_TARGET_AVX2 static void run_avx2(few_chains const f) {
    constexpr int vectors = height / 8;
    __m256 sum[vectors];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) sum[v] = _mm256_loadu_ps(f.sums + 8 * v);
    float const* w = f.panel;
    for (index_t l = 0; l < f.deep; ++l, w += height) {
      __m256 const one = _mm256_broadcast_ss(f.x + l);
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) sum[v] = _mm256_fmadd_ps(_mm256_loadu_ps(w + 8 * v), one, sum[v]);
    }
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) _mm256_storeu_ps(f.sums + 8 * v, sum[v]);
  }
#endif
};
/// All m columns, on a level that has vectors.
inline void run_few_chains(isa::level level, index_t m, few_chains f) {
#if defined(__x86_64__)
  constexpr void (*avx512[])(few_chains) = {&few_chains::run_avx512<1>, &few_chains::run_avx512<2>,
                                            &few_chains::run_avx512<3>, &few_chains::run_avx512<4>};
  if (level == isa::level::avx512) {
    for (index_t i = 0; i < m; i += 4) {
      avx512[std::min<index_t>(m - i, 4) - 1](f);
      f.x += 4 * f.k, f.sums += 4 * few_chains::height;
    }
    return;
  }
  for (index_t i = 0; i < m; ++i, f.x += f.k, f.sums += few_chains::height) few_chains::run_avx2(f);
#else
  static_cast<void>(level), static_cast<void>(m), static_cast<void>(f);
#endif
}

struct few_scratch {};

/// Few columns of x: rows are decoded and turned in pieces that stay in the first cache, never into a panel of the
/// whole depth.
template <class View> struct decoded_few_task {
  static constexpr index_t height = few_chains::height, depth = 96;
  View const* view;
  compute::detail::tile_kernels<float> const* kernels;
  index_t m, n, k;
  float const* x;
  float* y;
  compute::epilogue<float> const* after;
  int tasks;

  void operator()(int t) const {
    index_t const tiles = (n + height - 1) / height;
    auto const level = isa::best();
    alignas(64) float panel[height * depth];
    auto* const acc = static_cast<float*>(
        compute::detail::scratch<few_scratch>(static_cast<std::size_t>(m * height) * sizeof(float)));
    for (index_t tile = tiles * t / tasks; tile < tiles * (t + 1) / tasks; ++tile) {
      index_t const first = tile * height, some = std::min(height, n - first);
      std::fill_n(acc, m * height, 0.0f);
      if (some < height) std::fill_n(panel, height * depth, 0.0f);
      for (index_t q = 0; q < k; q += depth) {
        index_t const deep = std::min(depth, k - q), later = 2 * depth;
        decoded_b<View>{view, kernels, q + later < k ? later : (height - 1) * k + later}.pack(
            q, q + deep, first, first + some, panel, height);
        run_few_chains(level, m, few_chains{panel, x + q, k, deep, acc});
      }
      for (index_t i = 0; i < m; ++i)
        for (index_t r = 0; r < some; ++r) y[i * n + first + r] = finish(*after, i, first + r, acc[i * height + r]);
    }
  }
};

/// y[m, rows] = x · Ŵᵀ: every element one chain of fused multiply-adds over ascending columns, as if the weight were
/// dense.
struct decoded_kernel {
  template <class Space, class View>
  static void apply(context<Space>& c, extents const& shape, View const& view, index_t m, float const* x, float* y,
                    compute::epilogue<float> const& after) {
    index_t const n = rows_of(shape), k = columns_of(shape);
    if constexpr (compute::is_host_space_v<Space>) {
      auto const level = isa::best();
      if (m <= 4 && compute::detail::kernels_at<float>(level)) {
        int const tasks = static_cast<int>(std::min<index_t>(
            (n + 63) / 64, compute::tasks_for(c.space(), 4.0 * static_cast<double>(n) * static_cast<double>(k))));
        compute::for_tasks(
            c.space(), tasks,
            decoded_few_task<View>{&view, compute::detail::kernels_at<float>(level), m, n, k, x, y, &after, tasks});
        return;
      }
      compute::gemm_arguments<float> const g{
          .m = m, .n = n, .k = k, .a = x, .lda = k, .tb = compute::transpose::yes, .c = y, .ldc = n, .after = after};
      compute::detail::gemm_from(c.space(), g,
                                 decoded_b<View>{&view, compute::detail::kernels_at<float>(level), 48 * k},
                                 compute::lanes::whole(k), level);
    } else {
      compute::for_each(c.space(), m * n, decoded_dot_body<View>{view, n, k, x, y, after}, static_cast<double>(k));
    }
  }
};

}  // namespace pleat::codec::detail
