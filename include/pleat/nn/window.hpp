// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A pair of extents in the plane of an image. Needs no Kokkos.
#pragma once

#include <concepts>
#include <string>

#include <pleat/base/config.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::nn {

/// Height and width of a kernel, a stride, a padding. One number means both: `3`, or `{3, 5}`.
struct window {
  index_t height = 1, width = 1;
  constexpr window() noexcept = default;
  constexpr window(std::integral auto both) noexcept : height(both), width(both) {}
  constexpr window(index_t height, index_t width) noexcept : height(height), width(width) {}
  PLEAT_ONCE [[nodiscard]] std::string to_string() const;
  friend constexpr bool operator==(window const&, window const&) = default;
};

template <class> std::string window::to_string() const { return std::to_string(height) + "×" + std::to_string(width); }
PLEAT_COMPILED_ONCE(std::string window::to_string() const);

}  // namespace pleat::nn
