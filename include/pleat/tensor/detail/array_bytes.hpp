// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// How many bytes an array takes, where a file or a user says its shape. Needs no Kokkos.
#pragma once

#include <cstdint>
#include <optional>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::detail {

/// Bytes of an array whose elements come in blocks of `block` numbers in `bytes` bytes. Empty if the bytes, the
/// numbers, or the product of the extents that are not 0 are above 2^62: an extent of 0 forgives nothing, as whoever
/// multiplies the others in their order would overflow all the same.
PLEAT_LAZY [[nodiscard]] inline std::optional<std::uint64_t> array_bytes(extents const& shape, std::uint64_t bytes,
                                                                         std::uint64_t block = 1) noexcept {
  constexpr std::uint64_t most = std::uint64_t{1} << 62;
  std::uint64_t n = 1;
  bool empty = false;
  for (auto e : shape) {
    empty |= e == 0;
    if (e != 0 && (__builtin_mul_overflow(n, static_cast<std::uint64_t>(e), &n) || n > most)) return std::nullopt;
  }
  if (__builtin_mul_overflow(n / block, bytes, &n) || n > most) return std::nullopt;
  return empty ? 0 : n;
}
/// \throws error
PLEAT_LAZY [[noreturn, gnu::cold, gnu::noinline]] inline void refuse_shape(char const* call, extents const& shape) {
  throw error{call, "the shape " + shape.to_string() + " has more bytes than 62 bits can count",
              "Look for an extent that is no count of anything"};
}

}  // namespace pleat::detail
