// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A stable sort of numbers on one host thread that compares nothing: passes over 8 bits at a time, the lowest first.
/// Needs no Kokkos.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <type_traits>
#include <utility>

#include <pleat/base/config.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::compute::detail {

/// Whether numbers of this type are sorted by their bits.
template <class K>
inline constexpr bool has_digits_v =
    (std::is_same_v<K, float> || std::is_same_v<K, double> || (std::is_integral_v<K> && !std::is_same_v<K, bool>)) &&
    sizeof(K) <= 8;

/// Unsigned numbers that ascend where keys do: zeros of both signs are one number, all NaN are one, above infinity.
template <class K> struct digits {
  using bits = std::conditional_t<sizeof(K) == 8, std::uint64_t,
                                  std::conditional_t<sizeof(K) == 4, std::uint32_t,
                                                     std::conditional_t<sizeof(K) == 2, std::uint16_t, std::uint8_t>>>;
  static constexpr int passes = static_cast<int>(sizeof(K));
  static constexpr bits top = static_cast<bits>(bits{1} << (8 * sizeof(K) - 1));
  PLEAT_INLINE static bits of(K const& key) {
    bits u;
    std::memcpy(&u, &key, sizeof(K));
    if constexpr (std::is_floating_point_v<K>) {
      constexpr bits infinity =
          sizeof(K) == 4 ? static_cast<bits>(0x7f800000u) : static_cast<bits>(0x7ff0000000000000u);
      bits const magnitude = u & static_cast<bits>(~top);
      bits const ascending = (u & top) != 0 ? static_cast<bits>(~u) : static_cast<bits>(u | top);
      bits const number = magnitude == 0 ? top : ascending;
      return magnitude > infinity ? static_cast<bits>(~bits{0}) : number;
    } else if constexpr (std::is_signed_v<K>) {
      return static_cast<bits>(u ^ top);
    } else {
      return u;
    }
  }
};

struct no_values {};

/// Sorts keys[0 … n), and takes values[0 … n) along unless V is no_values.
template <class K, class V> void radix_sort(index_t n, K* keys, [[maybe_unused]] V* values, bool descending) {
  using of = digits<K>;
  using bits = typename of::bits;
  constexpr bool pairs = !std::is_same_v<V, no_values>;
  bits const turned = descending ? static_cast<bits>(~bits{0}) : bits{0};
  auto const count = std::make_unique<index_t[]>(256 * static_cast<std::size_t>(of::passes));
  for (index_t i = 0; i < n; ++i) {
    bits const u = static_cast<bits>(of::of(keys[i]) ^ turned);
    for (int p = 0; p < of::passes; ++p)
      ++count[static_cast<std::size_t>(256 * p + static_cast<int>(u >> (8 * p) & 255u))];
  }
  auto const more_keys = std::make_unique_for_overwrite<K[]>(static_cast<std::size_t>(n));
  std::unique_ptr<V[]> more_values;
  if constexpr (pairs) more_values = std::make_unique_for_overwrite<V[]>(static_cast<std::size_t>(n));
  K *from = keys, *to = more_keys.get();
  [[maybe_unused]] V *values_from = values, *values_to = more_values.get();
  for (int p = 0; p < of::passes; ++p) {
    index_t* const at = count.get() + 256 * p;
    index_t begin = 0;
    bool one = false;
    for (int d = 0; d < 256; ++d) {
      one = one || at[d] == n;
      begin += std::exchange(at[d], begin);
    }
    if (one) continue;  // all have the same digit here
    for (index_t i = 0; i < n; ++i) {
      K const key = from[i];
      index_t const place = at[static_cast<bits>(of::of(key) ^ turned) >> (8 * p) & 255u]++;
      to[place] = key;
      if constexpr (pairs) values_to[place] = values_from[i];
    }
    std::swap(from, to);
    if constexpr (pairs) std::swap(values_from, values_to);
  }
  if (from == keys) return;
  std::memcpy(keys, from, static_cast<std::size_t>(n) * sizeof(K));
  if constexpr (pairs)
    for (index_t i = 0; i < n; ++i) values[i] = values_from[i];
}

}  // namespace pleat::compute::detail
