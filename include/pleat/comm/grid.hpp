// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A mesh with its communicators: one for every set of axes, made once, by all ranks in one order.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/comm/agree.hpp>
#include <pleat/comm/communicator.hpp>
#include <pleat/comm/self.hpp>
#include <pleat/tensor/mesh.hpp>

namespace pleat::comm {

/// The sub-communicators of a mesh. Rank r of the communicator that it is made from is rank r of the mesh.
///
/// All of them are made in the constructor, for every set of axes of more than one rank (2^axes − 1), in ascending
/// order of the set's bits. Later nobody has to ask the others, so ranks that live in different pipeline stages may use
/// different ones. The members of a group are numbered as `mesh::position` says: the axis that the mesh lists last
/// fastest.
///
/// Move-only; belongs to one thread at a time, like the communicators in it. It does not refer to the one that it was
/// made from.
class grid {
 public:
  grid() noexcept = default;
  /// Collective over `world`.
  /// \throws error if the mesh does not have world.size() ranks (with the nearest that has), or if ranks come with
  /// different meshes; on every rank alike
  PLEAT_ONCE grid(communicator& world, pleat::mesh const& m) : mesh_(m), rank_(world.rank()), alone_(self()) {
    // Meshes that differ would split the ranks in different ways, and hang.
    agree_on_text(world, m.to_string(), "comm::grid", "the mesh", "Give every rank the same mesh");
    m.demand_ranks(world.size());
    std::uint32_t const wide = m.wide().bits;
    groups_.resize(std::size_t{wide} + 1);
    for (std::uint32_t bits = 1; bits <= wide; ++bits) {
      axis_set const axes{bits};
      if ((bits & ~wide) != 0) continue;
      groups_[bits] = world.split(m.group_index(rank_, axes), m.position(rank_, axes));
      if (groups_[bits].size() != m.group_size(axes) || groups_[bits].rank() != m.position(rank_, axes))
        throw error{"comm::grid",
                    "the transport '" + std::string(world.name()) + "' split off rank " +
                        std::to_string(groups_[bits].rank()) + " of " + std::to_string(groups_[bits].size()) +
                        " where rank " + std::to_string(m.position(rank_, axes)) + " of " +
                        std::to_string(m.group_size(axes)) + " was asked for",
                    "split(color, key) must keep ranks of one color together, ordered by key", rank_};
    }
  }

  [[nodiscard]] pleat::mesh const& mesh() const noexcept { return mesh_; }
  /// This rank's number in the mesh.
  [[nodiscard]] int rank() const noexcept { return rank_; }
  PLEAT_LAZY [[nodiscard]] int coordinate(std::string_view axis) const {
    return mesh_.coordinate(rank_, mesh_.axis_of(axis));
  }

  /// The ranks that differ from this one along these axes only; this rank alone if they have one rank.
  PLEAT_LAZY [[nodiscard]] communicator& along(axis_set axes) {
    std::uint32_t const bits = (axes & mesh_.wide()).bits;
    return bits ? groups_[bits] : alone_;
  }
  /// By names, as in "tensor" or "data,tensor". \throws error for an axis that there is not
  PLEAT_LAZY [[nodiscard]] communicator& along(std::string_view axes) { return along(mesh_.set(axes)); }
  /// All ranks of the mesh.
  PLEAT_LAZY [[nodiscard]] communicator& all() { return along(mesh_.all()); }

 private:
  pleat::mesh mesh_;
  int rank_ = 0;
  communicator alone_;
  std::vector<communicator> groups_;  // by the set's bits; sets with an axis of one rank stay empty
};

}  // namespace pleat::comm
