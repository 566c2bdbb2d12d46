// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The norm of gradients of which every rank holds pieces: the same bits as if one rank held them all.
#pragma once

#include <span>

#include <pleat/base/math.hpp>
#include <pleat/base/pooled_array.hpp>
#include <pleat/compute/reduce.hpp>
#include <pleat/nn/clip.hpp>
#include <pleat/parallel/gradient_exchange.hpp>
#include <pleat/parallel/shard_group.hpp>

namespace pleat::parallel {

static_assert(nn::shard_grain == compute::chunk_elements, "shards are cut where chunks of a sum begin");

/// nn::gradient_norm where state may be sharded. Collective. Pieces are cut at chunks of the sum, so every chunk's sum
/// is computed by one rank; they are collected and added up as one rank would. (On a device the order within a sum is
/// Kokkos' own, with and without shards.)
/// \param exchange null, or what gradients may still come from: those are waited for last
template <class T, class Space>
void gradient_squares(context<Space>& where, shard_group const& g, nn::arena<T, Space> const& memory,
                      gradient_exchange<T, Space>* exchange, double* out) {
  auto const await = [&](std::size_t entry) {
    if (exchange) exchange->wait_for(static_cast<std::size_t>(memory.layout().owner()[entry]));
  };
  if (memory.layout().stage() == 0) return nn::gradient_squares(where, memory, out, await);
  using W = typename nn::arena<T, Space>::master_type;
  auto const& all = memory.entries();
  auto const chunks_of = [](nn::arena_entry const& e) { return compute::chunks_of(e.end - e.begin); };
  index_t count = 0;
  for (auto const& e : all) count += chunks_of(e);
  auto sums = tensor<double, Space>::allocate(where, {count});
  pooled_array<double> host(where.host_pool(), static_cast<std::size_t>(count));
  compute::fill(where.space(), count, 0.0, sums.data());
  index_t at = count;
  for (std::size_t i = all.size(); i-- > 0;) {
    auto const& e = all[i];
    at -= chunks_of(e);
    auto const b = static_cast<std::size_t>(memory.layout().owner()[i]);
    auto const& p = memory.pieces()[b];
    index_range const part = intersect({e.begin, e.end}, {p.begin, p.end});
    if (part.empty() || e.kind != nn::parameter_kind::trainable || !e.requires_grad || e.held) continue;
    await(i);
    compute::squared_norm_chunks(where.space(), part.size(),
                                 static_cast<W const*>(memory.owned_gradients(p) + (part.begin - p.begin)),
                                 e.mask_bits ? e.mask_bits + (part.begin - e.begin) / 8 : nullptr,
                                 sums.data() + at + (part.begin - e.begin) / compute::chunk_elements);
  }
  copy_to_host(where, sums, host.data());
  // one rank's, and zeros
  if (g.shards > 1)
    g.members->all_reduce(std::span<double>(host.data(), static_cast<std::size_t>(count)), comm::reduction::sum);
  at = 0;
  for (auto const& e : all) {
    *out++ = compute::fold_chunk_sums(host.data() + at, chunks_of(e));
    at += chunks_of(e);
  }
}

/// The 2-norm of all gradients. Collective where state is sharded.
template <class T, class Space>
[[nodiscard]] double gradient_norm(context<Space>& where, shard_group const& g, nn::arena<T, Space> const& memory,
                                   gradient_exchange<T, Space>* exchange) {
  pooled_array<double> squares(where.host_pool(), memory.entries().size());
  gradient_squares(where, g, memory, exchange, squares.data());
  double total = 0;
  for (double const s : squares) total += s;
  return std::sqrt(total);
}

}  // namespace pleat::parallel
