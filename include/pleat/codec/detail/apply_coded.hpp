// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The product of an entropy-coded weight: a chunk is decoded into lists of survivors, which are multiplied before the
/// next chunk comes.
#pragma once

#include <pleat/codec/detail/apply_sparse.hpp>
#include <pleat/codec/detail/coded_bits.hpp>

namespace pleat::codec::detail {

struct coded_scratch {};

/// Chunks on the calling thread, handed to `sink`(lists, first row, rows).
template <class Sink> struct coded_task {
  coded_logic::view const* view;
  Sink const* sink;
  int tasks;
  void operator()(int t) const {
    constexpr int together = coded_logic::view::together;
    auto const n = static_cast<std::size_t>(view->most_alive),
               each = static_cast<std::size_t>(view->chunk_rows) + 1 + 2 * n + 16;
    auto* const start = static_cast<std::uint32_t*>(compute::detail::scratch<coded_scratch>(4 * together * each));
    auto const lists_at = [&](int i) {
      auto* const at = start + static_cast<std::size_t>(i) * each;
      return chunk_lists{at, at + view->chunk_rows + 1, reinterpret_cast<float*>(at + view->chunk_rows + 1 + n)};
    };
    chunk_lists const lists[together] = {lists_at(0), lists_at(1), lists_at(2), lists_at(3)};
    index_t const last = view->chunks * (t + 1) / tasks;
    index_t c = view->chunks * t / tasks;
    for (; c + together <= last; c += together) {
      view->read_together(c, lists);
      for (int i = 0; i < together; ++i) (*sink)(lists[i], (c + i) * view->chunk_rows, view->rows_in(c + i));
    }
    for (; c < last; ++c) {
      view->template read<false>(c, lists[0]);
      (*sink)(lists[0], c * view->chunk_rows, view->rows_in(c));
    }
  }
};

/// Without an index a chunk's values are its dense rows.
struct coded_dense_task {
  coded_logic::view const* view;
  float* out;
  int tasks;
  void operator()(int t) const {
    constexpr int together = coded_logic::view::together;
    auto const each = static_cast<std::size_t>(view->chunk_rows) + 1;
    auto* const start = static_cast<std::uint32_t*>(compute::detail::scratch<coded_scratch>(4 * together * each));
    auto const lists_at = [&](index_t c, int i) {
      return chunk_lists{start + static_cast<std::size_t>(i) * each, nullptr,
                         out + (c + i) * view->chunk_rows * view->columns};
    };
    index_t const last = view->chunks * (t + 1) / tasks;
    index_t c = view->chunks * t / tasks;
    for (; c + together <= last; c += together) {
      chunk_lists const lists[together] = {lists_at(c, 0), lists_at(c, 1), lists_at(c, 2), lists_at(c, 3)};
      view->read_together(c, lists);
    }
    for (; c < last; ++c) view->template read<false>(c, lists_at(c, 0));
  }
};

struct coded_product {
  struct no_view {
    static constexpr int block = 1;
  };
  sparse_task<no_view> task;
  void operator()(chunk_lists const& l, index_t first, index_t rows) const {
    constexpr index_t height = sparse_task<no_view>::height;
    for (index_t r = 0; r < rows; r += height)
      task.multiply(row_lists<std::uint32_t>{l.start + r, l.column, l.value}, first + r, std::min(height, rows - r));
  }
};

struct coded_scatter {
  float* out;
  index_t columns;
  void operator()(chunk_lists const& l, index_t first, index_t rows) const {
    for (index_t r = 0; r < rows; ++r) {
      float* const row = out + (first + r) * columns;
      std::fill_n(row, columns, 0.0f);
      for (auto i = l.start[r]; i < l.start[r + 1]; ++i) row[l.column[i]] = l.value[i];
    }
  }
};

/// A device decodes each chunk in one thread. Its lists are the dense rows themselves.
struct coded_decode_body {
  coded_logic::view view;
  float* out;
  PLEAT_FUNCTION void operator()(index_t chunk) const {
    view.scatter(chunk, out + chunk * view.chunk_rows * view.columns);
  }
};

struct coded_kernel {
  template <class Space>
  static void decode(context<Space>& c, extents const&, coded_logic::view const& view, float* out) {
    if constexpr (compute::is_host_space_v<Space>) {
      coded_scatter const sink{out, view.columns};
      int const tasks = tasks_of(c.space(), view, 1);
      if (view.filler == 0) compute::for_tasks(c.space(), tasks, coded_dense_task{&view, out, tasks});
      else compute::for_tasks(c.space(), tasks, coded_task<coded_scatter>{&view, &sink, tasks});
    } else {
      compute::for_each(c.space(), view.chunks, coded_decode_body{view, out});
    }
  }
  template <class Space>
  static void apply(context<Space>& c, extents const& shape, coded_logic::view const& view, index_t m, float const* x,
                    float* y, compute::epilogue<float> const& after) {
    index_t const n = rows_of(shape), k = columns_of(shape);
    if constexpr (compute::is_host_space_v<Space>) {
      int const tasks = tasks_of(c.space(), view, m);
      if (m == 1) {
        coded_product const sink{{nullptr, m, n, k, 1, x, y, &after, tasks}};
        compute::for_tasks(c.space(), tasks, coded_task<coded_product>{&view, &sink, tasks});
        return;
      }
      auto const turned = turn_columns(c, m, k, x);
      coded_product const sink{{nullptr, m, n, k, turned_width, turned.data(), y, &after, tasks}};
      compute::for_tasks(c.space(), tasks, coded_task<coded_product>{&view, &sink, tasks});
    } else {
      auto const w = tensor<float, Space>::allocate(c, shape);
      decode(c, shape, view, w.data());
      apply_dense(c, shape, static_cast<float const*>(w.data()), m, x, y, after);
    }
  }

 private:
  template <class Space> static int tasks_of(Space const& space, coded_logic::view const& view, index_t m) {
    double const work = static_cast<double>(view.alive) * (16.0 + 2.0 * static_cast<double>(m));
    return static_cast<int>(std::max<index_t>(1, std::min<index_t>(view.chunks, compute::tasks_for(space, work))));
  }
};

}  // namespace pleat::codec::detail
