// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// How sparsity grows while a model is pruned step by step. Needs no Kokkos.
#pragma once

#include <string>
#include <variant>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/base/math.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::compress {

/// Everything at once.
struct one_shot {};

/// s(t) = s_f + (s_i − s_f)·(1 − t/steps)³: most goes early, while there is most to spare, and the last steps are
/// small. Zhu and Gupta, "To prune, or not to prune", arXiv:1710.01878.
struct cubic {
  int steps = 5;  ///< of pruning
};

/// The same share of the survivors goes in every step: 1 − s(t) = (1 − s_i)·((1 − s_f) / (1 − s_i))^(t/steps). Han et
/// al., "Learning both weights and connections", arXiv:1506.02626.
struct iterative {
  int steps = 5;  ///< of pruning
};

using prune_schedule = std::variant<one_shot, cubic, iterative>;

/// "one shot", "cubic in 5 steps"
PLEAT_ONCE [[nodiscard]] std::string words_of(prune_schedule const& s) {
  if (auto const* c = std::get_if<cubic>(&s)) return "cubic in " + std::to_string(c->steps) + " steps";
  if (auto const* i = std::get_if<iterative>(&s)) return "iterative in " + std::to_string(i->steps) + " steps";
  return "one shot";
}

/// Steps of a schedule. \throws error below one
PLEAT_ONCE [[nodiscard]] int steps_of(prune_schedule const& s) {
  int const n = std::holds_alternative<cubic>(s)       ? std::get<cubic>(s).steps
                : std::holds_alternative<iterative>(s) ? std::get<iterative>(s).steps
                                                       : 1;
  if (n < 1)
    throw error{std::holds_alternative<iterative>(s) ? "compress::iterative" : "compress::cubic",
                "the number of steps must be at least 1, found " + std::to_string(n),
                "Say cubic{5}, or one_shot{} for all at once"};
  return n;
}
PLEAT_COMPILED_ONCE(int steps_of(prune_schedule const& s));

/// Sparsity after step t (1 … steps); t = 0 is where pruning begins. Both ends are exact, and it never falls if first ≤
/// last.
PLEAT_ONCE [[nodiscard]] double sparsity_at(prune_schedule const& s, int t, double first, double last) {
  int const n = steps_of(s);
  if (t <= 0) return first;
  if (t >= n) return last;
  double const rest = 1 - static_cast<double>(t) / n;
  if (std::holds_alternative<iterative>(s)) return 1 - (1 - first) * std::pow((1 - last) / (1 - first), 1 - rest);
  return last + (first - last) * rest * rest * rest;
}

}  // namespace pleat::compress
