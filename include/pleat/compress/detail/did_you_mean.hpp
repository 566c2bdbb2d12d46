// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The word that was probably meant. Needs no Kokkos.
#pragma once

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pleat/base/config.hpp>

namespace pleat::compress::detail {

/// How many letters must change, come or go.
PLEAT_ONCE [[nodiscard]] std::size_t letters_apart(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i + 1);
    for (std::size_t j = 0; j < b.size(); ++j)
      diagonal = std::exchange(row[j + 1], std::min({diagonal + (a[i] != b[j] ? 1u : 0u), row[j] + 1, row[j + 1] + 1}));
  }
  return row.back();
}
PLEAT_COMPILED_ONCE(std::size_t letters_apart(std::string_view a, std::string_view b));
/// "Did you mean 'x'?", the nearest of what is known.
PLEAT_ONCE [[nodiscard]] std::string did_you_mean(std::string_view found, std::vector<std::string> const& known) {
  auto const best = std::min_element(known.begin(), known.end(), [&](auto const& a, auto const& b) {
    return letters_apart(found, a) < letters_apart(found, b);
  });
  return best == known.end() ? std::string() : "Did you mean '" + *best + "'?";
}
PLEAT_COMPILED_ONCE(std::string did_you_mean(std::string_view found, std::vector<std::string> const& known));

}  // namespace pleat::compress::detail
