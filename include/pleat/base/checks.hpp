// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The assertion ladder: how much a call verifies before it runs. A run-time value, so two translation units cannot
/// disagree.
#pragma once

#include <cstdint>
#include <string_view>

namespace pleat {

enum class checks : std::uint8_t {
  off,        ///< nothing is verified; a wrong call is undefined
  cheap,      ///< what the calling rank can see by itself: null buffers, negative counts, roots (the default; a few ns)
  collective  ///< the ranks first agree on what they are about to do: costs one small exchange per call
};

[[nodiscard]] constexpr std::string_view name_of(checks c) noexcept {
  constexpr std::string_view names[] = {"off", "cheap", "collective"};
  return names[static_cast<int>(c)];
}

}  // namespace pleat
