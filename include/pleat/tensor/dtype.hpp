// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Element types. bfloat16 and half are storage types of 16 bits whose arithmetic happens in float. Needs no Kokkos.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>

namespace pleat {

namespace detail {

// Conversions without branches, so that loops over them vectorise.

/// Round to nearest even; NaN stays NaN.
PLEAT_INLINE std::uint16_t bfloat16_bits(float x) noexcept {
  auto const u = __builtin_bit_cast(std::uint32_t, x);
  std::uint32_t const rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16, quiet = (u >> 16) | 0x40u;
  return static_cast<std::uint16_t>((u & 0x7fffffffu) > 0x7f800000u ? quiet : rounded);
}

/// IEEE 754 binary16, round to nearest even, gradual underflow, overflow to infinity. Chosen by masks: of choices
/// between numbers of 16 bits by comparisons of 32 bits, and of branches around float arithmetic, GCC 12 makes no
/// vectors.
PLEAT_INLINE std::uint16_t half_bits(float x) noexcept {
  auto const u = __builtin_bit_cast(std::uint32_t, x);
  std::uint32_t const sign = (u >> 16) & 0x8000u, a = u & 0x7fffffffu;
  // up to 65520, which rounds to infinity
  std::uint32_t const normal = (a + 0xfffu + ((a >> 13) & 1u) - 0x38000000u) >> 13;
  // An addition to 1/2 rounds at 2^-24, the spacing of subnormal halves. The integer minimum keeps compilers from
  // contracting it with a product that made x.
  std::uint32_t const low = a < 0x38800000u ? a : 0x38800000u;
  std::uint32_t const subnormal =
      __builtin_bit_cast(std::uint32_t, __builtin_bit_cast(float, low) + 0.5f) - 0x3f000000u;
  // a has no sign bit, so the highest bit of a difference says which is less
  // below 2^16
  std::uint32_t const is_low = 0u - ((a - 0x38800000u) >> 31), is_finite = 0u - ((a - 0x47800000u) >> 31);
  std::uint32_t const finite = (subnormal & is_low) | (normal & ~is_low), quiet = (0x7f800000u - a) >> 31 << 9;
  return static_cast<std::uint16_t>(sign | (finite & is_finite) | (0x7c00u & ~is_finite) | quiet);
}

PLEAT_INLINE float half_value(std::uint16_t h) noexcept {
  std::uint32_t const sign = static_cast<std::uint32_t>(h & 0x8000u) << 16,
                      magnitude = static_cast<std::uint32_t>(h & 0x7fffu) << 13;
  float const v = __builtin_bit_cast(float, magnitude) * 0x1p112f;  // exact, subnormals too
  std::uint32_t const finite = __builtin_bit_cast(std::uint32_t, v), other = magnitude | 0x7f800000u,
                      is_finite = 0u - ((magnitude - 0x0f800000u) >> 31);
  std::uint32_t const quiet = (0x0f800000u - magnitude) >> 31 << 22;  // of a NaN, as an instruction sets it
  return __builtin_bit_cast(float, sign | (finite & is_finite) | (other & ~is_finite) | quiet);
}

}  // namespace detail

/// The upper half of a float: 8 exponent bits, 7 mantissa bits.
struct bfloat16 {
  std::uint16_t bits = 0;
  bfloat16() = default;
  PLEAT_INLINE explicit bfloat16(float x) noexcept : bits(detail::bfloat16_bits(x)) {}
  PLEAT_INLINE explicit operator float() const noexcept {
    return __builtin_bit_cast(float, static_cast<std::uint32_t>(bits) << 16);
  }
};

/// IEEE 754 binary16.
struct half {
  std::uint16_t bits = 0;
  half() = default;
  PLEAT_INLINE explicit half(float x) noexcept : bits(detail::half_bits(x)) {}
  PLEAT_INLINE explicit operator float() const noexcept { return detail::half_value(bits); }
};

namespace detail {
template <class T> struct wide {
  using type = T;
};
template <> struct wide<half> {
  using type = float;
};
template <> struct wide<bfloat16> {
  using type = float;
};
}  // namespace detail

/// True for the types that are only stored: bfloat16 and half.
template <class T> inline constexpr bool is_reduced_v = !std::is_same_v<T, typename detail::wide<T>::type>;
/// What T is computed with: float for the 16-bit types, else T itself.
template <class T> using wide_t = typename detail::wide<T>::type;

/// Element types by the names of the safetensors format.
enum class dtype : std::uint8_t { boolean, u8, i8, i16, u16, f16, bf16, i32, u32, f32, f64, i64, u64 };

/// Bytes of one element.
PLEAT_LAZY [[nodiscard]] constexpr std::size_t size_of(dtype t) noexcept {
  switch (t) {
    case dtype::boolean:
    case dtype::u8:
    case dtype::i8:
      return 1;
    case dtype::i16:
    case dtype::u16:
    case dtype::f16:
    case dtype::bf16:
      return 2;
    case dtype::i32:
    case dtype::u32:
    case dtype::f32:
      return 4;
    case dtype::f64:
    case dtype::i64:
    case dtype::u64:
      return 8;
  }
  return 0;
}

/// "F32", "BF16", …
[[nodiscard]] constexpr std::string_view name_of(dtype t) noexcept {
  constexpr std::string_view names[] = {"BOOL", "U8",  "I8",  "I16", "U16", "F16", "BF16",
                                        "I32",  "U32", "F32", "F64", "I64", "U64"};
  return names[static_cast<std::size_t>(t)];
}

/// The dtype of a safetensors name. \throws error for a name that is not in the table.
PLEAT_LAZY [[nodiscard]] inline dtype dtype_from_name(std::string_view name) {
  for (int i = 0; i <= static_cast<int>(dtype::u64); ++i)
    if (name_of(static_cast<dtype>(i)) == name) return static_cast<dtype>(i);
  throw error{"dtype_from_name", "'" + std::string(name) + "' is no element type that this version knows",
              "Convert it to one of f32, f64, bf16 and f16 first"};
}

namespace detail {
template <class T> struct dtype_of_impl;
template <> struct dtype_of_impl<bool> {
  static constexpr dtype value = dtype::boolean;
};
template <> struct dtype_of_impl<std::uint8_t> {
  static constexpr dtype value = dtype::u8;
};
template <> struct dtype_of_impl<std::int8_t> {
  static constexpr dtype value = dtype::i8;
};
template <> struct dtype_of_impl<std::int16_t> {
  static constexpr dtype value = dtype::i16;
};
template <> struct dtype_of_impl<std::uint16_t> {
  static constexpr dtype value = dtype::u16;
};
template <> struct dtype_of_impl<half> {
  static constexpr dtype value = dtype::f16;
};
template <> struct dtype_of_impl<bfloat16> {
  static constexpr dtype value = dtype::bf16;
};
template <> struct dtype_of_impl<std::int32_t> {
  static constexpr dtype value = dtype::i32;
};
template <> struct dtype_of_impl<std::uint32_t> {
  static constexpr dtype value = dtype::u32;
};
template <> struct dtype_of_impl<float> {
  static constexpr dtype value = dtype::f32;
};
template <> struct dtype_of_impl<double> {
  static constexpr dtype value = dtype::f64;
};
template <> struct dtype_of_impl<std::int64_t> {
  static constexpr dtype value = dtype::i64;
};
template <> struct dtype_of_impl<std::uint64_t> {
  static constexpr dtype value = dtype::u64;
};
}  // namespace detail

/// The dtype tag of a C++ element type.
template <class T> inline constexpr dtype dtype_of = detail::dtype_of_impl<T>::value;

}  // namespace pleat
