// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The ranks agree on which layer's output was the first that is not finite.
#pragma once

#include <span>
#include <string>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/comm/communicator.hpp>
#include <pleat/nn/pass.hpp>

namespace pleat::parallel {

/// Collective. What ranks have found behind the first such layer follows from it: the lowest layer counts, then the lowest rank.
/// \throws error on every rank alike, if any has found one
PLEAT_ONCE void demand_finite(nn::nonfinite_note const& mine, comm::communicator& ranks) {
  std::vector<index_t> at(static_cast<std::size_t>(ranks.size()));
  ranks.all_gather(std::span<index_t const>(&mine.at, 1), std::span<index_t>(at));
  int first = -1;
  for (int r = 0; r < ranks.size(); ++r)
    if (index_t const n = at[static_cast<std::size_t>(r)]; n >= 0 && (first < 0 || n < at[static_cast<std::size_t>(first)])) first = r;
  if (first < 0) return;
  std::string said = mine.found;
  auto const length = ranks.broadcast_value(static_cast<index_t>(said.size()), first);
  said.resize(static_cast<std::size_t>(length));
  ranks.broadcast(said, first);
  throw error{"parallel::find_nonfinite", "on rank " + std::to_string(first) + " " + said, "Lower the learning rate, clip the gradient, or look at the data of this step"};
}

}  // namespace pleat::parallel
