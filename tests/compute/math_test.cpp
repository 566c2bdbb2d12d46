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

/// The worst error over every 911th float of [from, to] in magnitude order, both signs where asked, and at `at`.
template <class F, class G> double worst(float from, float to, F f, G exact, bool negative, float at = 1.0f) {
  constexpr std::uint32_t stride = 911;
  double most = ulps(f(at), exact(static_cast<double>(at)));
  for (std::uint32_t u = math::bits(from); u <= math::bits(to); u += stride)
    for (int sign = 0; sign < (negative ? 2 : 1); ++sign) {
      float const x = sign ? -math::from_bits(u) : math::from_bits(u);
      double const e = ulps(f(x), exact(static_cast<double>(x)));
      if (!(e <= most)) most = e;
    }
  return most;
}

}  // namespace

// The bounds of exp, log, tanh, sigmoid and erf are the largest errors over all floats, every one of which was visited
// once (0.9876, 0.8316, 1.3303, 2.8250 and 1.1043 units against the C library in double, whose own error is far below),
// rounded up to the next quarter: roundings that depend on each other have no bound as sharp by derivation. Here a sweep
// visits every 911th float, a prime, so that mantissas vary, and the one where the error is largest.
TEST_CASE("exp, log, tanh, sigmoid, erf and the normal distribution in float keep their bounds", "[compute][math]") {
  double const e = worst(
      1e-30f, 104.5f, [](float x) { return math::exp(x); }, [](double x) { return std::exp(x); }, true, 0x1.da3336p+5f);
  double const l = worst(
      1e-45f, 3e38f, [](float x) { return math::log(x); }, [](double x) { return std::log(x); }, false, 0x1.697dc8p+0f);
  double const t = worst(
      1e-45f, 30.f, [](float x) { return math::tanh(x); }, [](double x) { return std::tanh(x); }, true, 0x1.41b1cap-1f);
  double const s = worst(
      1e-30f, 104.f, [](float x) { return math::sigmoid(x); }, [](double x) { return 1 / (1 + std::exp(-x)); }, true,
      -0x1.f4495ep+0f);
  double const r = worst(
      1e-36f, 12.f, [](float x) { return math::erf(x); }, [](double x) { return std::erf(x); }, true, 0x1.0614a2p+0f);
  double const n = worst(
      1e-30f, 12.f, [](float x) { return math::normal_cdf(x); },
      [](double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }, false);
  double const m = worst(
      1e-30f, 5.f, [](float x) { return math::normal_cdf(x); },
      [](double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }, true);
  auto const gelu = [](float x) { return math::gelu(x); };
  auto const exact_gelu = [](double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); };
  double const g = worst(1e-30f, 12.f, gelu, exact_gelu, false), h = worst(1e-30f, 5.f, gelu, exact_gelu, true);
  CAPTURE(e, l, t, s, r, n, m, g, h);
  CHECK(e <= 1);
  CHECK(l <= 1);
  CHECK(t <= 1.5);
  CHECK(s <= 3);
  CHECK(r <= 1.25);
  // above zero 1 − Φ(−x) in units of 2^-24: 1/2 by its own rounding, 1/4 by the fit, whose 3e-8·(1 + x²) of Φ(−x) are
  // most at 0, and 1/4 each by three roundings of what is at most 1/2
  CHECK(n <= 1.5);
  // below zero the rounding of x² (2^-24 of it) is magnified by the exponent x²/2: 12.5 units at -5; log2(e) as a
  // float is off by 1.3e-8 of itself, which the same exponent magnifies: 3; the fit is allowed an error of
  // 3e-8·(1 + x²): 13; and two roundings
  CHECK(m <= 30);
  CHECK(g <= 2);
  CHECK(h <= 30);
}

TEST_CASE("GELU's tail fades to zero, and its slope with it", "[compute][math]") {
  // What the scaling makes of numbers below 2^-126 is at most that far off, times |x|; what is above has 192 units of
  // 2^-24 (x²/2 by the rounding of x², 1.3e-8·x²/2 by log2(e) as a float, and 3e-8·(1 + x²) by the fit: at 13, 85, 19
  // and 86; and two roundings).
  double most = 0;
  float before = 0;
  bool falls = true;
  for (float x = -20; x < -5; x += 0x1p-10f) {
    float slope;
    float const y = math::gelu(x, slope), cdf = math::normal_cdf(x);
    double const exact = 0.5 * std::erfc(-x / std::sqrt(2.0));
    most = std::max(most, (std::abs(cdf - exact) - 0x1p-126) / (exact + 0x1p-149) / 0x1p-24);
    most = std::max(most, (std::abs(y - x * exact) - 14 * 0x1p-126) / (-x * exact + 0x1p-149) / 0x1p-24);
    falls = falls && y <= before && slope <= 0 && (x > -14 || slope == 0);
    before = y;
    if (math::bits(y) != math::bits(math::gelu(x))) falls = false;
  }
  CAPTURE(most);
  CHECK(most <= 192);
  CHECK(falls);
  CHECK(before < -1e-6f);
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
  float slope;
  CHECK(math::gelu(inf) == inf);
  CHECK(math::gelu(-inf) == 0.0f);
  CHECK(math::gelu(-1e30f, slope) == 0.0f);
  CHECK(slope == 0.0f);
  CHECK(math::gelu(1e30f, slope) == 1e30f);
  CHECK(slope == 1.0f);
  CHECK(std::signbit(math::gelu(-0.0f, slope)));
  CHECK(slope == 0.5f);
  for (float const x : {nan, -nan}) {
    CHECK(std::isnan(math::exp(x)));
    CHECK(std::isnan(math::log(x)));
    CHECK(std::isnan(math::tanh(x)));
    CHECK(std::isnan(math::sigmoid(x)));
    CHECK(std::isnan(math::erf(x)));
    CHECK(std::isnan(math::normal_cdf(x)));
    CHECK(std::isnan(math::gelu(x, slope)));
    CHECK(std::isnan(slope));
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
