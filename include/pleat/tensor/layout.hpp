// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A layout: a mesh, a shape and a placement together, that is: which box of the tensor every rank holds. Exact values;
/// no Kokkos.
///
/// **The split.** A dimension of n elements that an axis of p ranks shards is cut by `block_range(n, p, coordinate)`:
/// blocks differ by at most one element, larger ones first, and some are empty where n < p. If several axes shard one
/// dimension they do it one after the other in the mesh's listing order: the first cuts the dimension, the next cuts
/// each block, and so on. (For uneven extents that differs from one cut into the product of the axes; it has the virtue
/// that changing the inner axis moves nothing across the outer.)
#pragma once

#include <cstdint>
#include <string>

#include <pleat/base/config.hpp>
#include <pleat/base/random.hpp>
#include <pleat/tensor/index_set.hpp>
#include <pleat/tensor/mesh.hpp>
#include <pleat/tensor/placement.hpp>

namespace pleat {

/// Which elements of a tensor every rank of a mesh holds. A value; allocates nothing.
class layout {
 public:
  constexpr layout() noexcept = default;
  /// \throws error if an axis shards a dimension that the shape does not have, or if words name more axes than there
  /// are
  PLEAT_LAZY constexpr layout(pleat::mesh const& m, extents const& shape, placement const& where)
      : mesh_(m), shape_(shape), where_(where) {
    for (int a = 0; a < pleat::mesh::max_axes; ++a) {
      axis_placement const& p = where[a];
      if (a >= m.axes() && !p.replicates())
        throw error{"layout",
                    "the placement '" + where.to_string() + "' has a word for axis " + std::to_string(a) +
                        ", the mesh '" + m.to_string() + "' has " + std::to_string(m.axes()) +
                        (m.axes() == 1 ? " axis" : " axes"),
                    "Leave out the words for axes that there are not, or add the axis to the mesh"};
      if (p.shards() && p.dim >= shape.rank())
        throw error{"layout",
                    "axis '" + std::string(m[a].name.view()) + "' shards dimension " + std::to_string(p.dim) +
                        " of shape " + shape.to_string(),
                    shape.rank() == 0 ? std::string("A scalar can be replicated or partial only")
                                      : "Its dimensions are 0 to " + std::to_string(shape.rank() - 1)};
    }
  }

  [[nodiscard]] constexpr pleat::mesh const& mesh() const noexcept { return mesh_; }
  [[nodiscard]] constexpr extents const& shape() const noexcept { return shape_; }
  [[nodiscard]] constexpr placement const& where() const noexcept { return where_; }
  /// The same tensor placed otherwise.
  [[nodiscard]] constexpr layout with(placement const& where) const { return {mesh_, shape_, where}; }

  /// The box of a rank, in global indices. Of a partial tensor: the box of its addend.
  PLEAT_LAZY [[nodiscard]] constexpr index_box box(int rank) const noexcept {
    return box_at(mesh_.coordinates_of(rank));
  }
  PLEAT_LAZY [[nodiscard]] constexpr index_box box_at(pleat::mesh::coordinates const& c) const noexcept {
    index_box b(shape_);
    for (int a = 0; a < mesh_.axes(); ++a) {
      axis_placement const& p = where_[a];
      if (!p.shards()) continue;
      index_range const outer = b[p.dim];
      index_range const inner = block_range(outer.size(), mesh_.extent(a), c[static_cast<std::size_t>(a)], p.unit);
      b[p.dim] = {outer.begin + inner.begin, outer.begin + inner.end};
    }
    return b;
  }
  /// The extents of a rank's part.
  PLEAT_LAZY [[nodiscard]] constexpr extents local(int rank) const noexcept { return box(rank).shape(); }
  /// The indices of dimension d that a rank holds.
  PLEAT_LAZY [[nodiscard]] constexpr index_range range(int rank, int d) const noexcept { return box(rank)[d]; }

  /// True if every rank's part has the same extents.
  PLEAT_LAZY [[nodiscard]] constexpr bool even() const noexcept {
    // the first block of every cut is the largest, the last the smallest
    pleat::mesh::coordinates last{};
    for (int a = 0; a < mesh_.axes(); ++a) last[static_cast<std::size_t>(a)] = mesh_.extent(a) - 1;
    return box_at({}).shape() == box_at(last).shape();
  }
  /// The ranks that hold the same box as `rank`: copies along axes that replicate, addends along axes that are partial.
  PLEAT_LAZY [[nodiscard]] constexpr rank_group holders(int rank) const noexcept {
    return mesh_.group(rank, mesh_.all() - where_.shard_axes());
  }
  /// Elements over all ranks.
  PLEAT_LAZY [[nodiscard]] constexpr index_t stored() const noexcept {
    return shape_.size() * mesh_.group_size(mesh_.all() - where_.shard_axes());
  }
  /// The rank that holds the element at these indices, with coordinate 0 along the axes that do not shard.
  PLEAT_LAZY [[nodiscard]] constexpr int owner(std::span<index_t const> at) const noexcept {
    index_box b(shape_);
    pleat::mesh::coordinates c{};
    for (int a = 0; a < mesh_.axes(); ++a) {
      axis_placement const& p = where_[a];
      if (!p.shards()) continue;
      index_range const outer = b[p.dim];
      index_t const k =
          block_owner(outer.size(), mesh_.extent(a), at[static_cast<std::size_t>(p.dim)] - outer.begin, p.unit);
      c[static_cast<std::size_t>(a)] = static_cast<int>(k);
      index_range const inner = block_range(outer.size(), mesh_.extent(a), k, p.unit);
      b[p.dim] = {outer.begin + inner.begin, outer.begin + inner.end};
    }
    return mesh_.rank_of(c);
  }

  friend constexpr bool operator==(layout const&, layout const&) = default;

  /// "[64, 784] on data=2,tensor=2: data: replicate, tensor: shard<0>"
  PLEAT_ONCE [[nodiscard]] std::string to_string() const {
    return shape_.to_string() + " on " +
           (mesh_.axes() ? mesh_.to_string() + ": " + where_.to_string(mesh_) : "one rank");
  }
  PLEAT_LAZY [[nodiscard]] std::uint64_t hash() const { return random::hash(to_string()); }

 private:
  pleat::mesh mesh_;
  extents shape_;
  placement where_;
};

}  // namespace pleat
