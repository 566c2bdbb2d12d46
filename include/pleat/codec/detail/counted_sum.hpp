// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Sums whose bits depend neither on the order nor on who adds what: numbers are counted in whole multiples of a power
/// of two, which the largest magnitude of all summands and their number decide; sums of integers are exact. Of doubles,
/// where exact_sum.hpp is of floats. Needs no Kokkos.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>

#include <pleat/base/config.hpp>
#include <pleat/base/math.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::codec::detail {

/// What each of n summands is multiplied with before it is rounded to a whole number: a power of two; 0 where all are
/// zero, NaN where one is not finite. A summand is off by 2^(⌈log2 n⌉ − 62) of the largest at most, and n of them stay
/// below 2^63.
[[nodiscard]] inline double count_factor(double largest, index_t n) {
  if (!std::isfinite(largest)) return std::numeric_limits<double>::quiet_NaN();
  if (!(largest > 0)) return 0;
  int const above = std::ilogb(largest) + 1,
            length = std::bit_width(static_cast<std::uint64_t>(std::max<index_t>(n, 2) - 1));
  return std::ldexp(1.0, std::clamp(62 - length - above, -1000, 1000));
}
/// The same as a number again. \param factor what count_factor said
[[nodiscard]] inline double counted_total(std::int64_t sum, double factor) noexcept {
  return factor == 0 ? 0 : static_cast<double>(sum) / factor;
}

}  // namespace pleat::codec::detail
