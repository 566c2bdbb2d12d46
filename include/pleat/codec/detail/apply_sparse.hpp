// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Sparse weight times dense activations: only stored elements are multiplied. Every element of the result is one chain
/// of fused multiply-adds over ascending columns, so for finite activations it has the bits of the dense product with
/// the same numbers.
#pragma once

#include <algorithm>
#include <vector>

#include <pleat/codec/detail/apply_decoded.hpp>
#include <pleat/codec/detail/sparse_bits.hpp>
#include <pleat/codec/dense.hpp>
#include <pleat/compute/detail/scratch.hpp>
#include <pleat/tensor/tensor.hpp>

namespace pleat::codec::detail {

/// out[i] = row i of the lists · x. Four rows side by side: their chains hide each other's latency.
template <class Index, int B> struct lists_vector_body {
  row_lists<Index> w;
  index_t rows;
  float const* x;
  float* out;
  PLEAT_INLINE void operator()(index_t group) const {
    index_t const first = 4 * group, some = rows - first < 4 ? rows - first : 4;
    float sum[4] = {0, 0, 0, 0};
    std::uint32_t at[4], left[4], common = 0xffffffffu;
    for (index_t r = 0; r < 4; ++r) {
      index_t const row = first + (r < some ? r : 0);
      at[r] = w.start[row];
      left[r] = w.start[row + 1] - at[r];
      common = left[r] < common ? left[r] : common;
    }
    std::uint32_t i = 0;
    for (; i < common; ++i)
      for (int r = 0; r < 4; ++r) step(at[r] + i, sum[r]);
    for (int r = 0; r < 4; ++r)
      for (std::uint32_t l = i; l < left[r]; ++l) step(at[r] + l, sum[r]);
    for (index_t r = 0; r < some; ++r) out[first + r] = sum[r];
  }
  PLEAT_INLINE void step(std::uint32_t i, float& sum) const {
    float const* const from = x + static_cast<index_t>(w.column[i]) * B;
    for (int b = 0; b < B; ++b) sum = compute::fma(w.value[static_cast<index_t>(i) * B + b], from[b], sum);
  }
};

/// out[i, 16] = row i of the lists · x, x turned: [columns, 16]. Four rows side by side.
template <class Index, int B> struct lists_batch_body {
  static constexpr int width = 16;
  row_lists<Index> w;
  index_t rows;
  float const* x;
  float* out;
  PLEAT_INLINE void operator()(index_t group) const {
    index_t const first = 4 * group, some = rows - first < 4 ? rows - first : 4;
    float sum[4][width];
    std::uint32_t at[4], left[4], common = 0xffffffffu;
    for (index_t r = 0; r < 4; ++r) {
      index_t const row = first + (r < some ? r : 0);
      at[r] = w.start[row];
      left[r] = w.start[row + 1] - at[r];
      common = left[r] < common ? left[r] : common;
      for (int j = 0; j < width; ++j) sum[r][j] = 0;
    }
    std::uint32_t i = 0;
    for (; i < common; ++i) {
      step(at[0] + i, sum[0]);
      step(at[1] + i, sum[1]);
      step(at[2] + i, sum[2]);
      step(at[3] + i, sum[3]);
    }
    for (index_t r = 0; r < some; ++r) {
      for (std::uint32_t l = i; l < left[r]; ++l) step(at[r] + l, sum[r]);
      for (int j = 0; j < width; ++j) out[(first + r) * width + j] = sum[r][j];
    }
  }
  PLEAT_INLINE void step(std::uint32_t i, float* sum) const {
    for (int b = 0; b < B; ++b) {
      float const* const from = x + (static_cast<index_t>(w.column[i]) * B + b) * width;
      float const v = w.value[static_cast<index_t>(i) * B + b];
      for (int j = 0; j < width; ++j) sum[j] = compute::fma(v, from[j], sum[j]);
    }
  }
};

/// Columns of x, Width at a time, side by side: to[k, j] = x[j, k], zero from m on.
struct turn_columns_body {
  index_t m, k, width;
  float const* x;
  float* to;
  PLEAT_INLINE void operator()(index_t block) const {
    index_t const first = 16 * block, last = first + 16 < k ? first + 16 : k;
    for (index_t j = 0; j < width; ++j)
      for (index_t l = first; l < last; ++l) to[l * width + j] = j < m ? x[j * k + l] : 0.0f;
  }
};

struct sparse_scratch {};

/// The columns of some rows' survivors, one list after the other; their values lie ready.
template <class View> struct collect_columns_body {
  View const* view;
  index_t first;
  std::uint32_t* column;
  PLEAT_INLINE void operator()(index_t r) const {
    view->columns(first + r, column + (view->start[first + r] - view->start[first]));
  }
};

/// Rows [tile·height …) on the calling thread, x turned where there is more than one column.
template <class View> struct sparse_task {
  static constexpr index_t height = 32;
  View const* view;
  index_t m, n, k, width;
  float const* x;  ///< [m, k] for one column, else turned in slabs [k, width]
  float* y;
  compute::epilogue<float> const* after;
  int tasks;

  void operator()(int t) const {
    index_t const tiles = (n + height - 1) / height;
    for (index_t tile = tiles * t / tasks; tile < tiles * (t + 1) / tasks; ++tile) {
      index_t const first = tile * height, rows = std::min(height, n - first);
      if constexpr (requires { view->column16; }) {
        if (view->column16)
          multiply(row_lists<std::uint16_t>{view->start + first, view->column16, view->value}, first, rows);
        else multiply(row_lists<std::uint32_t>{view->start + first, view->column32, view->value}, first, rows);
      } else {
        // Vector code may write 16 entries past a list.
        auto* const column = static_cast<std::uint32_t*>(
            compute::detail::scratch<sparse_scratch>(4 * static_cast<std::size_t>(rows * k) + 64));
        collect_columns(first, rows, column);
        std::uint32_t start[height + 1];
        for (index_t r = 0; r <= rows; ++r) start[r] = view->start[first + r] - view->start[first];
        multiply(row_lists<std::uint32_t>{start, column, view->value + view->start[first]}, first, rows);
      }
    }
  }
  void collect_columns(index_t first, index_t rows, std::uint32_t* column) const {
#if defined(__x86_64__)
    if constexpr (requires { view->columns_avx512(first, column); })
      if (isa::best() == isa::level::avx512) {
        for (index_t r = first; r < first + rows; ++r)
          view->columns_avx512(r, column + (view->start[r] - view->start[first]));
        return;
      }
#endif
    compute::detail::loop_at<true>(isa::best(), 0, rows, collect_columns_body<View>{view, first, column});
  }
  template <class Index> void multiply(row_lists<Index> const& w, index_t first, index_t rows) const {
    constexpr int B = View::block;
    auto const level = isa::best();
    alignas(64) float out[height * 16];
    if (width == 1) {
      compute::detail::loop_at<true>(level, 0, (rows + 3) / 4, lists_vector_body<Index, B>{w, rows, x, out});
      for (index_t r = 0; r < rows; ++r) y[first + r] = finish(*after, 0, first + r, out[r]);
      return;
    }
    for (index_t i = 0; i < m; i += width) {
      float const* const slab = x + i * k;
      compute::detail::loop_at<true>(level, 0, (rows + 3) / 4, lists_batch_body<Index, B>{w, rows, slab, out});
      for (index_t j = i; j < std::min(m, i + width); ++j)
        for (index_t r = 0; r < rows; ++r) y[j * n + first + r] = finish(*after, j, first + r, out[r * width + j - i]);
    }
  }
};

template <class View> struct sparse_element_body {
  View view;
  index_t n, k;
  float const* x;
  float* y;
  compute::epilogue<float> after;
  PLEAT_FUNCTION void operator()(index_t e) const {
    y[e] = finish(after, e / n, e % n, view.dot(e % n, x + e / n * k));
  }
};

inline constexpr index_t turned_width = 16;

/// x[m, k] in slabs of turned_width columns: [slabs, k, turned_width], in pooled memory.
template <class Space>
[[nodiscard]] tensor<float, Space> turn_columns(context<Space>& c, index_t m, index_t k, float const* x) {
  constexpr index_t width = turned_width;
  auto turned = tensor<float, Space>::allocate(c, {(m + width - 1) / width, k, width});
  for (index_t s = 0; s * width < m; ++s)
    compute::for_each_row(
        c.space(), (k + 15) / 16,
        turn_columns_body{std::min(width, m - s * width), k, width, x + s * width * k, turned.data() + s * width * k},
        16.0 * static_cast<double>(width));
  return turned;
}

struct sparse_kernel {
  template <class Space, class View>
  static void apply(context<Space>& c, extents const& shape, View const& view, index_t m, float const* x, float* y,
                    compute::epilogue<float> const& after) {
    index_t const n = rows_of(shape), k = columns_of(shape);
    if constexpr (compute::is_host_space_v<Space>) {
      int const tasks = static_cast<int>(
          std::min<index_t>((n + 31) / 32, compute::tasks_for(c.space(), 2.0 * static_cast<double>(m) * view.work())));
      if (m == 1) {
        compute::for_tasks(c.space(), tasks, sparse_task<View>{&view, m, n, k, 1, x, y, &after, tasks});
        return;
      }
      auto const turned = turn_columns(c, m, k, x);
      compute::for_tasks(c.space(), tasks,
                         sparse_task<View>{&view, m, n, k, turned_width, turned.data(), y, &after, tasks});
    } else {
      compute::for_each(c.space(), m * n, sparse_element_body<View>{view, n, k, x, y, after}, static_cast<double>(k));
    }
  }
};

}  // namespace pleat::codec::detail
