// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A sum of floats without any rounding: the same in every order, and over any ranks that have some of the addends.
/// Needs no Kokkos.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <pleat/base/config.hpp>
#include <pleat/base/math.hpp>

namespace pleat::codec::detail {

/// Adds x to the limbs of an exact_sum, of which every 32 bits have one. \param x finite
PLEAT_INLINE void add_exactly(float x, std::int64_t* limb) noexcept {
  auto const u = __builtin_bit_cast(std::uint32_t, x);
  std::uint32_t const exponent = u >> 23 & 255u, fraction = u & 0x7fffffu;
  std::uint32_t const at = exponent ? exponent - 1 : 0;  // of the lowest bit, above 2⁻¹⁴⁹
  std::uint64_t const wide = std::uint64_t{exponent ? fraction | 0x800000u : fraction} << (at & 31u);
  auto const low = static_cast<std::int64_t>(wide & 0xffffffffu), high = static_cast<std::int64_t>(wide >> 32);
  limb[at >> 5] += u >> 31 ? -low : low;
  limb[(at >> 5) + 1] += u >> 31 ? -high : high;
}

/// Σ x in fixed point: a float is a whole number of 24 bits times a power of two from 2⁻¹⁴⁹ to 2¹⁰⁴, so the sum is 277
/// bits and the carries, here in limbs of 32 bits that have room for 2³¹ addends (U. Kulisch's long accumulator, The
/// Fifth Floating-Point Operation, 1998). Limbs are plain integers: sums over ranks are sums of limbs.
struct exact_sum {
  static constexpr int limbs = 9;
  std::array<std::int64_t, limbs> limb{};

  /// \param x finite
  void add(float x) noexcept { add_exactly(x, limb.data()); }
  /// The same number with room for 2³¹ addends again.
  void carry() noexcept { *this = carried(*this); }
  exact_sum& operator+=(exact_sum const& o) noexcept {
    for (std::size_t i = 0; i < limb.size(); ++i) limb[i] += o.limb[i];
    return *this;
  }
  exact_sum& operator-=(exact_sum const& o) noexcept {
    for (std::size_t i = 0; i < limb.size(); ++i) limb[i] -= o.limb[i];
    return *this;
  }
  /// The sum to double: exact where 53 bits hold it, else within some units in the last place; a function of the sum
  /// alone.
  [[nodiscard]] double value() const noexcept {
    auto digits = carried(*this);
    bool const negative = digits.limb[limbs - 1] < 0;
    if (negative) {
      for (auto& l : digits.limb) l = -l;
      digits = carried(digits);
    }
    double sum = 0;
    for (int i = 0; i < limbs; ++i)
      sum += std::ldexp(static_cast<double>(digits.limb[static_cast<std::size_t>(i)]), 32 * i - 149);
    return negative ? -sum : sum;
  }

 private:
  /// The same number with limbs in [0, 2³²) but for the last, which has the sign.
  [[nodiscard]] static exact_sum carried(exact_sum s) noexcept {
    std::int64_t carry = 0;
    for (std::size_t i = 0; i + 1 < s.limb.size(); ++i) {
      std::int64_t const l = s.limb[i] + carry;
      s.limb[i] = l & std::int64_t{0xffffffff};
      carry = (l - s.limb[i]) / (std::int64_t{1} << 32);
    }
    s.limb.back() += carry;
    return s;
  }
};

}  // namespace pleat::codec::detail
