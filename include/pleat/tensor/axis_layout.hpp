// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Where an activation lives along one mesh axis: what travels with a tensor, because the next layer must know it. No
/// Kokkos.
#pragma once

#include <string>

#include <pleat/base/config.hpp>
#include <pleat/tensor/index_set.hpp>
#include <pleat/tensor/placement.hpp>

namespace pleat {

/// The word of one axis, and the whole extent of the dimension that it cuts. The default: the same elements on every
/// rank.
struct axis_layout {
  axis_placement where{};
  index_t whole = 0;  ///< extent of dimension where.dim over all ranks; 0 unless it is cut

  [[nodiscard]] constexpr bool cut() const noexcept { return where.shards(); }
  /// The part of the dimension that rank `part` of `parts` holds.
  PLEAT_LAZY [[nodiscard]] constexpr index_range range(index_t parts, index_t part) const noexcept {
    return block_range(whole, parts, part, where.unit);
  }
  /// The same elements on every rank, whatever the units are called.
  PLEAT_LAZY [[nodiscard]] constexpr bool same(axis_layout const& o, index_t parts) const noexcept {
    if (where.kind != o.where.kind) return false;
    if (!cut()) return true;
    if (where.dim != o.where.dim || whole != o.whole) return false;
    for (index_t r = 0; r < parts; ++r)
      if (range(parts, r) != o.range(parts, r)) return false;
    return true;
  }
  /// True if every border between two ranks lies on a multiple of `n` elements.
  PLEAT_LAZY [[nodiscard]] constexpr bool borders_on(index_t n, index_t parts) const noexcept {
    for (index_t r = 0; r + 1 < parts; ++r)
      if (index_t const end = range(parts, r).end; end % n != 0 && end != whole) return false;
    return true;
  }
  friend constexpr bool operator==(axis_layout const&, axis_layout const&) = default;

  /// "replicate", or "shard<2> of 384"
  PLEAT_ONCE [[nodiscard]] std::string to_string() const;
};

template <class> std::string axis_layout::to_string() const {
  return where.to_string() + (cut() ? " of " + std::to_string(whole) : std::string{});
}
PLEAT_COMPILED_ONCE(std::string axis_layout::to_string() const);

/// The layout of the same memory under another shape; `from` and `to` are this rank's extents.
///
/// A cut survives if what lies before it keeps its size: [m, c, h, w] cut along c is [m, c·h·w] cut along its last
/// dimension in units of h·w, and back. Where extents of one leave a choice, it stays at the dimension that it had: on a
/// rank with one channel [m, 1, 1, 1] might be cut along any, and ranks with more channels know along which. \returns
/// false in `fits` otherwise
struct reshaped_layout {
  axis_layout layout;
  bool fits = true;
};
PLEAT_LAZY [[nodiscard]] constexpr reshaped_layout reshaped(axis_layout const& l, extents const& from,
                                                            extents const& to) noexcept {
  if (!l.cut()) return {l, true};
  int const d = l.where.dim;
  index_t before = 1, prefix = 1;
  for (int i = 0; i < d; ++i) before *= from[i];
  index_t const inner = from.size_from(d + 1);
  reshaped_layout best{{}, false};
  for (int i = 0; i < to.rank(); ++i) {
    index_t const suffix = to.size_from(i + 1);
    if (prefix == before && suffix > 0 && (l.where.unit * inner) % suffix == 0 && (l.whole * inner) % suffix == 0) {
      axis_layout next = l;
      next.where.dim = static_cast<std::int8_t>(i);
      next.where.unit = l.where.unit * inner / suffix;
      next.whole = l.whole * inner / suffix;
      if (i == d) return {next, true};
      if (!best.fits || to[i] == from[d]) best = {next, true};
    }
    prefix *= to[i];
  }
  return best;
}

}  // namespace pleat
