// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Ranges as buffers: any contiguous one whose elements communication knows.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <ranges>
#include <type_traits>

#include <pleat/base/config.hpp>
#include <pleat/comm/types.hpp>
#include <pleat/tensor/dtype.hpp>

namespace pleat::comm::detail {

/// The dtype of any arithmetic type: `long long` and `std::int64_t` are two types and one dtype.
template <class T> struct element {
  using U = std::remove_cv_t<T>;
  static constexpr bool integer = std::integral<U> && !std::same_as<U, bool>;
  static constexpr bool known = integer || std::same_as<U, bool> || std::same_as<U, float> || std::same_as<U, double> ||
                                std::same_as<U, half> || std::same_as<U, bfloat16> || std::same_as<U, std::byte>;
  static constexpr dtype type() {
    static_assert(known, "pleat: communication knows bool, integers, float, double, pleat::half and pleat::bfloat16");
    if constexpr (std::same_as<U, std::byte>) return dtype::u8;
    else if constexpr (!integer) return dtype_of<U>;
    else if constexpr (std::signed_integral<U>)
      return sizeof(U) == 1 ? dtype::i8 : sizeof(U) == 2 ? dtype::i16 : sizeof(U) == 4 ? dtype::i32 : dtype::i64;
    else return sizeof(U) == 1 ? dtype::u8 : sizeof(U) == 2 ? dtype::u16 : sizeof(U) == 4 ? dtype::u32 : dtype::u64;
  }
};

template <class R>
concept elements = std::ranges::contiguous_range<R> && std::ranges::sized_range<R>;
/// What tells a second range from a reduction, at a glance: whether it is one is asked where a call is made of it.
template <class O>
concept receives = !std::is_same_v<std::remove_cvref_t<O>, reduction>;

template <class R> [[nodiscard]] constexpr const_buffer reading(R&& r) noexcept {
  static_assert(
      elements<R>,
      "pleat: what is communicated is a contiguous range that knows its size: a std::vector, std::span or std::array");
  return {std::ranges::data(r), static_cast<index_t>(std::ranges::size(r)),
          element<std::ranges::range_value_t<R>>::type()};
}
template <class R> [[nodiscard]] constexpr buffer writing(R&& r) noexcept {
  static_assert(
      elements<R>,
      "pleat: what is communicated is a contiguous range that knows its size: a std::vector, std::span or std::array");
  static_assert(!std::is_const_v<std::remove_reference_t<std::ranges::range_reference_t<R>>>,
                "pleat: the range that receives must have elements that can be written");
  return {std::ranges::data(r), static_cast<index_t>(std::ranges::size(r)),
          element<std::ranges::range_value_t<R>>::type()};
}

}  // namespace pleat::comm::detail
