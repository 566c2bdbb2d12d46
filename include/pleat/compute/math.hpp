// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Scalar functions without branches, so that loops over them vectorise, with the same bits on every instruction set.
/// The float forms are our own (their largest errors over all floats are in math_test.cpp); the double forms are the C
/// library's. Needs no Kokkos.
///
/// Coefficients: minimax fits (Lawson's reweighted least squares) of the functions named beside them.
#pragma once

#include <cstdint>

#include <pleat/base/config.hpp>
#include <pleat/base/math.hpp>

namespace pleat::compute {

/// a·b + c rounded once. Kernels say it wherever a product feeds a sum: contraction is the compiler's whim.
PLEAT_INLINE float fma(float a, float b, float c) noexcept {
#if defined(__CUDA_ARCH__) || defined(__HIP_DEVICE_COMPILE__)
  return ::fmaf(a, b, c);
#else
  return __builtin_fmaf(a, b, c);
#endif
}
PLEAT_INLINE double fma(double a, double b, double c) noexcept {
#if defined(__CUDA_ARCH__) || defined(__HIP_DEVICE_COMPILE__)
  return ::fma(a, b, c);
#else
  return __builtin_fma(a, b, c);
#endif
}

/// Names that an activation uses; in their own namespace, so that `using namespace pleat::compute` does not clash with
/// libm.
namespace math {

PLEAT_INLINE std::uint32_t bits(float x) noexcept { return __builtin_bit_cast(std::uint32_t, x); }
PLEAT_INLINE float from_bits(std::uint32_t u) noexcept { return __builtin_bit_cast(float, u); }
PLEAT_INLINE float absolute(float x) noexcept { return from_bits(bits(x) & 0x7fffffffu); }
PLEAT_INLINE double absolute(double x) noexcept {
  return __builtin_bit_cast(double, __builtin_bit_cast(std::uint64_t, x) & 0x7fffffffffffffffull);
}
PLEAT_INLINE float with_sign_of(float magnitude, float x) noexcept {
  return from_bits(bits(magnitude) | (bits(x) & 0x80000000u));
}
PLEAT_INLINE bool is_finite(float x) noexcept { return (bits(x) & 0x7f800000u) != 0x7f800000u; }
PLEAT_INLINE bool is_finite(double x) noexcept {
  return (__builtin_bit_cast(std::uint64_t, x) & 0x7ff0000000000000ull) != 0x7ff0000000000000ull;
}

/// e^x. Gradual underflow, +inf above 88.72, NaN stays NaN.
PLEAT_INLINE float exp(float x) noexcept {
  x = x < -104.0f ? -104.0f : x;                            // e^-104 rounds to 0
  x = x > 89.0f ? 89.0f : x;                                // e^89 overflows
  float const shifted = fma(x, 0x1.715476p+0f, 0x1.8p23f);  // round(x / ln 2) in the low bits
  float const n = shifted - 0x1.8p23f;
  float r = fma(n, -0x1.62e400p-1f, x);  // ln 2 = 0x1.62e4p-1 + 0x1.7f7d1cp-20 …: the first product is exact
  r = fma(n, -0x1.7f7d1cp-20f, r);
  // (e^r - 1 - r) / r² on |r| ≤ ln 2 / 2
  float p = 0.000197902977f;
  p = fma(p, r, 0.00139447034f);
  p = fma(p, r, 0.00833349768f);
  p = fma(p, r, 0.0416662954f);
  p = fma(p, r, 0.166666657f);
  p = fma(p, r, 0.5f);
  p = fma(r * r, p, r) + 1.0f;
  // 2^n in two factors, because n reaches 128 and -150
  std::uint32_t const k = bits(shifted) - 0x4b400000u;
  std::uint32_t const half = static_cast<std::uint32_t>(static_cast<std::int32_t>(k) >> 1);
  // the last product is an fma with 0, so that no caller's addition can be contracted with it (it rounds where it is
  // subnormal)
  return fma(p * from_bits((half + 127u) << 23), from_bits((k - half + 127u) << 23), 0.0f);
}
PLEAT_INLINE double exp(double x) noexcept { return std::exp(x); }

/// Natural logarithm. log(0) = -inf, negative arguments give NaN.
PLEAT_INLINE float log(float x) noexcept {
  bool const tiny = x < 0x1p-126f;
  float const scaled = tiny ? x * 0x1p23f : x;
  std::uint32_t const u = bits(scaled) - 0x3f3504f3u;  // mantissa in [sqrt(1/2), sqrt(2))
  float const e = static_cast<float>(static_cast<std::int32_t>(u) >> 23) - (tiny ? 23.0f : 0.0f);
  float const f = from_bits((u & 0x007fffffu) + 0x3f3504f3u) - 1.0f;
  // (log(1+f) - f + f²/2) / f³
  float p = 0.067466408f;
  p = fma(p, f, -0.116756521f);
  p = fma(p, f, 0.11888162f);
  p = fma(p, f, -0.124055892f);
  p = fma(p, f, 0.142195523f);
  p = fma(p, f, -0.166679963f);
  p = fma(p, f, 0.200021192f);
  p = fma(p, f, -0.250000089f);
  p = fma(p, f, 0.333333135f);
  float const f2 = f * f;
  float y = fma(f2 * f, p, e * 0x1.7f7d1cp-20f);
  y = fma(f2, -0.5f, y);
  float r = fma(e, 0x1.62e400p-1f, f + y);
  r = x == 0.0f ? -__builtin_inff() : r;
  r = x < 0.0f ? __builtin_nanf("") : r;
  r = bits(x) >= 0x7f800000u && !(x < 0.0f) && x != 0.0f ? x : r;  // +inf and NaN
  return r;
}
PLEAT_INLINE double log(double x) noexcept { return std::log(x); }

PLEAT_INLINE float tanh(float x) noexcept {
  float const a = absolute(x), z = a * a;
  float p = -0.00543189142f;  // (tanh a - a) / a³ in a², a ≤ 0.66
  p = fma(p, z, 0.0203907229f);
  p = fma(p, z, -0.0536626838f);
  p = fma(p, z, 0.133305132f);
  p = fma(p, z, -0.333332479f);
  float const inner = fma(a * z, p, a);
  float const large = fma(-2.0f, 1.0f / (exp(2.0f * a) + 1.0f), 1.0f);
  return with_sign_of(a < 0.625f ? inner : large, x);
}
PLEAT_INLINE double tanh(double x) noexcept { return std::tanh(x); }

/// 1 / (1 + e^-x), from the side that does not overflow.
PLEAT_INLINE float sigmoid(float x) noexcept {
  float const e = exp(-absolute(x)), d = 1.0f / (1.0f + e);
  return x < 0.0f ? e * d : d;
}
PLEAT_INLINE double sigmoid(double x) noexcept {
  double const e = std::exp(-absolute(x)), d = 1.0 / (1.0 + e);
  return x < 0.0 ? e * d : d;
}

/// The same, and s·(1 − s) without the cancellation in 1 − s.
template <class T> PLEAT_INLINE T sigmoid(T x, T& product) noexcept {
  T const e = exp(-absolute(x)), d = T(1) / (T(1) + e), below = e * d;
  product = below * d;
  return x < T(0) ? below : d;
}

/// erf(a) for 0 ≤ a ≤ 1: a + a·q(a²).
PLEAT_INLINE float erf_small(float a) noexcept {
  float const z = a * a;
  float p = 7.72018029e-05f;  // erf(a)/a - 1
  p = fma(p, z, -0.000797227782f);
  p = fma(p, z, 0.00518431887f);
  p = fma(p, z, -0.026851872f);
  p = fma(p, z, 0.11283543f);
  p = fma(p, z, -0.37612623f);
  p = fma(p, z, 0.128379166f);
  return fma(a, p, a);
}
/// erfc(a) for a ≥ 0.98, relative error a few units.
PLEAT_INLINE float erfc_large(float a) noexcept {
  a = a > 10.2f ? 10.2f : a;  // erfc(10.06) rounds to 0
  float const s = (a - 2.5f) / (a + 1.5f);
  float p = -8.64197355e-05f;  // erfc(a)·exp(a²) in s
  p = fma(p, s, -7.09913584e-05f);
  p = fma(p, s, 0.000607805967f);
  p = fma(p, s, 0.00109059771f);
  p = fma(p, s, -0.00510491617f);
  p = fma(p, s, -0.0114741502f);
  p = fma(p, s, 0.101618543f);
  p = fma(p, s, -0.297389388f);
  p = fma(p, s, 0.21080637f);
  float const h = a * a, low = fma(a, a, -h);  // a² = h + low exactly
  return fma(exp(-h), fma(-low, p, p), 0.0f);  // an fma: `1 - erfc` must not contract
}
PLEAT_INLINE float erf(float x) noexcept {
  float const a = absolute(x);
  float const r = a < 1.0f ? erf_small(a) : 1.0f - erfc_large(a);
  return a != a ? x : with_sign_of(r, x);
}
PLEAT_INLINE double erf(double x) noexcept { return std::erf(x); }

/// |x|, but at most 13.5, where Φ(−a) and exp(−a²/2) have vanished (a NaN becomes 13.5 too). On the bits: compilers
/// carry a bound on floats through all that follows, as a case of its own, and then make no vectors.
PLEAT_INLINE float normal_reach(float x) noexcept {
  std::uint32_t const u = bits(x) & 0x7fffffffu;
  return from_bits(u < 0x41580000u ? u : 0x41580000u);
}

/// The normal distribution's tail as it is computed: Φ(−a) = ratio·(1 + e)·2^n, exp(−a²/2) = (1 + e)·2^n.
struct normal_parts {
  float ratio;      ///< Mills' ratio over √(2π): Φ(−a)·exp(a²/2)
  float e;          ///< of exp(−a²/2)
  std::uint32_t n;  ///< where an exponent lies
  /// y·2^n for y ≥ 0. What would be subnormal goes to zero from 2^-126 at 2^-126 to 0 at 2^-127.
  PLEAT_INLINE float scaled(float y) const noexcept {
    std::int32_t const b = static_cast<std::int32_t>(bits(y) + n);
    return from_bits(static_cast<std::uint32_t>(b < 0 ? 0 : b));
  }
  PLEAT_INLINE float tail() const noexcept { return scaled(fma(ratio, e, ratio)); }  ///< Φ(−a)
  PLEAT_INLINE float bell() const noexcept { return scaled(1.0f + e); }              ///< exp(−a²/2)
  /// \param a in [0, 13.5]
  PLEAT_INLINE explicit normal_parts(float a) noexcept {
    float const u = a / (3.0f + a), v = u - 0.5f;
    float p = 0.0475920439f;  // (1/2 − Φ(−a)·exp(a²/2)) / u in v, where error is allowed to grow as 1 + a²
    p = fma(p, v, 0.0344723351f);
    p = fma(p, v, -0.111476094f);
    p = fma(p, v, -0.0421823971f);
    p = fma(p, v, 0.390868187f);
    p = fma(p, v, -0.688335419f);
    p = fma(p, v, 0.756972075f);
    ratio = fma(-u, p, 0.5f);
    constexpr float per_square = -0x1.715476p-1f;  // −a²/2 as a power of two
    float const square = a * a, shifted = fma(square, per_square, 0x1.8p23f);
    float const f = fma(square, per_square, -(shifted - 0x1.8p23f));
    float q = 0.00015353362f;  // (2^f − 1) / f on |f| ≤ 1/2
    q = fma(q, f, 0.00133988739f);
    q = fma(q, f, 0.00961843692f);
    q = fma(q, f, 0.0555033237f);
    q = fma(q, f, 0.240226477f);
    q = fma(q, f, 0.693147182f);
    e = fma(q, f, 0.0f);  // an fma: 1 + e must not contract
    n = bits(shifted) << 23;
  }
};

/// Φ(x), the normal distribution: accurate in the negative tail too, down to 2^-126.
PLEAT_INLINE float normal_cdf(float x) noexcept {
  float const tail = normal_parts(normal_reach(x)).tail();
  return x != x ? x : x < 0.0f ? tail : 1.0f - tail;
}
/// By the library's erfc.
PLEAT_INLINE double normal_cdf(double x) noexcept { return 0.5 * std::erfc(x * -0.70710678118654752440); }

/// x·Φ(x) as max(x, 0) − |x|·Φ(−|x|): one rounding after the tail's.
PLEAT_INLINE float gelu(float x) noexcept {
  float const a = normal_reach(x);
  return fma(-a, normal_parts(a).tail(), x < 0.0f ? 0.0f : x);
}
/// In double.
PLEAT_INLINE double gelu(double x) noexcept { return x * normal_cdf(x); }

/// The same bits, and the slope Φ(x) + x·φ(x).
PLEAT_INLINE float gelu(float x, float& slope) noexcept {
  float const a = normal_reach(x);
  normal_parts const parts(a);
  float const tail = parts.tail();
  // 1 where the sign is +, without a comparison: two that are alike become branches
  float const step = from_bits(((bits(x) >> 31) - 1u) & 0x3f800000u);
  slope = fma(x * 0.39894228040143267794f, parts.bell(), absolute(step - tail));
  return fma(-a, tail, x < 0.0f ? 0.0f : x);
}
/// In double, with its slope.
PLEAT_INLINE double gelu(double x, double& slope) noexcept {
  double const cdf = normal_cdf(x);
  slope = fma(x * 0.39894228040143267794, exp(-0.5 * x * x), cdf);
  return x * cdf;
}

}  // namespace math

}  // namespace pleat::compute
