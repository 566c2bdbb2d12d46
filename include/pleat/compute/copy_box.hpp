// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A box of one row-major tensor into another: packing, unpacking, slicing and adding, in any rank.
#pragma once

#include <algorithm>
#include <array>

#include <pleat/compute/for_each.hpp>
#include <pleat/tensor/index_set.hpp>

namespace pleat::compute {

namespace detail {

/// A box as rows of equal length in two memories. Dimensions that are one stretch in both are one dimension here, and
/// long rows are cut into pieces so that there is work for everybody.
struct box_rows {
  int rank = 0;  ///< of the rows; the elements of a row are counted apart
  std::array<index_t, extents::max_rank> n{}, dx{}, dy{};
  index_t columns = 1, step_x = 1, step_y = 1, x0 = 0, y0 = 0;
  index_t rows = 1, pieces = 1, width = 1;

  box_rows(index_box const& part, index_box const& from, index_box const& to, index_t longest) {
    std::array<index_t, extents::max_rank> sx{}, sy{};
    index_t x = 1, y = 1;
    for (int d = part.rank(); d-- > 0;) {
      auto const i = static_cast<std::size_t>(d);
      sx[i] = x;
      sy[i] = y;
      x0 += (part[d].begin - from[d].begin) * x;
      y0 += (part[d].begin - to[d].begin) * y;
      x *= from[d].size();
      y *= to[d].size();
    }
    bool open = true;  // still gathering the innermost stretch
    for (int d = part.rank(); d-- > 0;) {
      auto const i = static_cast<std::size_t>(d);
      index_t const size = part[d].size();
      if (size == 1) continue;
      if (open && columns == 1) {
        columns = size, step_x = sx[i], step_y = sy[i];
      } else if (open && sx[i] == columns * step_x && sy[i] == columns * step_y) {
        columns *= size;
      } else {
        open = false;
        auto const k = static_cast<std::size_t>(rank);
        if (rank > 0 && sx[i] == n[k - 1] * dx[k - 1] && sy[i] == n[k - 1] * dy[k - 1]) {
          n[k - 1] *= size;
        } else {
          n[k] = size, dx[k] = sx[i], dy[k] = sy[i];
          ++rank;
        }
        rows *= size;
      }
    }
    if (part.empty()) rows = columns = 0;
    width = std::max<index_t>(1, std::min(columns, longest));
    pieces = (columns + width - 1) / width;
  }
};

template <class T, bool Add> struct copy_box_body {
  box_rows b;
  T const* x;
  T* y;
  PLEAT_INLINE void operator()(index_t i) const {
    index_t const first = i % b.pieces * b.width, last = first + b.width < b.columns ? first + b.width : b.columns;
    index_t row = i / b.pieces, at_x = b.x0, at_y = b.y0;
    for (int d = 0; d < b.rank; ++d) {
      auto const k = static_cast<std::size_t>(d);
      index_t const c = row % b.n[k];
      row /= b.n[k];
      at_x += c * b.dx[k];
      at_y += c * b.dy[k];
    }
    T const* const from = x + at_x;
    T* const to = y + at_y;
    if (b.step_x == 1 && b.step_y == 1)
      for (index_t j = first; j < last; ++j) put(to[j], from[j]);
    else
      for (index_t j = first; j < last; ++j) put(to[j * b.step_y], from[j * b.step_x]);
  }
  PLEAT_INLINE static void put(T& to, T const& from) {
    if constexpr (!Add) to = from;
    else if constexpr (sizeof(T) == 2) to = T(static_cast<float>(to) + static_cast<float>(from));
    else to = to + from;
  }
};

template <bool Add, class Space, class T>
void move_box(Space const& space, index_box const& part, index_box const& from, T const* x, index_box const& to, T* y) {
  box_rows const b(part, from, to, is_host_space_v<Space> ? 8192 : 64);
  for_each_row(space, b.rows * b.pieces, copy_box_body<T, Add>{b, x, y}, static_cast<double>(b.width));
}

}  // namespace detail

/// Copies the elements of the box `part`: x is a row-major tensor that holds the box `from`, y one that holds `to`; all
/// three in the same global indices, `part` within both. x and y do not overlap.
template <class Space, class T>
void copy_box(Space const& space, index_box const& part, index_box const& from, T const* x, index_box const& to, T* y) {
  detail::move_box<false>(space, part, from, x, to, y);
}

/// The same, added to what y holds; 16-bit elements are added in float and rounded once.
template <class Space, class T>
void add_box(Space const& space, index_box const& part, index_box const& from, T const* x, index_box const& to, T* y) {
  detail::move_box<true>(space, part, from, x, to, y);
}

}  // namespace pleat::compute
