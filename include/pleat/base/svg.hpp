// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What every drawing needs: text that is safe in SVG, numbers that are short and the same everywhere.
#pragma once

#include <pleat/base/math.hpp>
#include <cstdint>
#include <string>
#include <string_view>

namespace pleat {

/// The text with what XML reserves escaped, and without control characters.
[[nodiscard]] inline std::string svg_text(std::string_view s) {
  std::string out;
  for (char const ch : s) {
    if (ch == '<') out += "&lt;";
    else if (ch == '>') out += "&gt;";
    else if (ch == '&') out += "&amp;";
    else if (ch == '"') out += "&quot;";
    else if (static_cast<unsigned char>(ch) >= 0x20) out += ch;
  }
  return out;
}

/// A coordinate with one digit after the point, whatever the locale: small files, the same bytes everywhere.
[[nodiscard]] inline std::string svg_number(double x) {
  auto const tenths = static_cast<std::int64_t>(std::llround(x * 10));
  std::uint64_t const size = tenths < 0 ? static_cast<std::uint64_t>(-tenths) : static_cast<std::uint64_t>(tenths);
  std::string text = tenths < 0 ? "-" : "";
  text += std::to_string(size / 10);
  text += '.';
  return text += std::to_string(size % 10);
}

/// The attributes that squeeze a text into `room`, where letters of the usual width (0.6 of the font's size) would go
/// beyond; none for a text that fits. Lengths in the picture's units.
[[nodiscard]] inline std::string svg_squeezed(std::string_view text, double font, double room) {
  if (0.6 * font * static_cast<double>(text.size()) <= room) return {};
  return " textLength=\"" + svg_number(room) + "\" lengthAdjust=\"spacingAndGlyphs\"";
}

}  // namespace pleat
