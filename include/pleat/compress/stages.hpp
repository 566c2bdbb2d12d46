// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What shrinking did, stage by stage, as plain data: a table for people, JSON for programs. Needs no Kokkos.
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/io/file.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::compress {

/// One row of a report: a model as it was measured.
struct stage {
  std::string name;
  double test_error = 0;   ///< wrong answers / samples, in [0, 1]; NaN if nobody measured it
  index_t parameters = 0;  ///< elements, statistics included, tied ones once
  index_t nonzeros = 0;    ///< of them, those that are not zero
  index_t bytes = 0;       ///< of the written file
  double latency_us = 0;   ///< one sample through the model: median, microseconds; NaN if nobody measured it
};

namespace detail {

/// Digits that read back as the same double; JSON has no NaN, so that becomes null.
[[nodiscard]] inline std::string json_number(double x) {
  if (!std::isfinite(x)) return "null";
  char text[32];
  auto const end = std::to_chars(text, text + sizeof text, x);
  return {text, end.ptr};
}

/// A JSON string: quotes, backslashes and control characters escaped; other bytes as they are (UTF-8).
[[nodiscard]] PLEAT_ONCE std::string json_string(std::string_view s) {
  std::string out = "\"";
  for (char const ch : s) {
    auto const u = static_cast<unsigned char>(ch);
    if (ch == '"' || ch == '\\') {
      (out += '\\') += ch;
    } else if (u < 0x20) {
      char code[8];
      std::snprintf(code, sizeof code, "\\u%04x", static_cast<unsigned>(u));
      out += code;
    } else {
      out += ch;
    }
  }
  return out += '"';
}

/// "1.07 MB", "27.0 kB", "312 B": decimal units, three digits.
[[nodiscard]] PLEAT_ONCE std::string human_bytes(double bytes) {
  char const* const units[] = {"B", "kB", "MB", "GB", "TB"};
  int u = 0;
  while (bytes >= 999.5 && u < 4) bytes /= 1000, ++u;
  char text[32];
  std::snprintf(text, sizeof text, u == 0 || bytes >= 99.95 ? "%.0f %s" : bytes >= 9.995 ? "%.1f %s" : "%.2f %s", bytes, units[u]);
  return text;
}

[[nodiscard]] inline std::string format(char const* pattern, double x) {
  if (!std::isfinite(x)) return "-";
  char text[48];
  std::snprintf(text, sizeof text, pattern, x);
  return text;
}

/// Columns that a terminal uses for UTF-8 text: bytes that do not continue a character.
[[nodiscard]] inline std::size_t width_of(std::string_view s) {
  return static_cast<std::size_t>(std::count_if(s.begin(), s.end(), [](char ch) { return (static_cast<unsigned char>(ch) & 0xC0u) != 0x80u; }));
}

}  // namespace detail

/// The stages of one shrinking, in order; the first is what the others are compared with.
class stage_list {
 public:
  void add(stage s) { stages_.push_back(std::move(s)); }
  [[nodiscard]] std::vector<stage> const& stages() const noexcept { return stages_; }

  /// An aligned table: one line per stage, and how many times smaller each is than the first.
  PLEAT_ONCE void print(std::ostream& out) const {
    std::vector<std::vector<std::string>> rows{{"stage", "test error", "parameters", "nonzeros", "file", "smaller", "latency"}};
    for (auto const& s : stages_) {
      double const ratio = s.bytes > 0 ? static_cast<double>(stages_.front().bytes) / static_cast<double>(s.bytes) : NAN;
      rows.push_back({s.name, detail::format("%.2f %%", 100 * s.test_error), std::to_string(s.parameters), std::to_string(s.nonzeros),
                      detail::human_bytes(static_cast<double>(s.bytes)), detail::format("%.1fx", ratio), detail::format("%.1f us", s.latency_us)});
    }
    std::vector<std::size_t> width(rows[0].size(), 0);
    for (auto const& r : rows)
      for (std::size_t i = 0; i < r.size(); ++i) width[i] = std::max(width[i], detail::width_of(r[i]));
    for (std::size_t k = 0; k < rows.size(); ++k) {
      std::string line;
      for (std::size_t i = 0; i < width.size(); ++i) {
        std::string const pad(width[i] - detail::width_of(rows[k][i]), ' ');
        line += i == 0 ? rows[k][i] + pad : "  " + pad + rows[k][i];
      }
      while (line.ends_with(' ')) line.pop_back();
      out << line << '\n';
      if (k == 0) {
        std::size_t total = 2 * (width.size() - 1);
        for (auto w : width) total += w;
        out << std::string(total, '-') << '\n';
      }
    }
  }

  /// The stages as a JSON array of objects: name, test_error, parameters, nonzeros, bytes, latency_us. NaN is written as null.
  [[nodiscard]] PLEAT_ONCE std::string json(int indent = 0) const {
    std::string const margin(static_cast<std::size_t>(indent), ' ');
    std::string text = "[";
    for (std::size_t i = 0; i < stages_.size(); ++i) {
      auto const& s = stages_[i];
      text += (i ? ",\n" : "\n") + margin + "  {\"name\": " + detail::json_string(s.name) + ", \"test_error\": " + detail::json_number(s.test_error) +
              ", \"parameters\": " + std::to_string(s.parameters) + ", \"nonzeros\": " + std::to_string(s.nonzeros) +
              ", \"bytes\": " + std::to_string(s.bytes) + ", \"latency_us\": " + detail::json_number(s.latency_us) + "}";
    }
    return text + (stages_.empty() ? "]" : "\n" + margin + "]");
  }

  /// {"stages": […]}. \throws error if the file cannot be written
  void write_json(std::string const& path) const {
    io::write_file(path, "{\n  \"stages\": " + json(2) + "\n}\n");
  }

 private:
  std::vector<stage> stages_;
};

}  // namespace pleat::compress
