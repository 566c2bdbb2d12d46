// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Rows of a table by token number, with a row per position added, and the gradient of that table.
///
/// Tokens arrive as the network's input, hence in the table's own type: tensor/token.hpp.
#pragma once

#include <cstdint>

#include <pleat/compute/count.hpp>
#include <pleat/compute/detail/scratch.hpp>
#include <pleat/compute/reduce.hpp>
#include <pleat/tensor/token.hpp>

namespace pleat::compute {

namespace detail {

template <class T> struct bad_token_op {
  using value_type = index_t;
  T const* tokens;
  index_t vocabulary;
  PLEAT_INLINE static index_t identity() { return no_bad_label; }
  PLEAT_INLINE index_t step(index_t i, index_t acc) const {
    T const t = tokens[i];
    bool good;
    if constexpr (is_reduced_v<T>) {
      good = token_index(t) < vocabulary;
    } else {
      bool const inside = t >= T(0) && t < static_cast<T>(vocabulary);  // false for NaN
      good = inside && static_cast<T>(static_cast<index_t>(inside ? t : T(0))) == t;
    }
    return combine(acc, good ? no_bad_label : i);
  }
  PLEAT_INLINE static index_t combine(index_t a, index_t b) { return b < a ? b : a; }
};

template <class T> struct embed_body {
  index_t positions, columns;
  T const* tokens;
  source_t<T> table;
  source_t<T> by_position;
  target_t<T> y;
  PLEAT_INLINE void operator()(index_t row) const {
    auto const from = table + token_index(tokens[row]) * columns;
    auto const to = y + row * columns;
    if (by_position != nullptr) {
      auto const add = by_position + row % positions * columns;
      for (index_t j = 0; j < columns; ++j) to[j] = from[j] + add[j];
    } else {
      for (index_t j = 0; j < columns; ++j) to[j] = from[j];
    }
  }
};

/// Host: one token's gradient; `order` holds the rows sorted by token (ascending within one), token v's at
/// start[v] … start[v + 1].
template <class T> struct embed_gradient_body {
  static constexpr int width = chains;
  index_t columns;
  source_t<T> dy;
  std::int32_t const* order;
  std::int32_t const* start;
  wide_t<T>* out;
  lanes cut;
  PLEAT_INLINE void operator()(index_t token) const {
    using W = wide_t<T>;
    std::int32_t const* const rows_end = order + start[token + 1];
    W* const to = out + token * columns;
    bool const onto = cut.accumulate && cut.count == 1;
    if (start[token] == start[token + 1]) {
      if (!onto)
        for (index_t j = 0; j < columns; ++j) to[j] = W(0);
      return;
    }
    for (index_t first = 0; first < columns; first += width) {
      index_t const left = columns - first < width ? columns - first : width;
      W acc[lanes::max_count * width];
      std::int32_t const* row = order + start[token];
      for (int l = 0; l < cut.count; ++l) {
        W* const sum = acc + l * width;
        for (int j = 0; j < width; ++j) sum[j] = W(0);
        if (onto)
          for (index_t j = 0; j < left; ++j) sum[j] = to[first + j];
        for (; row < rows_end && *row < cut.end(l); ++row) {
          auto const d = dy + *row * columns + first;
          if (left == width)
            for (int j = 0; j < width; ++j) sum[j] = sum[j] + d[j];
          else
            for (index_t j = 0; j < left; ++j) sum[j] = sum[j] + d[j];
        }
      }
      fold_lane_tree<width>(acc, cut.count);
      for (index_t j = 0; j < left; ++j) to[first + j] = acc[j];
    }
  }
};

/// Elsewhere: element (row, column) works if its row is the first of its token, and then walks on over that token's
/// rows. The same chains, hence the same bits.
template <class T> struct embed_gradient_portable {
  index_t columns;
  T const* tokens;
  source_t<T> dy;
  wide_t<T>* out;
  lanes cut;
  PLEAT_FUNCTION void operator()(index_t element) const {
    index_t const row = cut.begin(0) + element / columns, column = element % columns;
    using W = wide_t<T>;
    index_t const token = token_index(tokens[row]);
    for (index_t r = cut.begin(0); r < row; ++r)
      if (token_index(tokens[r]) == token) return;
    W* const to = out + token * columns + column;
    W acc[lanes::max_count];
    for (int l = 0; l < cut.count; ++l) {
      W sum = cut.accumulate && cut.count == 1 ? *to : W(0);
      for (index_t r = cut.begin(l) > row ? cut.begin(l) : row; r < cut.end(l); ++r)
        if (token_index(tokens[r]) == token) sum = sum + dy[r * columns + column];
      acc[l] = sum;
    }
    fold_lane_tree<1>(acc, cut.count);
    *to = acc[0];
  }
};
template <class T> struct embed_clear_portable {
  T* out;
  PLEAT_FUNCTION void operator()(index_t i) const { out[i] = T(0); }
};

/// The path for any space (and the oracle of the host's).
template <class Space, class T>
void embed_gradient_on_space(Space const& space, index_t vocabulary, index_t columns, T const* tokens, T const* dy,
                             wide_t<T>* out, lanes const& cut) {
  if (!(cut.accumulate && cut.count == 1))
    loop_portable(space, vocabulary * columns, embed_clear_portable<wide_t<T>>{out});
  if (cut.rows() > 0)
    loop_portable(space, cut.rows() * columns, embed_gradient_portable<T>{columns, tokens, dy, out, cut});
}

struct embed_scratch {};

}  // namespace detail

/// *out = the first row whose token is not a whole number in [0, vocabulary), or compute::no_bad_label.
template <class Space, class T>
void first_bad_token(Space const& space, index_t rows, T const* tokens, index_t vocabulary, index_t* out) {
  detail::reduce(space, rows, detail::bad_token_op<T>{tokens, vocabulary}, out);
}

/// y[r, :] = table[tokens[r], :] + by_position[r mod positions, :]. Tokens are not checked.
/// \param by_position [positions, columns]; may be null
template <class Space, class T>
void embed(Space const& space, index_t rows, index_t positions, index_t columns, T const* tokens, T const* table,
           T const* by_position, T* y) {
  for_each_row(space, rows, detail::embed_body<T>{positions, columns, tokens, table, by_position, y},
               static_cast<double>(columns));
}

/// out[v, :] = Σ of dy[r, :] over the rows r of `cut` whose token is v, in the order that lanes.hpp defines; tokens
/// that do not occur get zero, or stay where the sum goes on from `out`. (The gradient of by_position is a column_sum
/// over samples.)
template <class Space, class T>
void embed_gradient(Space const& space, index_t vocabulary, index_t columns, T const* tokens, T const* dy,
                    wide_t<T>* out, lanes const& cut) {
  if constexpr (is_host_space_v<Space>) {
    // A stable counting sort of the rows by token.
    index_t const first = cut.begin(0), rows = cut.rows();
    auto* const start = static_cast<std::int32_t*>(
        detail::scratch<detail::embed_scratch>(sizeof(std::int32_t) * static_cast<std::size_t>(vocabulary + 2 + rows)));
    std::int32_t* const order = start + vocabulary + 2;
    for (index_t v = 0; v < vocabulary + 2; ++v) start[v] = 0;
    for (index_t r = first; r < first + rows; ++r) ++start[token_index(tokens[r]) + 2];
    for (index_t v = 0; v < vocabulary; ++v) start[v + 2] += start[v + 1];
    for (index_t r = first; r < first + rows; ++r)
      order[start[token_index(tokens[r]) + 1]++] = static_cast<std::int32_t>(r);
    for_each_row(space, vocabulary, detail::embed_gradient_body<T>{columns, dy, order, start, out, cut},
                 static_cast<double>((rows + vocabulary) * columns) / static_cast<double>(vocabulary));
  } else {
    detail::embed_gradient_on_space(space, vocabulary, columns, tokens, dy, out, cut);
  }
}

}  // namespace pleat::compute
