// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Learning-rate schedules: a factor on the optimizer's rate as a function of the step alone, shipped or one's own.
/// Needs no Kokkos.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::nn {

/// The rate as it is.
struct constant {
  static constexpr char const* name = "constant";
  [[nodiscard]] double operator()(index_t, index_t) const noexcept { return 1; }
};

/// gamma^⌊step / every⌋.
struct step_decay {
  static constexpr char const* name = "step_decay";
  index_t every = 1000;
  double gamma = 0.1;
  [[nodiscard]] double operator()(index_t step, index_t) const {
    return std::pow(gamma, static_cast<double>(step / std::max<index_t>(1, every)));
  }
};

/// (step + 1) / steps during the first `steps` steps, then 1.
struct warm_up {
  static constexpr char const* name = "warm_up";
  index_t steps = 100;
  [[nodiscard]] double operator()(index_t step, index_t) const noexcept {
    return step + 1 >= steps ? 1.0 : static_cast<double>(step + 1) / static_cast<double>(steps);
  }
};

/// A linear warm-up, then half a cosine from 1 down to `minimum` at the last step (Loshchilov and Hutter,
/// arXiv:1608.03983, without restarts).
struct cosine {
  static constexpr char const* name = "cosine";
  index_t warm_up_steps = 0;
  double minimum = 0;
  [[nodiscard]] double operator()(index_t step, index_t total) const {
    if (step < warm_up_steps) return static_cast<double>(step + 1) / static_cast<double>(warm_up_steps);
    // the first step after the warm-up has 1, the last has the minimum
    index_t const length = total - 1 - warm_up_steps;
    double const t = length > 0
                         ? std::clamp(static_cast<double>(step - warm_up_steps) / static_cast<double>(length), 0.0, 1.0)
                         : 1.0;
    return minimum + (1 - minimum) * 0.5 * (1 + std::cos(3.14159265358979323846 * t));
  }
};

/// Says in words what a schedule lacks (law 1).
template <class S> constexpr void demand_schedule() {
  static_assert(std::is_invocable_r_v<double, S const&, index_t, index_t>,
                "pleat: a schedule is a function of (index_t step, index_t steps), const, that returns a double: the "
                "factor on the learning rate in that step, which follows from the step alone");
}

/// Any function of (step, steps), its type forgotten: one of the above, or one's own.
///
///     .schedule = nn::cosine{.warm_up_steps = 100}
///     .schedule = {"halves", [](index_t step, index_t steps) { return step < steps / 2 ? 1.0 : 0.5; }}
///
/// A type of one's own may have `static constexpr char const* name`, which is then what checkpoints remember.
class schedule {
 public:
  /// nn::constant
  schedule() = default;
  template <class S>
    requires(!std::same_as<std::remove_cvref_t<S>, schedule>)
  schedule(S s) : schedule(name_of<S>(), std::move(s)) {}  // NOLINT: every function is one
  template <class S> schedule(std::string name, S s) : name_(std::move(name)) {
    demand_schedule<S>();
    if constexpr (std::is_invocable_r_v<double, S const&, index_t, index_t>) {
      self_ = std::make_shared<S const>(std::move(s));
      call_ = [](void const* self, index_t step, index_t steps) -> double {
        return (*static_cast<S const*>(self))(step, steps);
      };
    }
  }

  [[nodiscard]] std::string const& name() const noexcept { return name_; }
  /// As the function says, unchecked.
  [[nodiscard]] double operator()(index_t step, index_t steps) const {
    return call_ ? call_(self_.get(), step, steps) : 1;
  }

 private:
  template <class S> [[nodiscard]] static std::string name_of() {
    if constexpr (requires { typename std::bool_constant<(std::string_view(S::name), true)>; })
      return std::string(S::name);
    else return "a schedule of one's own";
  }
  std::string name_ = constant::name;
  std::shared_ptr<void const> self_;
  double (*call_)(void const*, index_t, index_t) = nullptr;
};

/// The factor for step `step` (from 0) of `total`. \throws error if the function gives no number of at least 0
PLEAT_LAZY [[nodiscard]] inline double factor(schedule const& s, index_t step, index_t total) {
  double const f = s(step, total);
  if (!(f >= 0 && std::isfinite(f)))
    throw error{"nn::schedule",
                "'" + s.name() + "' gives the factor " + std::to_string(f) + " for step " + std::to_string(step) +
                    " of " + std::to_string(total),
                "Return a number of at least 0: 1 is the optimizer's rate as it is"};
  return f;
}

}  // namespace pleat::nn
