// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Lanes: how a sum over samples is cut so that its bits depend on nothing but the samples. Needs no Kokkos.
#pragma once

#include <array>
#include <string>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::compute {

/// A run of sample rows [row[0], row[count]) cut into `count` lanes (a power of two, at most 64), lane l being
/// [row[l], row[l+1]); lanes may be empty.
///
/// A kernel that sums over samples does, for each output element:
///   1. for every lane one chain of fused multiply-adds over its rows, ascending, starting from zero;
///   2. the lane sums over a complete binary tree: ((l0 + l1) + (l2 + l3)) + …
/// With one lane and `accumulate`, the chain starts from what the output already holds, so a lane may be cut at any row.
/// With more than one lane the output is overwritten.
struct lanes {
  static constexpr int max_count = 64;
  int count = 1;
  bool accumulate = false;
  std::array<index_t, max_count + 1> row{};

  PLEAT_LAZY [[nodiscard]] static constexpr lanes whole(index_t rows, bool accumulate = false) noexcept {
    lanes l;
    l.accumulate = accumulate;
    l.row[1] = rows;
    return l;
  }
  [[nodiscard]] constexpr index_t begin(int lane) const noexcept { return row[static_cast<std::size_t>(lane)]; }
  [[nodiscard]] constexpr index_t end(int lane) const noexcept { return row[static_cast<std::size_t>(lane) + 1]; }
  [[nodiscard]] constexpr index_t rows() const noexcept { return end(count - 1) - begin(0); }
  /// \throws error in the name of `call` if there are no lanes, too many, or not a power of two of them
  PLEAT_LAZY void check(char const* call) const {
    if (count < 1 || count > max_count || (count & (count - 1)) != 0)
      throw error{call, std::to_string(count) + " lanes, expected a power of two up to " + std::to_string(max_count),
                  "Set plan.lanes to 1, 2, 4 or another power of two"};
  }
};

}  // namespace pleat::compute
