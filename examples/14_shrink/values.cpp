// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <cstdio>

#include "network.hpp"

namespace {

using pl::compress::recipe_step;

[[noreturn]] void refuse(recipe_step const& s, std::string const& what, std::string const& instead) {
  throw pl::error{"compress::recipe", "'" + s.to_string() + "': " + what, instead};
}

}  // namespace

pl::index_t at_least(recipe_step const& s, std::string const& key, pl::index_t otherwise, pl::index_t least,
                     pl::index_t most) {
  auto const x = s.whole(key, otherwise);
  if (x < least || x > most)
    refuse(s, key + " is " + std::to_string(x) + ", expected " + std::to_string(least) + " to " + std::to_string(most),
           "Leave it out: it is then " + std::to_string(otherwise));
  return x;
}
double share_of(recipe_step const& s, std::string const& key, double otherwise, ends closed) {
  double const x = s.number(key, otherwise);
  bool const good = closed == ends::low ? x >= 0 && x < 1 : x > 0 && x <= 1;
  if (!good)
    refuse(s, key + " is " + s.text(key) + ", expected a share in " + (closed == ends::low ? "[0, 1)" : "(0, 1]"),
           "Nine tenths are " + key + "=0.9");
  return x;
}
double positive(recipe_step const& s, std::string const& key, double otherwise, double most) {
  double const x = s.number(key, otherwise);
  if (!(x > 0)) refuse(s, key + " must be positive, found " + s.text(key), "Leave it out: there is a default");
  if (x > most)
    refuse(s, key + " is " + s.text(key) + ", expected at most " + std::to_string(static_cast<int>(most)),
           "Leave it out: there is a default");
  return x;
}
std::optional<pl::compress::static_activations> activations_of(kitchen const& k, recipe_step const& s) {
  if (s.text("activations") != "static") return std::nullopt;
  pl::compress::static_activations a{.data = k.sampled()};
  choose_observer(s, a.observer);
  return a;
}
pl::compress::n_of_m pattern_of(recipe_step const& s) {
  auto const text = s.text("pattern");
  int n = 0, m = 0, end = 0;
  if (std::sscanf(text.c_str(), "%4d:%4d%n", &n, &m, &end) != 2 || static_cast<std::size_t>(end) != text.size())
    refuse(s, "pattern is '" + text + "', expected n:m", "2:4 keeps two of every four columns");
  if (n < 1 || n >= m)
    refuse(s,
           "the pattern " + text + " keeps " + std::to_string(n) + " of every " + std::to_string(m) +
               " columns: 1 <= n < m is needed",
           "2:4 keeps two of every four columns");
  return {n, m};
}
std::string group_of(recipe_step const& s) {
  auto group = s.text("group", "32");
  if (group != "32" && group != "64" && group != "128")
    refuse(s, "group is '" + group + "', expected 32, 64, 128", "Leave it out: it is then 32");
  return group;
}
pl::codec::centroid_start start_of(recipe_step const& s) {
  auto const start = s.text("start", "linear");
  return start == "density"  ? pl::codec::centroid_start::density
         : start == "random" ? pl::codec::centroid_start::random
                             : pl::codec::centroid_start::linear;
}
std::vector<std::pair<std::string, int>> widths_of(recipe_step const& s) {
  std::vector<std::pair<std::string, int>> widths;
  for (auto const& one : s.names("widths")) {
    auto const colon = one.find(':');
    int bits = 0, end = 0;
    if (colon == 0 || colon == std::string::npos || std::sscanf(one.c_str() + colon, ":%4d%n", &bits, &end) != 1 ||
        colon + static_cast<std::size_t>(end) != one.size() || bits < 1 || bits > 8)
      refuse(s, "'" + one + "' is no width, expected name:bits with 1 to 8 bits",
             "Separate them by spaces, e.g. widths=conv*:8 fc3.*:6");
    widths.emplace_back(one.substr(0, colon), bits);
  }
  return widths;
}
