// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compute/norm.hpp>

#include <catch2/catch_template_test_macros.hpp>

#include <cmath>
#include <limits>

#include "vector_support.hpp"

namespace {

using namespace vector_support;
namespace compute = pleat::compute;
using compute::lanes;
using compute::norm_shape;

lanes cut_into(int count, index_t rows) {
  lanes l;
  l.count = count;
  for (int i = 0; i <= count; ++i) l.row[static_cast<std::size_t>(i)] = rows * i / count;
  return l;
}

/// One whole forward pass; returns Σ weight·y, a scalar to differentiate.
double objective(index_t batch, norm_shape s, guarded<double> const& x, lanes const& cut, guarded<double> const& gamma,
                 guarded<double> const& beta, guarded<double> const& weight) {
  guarded<double> m(s.channels * cut.count), v(s.channels * cut.count), y(x.size());
  compute::batch_norm_statistics(instance(1), s, x.data(), cut, m.data(), v.data());
  compute::batch_norm_forward(instance(1), batch, s, x.data(), cut, m.data(), v.data(), 1e-5, gamma.data(), beta.data(),
                              y.data());
  double total = 0;
  for (index_t i = 0; i < y.size(); ++i) total += weight[i] * y[i];
  return total;
}

}  // namespace

TEMPLATE_TEST_CASE("statistics are those of each lane, with the same bits on any number of threads", "[compute][norm]",
                   float, double) {
  using T = TestType;
  for (index_t const pixels : {1, 9, 64})
    for (int const count : {1, 4}) {
      index_t const batch = 37;
      norm_shape const s{5, pixels};
      auto const x = numbers<T>(batch * 5 * pixels, 1, 2, 4);
      auto const cut = cut_into(count, batch);
      guarded<T> m(5 * count), v(5 * count), m2(5 * count), v2(5 * count);
      compute::batch_norm_statistics(instance(1), s, x.data(), cut, m.data(), v.data());
      compute::batch_norm_statistics(instance(2), s, x.data(), cut, m2.data(), v2.data());
      CHECK((m.same_bits(m2) && v.same_bits(v2) && m.intact() && v.intact()));
      for (int l = 0; l < count; ++l)
        for (index_t c = 0; c < 5; ++c) {
          double mean = 0, var = 0;
          double const n = static_cast<double>((cut.end(l) - cut.begin(l)) * pixels);
          for (index_t r = cut.begin(l); r < cut.end(l); ++r)
            for (index_t p = 0; p < pixels; ++p) mean += static_cast<double>(x[(r * 5 + c) * pixels + p]) / n;
          for (index_t r = cut.begin(l); r < cut.end(l); ++r)
            for (index_t p = 0; p < pixels; ++p)
              var += std::pow(static_cast<double>(x[(r * 5 + c) * pixels + p]) - mean, 2) / n;
          // at most 37 + 2 + 5 roundings of a sum of one sign (mean ≤ 4); a wrong mean by δ adds δ² and 2·4·ε terms to
          // the variance
          double const eps = std::numeric_limits<T>::epsilon();
          CHECK(std::abs(m[l * 5 + c] - mean) <= 44 * 4 * eps / 2);
          CHECK(std::abs(v[l * 5 + c] - var) <= 50 * eps);
        }
    }
}

TEST_CASE("normalised channels have mean beta and deviation gamma; inference takes the running statistics",
          "[compute][norm]") {
  index_t const batch = 20, pixels = 16;
  norm_shape const s{3, pixels};
  auto x = numbers<double>(batch * 3 * pixels, 2, -3, 7);
  guarded<double> gamma(3), beta(3), m(3), v(3), y(x.size());
  for (index_t c = 0; c < 3; ++c) gamma[c] = 1.0 + static_cast<double>(c), beta[c] = -static_cast<double>(c);
  auto const whole = lanes::whole(batch);
  compute::batch_norm_statistics(instance(1), s, x.data(), whole, m.data(), v.data());
  compute::batch_norm_forward(instance(2), batch, s, x.data(), whole, m.data(), v.data(), 0.0, gamma.data(),
                              beta.data(), y.data());
  guarded<double> m2(3), v2(3);
  compute::batch_norm_statistics(instance(1), s, y.data(), whole, m2.data(), v2.data());
  for (index_t c = 0; c < 3; ++c) {
    CHECK(std::abs(m2[c] - beta[c]) < 1e-13);
    CHECK(std::abs(v2[c] - gamma[c] * gamma[c]) < 1e-13);
  }
  guarded<double> running_m(3, 1.0), running_v(3, 2.0);
  compute::batch_norm_update_running(instance(1), 3, 320, 0.1, m.data(), v.data(), running_m.data(), running_v.data());
  for (index_t c = 0; c < 3; ++c) {
    CHECK(std::abs(running_m[c] - (0.9 + 0.1 * m[c])) < 1e-14);
    CHECK(std::abs(running_v[c] - (1.8 + 0.1 * v[c] * 320 / 319)) < 1e-14);
  }
  compute::batch_norm_forward(instance(1), batch, s, x.data(), whole, running_m.data(), running_v.data(), 1e-3,
                              gamma.data(), beta.data(), x.data());
  CHECK(x.intact());
  CHECK(y.intact());
}

TEST_CASE("the gradients of batch normalisation are those of differences, per lane", "[compute][norm]") {
  for (index_t const pixels : {1, 4})
    for (int const count : {1, 2}) {
      index_t const batch = 10;
      norm_shape const s{2, pixels};
      auto x = numbers<double>(batch * 2 * pixels, 3);
      auto const weight = numbers<double>(x.size(), 4);
      auto gamma = numbers<double>(2, 5, 0.5, 1.5), beta = numbers<double>(2, 6);
      auto const cut = cut_into(count, batch);
      index_t const k = 2 * count;
      guarded<double> m(k), v(k), a(k), b(k), dx(x.size()), dgamma(2), dbeta(2);
      auto const space = instance(1);
      compute::batch_norm_statistics(space, s, x.data(), cut, m.data(), v.data());
      compute::batch_norm_backward_sums(space, s, x.data(), weight.data(), cut, m.data(), v.data(), 1e-5, a.data(),
                                        b.data());
      compute::batch_norm_backward(space, batch, s, x.data(), weight.data(), cut, m.data(), v.data(), 1e-5,
                                   gamma.data(), a.data(), b.data(), static_cast<double const*>(nullptr), dx.data());
      compute::fold_lanes(space, count, 2, a.data(), dbeta.data());
      compute::fold_lanes(space, count, 2, b.data(), dgamma.data());
      // 4th-order differences with step h: truncation ~ h⁴·f⁽⁵⁾ ~ 1e-12·1e3, rounding ~ 1e-15·10/h
      double const h = 1e-3;
      auto const slope = [&](double& at) {
        double const old = at;
        auto const f = [&](double d) {
          at = old + d;
          double const r = objective(batch, s, x, cut, gamma, beta, weight);
          at = old;
          return r;
        };
        return (8 * (f(h) - f(-h)) - (f(2 * h) - f(-2 * h))) / (12 * h);
      };
      for (index_t i = 0; i < x.size(); ++i) CHECK(std::abs(dx[i] - slope(x[i])) < 1e-7);
      for (index_t c = 0; c < 2; ++c) {
        CHECK(std::abs(dgamma[c] - slope(gamma[c])) < 1e-7);
        CHECK(std::abs(dbeta[c] - slope(beta[c])) < 1e-7);
      }
    }
}
