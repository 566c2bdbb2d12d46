// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Element types. bfloat16 and half are storage types of 16 bits whose arithmetic happens in float. Needs no Kokkos.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>

namespace pleat {

namespace detail {

/// Round to nearest even; NaN stays NaN.
PLEAT_FUNCTION std::uint16_t bfloat16_bits(float x) noexcept {
  auto const u = __builtin_bit_cast(std::uint32_t, x);
  if ((u & 0x7fffffffu) > 0x7f800000u) return static_cast<std::uint16_t>((u >> 16) | 0x40u);
  return static_cast<std::uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}

/// IEEE 754 binary16, round to nearest even, gradual underflow, overflow to infinity.
PLEAT_FUNCTION std::uint16_t half_bits(float x) noexcept {
  auto const u = __builtin_bit_cast(std::uint32_t, x);
  auto const sign = static_cast<std::uint16_t>((u >> 16) & 0x8000u);
  std::uint32_t const a = u & 0x7fffffffu;
  if (a > 0x7f800000u) return static_cast<std::uint16_t>(sign | 0x7e00u);
  if (a >= 0x47800000u) return static_cast<std::uint16_t>(sign | 0x7c00u);  // ≥ 2^16
  if (a < 0x33000000u) return sign;                                           // < 2^-25 rounds to zero
  std::uint32_t mantissa, shift, base;
  if (a < 0x38800000u) {  // subnormal half
    mantissa = (a & 0x7fffffu) | 0x800000u;
    shift = 126u - (a >> 23);
    base = 0;
  } else {
    mantissa = a & 0x7fffffu;
    shift = 13;
    base = ((a >> 23) - 112u) << 10;
  }
  std::uint32_t const half = 1u << (shift - 1), rest = mantissa & ((1u << shift) - 1u);
  std::uint32_t r = base + (mantissa >> shift);
  if (rest > half || (rest == half && (r & 1u))) ++r;
  return static_cast<std::uint16_t>(sign | r);
}

PLEAT_FUNCTION float half_value(std::uint16_t h) noexcept {
  std::uint32_t const sign = static_cast<std::uint32_t>(h & 0x8000u) << 16;
  std::uint32_t const e = (h >> 10) & 0x1fu, m = h & 0x3ffu;
  if (e == 0x1f) return __builtin_bit_cast(float, sign | 0x7f800000u | (m << 13));
  if (e == 0) {
    float const v = static_cast<float>(m) * 0x1p-24f;
    return sign ? -v : v;
  }
  return __builtin_bit_cast(float, sign | ((e + 112u) << 23) | (m << 13));
}

}  // namespace detail

/// The upper half of a float: 8 exponent bits, 7 mantissa bits.
struct bfloat16 {
  std::uint16_t bits = 0;
  bfloat16() = default;
  PLEAT_FUNCTION explicit bfloat16(float x) noexcept : bits(detail::bfloat16_bits(x)) {}
  PLEAT_FUNCTION explicit operator float() const noexcept {
    return __builtin_bit_cast(float, static_cast<std::uint32_t>(bits) << 16);
  }
};

/// IEEE 754 binary16.
struct half {
  std::uint16_t bits = 0;
  half() = default;
  PLEAT_FUNCTION explicit half(float x) noexcept : bits(detail::half_bits(x)) {}
  PLEAT_FUNCTION explicit operator float() const noexcept { return detail::half_value(bits); }
};

/// Element types by the names of the safetensors format.
enum class dtype : std::uint8_t { boolean, u8, i8, i16, u16, f16, bf16, i32, u32, f32, f64, i64, u64 };

/// Bytes of one element.
[[nodiscard]] constexpr std::size_t size_of(dtype t) noexcept {
  switch (t) {
    case dtype::boolean: case dtype::u8: case dtype::i8: return 1;
    case dtype::i16: case dtype::u16: case dtype::f16: case dtype::bf16: return 2;
    case dtype::i32: case dtype::u32: case dtype::f32: return 4;
    case dtype::f64: case dtype::i64: case dtype::u64: return 8;
  }
  return 0;
}

/// "F32", "BF16", …
[[nodiscard]] constexpr std::string_view name_of(dtype t) noexcept {
  constexpr std::string_view names[] = {"BOOL", "U8", "I8", "I16", "U16", "F16", "BF16", "I32", "U32", "F32", "F64", "I64", "U64"};
  return names[static_cast<std::size_t>(t)];
}

/// The dtype of a safetensors name. \throws error for a name that is not in the table.
[[nodiscard]] inline dtype dtype_from_name(std::string_view name) {
  for (int i = 0; i <= static_cast<int>(dtype::u64); ++i)
    if (name_of(static_cast<dtype>(i)) == name) return static_cast<dtype>(i);
  throw error{"dtype_from_name", "'" + std::string(name) + "' is no element type that this version knows"};
}

namespace detail {
template <class T> struct dtype_of_impl;
template <> struct dtype_of_impl<bool> { static constexpr dtype value = dtype::boolean; };
template <> struct dtype_of_impl<std::uint8_t> { static constexpr dtype value = dtype::u8; };
template <> struct dtype_of_impl<std::int8_t> { static constexpr dtype value = dtype::i8; };
template <> struct dtype_of_impl<std::int16_t> { static constexpr dtype value = dtype::i16; };
template <> struct dtype_of_impl<std::uint16_t> { static constexpr dtype value = dtype::u16; };
template <> struct dtype_of_impl<half> { static constexpr dtype value = dtype::f16; };
template <> struct dtype_of_impl<bfloat16> { static constexpr dtype value = dtype::bf16; };
template <> struct dtype_of_impl<std::int32_t> { static constexpr dtype value = dtype::i32; };
template <> struct dtype_of_impl<std::uint32_t> { static constexpr dtype value = dtype::u32; };
template <> struct dtype_of_impl<float> { static constexpr dtype value = dtype::f32; };
template <> struct dtype_of_impl<double> { static constexpr dtype value = dtype::f64; };
template <> struct dtype_of_impl<std::int64_t> { static constexpr dtype value = dtype::i64; };
template <> struct dtype_of_impl<std::uint64_t> { static constexpr dtype value = dtype::u64; };
}  // namespace detail

/// The dtype tag of a C++ element type.
template <class T> inline constexpr dtype dtype_of = detail::dtype_of_impl<T>::value;

}  // namespace pleat
