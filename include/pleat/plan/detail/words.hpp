// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Values of a plan's file from their words, and the words that come nearest to one that is none.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::plan::detail {

/// The name of `all` that takes the fewest letters to change into.
template <std::size_t N>
[[nodiscard]] inline std::string_view nearest(std::string_view found, std::array<std::string_view, N> const& all) {
  std::size_t best = ~std::size_t{0};
  std::string_view answer = all[0];
  std::vector<std::size_t> row;
  for (auto const name : all) {
    row.resize(name.size() + 1);
    for (std::size_t j = 0; j <= name.size(); ++j) row[j] = j;
    for (std::size_t i = 1; i <= found.size(); ++i) {
      std::size_t corner = std::exchange(row[0], i);
      for (std::size_t j = 1; j <= name.size(); ++j) {
        std::size_t const change = corner + (found[i - 1] == name[j - 1] ? 0 : 1);
        corner = std::exchange(row[j], std::min({change, row[j] + 1, row[j - 1] + 1}));
      }
    }
    if (row.back() < best) best = row.back(), answer = name;
  }
  return answer;
}
template <std::size_t N> [[nodiscard]] inline std::string choices(std::array<std::string_view, N> const& all) {
  std::string text;
  for (std::size_t i = 0; i < N; ++i) {
    if (i > 0) text += i + 1 == N ? " or " : ", ";
    text += all[i];
  }
  return text;
}

/// A whole number.
PLEAT_ONCE index_t parse_integer(std::string_view key, std::string_view value, int line) {
  index_t n = 0;
  auto const [end, failure] = std::from_chars(value.data(), value.data() + value.size(), n);
  if (failure != std::errc{} || end != value.data() + value.size())
    throw error{"plan::parse",
                "line " + std::to_string(line) + ": '" + std::string(key) + "' must be a whole number, found '" +
                    std::string(value) + "'",
                "Write it as in '" + std::string(key) + " = 4'"};
  return n;
}
/// A value of an enumeration by its name.
template <class E, std::size_t N>
E parse_choice(std::string_view key, std::string_view value, int line, std::array<std::string_view, N> const& names) {
  for (std::size_t i = 0; i < N; ++i)
    if (names[i] == value) return static_cast<E>(i);
  throw error{"plan::parse",
              "line " + std::to_string(line) + ": '" + std::string(key) + "' must be " + choices(names) + ", found '" +
                  std::string(value) + "'",
              "Use " + std::string(key) + " = " + std::string(nearest(value, names))};
}
/// Whole numbers with one blank between them, or a word for none.
PLEAT_ONCE std::vector<index_t> parse_list(std::string_view key, std::string_view value, std::string_view none,
                                           int line) {
  std::vector<index_t> all;
  if (value == none) return all;
  while (true) {
    auto const stop = std::min(value.find(' '), value.size());
    all.push_back(parse_integer(key, value.substr(0, stop), line));
    if (stop == value.size()) return all;
    value.remove_prefix(stop + 1);
  }
}
/// A whole number that an int holds.
PLEAT_ONCE int parse_int(std::string_view key, std::string_view value, int line) {
  index_t const n = parse_integer(key, value, line);
  if (n == static_cast<int>(n)) return static_cast<int>(n);
  throw error{"plan::parse",
              "line " + std::to_string(line) + ": '" + std::string(key) + "' must be a small whole number, found '" +
                  std::string(value) + "'",
              "Write it as in '" + std::string(key) + " = 1'"};
}
PLEAT_ONCE bool parse_truth(std::string_view key, std::string_view value, int line) {
  if (value == "true") return true;
  if (value == "false") return false;
  throw error{"plan::parse",
              "line " + std::to_string(line) + ": '" + std::string(key) + "' must be true or false, found '" +
                  std::string(value) + "'",
              "Use " + std::string(key) + " = true, or " + std::string(key) + " = false"};
}

}  // namespace pleat::plan::detail
