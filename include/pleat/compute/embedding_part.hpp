// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Embedding with a part of the vocabulary: tokens [first, last) have their rows here, the others somewhere else.
#pragma once

#include <pleat/compute/element.hpp>
#include <pleat/compute/for_each.hpp>
#include <pleat/tensor/token.hpp>

namespace pleat::compute {

namespace detail {
template <class T> struct embed_part_body {
  index_t positions, columns, first, last;
  T const* tokens;
  source_t<T> table;
  source_t<T> by_position;
  target_t<T> y;
  PLEAT_INLINE void operator()(index_t row) const {
    using W = wide_t<T>;
    index_t const token = token_index(tokens[row]);
    bool const mine = token >= first && token < last, placed = by_position != nullptr;
    auto const from = table + (mine ? token - first : 0) * columns;
    auto const add = by_position + (placed ? row % positions * columns : 0);
    auto const to = y + row * columns;
    for (index_t j = 0; j < columns; ++j) {
      W const v = mine ? W(from[j]) : W(0);
      to[j] = placed ? v + add[j] : v;
    }
  }
};
template <class T> struct own_tokens_body {
  index_t columns, first, last;
  T const* tokens;
  T const* dy;
  T* own;
  T* masked;
  PLEAT_INLINE void operator()(index_t row) const {
    index_t const token = token_index(tokens[row]);
    bool const mine = token >= first && token < last;
    own[row] = token_value<T>(mine ? token - first : 0);
    for (index_t j = 0; j < columns; ++j) masked[row * columns + j] = mine ? dy[row * columns + j] : T(0);
  }
};
}  // namespace detail

/// y[r, :] = table[tokens[r] − first, :] if first ≤ tokens[r] < last, else 0; then + by_position[r mod positions, :].
/// Summed over the parts of a vocabulary (with by_position on one of them) it is `embed`. \param by_position
/// [positions, columns]; may be null
template <class Space, class T>
void embed_part(Space const& space, index_t rows, index_t positions, index_t columns, index_t first, index_t last,
                T const* tokens, T const* table, T const* by_position, T* y) {
  for_each_row(space, rows, detail::embed_part_body<T>{positions, columns, first, last, tokens, table, by_position, y},
               static_cast<double>(columns));
}

/// What embed_gradient needs for a part of the table: own[r] = tokens[r] − first and masked[r, :] = dy[r, :] where
/// first ≤ tokens[r] < last, else token 0 with a gradient of zero, which adds nothing.
template <class Space, class T>
void own_tokens(Space const& space, index_t rows, index_t columns, index_t first, index_t last, T const* tokens,
                T const* dy, T* own, T* masked) {
  for_each_row(space, rows, detail::own_tokens_body<T>{columns, first, last, tokens, dy, own, masked},
               static_cast<double>(columns));
}

}  // namespace pleat::compute
