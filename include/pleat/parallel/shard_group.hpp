// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The ranks of the data axis as those who sharded state needs: a group that divides one copy of it, and their twins in
/// other groups.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/comm/communicator.hpp>
#include <pleat/nn/arena.hpp>
#include <pleat/plan/plan.hpp>

namespace pleat::parallel {

/// Who divides a copy with whom is plan.sharing(). If that is all data ranks, there is one group and nobody has a twin;
/// with fewer (hybrid sharding), sums cross the groups after they were scattered within them.
struct shard_group {
  int stage = 0, shards = 1, shard = 0;
  plan::state_group place;                       ///< of data ranks in groups
  std::shared_ptr<comm::communicator> all;       ///< those that share the batch
  std::shared_ptr<comm::communicator> members;   ///< those that divide one copy; null at stage 0
  std::shared_ptr<comm::communicator> gathers;   ///< the same ranks, for parameters: never in turn with gradients
  std::shared_ptr<comm::communicator> replicas;  ///< twins of the other groups; null if there is one group
  /// those that share the batch, for second halves of coded gradients; null without such
  std::shared_ptr<comm::communicator> second_halves;

  shard_group() = default;
  /// Collective over `ranks`.
  PLEAT_ONCE shard_group(plan::plan const& p, std::shared_ptr<comm::communicator> ranks);

  /// Which piece a rank of the data axis holds.
  [[nodiscard]] int shard_of(int rank) const noexcept { return static_cast<int>(place.shard_of(rank)); }

  /// At stage 0 the optimizer moves buckets only where the last sums may come while it does: any_model::reduce waits
  /// for all of them otherwise.
  [[nodiscard]] nn::sharding over(plan::plan const& p) const noexcept {
    bool const last_come_later = p.overlap && all->size() > 1 && p.tensor_ranks == 1 && p.pipeline_ranks == 1 &&
                                 p.precision != plan::compute_precision::f16;
    return {stage, shards, shard, p.bucket_bytes, last_come_later};
  }
};

template <class>
shard_group::shard_group(plan::plan const& p, std::shared_ptr<comm::communicator> ranks)
    : stage(p.state_stage), place(p.sharing()), all(std::move(ranks)) {
  if (stage == 0) return;
  shards = static_cast<int>(place.ranks);
  int const rank = all->rank();
  shard = shard_of(rank);
  members = std::make_shared<comm::communicator>(all->split(static_cast<int>(place.copy_of(rank)), rank));
  gathers = std::make_shared<comm::communicator>(members->duplicate());
  auto twins = all->split(shard, rank);
  if (twins.size() > 1) replicas = std::make_shared<comm::communicator>(std::move(twins));
}
PLEAT_COMPILED_ONCE(shard_group::shard_group(plan::plan const& p, std::shared_ptr<comm::communicator> ranks));

/// The flat buffer on the host of which every rank of a group holds packed pieces. Collective over the group.
/// \param packed this rank's pieces, in the space's memory
template <class U, class T, class Space>
[[nodiscard]] std::vector<U> whole_of(context<Space> const& where, shard_group const& g,
                                      nn::arena<T, Space> const& memory, U* packed) {
  auto const& layout = memory.layout();
  std::vector<U> own(static_cast<std::size_t>(memory.owned())), flat(static_cast<std::size_t>(memory.size()));
  copy_to_host(where, tensor<U, Space>::wrap(packed, extents{memory.owned()}), own.data());
  for (std::size_t b = 0; b < memory.pieces().size(); ++b) {
    auto const& p = memory.pieces()[b];
    auto const mine =
        std::span<U const>(own).subspan(static_cast<std::size_t>(p.packed), static_cast<std::size_t>(p.size()));
    if (layout.stage() == 0 || layout.replicated(b)) {
      std::copy(mine.begin(), mine.end(), flat.begin() + p.begin);
      continue;
    }
    auto const& k = layout.buckets()[b];
    g.members->all_gather_v(
        mine, std::span<U>(flat).subspan(static_cast<std::size_t>(k.begin), static_cast<std::size_t>(k.size())),
        comm::parts{layout.counts(b), {}});
  }
  return flat;
}

/// This rank's pieces of a flat buffer on the host.
template <class U, class T, class Space>
void take_pieces(context<Space> const& where, nn::arena<T, Space> const& memory, std::vector<U> const& flat,
                 U* packed) {
  std::vector<U> own(static_cast<std::size_t>(memory.owned()));
  for (auto const& p : memory.pieces()) std::copy(flat.begin() + p.begin, flat.begin() + p.end, own.begin() + p.packed);
  copy_from_host(where, own.data(), tensor<U, Space>::wrap(packed, extents{memory.owned()}));
}

}  // namespace pleat::parallel
