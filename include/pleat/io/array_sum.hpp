// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A checksum of an array that many may compute together: every element is mixed with its position, and the results are
/// added. So it does not matter who has which elements, or in which order they come. Against damage, not against
/// malice. Needs no Kokkos.
///
/// Sources: the sum over mixed (position, block) pairs is the incremental hash of Bellare and Micciancio, "A new
/// paradigm for collision-free hashing", EUROCRYPT 1997; the mixing is the finalizer of Steele, Lea and Flood, "Fast
/// splittable pseudorandom number generators", OOPSLA 2014. For a fixed position the mixing is one to one: a damage
/// within one element is always seen.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include <pleat/base/config.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::io {

namespace detail {

template <class Bits>
[[nodiscard]] std::uint64_t sum_of_elements(std::byte const* bytes, std::size_t count, std::uint64_t first) noexcept {
  constexpr std::uint64_t step = 0x9e3779b97f4a7c15u;
  std::uint64_t sum = 0, place = (first + 1) * step;
  for (std::size_t i = 0; i < count; ++i, place += step) {
    Bits bits;
    std::memcpy(&bits, bytes + i * sizeof(Bits), sizeof bits);
    std::uint64_t x = place + bits;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    sum += x ^ (x >> 31);
  }
  return sum;
}

}  // namespace detail

/// What the elements [first, first + bytes.size() / width) of an array add to its checksum, modulo 2^64. The whole
/// array's is the sum over any partition of it; an empty one's is 0.
/// \param width bytes of an element: 1, 2, 4 or 8
PLEAT_LAZY [[nodiscard]] inline std::uint64_t array_sum(std::span<std::byte const> bytes, std::size_t width,
                                                        index_t first = 0) noexcept {
  auto const at = static_cast<std::uint64_t>(first);
  switch (width) {
    case 1:
      return detail::sum_of_elements<std::uint8_t>(bytes.data(), bytes.size(), at);
    case 2:
      return detail::sum_of_elements<std::uint16_t>(bytes.data(), bytes.size() / 2, at);
    case 4:
      return detail::sum_of_elements<std::uint32_t>(bytes.data(), bytes.size() / 4, at);
    default:
      return detail::sum_of_elements<std::uint64_t>(bytes.data(), bytes.size() / 8, at);
  }
}

}  // namespace pleat::io
