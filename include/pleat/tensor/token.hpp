// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Token numbers in a network's input, which has the network's own type: float and double hold the number itself; the
/// 16-bit types, which count to 256 and 2048 only, hold it as their bits. Needs no Kokkos.
#pragma once

#include <cstdint>
#include <limits>

#include <pleat/base/config.hpp>
#include <pleat/tensor/dtype.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat {

/// Tokens that T can tell apart.
template <class T> [[nodiscard]] constexpr index_t most_tokens() noexcept {
  if constexpr (is_reduced_v<T>) return index_t{1} << 16;
  else return index_t{1} << std::numeric_limits<T>::digits;
}

/// What stands for token number `id` in an input of type T; 0 ≤ id < most_tokens<T>().
template <class T> [[nodiscard]] PLEAT_INLINE T token_value(index_t id) noexcept {
  if constexpr (is_reduced_v<T>) {
    T t;
    t.bits = static_cast<std::uint16_t>(id);
    return t;
  } else {
    return static_cast<T>(id);
  }
}

/// What stands for a number of a data set in an input of type T: the number, or if it is a token's, that token.
template <class T> [[nodiscard]] PLEAT_INLINE T input_value(float v, bool token) noexcept {
  return token ? token_value<T>(static_cast<index_t>(v)) : static_cast<T>(v);
}

/// The number of a token.
template <class T> [[nodiscard]] PLEAT_INLINE index_t token_index(T value) noexcept {
  if constexpr (is_reduced_v<T>) return static_cast<index_t>(value.bits);
  else return static_cast<index_t>(value);
}

}  // namespace pleat
