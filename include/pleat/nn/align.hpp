// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Activations from one layout along the tensor axis to another. By the collective that the layout algebra names
/// (tensor/ redistribution.hpp): shard → replicate an all-gather, partial → replicate an all-reduce, partial → shard a
/// reduce-scatter, shard → another shard an all-to-all, replicate → shard a slice. nn::call and nn::apply come here, so
/// that layers made of them do not communicate; besides them conv2d, embedding and the losses do, for a table or scores
/// of their own that are cut.
///
/// In steady state nothing is allocated: parts are packed into pooled memory. Device memory is exchanged through a copy
/// on the host.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

#include <pleat/base/config.hpp>
#include <pleat/base/pooled_array.hpp>
#include <pleat/comm/communicator.hpp>
#include <pleat/compute/copy_block.hpp>
#include <pleat/compute/elementwise.hpp>
#include <pleat/nn/pass.hpp>
#include <pleat/nn/placement_rules.hpp>
#include <pleat/tensor/tensor.hpp>
#include <pleat/tensor/wire_memory.hpp>

namespace pleat::nn {

namespace detail {

/// Elements of `shape` with extent n in dimension d.
[[nodiscard]] inline extents with_extent(extents shape, int d, index_t n) noexcept {
  shape[d] = n;
  return shape;
}

/// Elements before and behind a dimension.
struct around {
  index_t outer = 1, inner = 1;
  PLEAT_LAZY around(extents const& shape, int d) noexcept : inner(shape.size_from(d + 1)) {
    for (int i = 0; i < d; ++i) outer *= shape[i];
  }
};

/// Local indices r of dimension d, copied out of x into `to` (packed), or from `from` (packed) into y.
template <class T, class Space>
void pack(pass<Space> const& p, tensor<T, Space> const& x, int d, index_range r, T* to) {
  around const a(x.shape(), d);
  if (a.outer == 0 || r.empty() || a.inner == 0) return;
  compute::copy_block(p.space(), a.outer, r.size() * a.inner, static_cast<T const*>(x.data()) + r.begin * a.inner,
                      x.extent(d) * a.inner, to, r.size() * a.inner);
}
template <class T, class Space>
void unpack(pass<Space> const& p, T const* from, index_range r, tensor<T, Space> const& y, int d) {
  around const a(y.shape(), d);
  if (a.outer == 0 || r.empty() || a.inner == 0) return;
  compute::copy_block(p.space(), a.outer, r.size() * a.inner, from, r.size() * a.inner, y.data() + r.begin * a.inner,
                      y.extent(d) * a.inner);
}

/// True if sums must not be left to the transport: MPI may choose its order by the message's length, which changes with
/// the data ranks. Two addends have one order.
template <class Space> [[nodiscard]] bool own_order(pass<Space> const& p) {
  return p.deterministic && p.tensor->size() > 2 && p.tensor->name() != "local";
}

/// Sums `parts` neighbouring blocks of n elements, in ascending order. \param to n elements apart from them: whoever
/// keeps the sum does not keep the addends
template <class T, class Space> void sum_blocks(pass<Space> const& p, T const* blocks, int parts, index_t n, T* to) {
  for (int r = 1; r < parts; ++r)
    compute::add(p.space(), n, r == 1 ? blocks : static_cast<T const*>(to), blocks + r * n, to);
}

template <class T, class Space> [[nodiscard]] tensor<T, Space> sum(pass<Space> const& p, tensor<T, Space> x) {
  if (x.size() == 0) return x;
  auto& ranks = *p.tensor;
  if (own_order(p)) {
    auto all = tensor<T, Space>::allocate(*p.where, {ranks.size(), x.size()});
    wire_memory<T, Space> const in(*p.where, x, true), out(*p.where, all, false);
    ranks.all_gather(std::span<T const>(in.span()), out.span());
    out.arrived();
    auto y = x.sole_owner() ? x : tensor<T, Space>::allocate(*p.where, x.shape());
    sum_blocks(p, static_cast<T const*>(all.data()), ranks.size(), x.size(), y.data());
    return y;
  }
  auto y = x.sole_owner() ? x : tensor<T, Space>::allocate(*p.where, x.shape());
  if (y.data() == x.data()) {
    wire_memory<T, Space> const m(*p.where, y, true);
    ranks.all_reduce(m.span());
    m.arrived();
  } else {
    wire_memory<T, Space> const in(*p.where, x, true), out(*p.where, y, false);
    ranks.all_reduce(std::span<T const>(in.span()), out.span());
    out.arrived();
  }
  return y;
}

/// This rank's part of a tensor that all have.
template <class T, class Space>
[[nodiscard]] tensor<T, Space> slice(pass<Space> const& p, tensor<T, Space> const& x, axis_layout const& to) {
  int const d = to.where.dim;
  index_range const r = to.range(p.tensor->size(), p.tensor->rank());
  auto y = tensor<T, Space>::allocate(*p.where, with_extent(x.shape(), d, r.size()));
  pack(p, x, d, r, y.data());
  return y.with_layout(to);
}

template <class T, class Space> [[nodiscard]] tensor<T, Space> gather(pass<Space> const& p, tensor<T, Space> const& x) {
  auto& ranks = *p.tensor;
  axis_layout const from = x.layout();
  int const d = from.where.dim;
  around const a(x.shape(), d);
  auto y = tensor<T, Space>::allocate(*p.where, with_extent(x.shape(), d, from.whole));
  if (y.size() == 0) return y;
  bool const direct = a.outer == 1;
  auto got = direct ? y : tensor<T, Space>::allocate(*p.where, y.shape());
  pooled_array<index_t> counts(p.where->host_pool(), static_cast<std::size_t>(ranks.size()));
  bool even = true;
  for (int r = 0; r < ranks.size(); ++r) {
    counts[static_cast<std::size_t>(r)] = a.outer * a.inner * from.range(ranks.size(), r).size();
    even = even && counts[static_cast<std::size_t>(r)] == counts[0];
  }
  {
    wire_memory<T, Space> const in(*p.where, x, true), out(*p.where, got, false);
    if (even) ranks.all_gather(std::span<T const>(in.span()), out.span());
    else ranks.all_gather_v(std::span<T const>(in.span()), out.span(), comm::parts{{counts.data(), counts.size()}, {}});
    out.arrived();
  }
  T const* block = got.data();
  for (int r = 0; !direct && r < ranks.size(); block += counts[static_cast<std::size_t>(r)], ++r)
    unpack(p, block, from.range(ranks.size(), r), y, d);
  return y;
}

template <class T, class Space>
[[nodiscard]] tensor<T, Space> sum_to_part(pass<Space> const& p, tensor<T, Space> const& x, axis_layout const& to) {
  auto& ranks = *p.tensor;
  int const d = to.where.dim;
  around const a(x.shape(), d);
  index_range const mine = to.range(ranks.size(), ranks.rank());
  auto y = tensor<T, Space>::allocate(*p.where, with_extent(x.shape(), d, mine.size())).with_layout(to);
  if (x.size() == 0) return y;
  pooled_array<index_t> counts(p.where->host_pool(), static_cast<std::size_t>(ranks.size()));
  bool even = true;
  auto packed = a.outer == 1 ? x : tensor<T, Space>::allocate(*p.where, x.shape());
  T* block = packed.data();
  for (int r = 0; r < ranks.size(); ++r) {
    index_range const part = to.range(ranks.size(), r);
    auto& n = counts[static_cast<std::size_t>(r)];
    n = a.outer * a.inner * part.size();
    even = even && n == counts[0];
    if (a.outer != 1) pack(p, x, d, part, block);
    block += n;
  }
  if (own_order(p)) {
    auto all = tensor<T, Space>::allocate(*p.where, {ranks.size(), y.size()});
    pooled_array<index_t> same(p.where->host_pool(), static_cast<std::size_t>(ranks.size()));
    for (auto& n : same) n = y.size();
    {
      wire_memory<T, Space> const in(*p.where, packed, true), out(*p.where, all, false);
      ranks.all_to_all_v(std::span<T const>(in.span()), comm::parts{{counts.data(), counts.size()}, {}}, out.span(),
                         comm::parts{{same.data(), same.size()}, {}});
      out.arrived();
    }
    sum_blocks(p, static_cast<T const*>(all.data()), ranks.size(), y.size(), y.data());
    return y;
  }
  wire_memory<T, Space> const in(*p.where, packed, true), out(*p.where, y, false);
  if (even) ranks.reduce_scatter(std::span<T const>(in.span()), out.span());
  else
    ranks.reduce_scatter_v(std::span<T const>(in.span()), out.span(),
                           std::span<index_t const>(counts.data(), counts.size()));
  out.arrived();
  return y;
}

/// The part of dimension d that travels between one who cuts it as `a` (this rank: `mine`) and another, in local
/// indices of the one who holds all of d, or in those of `mine`.
PLEAT_LAZY [[nodiscard]] constexpr index_range overlap(bool same_dimension, index_range mine,
                                                       index_range theirs) noexcept {
  if (!same_dimension) return theirs;
  index_range const r = intersect(mine, theirs);
  return {r.begin - mine.begin, r.end - mine.begin};
}

template <class T, class Space>
[[nodiscard]] tensor<T, Space> exchange(pass<Space> const& p, tensor<T, Space> const& x, axis_layout const& to) {
  auto& ranks = *p.tensor;
  axis_layout const from = x.layout();
  int const n = ranks.size(), me = ranks.rank(), i = from.where.dim, j = to.where.dim;
  bool const same = i == j;
  index_range const had = from.range(n, me), get = to.range(n, me);
  extents shape = with_extent(with_extent(x.shape(), i, from.whole), j, get.size());
  auto y = tensor<T, Space>::allocate(*p.where, shape).with_layout(to);
  pooled_array<index_t> sent(p.where->host_pool(), static_cast<std::size_t>(n)),
      received(p.where->host_pool(), static_cast<std::size_t>(n));
  around const ax(x.shape(), j), ay(y.shape(), i);
  auto out = tensor<T, Space>::allocate(*p.where, x.shape()), in = tensor<T, Space>::allocate(*p.where, y.shape());
  T* block = out.data();
  for (int r = 0; r < n; ++r) {
    index_range const part = overlap(same, had, to.range(n, r));
    pack(p, x, j, part, block);
    block += sent[static_cast<std::size_t>(r)] = ax.outer * ax.inner * std::max<index_t>(part.size(), 0);
    received[static_cast<std::size_t>(r)] =
        ay.outer * ay.inner * std::max<index_t>(overlap(same, get, from.range(n, r)).size(), 0);
  }
  {
    wire_memory<T, Space> const a(*p.where, out, true), b(*p.where, in, false);
    ranks.all_to_all_v(std::span<T const>(a.span()), comm::parts{{sent.data(), sent.size()}, {}}, b.span(),
                       comm::parts{{received.data(), received.size()}, {}});
    b.arrived();
  }
  T const* got = in.data();
  for (int r = 0; r < n; got += received[static_cast<std::size_t>(r)], ++r)
    unpack(p, got, overlap(same, get, from.range(n, r)), y, i);
  return y;
}

}  // namespace detail

/// x, placed as `to` says. Costs nothing where it lives so already.
/// \param what the layer, for the listener; empty: an expected move
template <class T, class Space>
[[nodiscard]] tensor<T, Space> redistribute(pass<Space> const& p, tensor<T, Space> x, axis_layout const& to,
                                            std::string_view what = {}) {
  if (!p.tensor || x.rank() == 0 || x.layout().same(to, p.tensor->size())) return x;
  if (p.moves && !what.empty())
    p.moves->moved(
        {what, x.whole_shape(), x.layout(), to, static_cast<index_t>(sizeof(T)), p.tensor->size(), p.tensor->rank()});
  if (!x.layout().cut()) return detail::slice(p, x, to);
  scoped_span const span(p.trace, to.cut() ? "all_to_all" : "all_gather", "communication");
  if (!to.cut()) return detail::gather(p, x);
  return detail::exchange(p, x, to);
}

/// The sum of all ranks' x, placed as `to` says.
template <class T, class Space>
[[nodiscard]] tensor<T, Space> resolve(pass<Space> const& p, tensor<T, Space> x, axis_layout const& to) {
  if (!p.tensor) return x;
  scoped_span const span(p.trace, to.cut() ? "reduce_scatter" : "all_reduce", "communication");
  return to.cut() ? detail::sum_to_part(p, x, to) : detail::sum(p, std::move(x));
}

/// b, placed as a is: what a sum of two activations needs.
template <class T, class Space>
[[nodiscard]] tensor<T, Space> align_with(pass<Space> const& p, tensor<T, Space> const& a, tensor<T, Space> b) {
  return redistribute(p, std::move(b), a.layout());
}

}  // namespace pleat::nn
