// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Integer-only layers: 8-bit codes in, 8-bit codes out, scaled by a fixed-point multiplier; no float between. Needs no
/// Kokkos.
///
/// Source: B. Jacob et al., Quantization and training of neural networks for efficient integer-arithmetic-only
/// inference, 2018, and gemmlowp's documentation: y = zero + M·sum with M = x_scale·w_scale/y_scale as a 31-bit
/// mantissa in [½, 1) and a shift, each step rounded.
#pragma once

#include <cstdint>
#include <limits>
#include <string>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/base/math.hpp>
#include <pleat/base/number_text.hpp>

namespace pleat::codec {

/// A positive real number as mantissa·2^(shift − 31), mantissa in [2³⁰, 2³¹).
struct fixed_multiplier {
  std::int32_t mantissa = 0;
  int shift = 0;  ///< to the left; usually negative
  [[nodiscard]] double value() const noexcept { return std::ldexp(static_cast<double>(mantissa), shift - 31); }
};

/// The nearest fixed_multiplier: relative error at most 2⁻³¹. \throws error unless 0 < m < 2³⁰
[[nodiscard]] inline fixed_multiplier to_fixed(double m) {
  if (!(m > 0) || m >= 0x1p30)
    throw error{"codec::to_fixed",
                "a multiplier of " + pleat::detail::number_text(m) + ", expected a positive number below 2^30",
                "Check the scales of weights and activations"};
  int shift = 0;
  double const fraction = std::frexp(m, &shift);
  auto mantissa = static_cast<std::int64_t>(std::llround(fraction * 0x1p31));
  if (mantissa == std::int64_t{1} << 31) {
    mantissa /= 2;
    ++shift;
  }
  if (shift < -31) return {0, 0};  // below half a code for every 32-bit sum
  return {static_cast<std::int32_t>(mantissa), shift};
}

/// round(a·b / 2³¹), halves up in magnitude for positive products, as gemmlowp's saturating doubling high product; −2³¹
/// · −2³¹ saturates.
PLEAT_FUNCTION std::int32_t doubling_high_product(std::int32_t a, std::int32_t b) noexcept {
  if (a == b && a == std::numeric_limits<std::int32_t>::min()) return std::numeric_limits<std::int32_t>::max();
  std::int64_t const product = static_cast<std::int64_t>(a) * b,
                     nudge = product >= 0 ? std::int64_t{1} << 30 : 1 - (std::int64_t{1} << 30);
  return static_cast<std::int32_t>((product + nudge) / (std::int64_t{1} << 31));
}

/// round(a / 2^e), halves away from zero; 0 ≤ e ≤ 31.
PLEAT_FUNCTION std::int32_t rounding_shift(std::int32_t a, int e) noexcept {
  std::int32_t const mask = static_cast<std::int32_t>((std::int64_t{1} << e) - 1), rest = a & mask,
                     threshold = (mask >> 1) + (a < 0 ? 1 : 0);
  return static_cast<std::int32_t>(static_cast<std::int64_t>(a) >> e) + (rest > threshold ? 1 : 0);
}

/// The code of a sum: clamp(zero + round(sum·m), low, high). At most one unit from the exact quotient's rounding (two
/// roundings instead of one).
PLEAT_FUNCTION std::int32_t requantized(std::int32_t sum, fixed_multiplier m, std::int32_t zero = 0,
                                        std::int32_t low = -127, std::int32_t high = 127) noexcept {
  std::int64_t const up = m.shift > 0 ? static_cast<std::int64_t>(sum) << m.shift : static_cast<std::int64_t>(sum);
  constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max(),
                         least = std::numeric_limits<std::int32_t>::min();
  auto const held = static_cast<std::int32_t>(up > most ? most : up < least ? least : up);
  std::int32_t const scaled = rounding_shift(doubling_high_product(held, m.mantissa), m.shift < 0 ? -m.shift : 0);
  std::int64_t const code = static_cast<std::int64_t>(zero) + scaled;
  return static_cast<std::int32_t>(code < low ? low : code > high ? high : code);
}

}  // namespace pleat::codec
