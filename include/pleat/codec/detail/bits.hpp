// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// One bit per element: element i lives if bit i%8 of byte i/8 is set. Host work on host bytes; needs no Kokkos.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/tensor/dtype.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::codec::detail {

/// Bytes of the bits of n elements.
[[nodiscard]] constexpr index_t bit_bytes(index_t n) noexcept { return (n + 7) / 8; }

[[nodiscard]] inline bool bit_at(std::uint8_t const* bits, index_t i) noexcept {
  return (bits[i >> 3] >> (i & 7)) & 1u;
}

/// The bits of the elements that are not zero (NaN is not zero, −0 is).
template <class T> [[nodiscard]] std::vector<std::uint8_t> bits_of_nonzeros(std::span<T const> values) {
  std::vector<std::uint8_t> bits(static_cast<std::size_t>(bit_bytes(static_cast<index_t>(values.size()))), 0);
  for (std::size_t i = 0; i < values.size(); ++i)
    if (static_cast<wide_t<T>>(values[i]) != wide_t<T>(0))
      bits[i >> 3] = static_cast<std::uint8_t>(bits[i >> 3] | (1u << (i & 7)));
  return bits;
}

PLEAT_LAZY [[nodiscard]] inline index_t count_bits(std::span<std::uint8_t const> bits) noexcept {
  index_t n = 0;
  for (auto b : bits) n += std::popcount(b);
  return n;
}

/// The values whose bit is set, in order.
template <class T> [[nodiscard]] std::vector<T> survivors(std::span<T const> values, std::uint8_t const* bits) {
  std::vector<T> out;
  for (std::size_t i = 0; i < values.size(); ++i)
    if (bit_at(bits, static_cast<index_t>(i))) out.push_back(values[i]);
  return out;
}

/// The inverse of `survivors`: n values, zero where the bit is not set.
template <class T> [[nodiscard]] std::vector<T> scatter(std::span<T const> alive, std::uint8_t const* bits, index_t n) {
  std::vector<T> out(static_cast<std::size_t>(n), T(0));
  std::size_t next = 0;
  for (index_t i = 0; i < n; ++i)
    if (bit_at(bits, i)) out[static_cast<std::size_t>(i)] = alive[next++];
  return out;
}

/// Refuses bits that a file may hold but no writer of ours writes. \throws error
PLEAT_ONCE void check_bits(char const* call, std::span<std::uint8_t const> bits, index_t n, index_t alive) {
  if (static_cast<index_t>(bits.size()) != bit_bytes(n))
    throw error{call,
                "the mask of " + std::to_string(n) + " elements takes " + std::to_string(bit_bytes(n)) +
                    " bytes, found " + std::to_string(bits.size()),
                remedy::copy_again};
  if (n % 8 != 0 && (bits.back() >> (n % 8)) != 0)
    throw error{call, "the mask sets bits past its last element, " + std::to_string(n - 1), remedy::copy_again};
  if (count_bits(bits) != alive)
    throw error{call,
                "the mask keeps " + std::to_string(count_bits(bits)) + " elements, but " + std::to_string(alive) +
                    " values are stored",
                remedy::copy_again};
}
PLEAT_COMPILED_ONCE(void check_bits(char const* call, std::span<std::uint8_t const> bits, index_t n, index_t alive));

/// Values of a trivially copyable type out of a file's bytes, whatever their alignment.
template <class T> [[nodiscard]] std::vector<T> values_of(std::span<std::byte const> bytes) {
  std::vector<T> v(bytes.size() / sizeof(T));
  if (!v.empty()) std::memcpy(v.data(), bytes.data(), v.size() * sizeof(T));
  return v;
}
template <class T> [[nodiscard]] std::vector<std::byte> bytes_of(std::span<T const> values) {
  std::vector<std::byte> b(values.size_bytes());
  if (!b.empty()) std::memcpy(b.data(), values.data(), b.size());
  return b;
}

}  // namespace pleat::codec::detail
