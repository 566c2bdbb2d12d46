// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Cholesky factors of symmetric matrices on the host, in double: the factor, the inverse, and the upper factor of the
/// inverse, which GPTQ and SparseGPT walk along.
///
/// Every element is one chain of fused multiply-adds in ascending order, whatever the blocks and the threads: the same
/// bits on every machine. Needs no LAPACK.
#pragma once

#include <algorithm>
#include <vector>

#include <pleat/base/math.hpp>
#include <pleat/compute/for_each.hpp>
#include <pleat/compute/gemm.hpp>

namespace pleat::compute {

namespace detail {

inline constexpr index_t factor_block = 64;

/// Row i below a factored diagonal block L: x Lᵀ = a, in place.
struct panel_row_body {
  double const* l;   // [block, lda], lower
  double* a;         // row 0 of the panel
  double* negative;  // [rows, block]: −x, what the update of the rest multiplies with
  index_t block, lda;
  PLEAT_INLINE void operator()(index_t i) const {
    double* const row = a + i * lda;
    for (index_t j = 0; j < block; ++j) {
      double sum = row[j];
      for (index_t t = 0; t < j; ++t) sum = fma(-row[t], l[j * lda + t], sum);
      row[j] = sum / l[j * lda + j];
    }
    for (index_t j = 0; j < block; ++j) negative[i * block + j] = -row[j];
  }
};

/// Column j of the rows [0, block) of an inverse: L x = b, in place.
struct forward_solve_body {
  double const* l;  // [block, ldl], lower
  double* x;        // [block, ldx]
  index_t block, ldl, ldx;
  PLEAT_INLINE void operator()(index_t j) const {
    for (index_t r = 0; r < block; ++r) {
      double sum = x[r * ldx + j];
      for (index_t t = 0; t < r; ++t) sum = fma(-l[r * ldl + t], x[t * ldx + j], sum);
      x[r * ldx + j] = sum / l[r * ldl + r];
    }
  }
};

struct negate_rows_body {
  double const* from;
  double* to;
  index_t columns, ld;
  PLEAT_INLINE void operator()(index_t r) const {
    for (index_t j = 0; j < columns; ++j) to[r * columns + j] = -from[r * ld + j];
  }
};

/// The factor of a diagonal block, in place. \returns the first row whose pivot is not positive, or −1
[[nodiscard]] inline index_t factor_diagonal(index_t n, double* a, index_t lda) {
  for (index_t i = 0; i < n; ++i)
    for (index_t j = 0; j <= i; ++j) {
      double sum = a[i * lda + j];
      for (index_t t = 0; t < j; ++t) sum = fma(-a[i * lda + t], a[j * lda + t], sum);
      if (i != j) a[i * lda + j] = sum / a[j * lda + j];
      else if (sum > 0 && std::isfinite(sum)) a[i * lda + i] = std::sqrt(sum);
      else return i;
    }
  return -1;
}

}  // namespace detail

/// A = L·Lᵀ, in place: the lower triangle of a [n, n] (row-major, host memory; what lies above the diagonal is not
/// read) becomes L. \returns −1, or the first row whose pivot is not a positive number: A is not positive definite, and
/// its contents are of no use
template <class Host> [[nodiscard]] index_t cholesky(Host const& space, index_t n, double* a, index_t lda) {
  static_assert(is_host_space_v<Host>,
                "pleat: compute::cholesky works in host memory: hand it an instance of a host space");
  std::vector<double> negative(static_cast<std::size_t>(n * std::min(n, detail::factor_block)));
  for (index_t k = 0; k < n; k += detail::factor_block) {
    index_t const nb = std::min(detail::factor_block, n - k), below = n - k - nb;
    double* const diagonal = a + k * lda + k;
    if (index_t const bad = detail::factor_diagonal(nb, diagonal, lda); bad >= 0) return k + bad;
    if (below == 0) break;
    double* const panel = diagonal + nb * lda;
    for_each_row(space, below, detail::panel_row_body{diagonal, panel, negative.data(), nb, lda},
                 static_cast<double>(nb * nb));
    // What is left, a strip of rows at a time up to its diagonal.
    constexpr index_t strip = 192;
    for (index_t r = 0; r < below; r += strip) {
      index_t const rows = std::min(strip, below - r);
      gemm_arguments<double> g;
      g.m = rows, g.n = r + rows, g.k = nb;
      g.a = negative.data() + r * nb, g.lda = nb;
      g.b = panel, g.ldb = lda, g.tb = transpose::yes;
      g.c = panel + r * lda + nb, g.ldc = lda, g.accumulate = true;
      gemm(space, g);
    }
  }
  return -1;
}

/// X = L⁻¹ of a lower triangle; X is written whole, zeros above the diagonal. X may not be L.
template <class Host>
void invert_lower(Host const& space, index_t n, double const* l, index_t ldl, double* x, index_t ldx) {
  static_assert(is_host_space_v<Host>,
                "pleat: compute::invert_lower works in host memory: hand it an instance of a host space");
  std::vector<double> negative(static_cast<std::size_t>(n * std::min(n, detail::factor_block)));
  for (index_t k = 0; k < n; k += detail::factor_block) {
    index_t const nb = std::min(detail::factor_block, n - k);
    double* const rows = x + k * ldx;
    for (index_t r = 0; r < nb; ++r) std::fill(rows + r * ldx, rows + r * ldx + n, 0.0);
    if (k > 0) {
      for_each_row(space, nb, detail::negate_rows_body{l + k * ldl, negative.data(), k, ldl}, static_cast<double>(k));
      gemm_arguments<double> g;
      g.m = nb, g.n = k, g.k = k;
      g.a = negative.data(), g.lda = k;
      g.b = x, g.ldb = ldx;
      g.c = rows, g.ldc = ldx;
      gemm(space, g);
    }
    for (index_t r = 0; r < nb; ++r) rows[r * ldx + k + r] = 1;
    for_each(space, k + nb, detail::forward_solve_body{l + k * ldl + k, rows, nb, ldl, ldx},
             static_cast<double>(nb * nb));
  }
}

/// A⁻¹ of a symmetric positive definite A, of which the lower triangle is read and overwritten. `inverse` [n, n] is
/// written whole. \returns as cholesky
template <class Host> [[nodiscard]] index_t cholesky_inverse(Host const& space, index_t n, double* a, double* inverse) {
  if (index_t const bad = cholesky(space, n, a, n); bad >= 0) return bad;
  std::vector<double> x(static_cast<std::size_t>(n * n));
  invert_lower(space, n, a, n, x.data(), n);
  gemm_lanes(space, n, n, x.data(), n, x.data(), n, inverse, n, lanes::whole(n));
  return -1;
}

/// U, upper, with A⁻¹ = Uᵀ·U, of a symmetric positive definite A, of which the lower triangle is read and the whole is
/// overwritten. `u` [n, n] is written whole, zeros below the diagonal. One factor and one triangular inverse: with both
/// orders of rows and columns reversed A is M·Mᵀ, and U is M⁻¹ reversed.
/// Row i of U, over its diagonal, is what an error in column i of W costs the columns that follow.
/// \returns −1, or the row of the first pivot that is not positive
template <class Host>
[[nodiscard]] index_t upper_factor_of_inverse(Host const& space, index_t n, double* a, double* u) {
  for (index_t i = 0; i < n; ++i)
    for (index_t j = 0; j <= i; ++j) u[(n - 1 - j) * n + (n - 1 - i)] = a[i * n + j];
  if (index_t const bad = cholesky(space, n, u, n); bad >= 0) return n - 1 - bad;
  invert_lower(space, n, u, n, a, n);
  for (index_t i = 0; i < n; ++i)
    for (index_t j = 0; j < n; ++j) u[i * n + j] = a[(n - 1 - i) * n + (n - 1 - j)];
  return -1;
}

}  // namespace pleat::compute
