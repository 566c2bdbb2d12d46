// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What a network becomes a model with, apart from the plan.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <pleat/parallel/coded_sum.hpp>
#include <pleat/parallel/loss_scale.hpp>
#include <pleat/plan/schedule.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::parallel {

/// What a network becomes a model with, apart from the plan.
struct build_options {
  std::uint64_t seed = 0;  ///< of initial values, dropout and everything else that is drawn
  /// of a batch; where a pipeline is cut by cost, the cost is flops then, else the number of parameters
  extents input{};
  /// what each unit costs, where a pipeline is cut by cost: measured (parallel::measure_units) or one's own; empty: as
  /// `input` says
  std::vector<double> unit_costs{};
  std::optional<plan::schedule> schedule{};  ///< of one's own: the one that the plan names (parallel::name_of)
  loss_scale_options loss_scale{};           ///< of precision = f16; others have none
  /// what gradients travel in: parallel::coded(codec) of parallel/coded_exchange.hpp; empty: as they are
  gradient_coding gradients{};
};

}  // namespace pleat::parallel
