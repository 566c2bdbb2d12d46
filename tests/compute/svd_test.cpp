// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compute/svd.hpp>
#include <pleat/compute/tsqr.hpp>

#ifdef PLEAT_TEST_LAPACK
#include <pleat/compute/lapack.hpp>
#endif

#include <pleat/comm/local.hpp>
#include <pleat/comm/self.hpp>
#include <pleat/tensor/index_set.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <limits>

namespace {

namespace compute = pleat::compute;
using pleat::index_t;
using matrix = std::vector<double>;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

matrix drawn(index_t m, index_t n, std::uint64_t seed) {
  pleat::random::stream const s(seed, 1);
  matrix a(static_cast<std::size_t>(m * n));
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = 2 * static_cast<double>(s.uniform(i)) - 1;
  return a;
}
/// Σ σ_i x_i y_iᵀ with σ_i = ratio^i: known singular values up to the vectors' angles, which QR makes right.
matrix falling(index_t m, index_t n, index_t rank, double ratio) {
  auto const x = compute::qr_of_columns(m, rank, drawn(rank, m, 3)).q,
             y = compute::qr_of_columns(n, rank, drawn(rank, n, 4)).q;
  matrix a(static_cast<std::size_t>(m * n), 0.0);
  double sigma = 1;
  for (index_t k = 0; k < rank; ++k, sigma *= ratio)
    for (index_t i = 0; i < m; ++i)
      for (index_t j = 0; j < n; ++j)
        a[static_cast<std::size_t>(i * n + j)] +=
            sigma * x[static_cast<std::size_t>(k * m + i)] * y[static_cast<std::size_t>(k * n + j)];
  return a;
}
double norm(matrix const& a) {
  double s = 0;
  for (double v : a) s += v * v;
  return std::sqrt(s);
}
/// max |X·Xᵀ − 1| of vectors as rows.
double crooked(matrix const& rows, index_t count, index_t length) {
  double worst = 0;
  for (index_t i = 0; i < count; ++i)
    for (index_t j = 0; j <= i; ++j) {
      double s = 0;
      for (index_t l = 0; l < length; ++l)
        s += rows[static_cast<std::size_t>(i * length + l)] * rows[static_cast<std::size_t>(j * length + l)];
      worst = std::max(worst, std::fabs(s - (i == j ? 1 : 0)));
    }
  return worst;
}
double rest(matrix a, compute::thin_svd const& f) {
  for (index_t k = 0; k < f.r; ++k)
    for (index_t i = 0; i < f.m; ++i)
      for (index_t j = 0; j < f.n; ++j)
        a[static_cast<std::size_t>(i * f.n + j)] -= f.s[static_cast<std::size_t>(k)] *
                                                    f.u[static_cast<std::size_t>(k * f.m + i)] *
                                                    f.v[static_cast<std::size_t>(k * f.n + j)];
  return norm(a);
}
constexpr double eps = std::numeric_limits<double>::epsilon();

void check(compute::thin_svd const& f, matrix const& a) {
  double const size = static_cast<double>(f.m + f.n);
  // Backward stable: the rest and the angles are a small multiple of (m + n)·ε.
  CHECK(rest(a, f) <= 4 * size * eps * norm(a));
  CHECK(crooked(f.u, f.r, f.m) <= 4 * size * eps);
  CHECK(crooked(f.v, f.r, f.n) <= 4 * size * eps);
  CHECK(std::is_sorted(f.s.rbegin(), f.s.rend()));
}

}  // namespace

TEST_CASE("QR gives back the matrix, with orthogonal columns and a diagonal that is not negative", "[compute][qr]") {
  for (auto const& [m, n] : {std::pair<index_t, index_t>{1, 1}, {5, 5}, {40, 7}, {129, 64}}) {
    auto a = drawn(n, m, 7);                                  // by columns
    if (n > 3) std::copy_n(a.begin(), m, a.begin() + 2 * m);  // a column twice: R is singular
    auto const f = compute::qr_of_columns(m, n, a);
    CHECK(crooked(f.q, n, m) <= 4 * static_cast<double>(m + n) * eps);
    matrix back = a;
    for (index_t j = 0; j < n; ++j) {
      CHECK(f.r[static_cast<std::size_t>(j * n + j)] >= 0);
      for (index_t i = 0; i <= j; ++i)
        for (index_t l = 0; l < m; ++l)
          back[static_cast<std::size_t>(j * m + l)] -=
              f.r[static_cast<std::size_t>(i * n + j)] * f.q[static_cast<std::size_t>(i * m + l)];
    }
    CHECK(norm(back) <= 4 * static_cast<double>(m + n) * eps * norm(a));
    CHECK(compute::qr_of_columns(m, n, a, false).r == f.r);
  }
  auto const zero = compute::qr_of_columns(4, 2, matrix(8, 0.0));
  CHECK(crooked(zero.q, 2, 4) == 0);
  CHECK_THROWS_MATCHES(compute::qr_of_columns(2, 3, matrix(6)), pleat::error,
                       MessageMatches(ContainsSubstring("at least as many rows as columns, found 2 × 3")));
}

TEST_CASE("the singular values of tall, wide, square, singular and zero matrices", "[compute][svd]") {
  for (auto const& [m, n] :
       {std::pair<index_t, index_t>{1, 1}, {1, 9}, {9, 1}, {20, 20}, {60, 17}, {17, 60}, {33, 30}}) {
    auto const a = drawn(m, n, 5);
    check(compute::svd(m, n, a), a);
    auto const direct = compute::jacobi_svd(m, n, a), by_qr = compute::svd(m, n, a);
    for (std::size_t i = 0; i < direct.s.size(); ++i)
      CHECK(std::fabs(direct.s[i] - by_qr.s[i]) <= 4 * static_cast<double>(m + n) * eps * direct.s[0]);
  }
  auto const a = falling(50, 30, 6, 0.1);
  auto const f = compute::svd(50, 30, a);
  for (int i = 0; i < 6; ++i) CHECK(std::fabs(f.s[static_cast<std::size_t>(i)] - std::pow(0.1, i)) <= 400 * eps);
  CHECK(f.s[6] <= 400 * eps);
  CHECK(compute::svd(3, 40, matrix(120, 0.0)).s == matrix{0, 0, 0});
  CHECK_THROWS_MATCHES(compute::svd(2, 3, matrix(5)), pleat::error,
                       MessageMatches(ContainsSubstring("found 5 numbers")));
}

TEST_CASE("the randomised solver finds the large values, the same bits for the same seed", "[compute][svd]") {
  auto const a = falling(120, 80, 40, 0.7);
  auto const f = compute::randomized_svd(120, 80, a, 10);
  // With two power iterations what is missed shrinks by (σ_19/σ_10)^4 = 0.7^36.
  for (int i = 0; i < 10; ++i)
    CHECK(std::fabs(f.s[static_cast<std::size_t>(i)] - std::pow(0.7, i)) <= 1e-5 * std::pow(0.7, i));
  double tail = 0;
  for (int i = 10; i < 40; ++i) tail += std::pow(0.49, i);
  CHECK(rest(a, f) <= 1.001 * std::sqrt(tail));  // Eckart and Young: nobody can have less than √tail
  CHECK(rest(a, f) >= 0.999 * std::sqrt(tail));
  CHECK(compute::randomized_svd(120, 80, a, 10).u == f.u);
  CHECK(compute::randomized_svd(120, 80, a, 10, {.seed = 1}).u != f.u);
  check(compute::randomized_svd(7, 5, drawn(7, 5, 1), 5), drawn(7, 5, 1));  // all of them
  static int asked;
  asked = 0;
  auto const g =
      compute::randomized_svd(120, 80, a, 10, {.solver = [](index_t m, index_t n, std::span<double const> b) {
                                asked += m == 18 && n == 80;  // what is left: the rank and eight more
                                return compute::svd(m, n, b);
                              }});
  CHECK((asked == 1 && g.u == f.u && g.s == f.s && g.v == f.v));
  CHECK_THROWS_MATCHES(compute::randomized_svd(7, 5, drawn(7, 5, 1), 6), pleat::error,
                       MessageMatches(ContainsSubstring("rank 6 of a matrix of 7 × 5, expected 1 to 5")));
  CHECK_THROWS_MATCHES(compute::randomized_svd(7, 5, drawn(7, 4, 1), 3), pleat::error,
                       MessageMatches(ContainsSubstring("expected a matrix of 7 × 5, found 28 numbers")));
}

TEST_CASE("rows over 1, 2, 3 and 4 ranks decompose as one matrix does", "[compute][tsqr]") {
  for (auto const& [m, n] : {std::pair<index_t, index_t>{90, 12}, {10, 12}, {3, 5}}) {
    auto const a = drawn(m, n, 9);
    auto const whole = compute::svd(m, n, a);
    for (int const ranks : {1, 2, 3, 4}) {
      std::vector<compute::thin_svd> found(static_cast<std::size_t>(ranks));
      pleat::comm::run_local(ranks, [&, m = m, n = n](pleat::comm::communicator c) {
        auto const mine = pleat::block_range(m, c.size(), c.rank());
        found[static_cast<std::size_t>(c.rank())] =
            compute::svd_of_rows(c, m, n,
                                 std::span<double const>(a).subspan(static_cast<std::size_t>(mine.begin * n),
                                                                    static_cast<std::size_t>(mine.size() * n)));
      });
      double const bound = 8 * static_cast<double>(m + n) * eps;
      for (auto const& f : found) {
        CHECK(f.v == found[0].v);  // the same bits on every rank
        REQUIRE(f.s.size() == whole.s.size());
        for (std::size_t i = 0; i < f.s.size(); ++i) CHECK(std::fabs(f.s[i] - whole.s[i]) <= bound * whole.s[0]);
        // U = A·V/s completes the decomposition.
        auto full = f;
        full.u.assign(static_cast<std::size_t>(f.r * m), 0.0);
        for (index_t k = 0; k < f.r; ++k)
          for (index_t i = 0; i < m; ++i)
            for (index_t j = 0; j < n; ++j)
              full.u[static_cast<std::size_t>(k * m + i)] += a[static_cast<std::size_t>(i * n + j)] *
                                                             f.v[static_cast<std::size_t>(k * n + j)] /
                                                             f.s[static_cast<std::size_t>(k)];
        CHECK(rest(a, full) <= bound * norm(a));
      }
    }
  }
}

TEST_CASE("rows that are not whole, or are more than there are to be, are refused; one row or none will do",
          "[compute][tsqr]") {
  pleat::comm::communicator c{pleat::comm::self{}};
  matrix const seven(7, 1.0);
  for (index_t const n : {index_t{3}, index_t{0}, index_t{-7}})
    CHECK_THROWS_MATCHES(
        compute::tsqr(c, n, seven), pleat::error,
        MessageMatches(ContainsSubstring("compute::tsqr: 7 numbers are no rows of " + std::to_string(n)) &&
                       ContainsSubstring("whole rows of n numbers, with n of 1 or more")));
  for (index_t const m : {index_t{6}, index_t{-1}})
    CHECK_THROWS_MATCHES(compute::svd_of_rows(c, m, 1, seven), pleat::error,
                         MessageMatches(ContainsSubstring("compute::svd_of_rows: the ranks have 7 rows, m is " +
                                                          std::to_string(m) + ". Say as m")));
  CHECK_THROWS_MATCHES(compute::svd_of_rows(c, 7, 0, seven), pleat::error,
                       MessageMatches(ContainsSubstring("7 numbers are no rows of 0")));
  auto const r = compute::tsqr(c, 7, seven);  // of one row: that row, then zeros
  REQUIRE(r.size() == 49);
  for (std::size_t i = 0; i < 49; ++i) CHECK(std::fabs(r[i]) == (i < 7 ? 1.0 : 0.0));
  CHECK(compute::tsqr(c, 2, {}) == matrix(4, 0.0));
  CHECK(compute::svd_of_rows(c, 0, 2, {}).s.empty());
}

#ifdef PLEAT_TEST_LAPACK
TEST_CASE("a workspace that LAPACK cannot count is refused with the extents", "[compute][svd]") {
  CHECK(compute::lapack::detail::workspace(3, 4, 117.0) == 117);
  CHECK(compute::lapack::detail::workspace(3, 4, 0.0) == 1);
  CHECK_THROWS_WITH(compute::lapack::detail::workspace(24000, 24000, 2.3e9),
                    Catch::Matchers::ContainsSubstring("a matrix of 24000 × 24000 asks for a workspace"));
}
#endif

TEST_CASE("LAPACK agrees where there is one", "[compute][svd][lapack]") {
#ifdef PLEAT_TEST_LAPACK
  for (auto const& [m, n] : {std::pair<index_t, index_t>{20, 20}, {60, 17}, {17, 60}}) {
    auto const a = drawn(m, n, 5);
    auto const f = compute::lapack::svd(m, n, a), own = compute::svd(m, n, a);
    check(f, a);
    for (std::size_t i = 0; i < own.s.size(); ++i)
      CHECK(std::fabs(own.s[i] - f.s[i]) <= 4 * static_cast<double>(m + n) * eps * own.s[0]);
  }
#else
  SKIP("this machine has no LAPACK to compare with: install liblapack-dev");
#endif
}
