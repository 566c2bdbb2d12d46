// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Words out of a file, as errors may show them. Needs no Kokkos.
#pragma once

#include <string>
#include <string_view>

#include <pleat/base/config.hpp>
#include <pleat/io/detail/json.hpp>

namespace pleat::io::detail {

/// 'text', in quotes: control characters (a file's names must not write to a terminal) and what is no UTF-8 as \xNN,
/// cut after 200 bytes.
PLEAT_ONCE [[nodiscard]] std::string shown(std::string_view text) {
  constexpr std::size_t most = 200;
  constexpr char hex[] = "0123456789abcdef";
  bool const words = first_not_utf8(text) == std::string_view::npos;
  auto const byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  std::string out = "'";
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (i >= most && (byte(i) & 0xc0u) != 0x80u) return out + "...'";
    bool const c1 = words && byte(i) == 0xc2 && byte(i + 1) < 0xa0;  // U+0080 to U+009F: some terminals obey them
    if (byte(i) < 0x20 || byte(i) == 0x7f || c1 || (!words && byte(i) >= 0x80)) {
      for (std::size_t const end = i + (c1 ? 1 : 0);; ++i) {
        out += "\\x";
        out += hex[byte(i) >> 4];
        out += hex[byte(i) & 15];
        if (i == end) break;
      }
    } else {
      out += text[i];
    }
  }
  return out + "'";
}
PLEAT_COMPILED_ONCE(std::string shown(std::string_view text));

}  // namespace pleat::io::detail
