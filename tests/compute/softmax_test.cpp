// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compute/softmax.hpp>

#include <catch2/catch_template_test_macros.hpp>

#include <cmath>
#include <limits>

#include "vector_support.hpp"

namespace {

using namespace vector_support;
namespace compute = pleat::compute;

template <class T> std::vector<double> exact_softmax(T const* x, index_t n, double* log_sum = nullptr) {
  double m = -std::numeric_limits<double>::infinity(), s = 0;
  for (index_t j = 0; j < n; ++j) m = std::max(m, static_cast<double>(x[j]));
  std::vector<double> p(static_cast<std::size_t>(n));
  for (index_t j = 0; j < n; ++j) s += p[static_cast<std::size_t>(j)] = std::exp(static_cast<double>(x[j]) - m);
  for (auto& v : p) v /= s;
  if (log_sum != nullptr) *log_sum = m + std::log(s);
  return p;
}

}  // namespace

TEMPLATE_TEST_CASE("softmax and cross entropy agree with their definitions", "[compute][softmax]", float, double) {
  using T = TestType;
  double const eps = std::numeric_limits<T>::epsilon();
  for (index_t const classes : {1, 2, 10, 32, 33, 1000})
    for (index_t const rows : {0, 1, 9, 3000}) {
      if (rows * classes > 100000 && classes > 33) continue;
      auto const x = numbers<T>(rows * classes, 1, -20, 20);
      guarded<std::int32_t> labels(rows);
      for (index_t r = 0; r < rows; ++r) labels[r] = static_cast<std::int32_t>((r * 7) % classes);
      guarded<T> y(rows * classes), d(rows * classes), loss(rows), d1(rows * classes), loss1(rows);
      int bad = 0;
      T const scale = T(1) / T(64);
      compute::softmax_rows(instance(2), rows, classes, x.data(), classes, y.data(), classes);
      compute::cross_entropy(instance(2), rows, classes, x.data(), labels.data(), scale, d.data(), loss.data(), &bad);
      compute::cross_entropy(instance(1), rows, classes, x.data(), labels.data(), scale, d1.data(), loss1.data(), &bad);
      CHECK(bad == 0);
      CHECK((d.same_bits(d1) && loss.same_bits(loss1)));
      CHECK((y.intact() && d.intact() && loss.intact()));
      double worst_y = 0, worst_d = 0, worst_loss = 0;
      for (index_t r = 0; r < rows; ++r) {
        double log_sum = 0;
        auto const p = exact_softmax(x.data() + r * classes, classes, &log_sum);
        for (index_t j = 0; j < classes; ++j) {
          double const e = p[static_cast<std::size_t>(j)], g = (e - (j == labels[r])) * scale;
          worst_y = std::max(worst_y, std::abs(y[r * classes + j] - e));
          worst_d = std::max(worst_d, std::abs(d[r * classes + j] - g));
        }
        double const exact = log_sum - static_cast<double>(x[r * classes + labels[r]]);
        worst_loss = std::max(worst_loss, std::abs(loss[r] - exact));
      }
      // x - max ≤ 40 is rounded to 40·ε/2, which is the relative error of an exponential; then exp (1 ε), at most
      // classes/32 + 5 additions and two products: absolute error below (20 + 1 + 37 + 2)·ε, and probabilities are ≤ 1
      double const bound = 60 * eps;
      CHECK(worst_y <= bound);
      CHECK(worst_d <= bound * scale);
      CHECK(worst_loss <= bound + 40 * eps);
    }
}

TEST_CASE("the gradient may overwrite the logits", "[compute][softmax]") {
  auto x = numbers<float>(7 * 43, 3);
  guarded<float> d(7 * 43);
  std::int32_t const labels[7] = {0, 42, 1, -1, 40, 3, 31};
  compute::cross_entropy(instance(1), 7, 43, x.data(), labels, 1.0f, d.data(), static_cast<float*>(nullptr), nullptr);
  compute::cross_entropy(instance(1), 7, 43, x.data(), labels, 1.0f, x.data(), static_cast<float*>(nullptr), nullptr);
  CHECK(x.same_bits(d));
}

TEST_CASE("negative labels are ignored, labels out of range are counted", "[compute][softmax]") {
  auto const x = numbers<float>(5 * 3, 4);
  std::int32_t const labels[5] = {-1, 3, 2, -100, 1 << 30};
  guarded<float> d(15, 9.0f), loss(5, 9.0f);
  int bad = 40;
  compute::cross_entropy(instance(1), 5, 3, x.data(), labels, 1.0f, d.data(), loss.data(), &bad);
  CHECK(bad == 42);
  for (index_t r = 0; r < 5; ++r) {
    CHECK((loss[r] == 0) == (r != 2));
    for (index_t j = 0; j < 3; ++j) CHECK((d[r * 3 + j] == 0) == (r != 2));
  }
}

TEST_CASE("large, infinite and NaN logits", "[compute][softmax]") {
  float const inf = std::numeric_limits<float>::infinity();
  guarded<float> x(9), d(9), loss(3);
  float const rows[9] = {3e38f, -3e38f, 0, /**/ -inf, 1, 2, /**/ 0, std::nanf(""), 0};
  std::int32_t const labels[3] = {0, 2, 0};
  for (index_t i = 0; i < 9; ++i) x[i] = rows[i];
  compute::cross_entropy(instance(1), 3, 3, x.data(), labels, 1.0f, d.data(), loss.data(), nullptr);
  CHECK(loss[0] == 0);
  CHECK((d[0] == 0 && d[1] == 0 && d[2] == 0));
  CHECK(d[3] == 0);
  CHECK(std::abs(loss[1] - std::log(1 + std::exp(-1.0))) < 1e-6);
  CHECK(std::isnan(loss[2]));
}

TEMPLATE_TEST_CASE("mean square and its gradient", "[compute][softmax]", float, double) {
  using T = TestType;
  for (index_t const columns : {1, 31, 32, 100}) {
    index_t const rows = 1500;
    auto const y = numbers<T>(rows * columns, 5), t = numbers<T>(rows * columns, 6);
    guarded<T> d(rows * columns), loss(rows), d1(rows * columns), loss1(rows);
    compute::mean_square(instance(2), rows, columns, y.data(), t.data(), T(0.5), d.data(), loss.data());
    compute::mean_square(instance(1), rows, columns, y.data(), t.data(), T(0.5), d1.data(), loss1.data());
    CHECK((d.same_bits(d1) && loss.same_bits(loss1) && d.intact() && loss.intact()));
    double worst = 0;
    bool exact = true;
    for (index_t r = 0; r < rows; ++r) {
      double s = 0;
      for (index_t j = 0; j < columns; ++j) {
        index_t const i = r * columns + j;
        exact = exact && d[i] == y[i] - t[i];
        s += std::pow(static_cast<double>(y[i]) - static_cast<double>(t[i]), 2);
      }
      worst = std::max(worst, std::abs(loss[r] - s) / s);
    }
    CHECK(exact);
    CHECK(worst <=
          12 * std::numeric_limits<T>::epsilon());  // (1 + 4 + 5 roundings)·ε/2 of terms of one sign, and 2·ε/2 of each
  }
}
