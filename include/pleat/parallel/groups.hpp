// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The communicators of one rank in the mesh of a plan.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/comm/agree.hpp>
#include <pleat/comm/communicator.hpp>
#include <pleat/comm/grid.hpp>
#include <pleat/parallel/built.hpp>
#include <pleat/plan/plan.hpp>
#include <pleat/tensor/mesh.hpp>

namespace pleat::parallel {

/// The mesh is the plan's: in whatever order its axes lie, groups count as it lists them, so sums are added in one
/// order.
struct groups {
  comm::grid grid;
  comm::communicator agreement{};  ///< all ranks, for agreements only; empty for one rank
  /// all ranks as the world numbers them, where the grid's group of all axes numbers them otherwise; else empty
  comm::communicator everyone{};
  bool renumbered = false;  ///< it does
  /// where remarks go (law 10): the sink that the world had, on its rank 0; empty elsewhere, and where it was silenced
  std::function<void(std::string_view line)> voice{};
  axis_set data_axes{}, tensor_axes{}, pipeline_axes{};

  /// Seconds that an agreement waits for a rank, unless the communicator has a time-out of its own: half an hour, as
  /// other libraries do. Where there are more ranks than `patient_ranks`, for ever: a time-out costs every rank a
  /// message to every other.
  static constexpr double patience = 1800;
  static constexpr int patient_ranks = 512;

  /// The whole mesh, numbered as the world that it was made from.
  PLEAT_LAZY [[nodiscard]] comm::communicator& all() { return renumbered ? everyone : grid.along(grid.mesh().wide()); }
  /// Those that hold the same stages and share the batch: along data and the axes of one's own, data the fastest.
  PLEAT_LAZY [[nodiscard]] comm::communicator& data() { return grid.along(data_axes); }
  /// Those that hold the parts of each weight.
  PLEAT_LAZY [[nodiscard]] comm::communicator& tensor() { return grid.along(tensor_axes); }
  /// Those that share the layers out, in the order of the pipeline.
  PLEAT_LAZY [[nodiscard]] comm::communicator& pipeline() { return grid.along(pipeline_axes); }

  /// Collective over `world`. \throws error, on every rank alike, for a plan that cannot be carried out or is for
  /// another number of ranks
  PLEAT_ONCE [[nodiscard]] static std::shared_ptr<groups> make(plan::plan const& p, comm::communicator& world);
  /// Whether several axes have more than one rank.
  PLEAT_LAZY [[nodiscard]] bool hybrid() {
    return (data().size() > 1) + (tensor().size() > 1) + (pipeline().size() > 1) > 1;
  }

 private:
  /// The nearest mesh that fits, as mesh::nearest has it: what changes of this one.
  PLEAT_ONCE [[nodiscard]] static std::string remedy(plan::plan const& p, int ranks) {
    auto const all = p.mesh();
    std::vector<mesh::axis> axes{all[all.find("data")]};  // of equals, those that are listed first change
    for (int i = 0; i < all.axes(); ++i)
      if (auto const name = all[i].name.view(); name != "data" && name != "tensor" && name != "pipeline")
        axes.push_back(all[i]);
    axes.push_back(all[all.find("tensor")]);
    axes.push_back(all[all.find("pipeline")]);
    auto const fits = mesh(std::span<mesh::axis const>(axes)).nearest(ranks);
    std::string changed, own;
    auto const change = [&](std::string const& axis, std::string const& found, std::string const& fitting) {
      if (found != fitting) changed += (changed.empty() ? "mesh." : ", mesh.") + axis + " = " + fitting;
    };
    index_t data = 1;  // counts the axes of one's own
    for (int i = 0; i + 2 < fits.axes(); ++i) {
      data *= fits.extent(i);
      if (i > 0) own += (i > 1 ? "," : "") + std::string(fits[i].name.view()) + "=" + std::to_string(fits.extent(i));
    }
    change("data", std::to_string(p.data_ranks), std::to_string(data));
    change("own", p.own_axes, own);
    change("tensor", std::to_string(p.tensor_ranks), std::to_string(fits.extent("tensor")));
    change("pipeline", std::to_string(p.pipeline_ranks), std::to_string(fits.extent("pipeline")));
    return "Use " + changed + ", or start " + std::to_string(p.ranks()) + (p.ranks() == 1 ? " rank" : " ranks");
  }
};

template <class> std::shared_ptr<groups> groups::make(plan::plan const& p, comm::communicator& world) {
  // before one of them may be wrong, alone
  comm::agree_on_hash(world, p.hash(), "parallel::build", "plan", "Give every rank the same options");
  p.check();
  if (p.ranks() != world.size())
    throw error{"parallel::build",
                "the plan is for " + std::to_string(p.ranks()) + " ranks (mesh.pipeline " +
                    std::to_string(p.pipeline_ranks) + " × mesh.data " + std::to_string(p.data_ranks) +
                    " × mesh.tensor " + std::to_string(p.tensor_ranks) + "), the communicator has " +
                    std::to_string(world.size()),
                remedy(p, world.size())};
  auto const m = p.mesh();
  auto made = std::make_shared<groups>(groups{comm::grid(world, m)});
  made->pipeline_axes = m.set("pipeline");
  made->tensor_axes = m.set("tensor");
  made->data_axes = m.all() - made->pipeline_axes - made->tensor_axes;
  for (int r = 0; r < m.size(); ++r) made->renumbered = made->renumbered || m.position(r, m.all()) != r;
  if (made->renumbered) made->everyone = world.duplicate();
  if (world.size() > 1) {
    made->agreement = world.duplicate();
    if (made->agreement.timeout() < 0 && world.size() <= patient_ranks) {
      try {
        made->agreement.set_timeout(patience);
      } catch (error const&) {  // a transport without time-outs waits for ever
      }
    }
  }
  return made;
}
PLEAT_COMPILED_ONCE(std::shared_ptr<groups> groups::make(plan::plan const& p, comm::communicator& world));

}  // namespace pleat::parallel
