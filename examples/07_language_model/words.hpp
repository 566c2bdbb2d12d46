// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the program says about its options. Needs no Kokkos.
#pragma once

#include <string>
#include <vector>

#include <pleat/base/error.hpp>
#include <pleat/plan/plan.hpp>

#include "options.hpp"

namespace gpt {

/// The error in words that the user can type: a plan's "state_stage = 3" is "--state-stage 3" here.
[[nodiscard]] pleat::error in_options(pleat::error const& e);

/// What is asked for and changes nothing on this mesh and this text, a sentence each with what would change that. No
/// errors: the same command is to run on any number of ranks.
/// \param validation windows that the text has to validate by
[[nodiscard]] std::vector<std::string> remarks(options const& o, pleat::plan::plan const& p, pleat::index_t validation);

}  // namespace gpt
