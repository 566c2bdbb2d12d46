// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Learning-rate schedules: a factor on the optimizer's rate as a function of the step alone. Needs no Kokkos.
#pragma once

#include <algorithm>
#include <cmath>
#include <variant>

#include <pleat/base/config.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::nn {

/// The rate as it is.
struct constant {
  [[nodiscard]] double factor(index_t, index_t) const noexcept { return 1; }
};

/// gamma^⌊step / every⌋.
struct step_decay {
  index_t every = 1000;
  double gamma = 0.1;
  [[nodiscard]] double factor(index_t step, index_t) const {
    return std::pow(gamma, static_cast<double>(step / std::max<index_t>(1, every)));
  }
};

/// (step + 1) / steps during the first `steps` steps, then 1.
struct warm_up {
  index_t steps = 100;
  [[nodiscard]] double factor(index_t step, index_t) const noexcept {
    return step + 1 >= steps ? 1.0 : static_cast<double>(step + 1) / static_cast<double>(steps);
  }
};

/// A linear warm-up, then half a cosine from 1 down to `minimum` at the last step (Loshchilov and Hutter,
/// arXiv:1608.03983, without restarts).
struct cosine {
  index_t warm_up_steps = 0;
  double minimum = 0;
  PLEAT_LAZY [[nodiscard]] double factor(index_t step, index_t total) const {
    if (step < warm_up_steps) return static_cast<double>(step + 1) / static_cast<double>(warm_up_steps);
    // the first step after the warm-up has 1, the last has the minimum
    index_t const length = total - 1 - warm_up_steps;
    double const t = length > 0
                         ? std::clamp(static_cast<double>(step - warm_up_steps) / static_cast<double>(length), 0.0, 1.0)
                         : 1.0;
    return minimum + (1 - minimum) * 0.5 * (1 + std::cos(3.14159265358979323846 * t));
  }
};

using schedule = std::variant<constant, step_decay, warm_up, cosine>;

/// The factor for step `step` (from 0) of `total`.
PLEAT_LAZY [[nodiscard]] inline double factor(schedule const& s, index_t step, index_t total) {
  if (auto const* v = std::get_if<step_decay>(&s)) return v->factor(step, total);
  if (auto const* v = std::get_if<warm_up>(&s)) return v->factor(step, total);
  if (auto const* v = std::get_if<cosine>(&s)) return v->factor(step, total);
  return std::get<constant>(s).factor(step, total);
}

}  // namespace pleat::nn
