// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The ranks agree on which layer's output was the first that is not finite: what a loop of training says then.
#pragma once

#include <span>
#include <string>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/base/number_text.hpp>
#include <pleat/comm/attempt.hpp>
#include <pleat/comm/communicator.hpp>
#include <pleat/nn/pass.hpp>

namespace pleat::parallel {

/// Collective. What ranks have found behind the first such layer follows from it: the lowest layer counts, then the
/// lowest rank.
/// \throws error on every rank alike, if any has found one
PLEAT_ONCE void demand_finite(nn::nonfinite_note const& mine, comm::communicator& ranks) {
  std::vector<index_t> at(static_cast<std::size_t>(ranks.size()));
  ranks.all_gather(std::span<index_t const>(&mine.at, 1), std::span<index_t>(at));
  int first = -1;
  for (int r = 0; r < ranks.size(); ++r)
    if (index_t const n = at[static_cast<std::size_t>(r)];
        n >= 0 && (first < 0 || n < at[static_cast<std::size_t>(first)]))
      first = r;
  if (first < 0) return;
  std::string said = mine.found;
  auto const length = ranks.broadcast_value(static_cast<index_t>(said.size()), first);
  said.resize(static_cast<std::size_t>(length));
  ranks.broadcast(said, first);
  throw error{"parallel::find_nonfinite", "on rank " + std::to_string(first) + " " + said,
              "Lower the learning rate, clip the gradient, or look at the data of this step"};
}

/// What a loop of training says of a step whose loss is not finite. All ranks know, because the loss is summed with the
/// gradients; step, rank and layer are found by walking forward once more. Collective. \param source the step's; one
/// that knows more throws it from `void why_not_finite()`, which is asked first, on every rank; what one of them
/// throws, all do \param call how the error introduces itself
/// \throws error, on every rank alike
template <class Model, class Source>
[[noreturn]] void explain_nonfinite(Model& m, Source& source, std::string const& call, std::string const& remedy) {
  if constexpr (requires { source.why_not_finite(); })
    comm::all_or_none(m.all_ranks(), [&] { source.why_not_finite(); });
  std::string const said =
      "the loss of step " + std::to_string(m.steps()) + " is " + pleat::detail::number_text(m.loss());
  try {
    m.find_nonfinite(source);
  } catch (error const& e) {
    throw error{call, said + ": " + e.problem(), remedy};
  }
  throw error{call, said + ", though every layer's output is finite",
              "Look at the labels of this step and at the loss function"};
}

}  // namespace pleat::parallel
