// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The product of a weight in a block format: activations become pieces of 32 8-bit codes with a scale each, then
/// integers are multiplied.
#pragma once

#include <pleat/codec/detail/apply_decoded.hpp>
#include <pleat/codec/detail/block_bits.hpp>
#include <pleat/codec/detail/block_panel.hpp>
#include <pleat/codec/detail/block_product.hpp>
#include <pleat/codec/detail/block_vector.hpp>
#include <pleat/compute/detail/scratch.hpp>
#include <pleat/compute/quantized.hpp>
#include <pleat/tensor/tensor.hpp>

namespace pleat::codec::detail {

/// One piece of 32 activations: x_scale = amax/127, codes to nearest even in ±127; a piece with NaN or infinity gets
/// the scale NaN.
struct quantize_pieces_body {
  float const* x;
  int offset;
  signed char* codes;
  float* scale;
  std::int32_t* start;
  float* sum;
  PLEAT_INLINE void operator()(index_t q) const {
    float const* const from = x + 32 * q;
    signed char* const to = codes + 32 * q;
    float const amax = compute::detail::row_max_abs(from, 32), s = amax / 127.0f;
    bool const good = compute::math::is_finite(amax) && s > 0.0f;
    std::int8_t code[32] = {};  // an array of its own: bytes may alias anything, which keeps compilers from vectorising
    if (good) compute::detail::codes_of_block(from, s, code);
    std::int32_t half[2] = {0, 0};
    for (int h = 0; h < 2; ++h)
      for (int i = 0; i < 16; ++i) half[h] += code[16 * h + i];
    for (int i = 0; i < 32; ++i) to[i] = code[i];
    scale[q] = good ? s : amax - amax;
    start[2 * q] = -offset * half[0];
    start[2 * q + 1] = -offset * half[1];
    sum[q] = scale[q] * static_cast<float>(half[0] + half[1]);
  }
};

struct block_scratch {};

/// Tiles of rows, on the calling thread.
template <class F> struct block_task {
  block_product const* p;
  float* y;
  compute::epilogue<float> const* after;
  int tasks;

  /// Rows of a tile.
  static index_t height(index_t n) noexcept { return n >= 32 ? 32 : 16; }

  void operator()(int t) const {
    index_t const h = height(p->n), tiles = (p->n + h - 1) / h;
    for (index_t tile = tiles * t / tasks; tile < tiles * (t + 1) / tasks; ++tile)
      run(h * tile, std::min(h, p->n - h * tile));
  }
  void run(index_t first, index_t rows) const {
#if defined(__x86_64__)
    if (isa::has_vnni() && p->n >= 16) return run_panel(first, rows);
    if (isa::best() != isa::level::scalar) {
      auto* const acc =
          static_cast<float*>(compute::detail::scratch<block_scratch>(static_cast<std::size_t>(p->m) * 32));
      for (index_t h = 0; h < rows; h += 8) {
        byte_t const* row[8];
        for (index_t r = 0; r < 8; ++r) row[r] = p->w + (first + std::min(h + r, rows - 1)) * p->row_bytes;
        p->m == 1 ? rows8<F, true>(*p, row, acc) : rows8<F, false>(*p, row, acc);
        store(acc, 8, first + h, std::min<index_t>(8, rows - h));
      }
      return;
    }
#endif
    for (index_t i = 0; i < p->m; ++i)
      for (index_t j = first; j < first + rows; ++j) y[i * p->n + j] = finish(*after, i, j, block_element<F>(*p, i, j));
  }
#if defined(__x86_64__)
  /// A panel is full: the last one begins earlier, and what the one before it stores is not stored again.
  void run_panel(index_t first, index_t rows) const {
    index_t const h = height(p->n), from = std::min(first, p->n - h);
    std::size_t const panel_bytes = (sizeof(block_panel<F>) + 63) / 64 * 64;
    auto* const memory = static_cast<byte_t*>(
        compute::detail::scratch<block_scratch>(panel_bytes + static_cast<std::size_t>(p->m) * 128));
    auto& panel = *reinterpret_cast<block_panel<F>*>(memory);
    auto* const acc = reinterpret_cast<float*>(memory + panel_bytes);
    byte_t const* const row = p->w + from * p->row_bytes;
    if (p->m == 1)
      for (index_t r = 0; r < h; r += 16) column_rows<F>(*p, row + r * p->row_bytes, acc + r);
    else h == 32 ? panel_rows<F, 2>(*p, row, panel, acc) : panel_rows<F, 1>(*p, row, panel, acc);
    store(acc + (first - from), 32, first, rows);
  }
#endif
  void store(float const* acc, index_t stride, index_t first, index_t rows) const {
    for (index_t i = 0; i < p->m; ++i)
      for (index_t r = 0; r < rows; ++r) y[i * p->n + first + r] = finish(*after, i, first + r, acc[i * stride + r]);
  }
};

template <class F> struct block_element_body {
  block_product p;
  float* y;
  compute::epilogue<float> after;
  PLEAT_FUNCTION void operator()(index_t e) const {
    y[e] = finish(after, e / p.n, e % p.n, block_element<F>(p, e / p.n, e % p.n));
  }
};

struct block_kernel {
  template <class Space, class F>
  static void apply(context<Space>& c, extents const& shape, block_view<F> const& view, index_t m, float const* x,
                    float* y, compute::epilogue<float> const& after) {
    index_t const n = rows_of(shape), k = columns_of(shape), pieces = k / 32;
    auto const codes = tensor<std::int8_t, Space>::allocate(c, {m, k});
    auto const scales = tensor<float, Space>::allocate(c, {2, m, pieces});
    auto const starts = tensor<std::int32_t, Space>::allocate(c, {m, pieces, 2});
    block_product const p{.n = n,
                          .k = k,
                          .m = m,
                          .row_bytes = view.row_bytes,
                          .w = view.blocks,
                          .x = codes.data(),
                          .x_scale = scales.data(),
                          .start = starts.data(),
                          .x_sum = scales.data() + m * pieces};
    compute::for_each_row(
        c.space(), m * pieces,
        quantize_pieces_body{x, F::offset, codes.data(), scales.data(), starts.data(), scales.data() + m * pieces},
        96.0);
    if constexpr (compute::is_host_space_v<Space>) {
      int const tasks = static_cast<int>(std::min<index_t>(
          (n + 31) / 32, compute::tasks_for(c.space(), 0.5 * static_cast<double>(m) * static_cast<double>(n) *
                                                           static_cast<double>(k))));
      compute::for_tasks(c.space(), tasks, block_task<F>{&p, y, &after, tasks});
    } else {
      compute::for_each(c.space(), m * n, block_element_body<F>{p, y, after}, static_cast<double>(k));
    }
  }
};

}  // namespace pleat::codec::detail
