// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compute/elementwise.hpp>

#include <catch2/catch_template_test_macros.hpp>

#include <cmath>
#include <limits>

#include "vector_support.hpp"

namespace {

using namespace vector_support;
namespace compute = pleat::compute;

struct keep_some {
  pleat::random::stream draw;
  float rate;
  PLEAT_INLINE bool operator()(index_t i) const { return draw.uniform(static_cast<std::uint64_t>(i)) >= rate; }
};

/// The largest |a - b| relative to max(1, |b|).
template <class T, class F> double distance(guarded<T> const& a, F exact) {
  double most = 0;
  for (index_t i = 0; i < a.size(); ++i) {
    double const e = exact(i), d = std::abs(static_cast<double>(a[i]) - e) / std::max(1.0, std::abs(e));
    if (!(d <= most)) most = d;
  }
  return most;
}

}  // namespace

TEMPLATE_TEST_CASE("arithmetic kernels do what they say at every size", "[compute][elementwise]", float, double) {
  using T = TestType;
  for (int const threads : {1, 2})
    for (index_t const n : {0, 1, 3, 64, 131, 300001}) {
      auto const space = instance(threads);
      auto const x = numbers<T>(n, 1), z = numbers<T>(n, 2);
      guarded<T> y(n, T(9)), u = z;
      bool good = true;
      compute::fill(space, n, T(0.5), y.data());
      for (index_t i = 0; i < n; ++i) good = good && y[i] == T(0.5);
      compute::copy(space, n, x.data(), y.data());
      good = good && y.same_bits(x);
      compute::scale(space, n, T(3), x.data(), y.data());
      for (index_t i = 0; i < n; ++i) good = good && y[i] == T(3) * x[i];
      compute::axpy(space, n, T(0.7), x.data(), u.data());
      for (index_t i = 0; i < n; ++i) good = good && u[i] == std::fma(T(0.7), x[i], z[i]);
      compute::add(space, n, x.data(), z.data(), y.data());
      for (index_t i = 0; i < n; ++i) good = good && y[i] == x[i] + z[i];
      compute::multiply(space, n, x.data(), z.data(), y.data());
      for (index_t i = 0; i < n; ++i) good = good && y[i] == x[i] * z[i];
      CHECK(good);
      CHECK((y.intact() && u.intact()));
    }
}

TEMPLATE_TEST_CASE("activations agree with their definitions in double", "[compute][elementwise]", float, double) {
  using T = TestType;
  // Values: relative to max(1, |y|), a handful of roundings of T each (6 ε). Slopes likewise; |x| ≤ 8 magnifies the
  // argument of exp(-x²/2) by up to 32 half-ulps where the density is below 1e-14, so 6 ε stands for them too.
  double const bound = 6 * std::numeric_limits<T>::epsilon();
  auto const cdf = [](double v) { return 0.5 * std::erfc(-v / std::sqrt(2.0)); };
  auto const pdf = [](double v) { return std::exp(-0.5 * v * v) / std::sqrt(2 * 3.14159265358979323846); };
  for (index_t const n : {1, 1001}) {
    auto const space = instance(1);
    auto const x = numbers<T>(n, 1, -8, 8), dy = numbers<T>(n, 2);
    guarded<T> y(n), dx(n);
    compute::gelu(space, n, x.data(), y.data());
    CHECK(distance(y, [&](index_t i) { return x[i] * cdf(x[i]); }) <= bound);
    compute::gelu_backward(space, n, x.data(), dy.data(), dx.data());
    CHECK(distance(dx, [&](index_t i) { return dy[i] * (cdf(x[i]) + x[i] * pdf(x[i])); }) <= bound);
    guarded<T> y2(n), slope(n);
    compute::gelu_with_slope(space, n, x.data(), y2.data(), slope.data());
    CHECK(y2.same_bits(y));
    CHECK(distance(slope, [&](index_t i) { return cdf(x[i]) + x[i] * pdf(x[i]); }) <= bound);
    auto const sigmoid = [](double v) { return 1 / (1 + std::exp(-v)); };
    compute::silu(space, n, x.data(), y.data());
    CHECK(distance(y, [&](index_t i) { return x[i] * sigmoid(x[i]); }) <= bound);
    compute::silu_backward(space, n, x.data(), dy.data(), dx.data());
    auto const silu_slope = [&](double v) { return sigmoid(v) * (1 + v * sigmoid(-v)); };
    CHECK(distance(dx, [&](index_t i) { return dy[i] * silu_slope(x[i]); }) <= bound);
    compute::silu_with_slope(space, n, x.data(), y2.data(), slope.data());
    CHECK(y2.same_bits(y));
    CHECK(distance(slope, [&](index_t i) { return silu_slope(x[i]); }) <= bound);
    // A relative rounding of the argument 2u moves the sigmoid by |2u|·s·(1 − s) < 0.23 of it, x times that stays below
    // 1; the slope's second term, x·2u'·s·(1 − s) < 0.5, takes in |2u| < 6 times its rounding before it vanishes: 3 ε
    // more.
    compute::gelu_tanh(space, n, x.data(), y.data());
    auto const inner = [](double v) { return std::sqrt(2 / 3.14159265358979323846) * (v + 0.044715 * v * v * v); };
    CHECK(distance(y, [&](index_t i) { return x[i] * sigmoid(2 * inner(x[i])); }) <= 2 * bound);
    compute::gelu_tanh_with_slope(space, n, x.data(), y2.data(), slope.data());
    CHECK(y2.same_bits(y));
    auto const tanh_slope = [&](double v) {
      double const z = 2 * inner(v), dz = 2 * std::sqrt(2 / 3.14159265358979323846) * (1 + 3 * 0.044715 * v * v);
      return sigmoid(z) * (1 + v * dz * sigmoid(-z));
    };
    CHECK(distance(slope, [&](index_t i) { return tanh_slope(x[i]); }) <= 2 * bound);
    compute::gelu_tanh_backward(space, n, x.data(), dy.data(), dx.data());
    CHECK(distance(dx, [&](index_t i) { return dy[i] * tanh_slope(x[i]); }) <= 2 * bound);
    CHECK((y2.intact() && slope.intact()));
    compute::tanh_activation(space, n, x.data(), y.data());
    CHECK(distance(y, [&](index_t i) { return std::tanh(double(x[i])); }) <= bound);
    compute::tanh_activation_backward(space, n, y.data(), dy.data(), dx.data());
    CHECK(distance(dx, [&](index_t i) { return dy[i] * (1 - std::pow(double(y[i]), 2)); }) <= bound);
    compute::sigmoid(space, n, x.data(), y.data());
    CHECK(distance(y, [&](index_t i) { return 1 / (1 + std::exp(-double(x[i]))); }) <= bound);
    compute::sigmoid_backward(space, n, y.data(), dy.data(), dx.data());
    CHECK(distance(dx, [&](index_t i) { return dy[i] * double(y[i]) * (1 - double(y[i])); }) <= bound);
    compute::relu(space, n, x.data(), y.data());
    CHECK(distance(y, [&](index_t i) { return x[i] > 0 ? double(x[i]) : 0; }) == 0);
    compute::relu_backward(space, n, y.data(), dy.data(), dx.data());
    CHECK(distance(dx, [&](index_t i) { return x[i] > 0 ? double(dy[i]) : 0; }) == 0);
    CHECK((y.intact() && dx.intact()));
  }
}

TEST_CASE("a NaN does not vanish in an activation", "[compute][elementwise]") {
  guarded<float> x(70, std::numeric_limits<float>::quiet_NaN()), y(70);
  auto const space = instance(1);
  compute::relu(space, 70, x.data(), y.data());
  CHECK((std::isnan(y[0]) && std::isnan(y[69])));
  compute::gelu(space, 70, x.data(), y.data());
  CHECK((std::isnan(y[0]) && std::isnan(y[69])));
}

TEST_CASE("bias goes to columns and to channels", "[compute][elementwise]") {
  index_t const rows = 5, columns = 7, ld = 9;
  auto const bias = numbers<float>(columns, 1);
  auto y = numbers<float>(rows * ld, 2);
  auto const before = y;
  compute::add_bias(instance(1), rows, columns, bias.data(), y.data(), ld);
  for (index_t r = 0; r < rows; ++r)
    for (index_t j = 0; j < ld; ++j) CHECK(y[r * ld + j] == before[r * ld + j] + (j < columns ? bias[j] : 0.0f));
  auto z = numbers<float>(2 * columns * 3, 3);
  auto const old = z;
  compute::add_channel_bias(instance(1), 2, columns, 3, bias.data(), z.data());
  for (index_t i = 0; i < z.size(); ++i) CHECK(z[i] == old[i] + bias[i / 3 % columns]);
}

TEST_CASE("dropout keeps about the asked share, scales it, and draws the same mask again", "[compute][elementwise]") {
  index_t const n = 100000;
  guarded<float> const x(n, 1.0f);
  guarded<float> y(n), z(n);
  keep_some const keep{pleat::random::stream(42, 1), 0.25f};
  compute::dropout(instance(2), n, keep, 1 / 0.75f, x.data(), y.data());
  compute::dropout(instance(1), n, keep, 1 / 0.75f, x.data(), z.data());
  CHECK(y.same_bits(z));
  index_t kept = 0;
  for (index_t i = 0; i < n; ++i) {
    kept += y[i] != 0;
    CHECK((y[i] == 0 || y[i] == 1 / 0.75f));
  }
  // binomial: σ = sqrt(n·0.75·0.25) = 137; six of them
  CHECK(std::abs(static_cast<double>(kept) - 75000) < 6 * 137);
}

TEST_CASE("rows are gathered and bytes normalised", "[compute][elementwise]") {
  index_t const columns = 11;
  auto const x = numbers<float>(6 * 13, 1);
  std::int32_t const index[4] = {5, 0, 0, 3};
  guarded<float> y(4 * columns);
  compute::gather_rows(instance(1), 4, columns, x.data(), 13, index, y.data(), columns);
  for (index_t r = 0; r < 4; ++r)
    for (index_t j = 0; j < columns; ++j) CHECK(y[r * columns + j] == x[index[r] * 13 + j]);
  std::vector<std::uint8_t> bytes(3 * 70);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i);
  guarded<float> f(3 * 70), g(2 * 70);
  compute::normalize(instance(1), 3 * 70, bytes.data(), 1.0f / 255, -0.5f, f.data());
  for (index_t i = 0; i < f.size(); ++i) CHECK(f[i] == std::fma(static_cast<float>(i), 1.0f / 255, -0.5f));
  index_t const pick[2] = {2, 1};
  compute::gather_normalize(instance(1), 2, 70, bytes.data(), pick, 1.0f / 255, -0.5f, g.data());
  for (index_t j = 0; j < 70; ++j) CHECK((g[j] == f[140 + j] && g[70 + j] == f[70 + j]));
  CHECK((y.intact() && f.intact() && g.intact()));
}
