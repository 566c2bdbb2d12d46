// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What a plan may say and this version does not carry out: refused when a model is built, never ignored. Needs no Kokkos.
#pragma once

#include <string>

#include <pleat/base/error.hpp>
#include <pleat/plan/plan.hpp>

namespace pleat::parallel {

/// \throws error naming the entry of the plan that is not built yet, and the nearest value that is
inline void demand_built(plan::plan const& p) {
  auto const refuse = [](std::string const& what, char const* remedy) { throw error{"parallel::build", what + " is not built yet", remedy}; };
  if (p.recompute == plan::recompute_mode::selected) refuse("recompute = selected", "Use recompute = full or none");
  if (p.precision != plan::compute_precision::f32) refuse("precision = " + std::string(name_of(p.precision)), "Use precision = f32");
}

}  // namespace pleat::parallel
