// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A block of columns from one row-major matrix into another: concatenation and its reverse.
#pragma once

#include <pleat/compute/for_each.hpp>

namespace pleat::compute {

namespace detail {
template <class T> struct copy_block_body {
  index_t columns, ldx, ldy;
  T const* x;
  T* y;
  PLEAT_INLINE void operator()(index_t r) const {
    T const* const from = x + r * ldx;
    T* const to = y + r * ldy;
    for (index_t j = 0; j < columns; ++j) to[j] = from[j];
  }
};
}  // namespace detail

/// y[r, j] = x[r, j] for r < rows, j < columns; rows lie ldx and ldy elements apart.
template <class Space, class T>
void copy_block(Space const& space, index_t rows, index_t columns, T const* x, index_t ldx, T* y, index_t ldy) {
  for_each_row(space, rows, detail::copy_block_body<T>{columns, ldx, ldy, x, y}, static_cast<double>(columns));
}

}  // namespace pleat::compute
