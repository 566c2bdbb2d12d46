// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Which ranks of the data axis divide one copy of the sharded state. Needs no Kokkos.
#pragma once

#include <algorithm>
#include <string>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::plan {

/// The data axis seen as a grid of outer × ranks × stride: a copy of the state is divided along the middle one, and
/// whatever differs in the other two holds another copy. With stride 1 those who share a copy are neighbours.
struct state_group {
  index_t ranks = 1;   ///< data ranks that divide one copy
  index_t stride = 1;  ///< data ranks from one of them to the next

  friend constexpr bool operator==(state_group const&, state_group const&) = default;

  /// Which piece a data rank holds, in [0, ranks).
  [[nodiscard]] constexpr index_t shard_of(index_t rank) const noexcept { return rank / stride % ranks; }
  /// Of which copy, counted by their first ranks.
  [[nodiscard]] constexpr index_t copy_of(index_t rank) const noexcept {
    return rank / (stride * ranks) * stride + rank % stride;
  }
  /// The data rank that holds the same piece of the first copy.
  [[nodiscard]] constexpr index_t first_twin_of(index_t rank) const noexcept { return shard_of(rank) * stride; }

  /// What a plan says about it. \param ranks 0: all that the axis has \throws error for a grid that the axis is not,
  /// with the nearest that it is
  PLEAT_ONCE static void check(index_t ranks, index_t stride, index_t data_ranks, int stage) {
    auto const found = [](char const* what, index_t n) { return what + (" = " + std::to_string(n)); };
    if (ranks < 0)
      throw error{"plan", "state_ranks must not be negative, found " + std::to_string(ranks),
                  "Use state_ranks = 0 for all data ranks"};
    if (stride < 1)
      throw error{"plan", "state_stride must be at least 1, found " + std::to_string(stride),
                  "Use state_stride = 1 for neighbours"};
    if (ranks > 0 && stage == 0)
      throw error{"plan",
                  found("state_ranks", ranks) +
                      " says how many ranks share one copy of the state, but state_stage = 0 shares nothing",
                  "Use state_ranks = 0, or state_stage = 1, 2 or 3"};
    if (stride > 1 && stage == 0)
      throw error{"plan",
                  found("state_stride", stride) +
                      " says how far apart ranks lie that share the state, but state_stage = 0 shares nothing",
                  "Use state_stride = 1, or state_stage = 1, 2 or 3"};
    if (ranks > 0 && data_ranks % ranks != 0)
      throw error{
          "plan",
          "state_ranks must divide the " + std::to_string(data_ranks) + " data ranks, found " + std::to_string(ranks),
          "Use state_ranks = " + std::to_string(divisor(data_ranks, ranks)) + ", or 0 for all of them"};
    if (ranks == 0 && stride > 1) {
      index_t const divides = divisor(data_ranks, stride), each = data_ranks / divides;
      throw error{
          "plan", found("state_stride", stride) + " leaves data ranks out, but state_ranks = 0 says all of them",
          divides == stride
              ? "Use " + found("state_ranks", each) + ", or state_stride = 1"
              : "Use state_stride = 1, or " + found("state_ranks", each) + " and " + found("state_stride", divides)};
    }
    index_t const copies = ranks > 0 ? data_ranks / ranks : 1;
    if (copies % stride == 0) return;
    throw error{"plan",
                "state_stride must divide the " + std::to_string(copies) + " copies that " +
                    std::to_string(data_ranks) + " data ranks hold with " + found("state_ranks", ranks) + ", found " +
                    std::to_string(stride),
                "Use state_stride = " + std::to_string(divisor(copies, stride))};
  }

 private:
  /// The largest divisor of n that is not above `most`.
  PLEAT_ONCE [[nodiscard]] static index_t divisor(index_t n, index_t most) {
    index_t best = 1;
    for (index_t d = 1; d * d <= n; ++d)
      if (n % d == 0)
        for (index_t const e : {d, n / d})
          if (e <= most) best = std::max(best, e);
    return best;
  }
};

}  // namespace pleat::plan
