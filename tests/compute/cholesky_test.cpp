// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compute/cholesky.hpp>

#include <catch2/generators/catch_generators.hpp>

#include <cmath>
#include <limits>
#include <vector>

#include "vector_support.hpp"

namespace {
using namespace vector_support;
namespace compute = pleat::compute;

using matrix = std::vector<double>;

double& at(matrix& a, index_t n, index_t i, index_t j) { return a[static_cast<std::size_t>(i * n + j)]; }
double at(matrix const& a, index_t n, index_t i, index_t j) { return a[static_cast<std::size_t>(i * n + j)]; }

/// Σ x·xᵀ of 2n rows, plus a ridge: condition number below 10⁴.
matrix positive(index_t n, std::uint64_t seed) {
  pleat::random::stream const s(seed, 7);
  matrix a(static_cast<std::size_t>(n * n)), x(static_cast<std::size_t>(2 * n * n));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = s.uniform(i) * 2 - 1;
  for (index_t i = 0; i < n; ++i)
    for (index_t j = 0; j < n; ++j) {
      double sum = i == j ? 0.05 * static_cast<double>(n) : 0.0;
      for (index_t r = 0; r < 2 * n; ++r)
        sum += x[static_cast<std::size_t>(r * n + i)] * x[static_cast<std::size_t>(r * n + j)];
      at(a, n, i, j) = sum;
    }
  return a;
}

/// max |P − Q| over the matrix.
double distance(matrix const& p, matrix const& q) {
  double most = 0;
  for (std::size_t i = 0; i < p.size(); ++i) most = std::max(most, std::abs(p[i] - q[i]));
  return most;
}
matrix product(index_t n, matrix const& a, bool ta, matrix const& b, bool tb) {
  matrix c(static_cast<std::size_t>(n * n));
  for (index_t i = 0; i < n; ++i)
    for (index_t j = 0; j < n; ++j) {
      double sum = 0;
      for (index_t k = 0; k < n; ++k)
        sum += (ta ? at(a, n, k, i) : at(a, n, i, k)) * (tb ? at(b, n, j, k) : at(b, n, k, j));
      at(c, n, i, j) = sum;
    }
  return c;
}

// Entries of A are below n; a backward error of n·2⁻⁵³ times the trace (≤ n²), over a condition number below 10⁴,
// leaves 10⁻⁸ generous up to n = 300.
constexpr double tolerance = 1e-8;
}  // namespace

TEST_CASE("the factor times its transpose is the matrix, and its bits are those of the textbook's three loops",
          "[compute][cholesky]") {
  index_t const n = GENERATE(1, 2, 7, 63, 64, 65, 130, 300);
  auto const a = positive(n, 3);
  auto l = a;
  for (index_t i = 0; i < n; ++i)
    for (index_t j = i + 1; j < n; ++j) at(l, n, i, j) = 1e300;  // is not read
  REQUIRE(compute::cholesky(instance(2), n, l.data(), n) == -1);
  auto simple = a;
  for (index_t i = 0; i < n; ++i)
    for (index_t j = 0; j <= i; ++j) {
      double sum = at(simple, n, i, j);
      for (index_t t = 0; t < j; ++t) sum = std::fma(-at(simple, n, i, t), at(simple, n, j, t), sum);
      at(simple, n, i, j) = i == j ? std::sqrt(sum) : sum / at(simple, n, j, j);
    }
  for (index_t i = 0; i < n; ++i)
    for (index_t j = 0; j < n; ++j) {
      if (j > i) at(l, n, i, j) = 0;
      else if (at(l, n, i, j) != at(simple, n, i, j)) FAIL("element " << i << ", " << j << ": other bits");
    }
  CHECK(distance(product(n, l, false, l, true), a) <= tolerance);
}

TEST_CASE("the inverse, and the upper factor of the inverse", "[compute][cholesky]") {
  index_t const n = GENERATE(1, 2, 7, 64, 65, 130);
  auto const a = positive(n, 5);
  matrix one(a.size()), inverse(a.size()), u(a.size());
  for (index_t i = 0; i < n; ++i) at(one, n, i, i) = 1;
  auto scratch = a;
  REQUIRE(compute::cholesky_inverse(instance(1), n, scratch.data(), inverse.data()) == -1);
  CHECK(distance(product(n, a, false, inverse, false), one) <= tolerance);
  scratch = a;
  REQUIRE(compute::upper_factor_of_inverse(instance(1), n, scratch.data(), u.data()) == -1);
  for (index_t i = 0; i < n; ++i)
    for (index_t j = 0; j < i; ++j) REQUIRE(at(u, n, i, j) == 0);
  CHECK(distance(product(n, u, true, u, false), inverse) <= tolerance);
  auto again = a;
  matrix v(a.size());
  REQUIRE(compute::upper_factor_of_inverse(instance(2), n, again.data(), v.data()) == -1);
  CHECK((u == v));  // whatever the threads
}

TEST_CASE("a matrix that is not positive definite is told by its row", "[compute][cholesky]") {
  index_t const n = 100;
  auto a = positive(n, 9);
  index_t const bad = GENERATE(0, 63, 64, 99);
  double const pivot = GENERATE(-1.0, 0.0, std::numeric_limits<double>::quiet_NaN());
  at(a, n, bad, bad) = pivot;
  auto l = a, u = a;
  CHECK(compute::cholesky(instance(1), n, l.data(), n) == bad);
  matrix out(a.size());
  CHECK(compute::upper_factor_of_inverse(instance(1), n, u.data(), out.data()) == bad);
}
