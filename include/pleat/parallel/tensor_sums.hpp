// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What a step needs of the tensor axis once its gradients are reduced: the addends of replicated parameters summed,
/// and norms over parts.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include <pleat/base/pooled_array.hpp>
#include <pleat/base/random.hpp>
#include <pleat/nn/align.hpp>
#include <pleat/nn/arena.hpp>
#include <pleat/tensor/index_set.hpp>

namespace pleat::parallel {

/// Sums, over the tensor axis, the gradients that every rank has an addend of (nn/placement_rules.hpp): those of
/// replicated parameters whose layer worked on cut activations. All of them in one all-reduce, in the order of the
/// arena. To be called when the sums over the data axis are complete: so bits do not depend on how the batch was dealt.
template <class T, class Space>
void sum_addends(context<Space>& where, comm::communicator& axis, bool deterministic, nn::arena<T, Space>& memory) {
  using W = typename nn::arena<T, Space>::master_type;
  if (axis.size() == 1) return;
  auto const each = [&](auto&& f) {
    for (auto const& piece : memory.pieces())
      for (auto const& e : memory.entries()) {
        if (!e.use.addend) continue;
        index_range const part = intersect({e.begin, e.end}, {piece.begin, piece.end});
        if (!part.empty()) f(memory.owned_gradients(piece) + (part.begin - piece.begin), part.size());
      }
  };
  index_t count = 0;
  each([&](W*, index_t n) { count += n; });
  if (count == 0) return;
  auto all = tensor<W, Space>::allocate(where, {count});
  index_t at = 0;
  each([&](W* g, index_t n) {
    compute::copy(where.space(), n, static_cast<W const*>(g), all.data() + at);
    at += n;
  });
  nn::pass<Space> p;
  p.where = &where;
  p.tensor = &axis;
  p.deterministic = deterministic;
  all = nn::resolve(p, std::move(all), {});
  at = 0;
  each([&](W* g, index_t n) {
    compute::copy(where.space(), n, static_cast<W const*>(all.data()) + at, g);
    at += n;
  });
  where.fence();
}

/// From the squared norms of this rank's parts to those of whole parameters: cut ones are summed over the tensor axis
/// in rank order, replicated ones count once. \param squares one per arena entry; the same on every rank afterwards
template <class T, class Space>
void squares_of_wholes(context<Space>& where, comm::communicator& axis, nn::arena<T, Space> const& memory,
                       std::span<double> squares) {
  if (axis.size() == 1) return;
  auto const n = squares.size();
  pooled_array<double> all(where.host_pool(), n * static_cast<std::size_t>(axis.size()));
  axis.all_gather(std::span<double const>(squares), std::span<double>(all.data(), all.size()));
  for (std::size_t i = 0; i < n; ++i) {
    squares[i] = all[i];
    if (!memory.entries()[i].where.shards()) continue;
    for (std::size_t r = 1; r < static_cast<std::size_t>(axis.size()); ++r) squares[i] += all[r * n + i];
  }
}

/// 64 bits of the values that all ranks of the tensor axis must have alike, as far as this rank holds them.
/// \param held the arena's values on the host, as they lie: flat, at state stage 3 this rank's pieces one after the
/// other
template <class T, class Space>
[[nodiscard]] std::uint64_t replicated_hash(nn::arena<T, Space> const& memory, std::vector<T> const& held) {
  std::uint64_t h = 0;
  auto const add = [&](index_t at, index_t n) {
    h = (h ^ random::hash(std::string_view(reinterpret_cast<char const*>(held.data() + at),
                                           static_cast<std::size_t>(n) * sizeof(T)))) *
        0x9e3779b97f4a7c15u;
  };
  for (auto const& e : memory.entries()) {
    if (e.where.shards()) continue;
    if (memory.layout().stage() < 3) {
      add(e.begin, e.end - e.begin);
      continue;
    }
    // cut alike on every rank of the axis: entries are as large as their largest part
    for (auto const& p : memory.pieces())
      if (index_range const r = intersect({e.begin, e.end}, {p.begin, p.end}); !r.empty())
        add(p.packed + r.begin - p.begin, r.size());
  }
  return h;
}

}  // namespace pleat::parallel
