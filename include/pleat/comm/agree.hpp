// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Numbers and texts that all ranks must have alike, compared before somebody waits in vain. Needs no Kokkos.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/base/random.hpp>
#include <pleat/comm/communicator.hpp>

namespace pleat::comm {

/// Numbers that must be equal on all ranks. Collective. \throws error on every rank alike \param what that a rank has
/// another of
PLEAT_ONCE void agree_on_hash(comm::communicator& ranks, std::uint64_t mine, std::string const& call,
                              std::string const& what, std::string const& remedy) {
  std::vector<std::uint64_t> all(static_cast<std::size_t>(ranks.size()));
  ranks.all_gather(std::span<std::uint64_t const>(&mine, 1), std::span<std::uint64_t>(all));
  for (std::size_t r = 1; r < all.size(); ++r)
    if (all[r] != all[0])
      throw error{call,
                  "rank " + std::to_string(r) + " has another " + what + " than rank 0 (hash " +
                      std::to_string(all[r]) + ", not " + std::to_string(all[0]) + ")",
                  remedy}
          .on_rank(ranks.rank());
}
PLEAT_COMPILED_ONCE(void agree_on_hash(comm::communicator& ranks, std::uint64_t mine, std::string const& call,
                                       std::string const& what, std::string const& remedy));

/// Texts that must be equal, compared by their hash. Collective. \throws error on every rank alike, with the first line
/// that differs
/// \param what what the lines describe: "the network"
PLEAT_ONCE void agree_on_text(comm::communicator& ranks, std::string const& mine, std::string const& call,
                              std::string const& what, std::string const& remedy) {
  if (ranks.size() == 1) return;
  std::uint64_t const hash = random::hash(mine);
  std::vector<std::uint64_t> all(static_cast<std::size_t>(ranks.size()));
  ranks.all_gather(std::span<std::uint64_t const>(&hash, 1), std::span<std::uint64_t>(all));
  auto const other = std::find_if(all.begin(), all.end(), [&](std::uint64_t h) { return h != all[0]; });
  if (other == all.end()) return;
  int const rank = static_cast<int>(other - all.begin());
  auto const of = [&](int root) {
    std::string text = mine;
    text.resize(static_cast<std::size_t>(ranks.broadcast_value(static_cast<index_t>(text.size()), root)));
    if (!text.empty()) ranks.broadcast(text, root);
    return text;
  };
  auto const zero = of(0), theirs = of(rank);
  std::string_view a = zero, b = theirs;
  auto const line = [](std::string_view& s) {
    auto const stop = s.find('\n');
    auto const l = s.substr(0, stop);
    s = stop == std::string_view::npos ? std::string_view{} : s.substr(stop + 1);
    return std::string(l.empty() ? "nothing" : l);
  };
  std::string x, y;
  do x = line(a), y = line(b);
  while (x == y && !(a.empty() && b.empty()));
  throw error{call,
              what + " of rank " + std::to_string(rank) + " is not that of rank 0: " + y + " there, " + x + " here",
              remedy, ranks.rank()};
}
PLEAT_COMPILED_ONCE(void agree_on_text(comm::communicator& ranks, std::string const& mine, std::string const& call,
                                       std::string const& what, std::string const& remedy));

}  // namespace pleat::comm
