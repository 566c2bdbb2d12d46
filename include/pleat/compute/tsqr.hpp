// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Decompositions of a matrix whose rows are spread over ranks: nobody gathers it. QR of the local rows, then of two
/// triangles at a time up a tree: J. Demmel, L. Grigori, M. Hoemmen, J. Langou, "Communication-optimal parallel and
/// sequential QR and LU factorizations", SIAM J. Sci. Comput. 34, 2012. Messages are n·n numbers, log₂(ranks) deep.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <pleat/comm/communicator.hpp>
#include <pleat/compute/qr.hpp>
#include <pleat/compute/svd.hpp>

namespace pleat::compute {

namespace detail {
/// R of rows that are stacked; zeros are added where there are fewer rows than columns.
[[nodiscard]] inline std::vector<double> triangle_of(index_t n, std::span<double const> upper,
                                                     std::span<double const> lower) {
  index_t const rows = static_cast<index_t>(upper.size() + lower.size()) / n, height = std::max(rows, n);
  std::vector<double> columns(static_cast<std::size_t>(height * n), 0.0);
  for (index_t i = 0; i < rows; ++i) {
    double const* const from =
        static_cast<std::size_t>(i * n) < upper.size() ? upper.data() + i * n : lower.data() + i * n - upper.size();
    for (index_t j = 0; j < n; ++j) columns[static_cast<std::size_t>(j * height + i)] = from[j];
  }
  return qr_of_columns(height, n, std::move(columns), false).r;
}
}  // namespace detail

/// R [n, n] with RᵀR = AᵀA, of the matrix whose rows (in order of rank) are everybody's `rows`: row-major [any, n], on
/// a rank or on all of them fewer than columns, too. The same bits on every rank; for other numbers of ranks it differs
/// by rounding, as sums do. Collective.
/// \throws pleat::error for rows that are not whole
[[nodiscard]] inline std::vector<double> tsqr(comm::communicator& ranks, index_t n, std::span<double const> rows) {
  if (n < 1 || static_cast<index_t>(rows.size()) % n != 0)
    throw error{"compute::tsqr", std::to_string(rows.size()) + " numbers are no rows of " + std::to_string(n),
                "Give every rank whole rows of n numbers, with n of 1 or more"};
  auto r = detail::triangle_of(n, rows, {});
  int const me = ranks.rank(), size = ranks.size(), tag = comm::tags::triangles;
  for (int step = 1; step < size; step *= 2) {
    if (me % (2 * step) == step) {
      ranks.send(r, me - step, tag);
      break;
    }
    if (me + step >= size) continue;
    std::vector<double> other(r.size());
    ranks.receive(other, me + step, tag);
    r = detail::triangle_of(n, r, other);
  }
  if (size > 1) ranks.broadcast(r);
  return r;
}

/// Singular values and right singular vectors of such a matrix, the same bits on every rank. U's local rows are
/// `rows`·Vᵀ/s. `u` is left empty.
/// \param m how many rows there are on all ranks together
/// \throws pleat::error for rows that are not whole, and on every rank for more of them than m
[[nodiscard]] inline thin_svd svd_of_rows(comm::communicator& ranks, index_t m, index_t n, std::span<double const> rows,
                                          svd_solver solver = svd) {
  auto r_of_all = tsqr(ranks, n, rows);
  index_t const found = ranks.all_reduce_value(static_cast<index_t>(rows.size()) / n);
  if (found > m)
    throw error{"compute::svd_of_rows", "the ranks have " + std::to_string(found) + " rows, m is " + std::to_string(m),
                "Say as m how many rows there are on all ranks together"};
  auto f = solver(n, n, std::move(r_of_all));
  index_t const r = std::min(m, n);
  f.s.resize(static_cast<std::size_t>(r));
  f.v.resize(static_cast<std::size_t>(r * n));
  return {m, n, r, {}, std::move(f.s), std::move(f.v)};
}

}  // namespace pleat::compute
