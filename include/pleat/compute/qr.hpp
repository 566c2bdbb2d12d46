// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// QR factors of tall matrices on the host, in double: Householder reflections in a fixed order, the same bits on any
/// number of threads. Needs no Kokkos and no LAPACK.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <pleat/base/error.hpp>
#include <pleat/base/math.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::compute {

namespace detail {

/// Eight chains, so that it vectorises in one order.
[[nodiscard]] inline double dot_of(double const* x, double const* y, index_t n) noexcept {
  double sum[8] = {};
  index_t const whole = n / 8 * 8;
  for (index_t i = 0; i < whole; i += 8)
    for (int c = 0; c < 8; ++c) sum[c] += x[i + c] * y[i + c];
  for (index_t i = whole; i < n; ++i) sum[0] += x[i] * y[i];
  return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}
inline void add_multiple(double a, double const* x, double* y, index_t n) noexcept {
  for (index_t i = 0; i < n; ++i) y[i] += a * x[i];
}
/// The rows of a transposed matrix.
[[nodiscard]] inline std::vector<double> transposed(index_t rows, index_t columns, std::span<double const> a) {
  std::vector<double> t(a.size());
  for (index_t i = 0; i < rows; ++i)
    for (index_t j = 0; j < columns; ++j)
      t[static_cast<std::size_t>(j * rows + i)] = a[static_cast<std::size_t>(i * columns + j)];
  return t;
}

}  // namespace detail

/// A = Q·R with QᵀQ = 1 and a diagonal of R that is not negative.
struct thin_qr {
  index_t m = 0, n = 0;   ///< of A, m ≥ n
  std::vector<double> q;  ///< [n, m]: a row per column of Q
  std::vector<double> r;  ///< [n, n], row-major, zeros below the diagonal
};

/// Of a matrix that is given by its columns: columns[j·m + i] is A(i, j). Costs 4·m·n² operations with Q, half of it
/// without. G. Golub, C. Van Loan, Matrix Computations, algorithm 5.2.1. \throws error if there are more columns than
/// rows
[[nodiscard]] inline thin_qr qr_of_columns(index_t m, index_t n, std::vector<double> columns, bool with_q = true) {
  if (n > m || n < 0 || static_cast<index_t>(columns.size()) != m * n)
    throw error{"compute::qr",
                "expected a matrix with at least as many rows as columns, found " + std::to_string(m) + " × " +
                    std::to_string(n) + " in " + std::to_string(columns.size()) + " numbers",
                "Factor the transpose of a wide matrix, and hand over m·n numbers"};
  thin_qr f{m, n, {}, std::vector<double>(static_cast<std::size_t>(n * n), 0.0)};
  auto const column = [&](index_t j) { return columns.data() + j * m; };
  std::vector<double> beta(static_cast<std::size_t>(n), 0.0), diagonal(static_cast<std::size_t>(n), 0.0);
  for (index_t k = 0; k < n; ++k) {
    double* const v = column(k) + k;
    index_t const length = m - k;
    double largest = 0;
    for (index_t i = 0; i < length; ++i) largest = std::max(largest, std::fabs(v[i]));
    if (largest == 0) continue;  // nothing to reflect
    double squares = 0;
    for (index_t i = 0; i < length; ++i) squares += (v[i] / largest) * (v[i] / largest);
    double const norm = largest * std::sqrt(squares), to = v[0] > 0 ? -norm : norm;  // away from cancellation
    diagonal[static_cast<std::size_t>(k)] = to;
    double const head = v[0] - to;
    if (head == 0) continue;  // a zero column below: v is to·e already
    for (index_t i = 1; i < length; ++i) v[i] /= head;
    v[0] = 1;
    beta[static_cast<std::size_t>(k)] = -head / to;
    for (index_t j = k + 1; j < n; ++j) {
      double* const x = column(j) + k;
      detail::add_multiple(-beta[static_cast<std::size_t>(k)] * detail::dot_of(v, x, length), v, x, length);
    }
  }
  for (index_t j = 0; j < n; ++j) {
    for (index_t i = 0; i < j; ++i) f.r[static_cast<std::size_t>(i * n + j)] = column(j)[i];
    f.r[static_cast<std::size_t>(j * n + j)] = diagonal[static_cast<std::size_t>(j)];
  }
  if (with_q) {
    f.q.assign(static_cast<std::size_t>(n * m), 0.0);
    for (index_t j = 0; j < n; ++j) {
      double* const q = f.q.data() + j * m;
      q[j] = 1;
      for (index_t k = std::min(j, n - 1); k >= 0; --k) {
        if (beta[static_cast<std::size_t>(k)] == 0) continue;
        double const* const v = column(k) + k;
        detail::add_multiple(-beta[static_cast<std::size_t>(k)] * detail::dot_of(v, q + k, m - k), v, q + k, m - k);
      }
    }
  }
  for (index_t k = 0; k < n; ++k) {
    if (f.r[static_cast<std::size_t>(k * n + k)] >= 0) continue;
    for (index_t j = k; j < n; ++j)
      f.r[static_cast<std::size_t>(k * n + j)] = -f.r[static_cast<std::size_t>(k * n + j)];
    if (with_q)
      for (index_t i = 0; i < m; ++i)
        f.q[static_cast<std::size_t>(k * m + i)] = -f.q[static_cast<std::size_t>(k * m + i)];
  }
  return f;
}

}  // namespace pleat::compute
