// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Numbers in sentences. Needs no Kokkos.
#pragma once

#include <charconv>
#include <concepts>
#include <string>

#include <pleat/base/config.hpp>

namespace pleat::detail {

/// A number in as few digits as say which one it is: "0.1". What is none is "nan" on every platform: its sign, which
/// some functions print, says nothing.
PLEAT_ONCE [[nodiscard]] std::string number_text(double x) {
  if (x != x) return "nan";
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, x).ptr};
}
/// The same for a float, which fewer digits tell from its neighbours.
template <std::same_as<float> T> [[nodiscard]] std::string number_text(T x) {
  if (x != x) return "nan";
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, x).ptr};
}

}  // namespace pleat::detail
