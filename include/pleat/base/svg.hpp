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

namespace detail {

/// The bytes of the character that begins s, beyond ASCII: 2 to 4, or 0 for what XML forbids (bytes that are no UTF-8,
/// U+FFFE and U+FFFF).
[[nodiscard]] inline std::size_t xml_character(std::string_view s) noexcept {
  auto const byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(s[i])); };
  std::uint32_t const first = byte(0);
  std::size_t const size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || s.size() < size) return 0;
  std::uint32_t code = first & (0x7fu >> size);
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0u) != 0x80u) return 0;
    code = code << 6 | (byte(i) & 0x3fu);
  }
  std::uint32_t const least = size == 4 ? 0x10000 : size == 3 ? 0x800 : 0x80;
  bool const surrogate = code >= 0xd800 && code <= 0xdfff;
  return code < least || code > 0x10ffff || surrogate || code == 0xfffe || code == 0xffff ? 0 : size;
}

}  // namespace detail

/// The text with what XML reserves escaped, without control characters, and with U+FFFD for each byte of what else XML
/// forbids: a reader of XML takes it whatever the bytes.
[[nodiscard]] inline std::string svg_text(std::string_view s) {
  std::string out;
  for (std::size_t i = 0; i < s.size(); ++i) {
    char const ch = s[i];
    if (ch == '<') out += "&lt;";
    else if (ch == '>') out += "&gt;";
    else if (ch == '&') out += "&amp;";
    else if (ch == '"') out += "&quot;";
    else if (static_cast<unsigned char>(ch) >= 0x80) {
      std::size_t const size = detail::xml_character(s.substr(i));
      if (size == 0) out += "\xef\xbf\xbd";
      else out += s.substr(i, size), i += size - 1;
    } else if (static_cast<unsigned char>(ch) >= 0x20) out += ch;
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
