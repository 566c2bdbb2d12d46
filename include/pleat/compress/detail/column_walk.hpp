// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The walk over the columns of a weight that SparseGPT makes: a column loses some of its elements, and what that does
/// to the outputs is made good by the columns that follow. On the host, in double.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include <pleat/base/math.hpp>
#include <pleat/compress/detail/lowest.hpp>
#include <pleat/compute/cholesky.hpp>
#include <pleat/compute/for_each.hpp>
#include <pleat/compute/gemm.hpp>

namespace pleat::compress::detail {

/// One row within a block of columns: dead elements become zero, the rest of the row makes up for them.
struct compensate_row_body {
  double* w;           // [rows, columns], at the block's first column
  double const* u;     // at (first, first) of the block
  double* error;       // [rows, block]
  std::uint8_t* dead;  // [rows, block]
  index_t columns, block;
  int n, m;  // m = 0: `dead` is known; else it is chosen here, group by group
  PLEAT_INLINE void operator()(index_t r) const {
    double* const row = w + r * columns;
    std::uint8_t* const gone = dead + r * block;
    for (index_t i = 0; i < block; ++i) {
      if (m > 0 && i % m == 0) {
        int alive = 0;
        for (int j = 0; j < m; ++j) alive += gone[i + j] ? 0 : 1;
        for (; alive > n; --alive) {
          int lowest = -1;
          double least = 0;
          for (int j = 0; j < m; ++j) {
            double const d = u[(i + j) * columns + (i + j)], score = row[i + j] * row[i + j] / (d * d);
            if (gone[i + j] || (lowest >= 0 && !(score < least))) continue;
            lowest = j;
            least = score;
          }
          gone[i + lowest] = 1;
        }
      }
      double const e = gone[i] ? row[i] / u[i * columns + i] : 0.0;
      error[r * block + i] = -e;
      if (!gone[i]) continue;
      row[i] = 0;
      for (index_t j = i + 1; j < block; ++j) row[j] = compute::fma(-e, u[i * columns + j], row[j]);
    }
  }
};

/// What the walk is told.
struct column_walk {
  double sparsity = 0.5;
  int n = 0, m = 0;  ///< m > 0: of every m columns n stay
  index_t block_size = 128;
};

/// The candidate of columns [begin, end) with the scores w²/U_ii²; what is dead is dead.
[[nodiscard]] inline candidate<double> column_scores(index_t rows, index_t columns, index_t begin, index_t end,
                                                     index_t first_row, index_t all_rows, double const* w,
                                                     double const* u, std::uint8_t const* dead) {
  index_t const block = end - begin;
  candidate<double> c;
  c.whole = extents{all_rows, block};
  c.box = index_box(c.whole);
  c.box[0] = {first_row, first_row + rows};
  c.values.assign(static_cast<std::size_t>(rows * block), 0.0);
  c.scores.resize(c.values.size());
  c.bits.assign(static_cast<std::size_t>(codec::detail::bit_bytes(rows * block)), 0xff);
  for (index_t r = 0; r < rows; ++r)
    for (index_t j = 0; j < block; ++j) {
      double const x = w[r * columns + begin + j], d = u[(begin + j) * columns + begin + j];
      c.scores[static_cast<std::size_t>(r * block + j)] = x * x / (d * d);
      if (dead[r * columns + begin + j]) c.remove(r * block + j);
    }
  return c;
}

/// Prunes w [rows, columns] (this rank's rows of `all_rows`, from first_row on) along U, the upper factor of the
/// inverse of Σ x·xᵀ. `dead` [rows, columns]: what is gone already, and afterwards all that is: of the whole weight
/// exactly round(sparsity·n), unless more were dead. How many go in each block of columns is what one threshold on
/// w²/U_ii² for the whole weight says at the beginning (inputs differ: a block of pixels that are always black can lose
/// nearly all); which ones, the lowest w²/U_ii² of all rows when their block's turn comes. Frantar and Alistarh,
/// "SparseGPT", arXiv:2301.00774, with blocks of equal shares there.
/// \param sum adds counts up over the ranks that hold the other rows
template <class Space, class Sum>
void walk_columns(Space const& space, column_walk const& how, index_t rows, index_t columns, index_t first_row,
                  index_t all_rows, double* w, double const* u, std::uint8_t* dead, Sum&& sum) {
  index_t const most = how.m > 0 ? std::max<index_t>(how.m, how.block_size / how.m * how.m) : how.block_size;
  std::vector<double> error(static_cast<std::size_t>(rows * std::min(most, columns)));
  std::vector<std::uint8_t> gone(error.size());
  auto const lowest = [&](index_t begin, index_t end, index_t goes) {
    std::vector<candidate<double>> one{column_scores(rows, columns, begin, end, first_row, all_rows, w, u, dead)};
    std::vector<rivals> groups(1);
    groups[0].runs.push_back({0, 0, one[0].size()});
    groups[0].goes = goes;
    remove_lowest(one, std::span<rivals const>(groups), sum);
    return std::move(one[0]);
  };
  std::vector<std::int64_t> due(static_cast<std::size_t>((columns + most - 1) / most), 0);
  if (how.m == 0) {
    std::vector<std::int64_t> were(1, 0);
    for (index_t i = 0; i < rows * columns; ++i) were[0] += dead[i];
    sum(were);
    auto const all = lowest(
        0, columns, std::max<index_t>(were[0], std::llround(how.sparsity * static_cast<double>(all_rows * columns))));
    for (index_t i = 0; i < all.size(); ++i) due[static_cast<std::size_t>(i % columns / most)] += all.alive(i) ? 0 : 1;
    sum(due);
  }
  for (index_t begin = 0; begin < columns; begin += most) {
    index_t const block = std::min(most, columns - begin), end = begin + block;
    if (how.m == 0) {
      auto const c = lowest(begin, end, due[static_cast<std::size_t>(begin / most)]);
      for (index_t i = 0; i < rows * block; ++i) gone[static_cast<std::size_t>(i)] = c.alive(i) ? 0 : 1;
    } else {
      for (index_t r = 0; r < rows; ++r) std::copy_n(dead + r * columns + begin, block, gone.begin() + r * block);
    }
    compute::for_each_row(space, rows,
                          compensate_row_body{w + begin, u + begin * columns + begin, error.data(), gone.data(),
                                              columns, block, how.n, how.m},
                          static_cast<double>(block * block));
    for (index_t r = 0; r < rows; ++r) std::copy_n(gone.begin() + r * block, block, dead + r * columns + begin);
    if (end == columns || rows == 0) continue;
    compute::gemm_arguments<double> g;
    g.m = rows, g.n = columns - end, g.k = block;
    g.a = error.data(), g.lda = block;
    g.b = u + begin * columns + end, g.ldb = columns;
    g.c = w + end, g.ldc = columns, g.accumulate = true;
    compute::gemm(space, g);
  }
}

}  // namespace pleat::compress::detail
