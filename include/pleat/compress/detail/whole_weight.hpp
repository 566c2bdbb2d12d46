// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The whole of a weight that is cut over the tensor axis, for as long as a transform looks at it: one weight at a time.
#pragma once

#include <cstddef>
#include <vector>

#include <pleat/base/as_span.hpp>
#include <pleat/codec/detail/part_of.hpp>
#include <pleat/comm/communicator.hpp>
#include <pleat/nn/parameter.hpp>

namespace pleat::compress::detail {

/// True for a weight of which other ranks of the tensor axis have other elements.
[[nodiscard]] inline bool is_cut(nn::parameter const& w) noexcept { return w.parts > 1 && w.where.shards(); }

/// The elements of a cut weight in the order of the whole, on every rank that has a part: not a bit changes on the way.
/// Collective over `parts`, the ranks of the tensor axis. \param mine this rank's elements
template <class V>
[[nodiscard]] std::vector<V> whole_of_parts(comm::communicator& parts, nn::parameter const& w,
                                            std::vector<V> const& mine) {
  std::vector<index_t> counts;
  for (int r = 0; r < w.parts; ++r) counts.push_back(w.box(r).size());
  std::vector<V> in_turn(static_cast<std::size_t>(w.whole().size())), whole(in_turn.size());
  parts.all_gather_v(mine, in_turn, comm::parts{as_span(counts), {}});
  std::size_t next = 0;
  for (int r = 0; r < w.parts; ++r)
    codec::detail::for_each_of_part(w.whole(), w.box(r),
                                    [&](index_t i) { whole[static_cast<std::size_t>(i)] = in_turn[next++]; });
  return whole;
}

}  // namespace pleat::compress::detail
