// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The communicators of one rank in the mesh of a plan.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include <pleat/base/config.hpp>
#include <pleat/comm/communicator.hpp>
#include <pleat/comm/grid.hpp>
#include <pleat/parallel/agreement.hpp>
#include <pleat/parallel/built.hpp>
#include <pleat/plan/plan.hpp>

namespace pleat::parallel {

/// The mesh is pipeline × data × tensor, tensor innermost: rank = (pipeline · data_ranks + data) · tensor_ranks + tensor.
struct groups {
  comm::grid grid;
  comm::communicator agreement{};  ///< all ranks, for agreements only; empty for one rank

  /// Seconds that an agreement waits for a rank, unless the communicator has a time-out of its own: half an hour, as other libraries do. Where there
  /// are more ranks than `patient_ranks`, for ever: a time-out costs every rank a message to every other.
  static constexpr double patience = 1800;
  static constexpr int patient_ranks = 512;

  /// The whole mesh.
  PLEAT_LAZY [[nodiscard]] comm::communicator& all() { return grid.along(grid.mesh().wide()); }
  /// Those that hold the same stages and share the batch.
  PLEAT_LAZY [[nodiscard]] comm::communicator& data() { return grid.along(axis_set::of(1)); }
  /// Those that hold the parts of each weight.
  PLEAT_LAZY [[nodiscard]] comm::communicator& tensor() { return grid.along(axis_set::of(2)); }
  /// Those that share the layers out, in the order of the pipeline.
  PLEAT_LAZY [[nodiscard]] comm::communicator& pipeline() { return grid.along(axis_set::of(0)); }

  /// Collective over `world`. \throws error, on every rank alike, for a plan that cannot be carried out or is for another number of ranks
  PLEAT_ONCE [[nodiscard]] inline static std::shared_ptr<groups> make(plan::plan const& p, comm::communicator& world) {
    agree_on_hash(world, p.hash(), "parallel::build", "plan", "Give every rank the same options");  // before one of them may be wrong, alone
    p.check();
    if (p.ranks() != world.size())
      throw error{"parallel::build", "the plan is for " + std::to_string(p.ranks()) + " ranks (mesh.pipeline " + std::to_string(p.pipeline_ranks) + " × mesh.data " +
                                         std::to_string(p.data_ranks) + " × mesh.tensor " + std::to_string(p.tensor_ranks) + "), the communicator has " + std::to_string(world.size()),
                  remedy(p, world.size())};
    mesh const m{{"pipeline", static_cast<int>(p.pipeline_ranks)}, {"data", static_cast<int>(p.data_ranks)}, {"tensor", static_cast<int>(p.tensor_ranks)}};
    auto made = std::make_shared<groups>(groups{comm::grid(world, m)});
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
  /// Whether several axes have more than one rank.
  PLEAT_LAZY [[nodiscard]] bool hybrid() { return (data().size() > 1) + (tensor().size() > 1) + (pipeline().size() > 1) > 1; }

 private:
  /// The nearest mesh that fits.
  PLEAT_ONCE [[nodiscard]] inline static std::string remedy(plan::plan const& p, index_t ranks) {
    index_t const layers = p.pipeline_ranks * p.tensor_ranks;
    if (ranks % layers == 0) return "Use mesh.data = " + std::to_string(ranks / layers);
    if (ranks % p.pipeline_ranks == 0) return "Use mesh.tensor = 1 and mesh.data = " + std::to_string(ranks / p.pipeline_ranks);
    return "Use mesh.pipeline = 1, mesh.tensor = 1 and mesh.data = " + std::to_string(ranks) + ", or start " + std::to_string(p.ranks()) + " ranks";
  }
};

}  // namespace pleat::parallel
