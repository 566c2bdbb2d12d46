// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// From the command line to a plan. Needs no Kokkos.
#pragma once

#include <pleat/plan/plan.hpp>

#include "options.hpp"

namespace gpt {

/// The same on every rank. \throws pleat::error for what cannot be carried out, with the reason and the nearest choice
/// that can
[[nodiscard]] pleat::plan::plan lay_out(options const& o, int ranks);
/// The same for a model that only answers: parts and stages, not replicas. Every rank a stage, if nothing is said.
[[nodiscard]] pleat::plan::plan lay_out(sample_options const& o, int ranks);

}  // namespace gpt
