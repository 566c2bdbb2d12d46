// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// How queries, keys and values lie in one row, and what attends to what. Needs no Kokkos.
#pragma once

#include <pleat/tensor/extents.hpp>

namespace pleat::compute {

/// Packed rows: a row per position holds, group by group, the queries of the group's heads, then the group's one key,
/// then its one value, `head_size` elements each:
///
///     group 0: q₀ q₁ … k v | group 1: q₀ q₁ … k v | …
///
/// So a contiguous slice of a row that ends at group borders is a whole attention of fewer heads. With one head per
/// group it is plain multi-head attention; with more, grouped-query attention (Ainslie et al., arXiv:2305.13245).
struct attention_shape {
  index_t batch = 0;        ///< sequences
  index_t positions = 0;    ///< of each
  index_t groups = 0;       ///< heads of keys and values
  index_t group_heads = 1;  ///< heads of queries per group
  index_t head_size = 0;    ///< elements of a query, key or value
  bool causal = true;       ///< position i sees positions ≤ i; false: all

  [[nodiscard]] constexpr index_t heads() const noexcept { return groups * group_heads; }
  /// Elements of a packed row.
  [[nodiscard]] constexpr index_t width() const noexcept { return groups * (group_heads + 2) * head_size; }
  /// Elements of a row of the output: the heads side by side.
  [[nodiscard]] constexpr index_t out_width() const noexcept { return heads() * head_size; }
};

}  // namespace pleat::compute
