// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What reports are written with: numbers as JSON has them, bytes in three digits, aligned tables. Needs no Kokkos.
#pragma once

#include <algorithm>
#include <cstdio>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/base/math.hpp>
#include <pleat/base/number_text.hpp>

namespace pleat::compress {

namespace detail {

/// Digits that read back as the same double; JSON has no NaN, so that becomes null.
PLEAT_ONCE [[nodiscard]] std::string json_number(double x) {
  return std::isfinite(x) ? pleat::detail::number_text(x) : "null";
}

/// "1.07 MB", "27.0 kB", "312 B": decimal units, three digits.
PLEAT_ONCE [[nodiscard]] std::string human_bytes(double bytes) {
  char const* const units[] = {"B", "kB", "MB", "GB", "TB"};
  int u = 0;
  while (bytes >= 999.5 && u < 4) bytes /= 1000, ++u;
  char text[32];
  std::snprintf(text, sizeof text,
                u == 0 || bytes >= 99.95 ? "%.0f %s"
                : bytes >= 9.995         ? "%.1f %s"
                                         : "%.2f %s",
                bytes, units[u]);
  return text;
}

PLEAT_ONCE [[nodiscard]] std::string format(char const* pattern, double x) {
  if (!std::isfinite(x)) return "-";
  char text[48];
  std::snprintf(text, sizeof text, pattern, x);
  return text;
}
PLEAT_COMPILED_ONCE(std::string format(char const* pattern, double x));

/// "266610", "431 k", "2.29 M": counts in three digits from 10⁶ on.
PLEAT_ONCE [[nodiscard]] std::string human_count(double n) {
  if (!std::isfinite(n)) return "-";
  if (n < 999999.5) return format("%.0f", n);
  char const* const units[] = {"", " k", " M", " G", " T", " P"};
  int u = 0;
  while (n >= 999.5 && u < 5) n /= 1000, ++u;
  return format(n >= 99.95 ? "%.0f" : n >= 9.995 ? "%.1f" : "%.2f", n) + units[u];
}

/// Columns that a terminal uses for UTF-8 text: bytes that do not continue a character.
PLEAT_ONCE [[nodiscard]] std::size_t width_of(std::string_view s) {
  return static_cast<std::size_t>(
      std::count_if(s.begin(), s.end(), [](char ch) { return (static_cast<unsigned char>(ch) & 0xC0u) != 0x80u; }));
}

/// Rows of cells as an aligned table: the first `left` columns to the left, the others to the right; a line under the
/// head, if `ruled`.
PLEAT_ONCE void print_table(std::ostream& out, std::vector<std::vector<std::string>> const& rows, std::size_t left,
                            bool ruled) {
  std::vector<std::size_t> width;
  for (auto const& r : rows) {
    width.resize(std::max(width.size(), r.size()), 0);
    for (std::size_t i = 0; i < r.size(); ++i) width[i] = std::max(width[i], width_of(r[i]));
  }
  for (std::size_t k = 0; k < rows.size(); ++k) {
    std::string line;
    for (std::size_t i = 0; i < rows[k].size(); ++i) {
      std::string const pad(width[i] - width_of(rows[k][i]), ' ');
      line += (i ? "  " : "") + (i < left ? rows[k][i] + pad : pad + rows[k][i]);
    }
    while (line.ends_with(' ')) line.pop_back();
    out << line << '\n';
    if (k > 0 || !ruled) continue;
    std::size_t total = width.empty() ? 0 : 2 * (width.size() - 1);
    for (auto const w : width) total += w;
    out << std::string(total, '-') << '\n';
  }
}

}  // namespace detail

}  // namespace pleat::compress
