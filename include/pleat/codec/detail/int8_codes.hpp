// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The arithmetic of symmetric restricted 8-bit codes: scale = amax/127, code = round(x/scale) in ±127, ties to even.
/// Needs no Kokkos.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>

#include <pleat/base/config.hpp>
#include <pleat/base/math.hpp>
#include <pleat/codec/error_norms.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::codec::detail {

/// The largest bits of a magnitude among n values: at least 0x7f800000 if one is NaN or infinite.
PLEAT_LAZY [[nodiscard]] inline std::uint32_t largest_magnitude_bits(float const* values, index_t n) noexcept {
  std::uint32_t most = 0;
  for (index_t i = 0; i < n; ++i) {
    std::uint32_t u;
    std::memcpy(&u, values + i, 4);
    u &= 0x7fffffffu;
    most = most > u ? most : u;
  }
  return most;
}

/// Largest magnitude of a row, or NaN if one of its values is NaN or infinite.
PLEAT_LAZY [[nodiscard]] inline float finite_amax(std::span<float const> row) noexcept {
  float const amax = std::bit_cast<float>(largest_magnitude_bits(row.data(), static_cast<index_t>(row.size())));
  return std::isfinite(amax) ? amax : std::numeric_limits<float>::quiet_NaN();
}

/// amax/127, mended at both ends of the number line: where the quotient is subnormal it is rounded up, so that no value
/// clips (zero only for amax = 0); where 127·scale would overflow it is rounded down.
PLEAT_LAZY [[nodiscard]] inline float int8_scale(float amax) noexcept {
  float s = amax / 127.0f;
  if (s < std::numeric_limits<float>::min() && static_cast<double>(s) * 127.0 < static_cast<double>(amax))
    s = std::nextafter(s, std::numeric_limits<float>::infinity());
  if (!std::isfinite(s * 127.0f)) s = std::nextafter(s, 0.0f);
  return s;
}

/// The nearest code. The quotient is taken in double: for two floats that is enough for a correctly rounded code, so
/// that
/// |x − scale·code| ≤ scale/2 holds exactly wherever |x| ≤ 127·scale.
PLEAT_LAZY [[nodiscard]] inline std::int8_t int8_code(float x, float scale) noexcept {
  if (scale == 0) return 0;
  double const q = std::nearbyint(static_cast<double>(x) / static_cast<double>(scale));
  return static_cast<std::int8_t>(q > 127 ? 127 : q < -127 ? -127 : q);
}

/// What rows of codes in ±127 times a scale each can be off: half a step, or the way to the end of the range; and the
/// rounding of scale·code to float (a relative 2⁻²⁴, or half the smallest float).
PLEAT_ONCE [[nodiscard]] error_norms predict_int8(index_t columns, std::span<float const> values,
                                                  std::span<float const> scales) {
  error_norms e;
  for (std::size_t i = 0; i < values.size(); ++i) {
    double const s = static_cast<double>(scales[i / static_cast<std::size_t>(columns)]),
                 x = std::fabs(static_cast<double>(values[i]));
    e.add(std::max(s / 2, x - 127 * s) + std::max(127 * s * 0x1p-24, s > 0 ? 0x1p-150 : 0.0));
  }
  return e;
}
PLEAT_COMPILED_ONCE(error_norms predict_int8(index_t columns, std::span<float const> values,
                                             std::span<float const> scales));

}  // namespace pleat::codec::detail
