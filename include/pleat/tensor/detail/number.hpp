// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Elements of any floating-point type as doubles on the host, and back with one rounding. Needs no Kokkos.
#pragma once

#include <cstdint>

#include <pleat/base/config.hpp>
#include <pleat/base/math.hpp>
#include <pleat/tensor/dtype.hpp>

namespace pleat::detail {

template <class T> [[nodiscard]] inline double number(T v) noexcept {
  return static_cast<double>(static_cast<wide_t<T>>(v));
}

/// The float next to x, with an odd last bit where x is no float: what rounding that to 16 bits gives is what rounding
/// x gives. (To nearest it would not be: a double just above the middle of two halves becomes the middle, which goes to
/// the even one.)
PLEAT_LAZY [[nodiscard]] inline float float_towards_odd(double x) noexcept {
  auto const f = static_cast<float>(x);
  if (std::isnan(x) || static_cast<double>(f) == x) return f;
  auto const bits = __builtin_bit_cast(std::uint32_t, f);  // of infinity even, of what lies below it odd
  if (bits & 1u) return f;
  return __builtin_bit_cast(float, std::abs(static_cast<double>(f)) < std::abs(x) ? bits + 1 : bits - 1);
}

/// x rounded to nearest even, once.
template <class T> [[nodiscard]] inline T rounded(double x) noexcept {
  if constexpr (is_reduced_v<T>) return T(float_towards_odd(x));
  else return static_cast<T>(x);
}

}  // namespace pleat::detail
