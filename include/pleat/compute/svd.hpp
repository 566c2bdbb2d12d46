// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Singular value decompositions on the host, in double and in a fixed order: the whole one, and a randomised one for
/// few values of a large matrix. Needs no Kokkos and no LAPACK (which has a door of its own, lapack.hpp).
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <pleat/base/math.hpp>
#include <pleat/base/random.hpp>
#include <pleat/compute/qr.hpp>

namespace pleat::compute {

/// A = U·diag(s)·Vᵀ, s descending.
struct thin_svd {
  /// of A, and how many singular values: min(m, n), fewer from a solver that was asked for fewer
  index_t m = 0, n = 0, r = 0;
  std::vector<double> u, s, v;  ///< [r, m] (a row per singular vector), [r], [r, n]
};

/// Whatever decomposes a row-major matrix: compute::svd, lapack::svd (lapack.hpp), or the user's.
using svd_solver = thin_svd (*)(index_t m, index_t n, std::span<double const> a);

/// One-sided Jacobi rotations in a fixed order (the same bits for the same compiler; accurate to a few units in the
/// last place of the largest value). Costs about 6·sweeps·m·n². \param a row-major [m, n]
[[nodiscard]] inline thin_svd jacobi_svd(index_t m, index_t n, std::span<double const> a) {
  bool const wide = n > m;  // rotate the rows of the smaller side
  index_t const r = std::min(m, n), length = std::max(m, n);
  std::vector<double> b(static_cast<std::size_t>(r * length)), q(static_cast<std::size_t>(r * r), 0.0);
  for (index_t i = 0; i < r; ++i) {
    q[static_cast<std::size_t>(i * r + i)] = 1;
    for (index_t j = 0; j < length; ++j)
      b[static_cast<std::size_t>(i * length + j)] =
          wide ? a[static_cast<std::size_t>(i * n + j)] : a[static_cast<std::size_t>(j * n + i)];
  }
  auto const dot = [&](index_t i, index_t j) {
    return detail::dot_of(b.data() + i * length, b.data() + j * length, length);
  };
  auto const rotate = [](double* x, double* y, index_t count, double c, double s) {
    for (index_t l = 0; l < count; ++l) {
      double const old = x[l];
      x[l] = c * old - s * y[l];
      y[l] = s * old + c * y[l];
    }
  };
  for (int sweep = 0; sweep < 40; ++sweep) {
    bool turned = false;
    for (index_t i = 0; i + 1 < r; ++i)
      for (index_t j = i + 1; j < r; ++j) {
        double const xx = dot(i, i), yy = dot(j, j), xy = dot(i, j);
        if (std::fabs(xy) <= 1e-15 * std::sqrt(xx * yy) || xy == 0) continue;
        turned = true;
        double const zeta = (yy - xx) / (2 * xy),
                     t = std::copysign(1.0, zeta) / (std::fabs(zeta) + std::sqrt(1 + zeta * zeta)),
                     c = 1 / std::sqrt(1 + t * t);
        rotate(b.data() + i * length, b.data() + j * length, length, c, c * t);
        rotate(q.data() + i * r, q.data() + j * r, r, c, c * t);
      }
    if (!turned) break;
  }
  std::vector<double> norm(static_cast<std::size_t>(r));
  for (index_t i = 0; i < r; ++i) norm[static_cast<std::size_t>(i)] = std::sqrt(dot(i, i));
  std::vector<index_t> order(static_cast<std::size_t>(r));
  std::iota(order.begin(), order.end(), index_t{0});
  std::stable_sort(order.begin(), order.end(), [&](index_t i, index_t j) {
    return norm[static_cast<std::size_t>(i)] > norm[static_cast<std::size_t>(j)];
  });
  thin_svd out{m,  n,
               r,  std::vector<double>(static_cast<std::size_t>(r * m)),
               {}, std::vector<double>(static_cast<std::size_t>(r * n))};
  for (index_t i = 0; i < r; ++i) {
    index_t const from = order[static_cast<std::size_t>(i)];
    double const s = norm[static_cast<std::size_t>(from)];
    out.s.push_back(s);
    double* const lengthy = (wide ? out.v.data() + i * n : out.u.data() + i * m);
    double* const square = (wide ? out.u.data() + i * m : out.v.data() + i * n);
    for (index_t l = 0; l < length; ++l) lengthy[l] = s > 0 ? b[static_cast<std::size_t>(from * length + l)] / s : 0.0;
    for (index_t l = 0; l < r; ++l) square[l] = q[static_cast<std::size_t>(from * r + l)];
  }
  return out;
}

/// All singular values: QR first where one side is longer, then rotations of the small triangle (Z. Drmač, K. Veselić,
/// "New fast and accurate Jacobi SVD algorithm", SIAM J. Matrix Anal. 29, 2008, without its pivoting). \param a
/// row-major [m, n]
[[nodiscard]] inline thin_svd svd(index_t m, index_t n, std::span<double const> a) {
  if (static_cast<index_t>(a.size()) != m * n || m < 1 || n < 1)
    throw error{"compute::svd",
                "expected a matrix of " + std::to_string(m) + " × " + std::to_string(n) + ", found " +
                    std::to_string(a.size()) + " numbers",
                "Hand over a row-major matrix of m·n numbers, with one row and one column at least"};
  bool const wide = n > m;
  index_t const r = std::min(m, n), length = std::max(m, n);
  if (5 * length < 6 * r) return jacobi_svd(m, n, a);
  // The long vectors, r of them: columns of A, or rows where it is wide.
  auto const f = qr_of_columns(length, r, wide ? std::vector<double>(a.begin(), a.end()) : detail::transposed(m, n, a));
  // Rᵀ = U'·s·V'ᵀ, so R = V'·s·U'ᵀ and (Q·V')·s·U'ᵀ is A, or Aᵀ
  auto t = jacobi_svd(r, r, detail::transposed(r, r, f.r));
  std::vector<double> lengthy(static_cast<std::size_t>(r * length), 0.0);
  for (index_t k = 0; k < r; ++k)
    for (index_t i = 0; i < r; ++i)
      detail::add_multiple(t.v[static_cast<std::size_t>(k * r + i)], f.q.data() + i * length,
                           lengthy.data() + k * length, length);
  thin_svd out{m, n, r, {}, std::move(t.s), {}};
  out.u = wide ? std::move(t.u) : std::move(lengthy);
  out.v = wide ? std::move(lengthy) : std::move(t.u);
  return out;
}

/// How close the randomised decomposition comes to the full one (Halko, Martinsson and Tropp, 2011).
struct randomized_options {
  index_t oversampling = 8;  ///< directions more than asked for
  int power_iterations = 2;  ///< each makes the values that are wanted stand out more
  std::uint64_t seed = 0;
  svd_solver solver = svd;  ///< of the small matrix that is left, [rank + oversampling, n]; or compute::lapack::svd
};

/// The largest `rank` singular values, from the matrix's products with a few random vectors: N. Halko, P. Martinsson,
/// J. Tropp, "Finding structure with randomness", SIAM Review 53, 2011. Costs about 4·(1 + power_iterations)·m·n·(rank
/// + oversampling). The same bits for the same seed.
[[nodiscard]] inline thin_svd randomized_svd(index_t m, index_t n, std::span<double const> a, index_t rank,
                                             randomized_options const& o = {}) {
  index_t const most = std::min(m, n);
  if (most < 1)
    throw error{"compute::randomized_svd",
                "expected one row and one column at least, found " + std::to_string(m) + " × " + std::to_string(n),
                "A matrix without numbers has no singular values"};
  if (static_cast<index_t>(a.size()) != m * n)
    throw error{"compute::randomized_svd",
                "expected a matrix of " + std::to_string(m) + " × " + std::to_string(n) + ", found " +
                    std::to_string(a.size()) + " numbers",
                "Hand over a row-major matrix of m·n numbers"};
  if (rank < 1 || rank > most)
    throw error{"compute::randomized_svd",
                "rank " + std::to_string(rank) + " of a matrix of " + std::to_string(m) + " × " + std::to_string(n) +
                    ", expected 1 to " + std::to_string(most),
                "Choose a rank up to the smaller extent of the matrix"};
  if (o.oversampling < 0 || o.power_iterations < 0)
    throw error{"compute::randomized_svd", "oversampling and power_iterations must not be negative",
                "Leave them at 8 and 2"};
  index_t const k = std::min(most, rank + o.oversampling);
  random::stream const draw(o.seed, random::hash("compute::randomized_svd"));
  std::vector<double> right(static_cast<std::size_t>(k * n)), left(static_cast<std::size_t>(k * m));
  for (std::size_t i = 0; i < right.size(); ++i) {  // normal numbers, Box and Muller
    double const x = (static_cast<double>(draw.bits(2 * i)) + 1) * 0x1p-32,
                 y = static_cast<double>(draw.bits(2 * i + 1)) * 0x1p-32;
    right[i] = std::sqrt(-2 * std::log(x)) * std::cos(6.283185307179586 * y);
  }
  auto const forward = [&] {  // left = A·right
    for (index_t j = 0; j < k; ++j)
      for (index_t i = 0; i < m; ++i)
        left[static_cast<std::size_t>(j * m + i)] = detail::dot_of(a.data() + i * n, right.data() + j * n, n);
    left = qr_of_columns(m, k, std::move(left)).q;
  };
  auto const back = [&] {  // right = Aᵀ·left
    std::fill(right.begin(), right.end(), 0.0);
    for (index_t j = 0; j < k; ++j)
      for (index_t i = 0; i < m; ++i)
        detail::add_multiple(left[static_cast<std::size_t>(j * m + i)], a.data() + i * n, right.data() + j * n, n);
  };
  forward();
  for (int p = 0; p < o.power_iterations; ++p) {
    back();
    right = qr_of_columns(n, k, std::move(right)).q;
    forward();
  }
  back();  // B = leftᵀ·A [k, n]
  auto const b = o.solver(k, n, right);
  thin_svd out{m,
               n,
               rank,
               std::vector<double>(static_cast<std::size_t>(rank * m), 0.0),
               {b.s.begin(), b.s.begin() + rank},
               {b.v.begin(), b.v.begin() + rank * n}};
  for (index_t c = 0; c < rank; ++c)
    for (index_t j = 0; j < k; ++j)
      detail::add_multiple(b.u[static_cast<std::size_t>(c * k + j)], left.data() + j * m, out.u.data() + c * m, m);
  return out;
}

}  // namespace pleat::compute
