// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compute/math.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <limits>

namespace {

using namespace pleat::compute;

/// |got - exact| in units of the last place of the float nearest to exact (subnormals: of the smallest subnormal).
double ulps(float got, double exact) {
  float const nearest = static_cast<float>(exact);
  if (std::isinf(nearest) || nearest == 0.0f) return got == nearest ? 0 : std::abs(got - exact) / 0x1p-149;
  int e;
  std::frexp(std::abs(nearest), &e);
  return std::abs(static_cast<double>(got) - exact) / std::ldexp(1.0, std::max(e - 24, -149));
}

/// The worst error over every `stride`-th float of [from, to] in magnitude order, both signs where asked.
template <class F, class G>
double worst(float from, float to, F f, G exact, bool negative, std::uint32_t stride = 911) {
  double most = 0;
  for (std::uint32_t u = math::bits(from); u <= math::bits(to); u += stride)
    for (int sign = 0; sign < (negative ? 2 : 1); ++sign) {
      float const x = sign ? -math::from_bits(u) : math::from_bits(u);
      double const e = ulps(f(x), exact(static_cast<double>(x)));
      if (!(e <= most)) most = e;
    }
  return most;
}

}  // namespace

// The bounds are measured over these sweeps (rounded up to the next quarter), against the C library in double, whose
// own error is far below. A sweep visits every 911th float, a prime, so that mantissas vary.
TEST_CASE("exp, log, tanh, sigmoid, erf and the normal distribution in float keep their bounds", "[compute][math]") {
  double const e = worst(
      1e-30f, 104.5f, [](float x) { return math::exp(x); }, [](double x) { return std::exp(x); }, true);
  double const l = worst(
      1e-45f, 3e38f, [](float x) { return math::log(x); }, [](double x) { return std::log(x); }, false);
  double const t = worst(
      1e-45f, 30.f, [](float x) { return math::tanh(x); }, [](double x) { return std::tanh(x); }, true);
  double const s = worst(
      1e-30f, 104.f, [](float x) { return math::sigmoid(x); }, [](double x) { return 1 / (1 + std::exp(-x)); }, true);
  double const r = worst(
      1e-36f, 12.f, [](float x) { return math::erf(x); }, [](double x) { return std::erf(x); }, true);
  double const n = worst(
      1e-30f, 12.f, [](float x) { return math::normal_cdf(x); },
      [](double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }, false);
  double const m = worst(
      1e-30f, 5.f, [](float x) { return math::normal_cdf(x); },
      [](double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }, true);
  CAPTURE(e, l, t, s, r, n, m);
  CHECK(e <= 1);
  CHECK(l <= 1);
  CHECK(t <= 1.25);
  CHECK(s <= 2.5);
  CHECK(r <= 1);
  CHECK(n <= 1.25);
  // below zero the rounding of |x|/sqrt 2 (half a unit) is magnified by the condition number x·φ/Φ ≈ x²: 25 at 5
  CHECK(m <= 30);
}

TEST_CASE("the edges of the number line are what the C library says", "[compute][math]") {
  float const inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  CHECK(math::exp(0.0f) == 1.0f);
  CHECK(math::exp(-inf) == 0.0f);
  CHECK(math::exp(inf) == inf);
  CHECK(math::exp(88.72f) < inf);
  CHECK(math::exp(88.73f) == inf);
  CHECK(math::log(0.0f) == -inf);
  CHECK(math::log(-0.0f) == -inf);
  CHECK(math::log(1.0f) == 0.0f);
  CHECK(math::log(inf) == inf);
  CHECK(std::isnan(math::log(-1.0f)));
  CHECK(std::isnan(math::log(-1e-40f)));
  CHECK(std::isnan(math::log(-inf)));
  CHECK(math::tanh(inf) == 1.0f);
  CHECK(math::tanh(-inf) == -1.0f);
  CHECK(std::signbit(math::tanh(-0.0f)));
  CHECK(math::sigmoid(inf) == 1.0f);
  CHECK(math::sigmoid(-inf) == 0.0f);
  CHECK(math::erf(inf) == 1.0f);
  CHECK(math::erf(-inf) == -1.0f);
  CHECK(math::normal_cdf(inf) == 1.0f);
  CHECK(math::normal_cdf(-inf) == 0.0f);
  CHECK(math::normal_cdf(0.0f) == 0.5f);
  for (float const x : {nan, -nan}) {
    CHECK(std::isnan(math::exp(x)));
    CHECK(std::isnan(math::log(x)));
    CHECK(std::isnan(math::tanh(x)));
    CHECK(std::isnan(math::sigmoid(x)));
    CHECK(std::isnan(math::erf(x)));
    CHECK(std::isnan(math::normal_cdf(x)));
  }
  CHECK(math::is_finite(3.0f));
  CHECK_FALSE(math::is_finite(inf));
  CHECK_FALSE(math::is_finite(static_cast<double>(nan)));
}

TEST_CASE("fma rounds once", "[compute][math]") {
  float const a = 1.0f + 0x1p-12f;  // a² = 1 + 2^-11 + 2^-24
  CHECK(pleat::compute::fma(a, a, -(1.0f + 0x1p-11f)) == 0x1p-24f);
  double const b = 1.0 + 0x1p-27;
  CHECK(pleat::compute::fma(b, b, -(1.0 + 0x1p-26)) == 0x1p-54);
}
