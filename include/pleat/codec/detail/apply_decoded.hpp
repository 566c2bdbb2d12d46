// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The product of a weight that is decoded while it is packed for the matrix product: any form whose view can decode a piece of a row.
#pragma once

#include <algorithm>

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
template <class View> void decode_piece(View const& view, index_t row, index_t rows, index_t k0, index_t k1, float* out, index_t ld) {
#if defined(__x86_64__)
  if constexpr (requires { view.decode_avx512(row, k0, k1, out); })
    if (View::has_decode_avx512 && k0 % 16 == 0 && k1 % 16 == 0 && compute::isa::best() == compute::isa::level::avx512) {
      for (index_t r = 0; r < rows; ++r) view.decode_avx512(row + r, k0, k1, out + r * ld);
      return;
    }
#endif
  compute::detail::loop_at<true>(compute::isa::best(), 0, rows, decode_piece_body<View>{&view, row, k0, k1, ld, out});
}

/// The B operand W of x·Wᵀ as compute/detail/gemm_host.hpp wants it.
template <class View> struct decoded_b {
  View const* view = nullptr;
  compute::detail::tile_kernels<float> const* kernels = nullptr;
  index_t ld = 0;

  void pack(index_t k0, index_t k1, index_t n0, index_t n1, float* to, index_t stride) const {
    constexpr index_t depth = 256, width = 48;
    alignas(64) float rows[width * depth];
    for (index_t n = n0; n < n1; n += width) {
      index_t const some = std::min(width, n1 - n);
      for (index_t k = k0; k < k1; k += depth) {
        index_t const deep = std::min(depth, k1 - k);
        decode_piece(*view, n, some, k, k + deep, rows, depth);
        float* const out = to + (k - k0) * stride + (n - n0);
        if (kernels && n1 - n0 <= width)
          kernels->turn_b(rows, depth, deep, some, out, stride);
        else
          for (index_t l = 0; l < deep; ++l)
            for (index_t j = 0; j < some; ++j) out[l * stride + j] = rows[j * depth + l];
      }
    }
  }
  [[nodiscard]] float const* direct(index_t, index_t) const { return nullptr; }
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

struct few_scratch {};

/// Few columns of x: rows are decoded and turned in pieces that stay in the first cache, never into a panel. 32 rows a tile.
template <class View> struct decoded_few_task {
  static constexpr index_t height = 32, depth = 256;
  View const* view;
  compute::detail::tile_kernels<float> const* kernels;
  index_t m, n, k;
  float const* x;
  float* y;
  compute::epilogue<float> const* after;
  int tasks;

  /// acc[height] of column i += turned[deep, height] · x.
  struct chain_body {
    float const* turned;
    float const* x;
    index_t k, deep;
    float* acc;
    PLEAT_INLINE void operator()(index_t i) const {
      float low[16], high[16];  // two vectors: more, or one array of 32, and compilers leave them in memory
      float* const to = acc + i * height;
      for (int r = 0; r < 16; ++r) low[r] = to[r];
      for (int r = 0; r < 16; ++r) high[r] = to[16 + r];
      for (index_t l = 0; l < deep; ++l) {
        float const v = x[i * k + l];
        float const* const w = turned + l * height;
        for (int r = 0; r < 16; ++r) low[r] = compute::fma(w[r], v, low[r]);
        for (int r = 0; r < 16; ++r) high[r] = compute::fma(w[16 + r], v, high[r]);
      }
      for (int r = 0; r < 16; ++r) to[r] = low[r];
      for (int r = 0; r < 16; ++r) to[16 + r] = high[r];
    }
  };

  void operator()(int t) const {
    index_t const tiles = (n + height - 1) / height;
    auto const level = compute::isa::best();
    alignas(64) float rows[height * depth], turned[height * depth];
    auto* const acc = static_cast<float*>(compute::detail::scratch<few_scratch>(static_cast<std::size_t>(m * height) * sizeof(float)));
    for (index_t tile = tiles * t / tasks; tile < tiles * (t + 1) / tasks; ++tile) {
      index_t const first = tile * height, some = std::min(height, n - first);
      std::fill_n(acc, m * height, 0.0f);
      std::fill_n(turned, height * depth, 0.0f);
      for (index_t q = 0; q < k; q += depth) {
        index_t const deep = std::min(depth, k - q);
        decode_piece(*view, first, some, q, q + deep, rows, depth);
        kernels->turn_b(rows, depth, deep, some, turned, height);
        compute::detail::loop_at<true>(level, 0, m, chain_body{turned, x + q, k, deep, acc});
      }
      for (index_t i = 0; i < m; ++i)
        for (index_t r = 0; r < some; ++r) y[i * n + first + r] = finish(*after, i, first + r, acc[i * height + r]);
    }
  }
};

/// y[m, rows] = x · Ŵᵀ: every element one chain of fused multiply-adds over ascending columns, as if the weight were dense.
struct decoded_kernel {
  template <class Space, class View>
  static void apply(context<Space>& c, extents const& shape, View const& view, index_t m, float const* x, float* y, compute::epilogue<float> const& after) {
    index_t const n = rows_of(shape), k = columns_of(shape);
    if constexpr (compute::is_host_space_v<Space>) {
      auto const level = compute::isa::best();
      if (m <= 4 && compute::detail::kernels_at<float>(level)) {
        int const tasks = static_cast<int>(std::min<index_t>((n + 31) / 32, compute::tasks_for(c.space(), 4.0 * static_cast<double>(n) * static_cast<double>(k))));
        compute::for_tasks(c.space(), tasks, decoded_few_task<View>{&view, compute::detail::kernels_at<float>(level), m, n, k, x, y, &after, tasks});
        return;
      }
      compute::gemm_arguments<float> const g{.m = m, .n = n, .k = k, .a = x, .lda = k, .tb = compute::transpose::yes, .c = y, .ldc = n, .after = after};
      compute::detail::gemm_from(c.space(), g, decoded_b<View>{&view, compute::detail::kernels_at<float>(level)}, compute::lanes::whole(k), level);
    } else {
      compute::for_each(c.space(), m * n, decoded_dot_body<View>{view, n, k, x, y, after}, static_cast<double>(k));
    }
  }
};

}  // namespace pleat::codec::detail
