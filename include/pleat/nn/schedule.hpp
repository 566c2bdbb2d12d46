// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Learning-rate schedules: a factor on the optimizer's rate as a function of the step alone, shipped or one's own.
/// Needs no Kokkos.
///
/// Beside its function a schedule may have `void check(index_t steps) const`, which throws where its settings make no
/// sense in a training of so many steps, and `std::string settings(index_t steps) const`, what checkpoints remember
/// beside its name.
#pragma once

#include <algorithm>
#include <concepts>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/base/math.hpp>
#include <pleat/base/number_text.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::nn {

namespace detail {

PLEAT_ONCE void check_warm_up(char const* call, index_t warm_up, index_t steps) {
  if (warm_up < 0)
    throw error{call, "the warm-up takes " + std::to_string(warm_up) + " steps, expected at least 0",
                "Say 0 for a training without one"};
  if (warm_up > steps)
    throw error{call,
                "the warm-up takes " + std::to_string(warm_up) + " steps, and the whole training has " +
                    std::to_string(steps) + ": the optimizer's rate would never be reached",
                "Take at most " + std::to_string(steps) + " steps of warm-up, or train for more epochs"};
}

template <class S>
concept checks = requires(S const& mine, index_t steps) {
  { mine.check(steps) } -> std::same_as<void>;
};
template <class S>
concept tells_settings = requires(S const& mine, index_t steps) { std::string(mine.settings(steps)); };

}  // namespace detail

/// The rate as it is.
struct constant {
  static constexpr char const* name = "constant";  ///< what checkpoints remember
  [[nodiscard]] double operator()(index_t, index_t) const noexcept { return 1; }
};

/// gamma^⌊step / every⌋.
struct step_decay {
  static constexpr char const* name = "step_decay";  ///< what checkpoints remember
  index_t every = 1000;                              ///< steps between two factors
  double gamma = 0.1;                                ///< factor on the rate, each time
  [[nodiscard]] double operator()(index_t step, index_t) const {
    return std::pow(gamma, static_cast<double>(step / std::max<index_t>(1, every)));
  }
  PLEAT_ONCE void check(index_t) const {
    if (every < 1)
      throw error{"nn::step_decay", "every is " + std::to_string(every) + ", expected at least 1 step",
                  "Say after how many steps the rate is multiplied by gamma, or take nn::constant"};
    if (!(gamma >= 0 && std::isfinite(gamma)))
      throw error{"nn::step_decay",
                  "gamma is " + pleat::detail::number_text(gamma) + ", expected a number of at least 0",
                  "Say .gamma = 0.1: a tenth of the rate after every so many steps"};
  }
  PLEAT_ONCE [[nodiscard]] std::string settings(index_t) const {
    return "every " + std::to_string(every) + ", gamma " + pleat::detail::number_text(gamma);
  }
};

/// (step + 1) / steps during the first `steps` steps, then 1.
struct warm_up {
  static constexpr char const* name = "warm_up";  ///< what checkpoints remember
  index_t steps = 100;                            ///< until the rate is reached
  [[nodiscard]] double operator()(index_t step, index_t) const noexcept {
    return step + 1 >= steps ? 1.0 : static_cast<double>(step + 1) / static_cast<double>(steps);
  }
  PLEAT_ONCE void check(index_t total) const { detail::check_warm_up("nn::warm_up", steps, total); }
  PLEAT_ONCE [[nodiscard]] std::string settings(index_t) const { return "steps " + std::to_string(steps); }
};

/// A linear warm-up, then half a cosine from 1 down to `minimum` at the last step (Loshchilov and Hutter,
/// arXiv:1608.03983, without restarts). The only step of a training is the wave's first: it has the whole rate.
struct cosine {
  static constexpr char const* name = "cosine";  ///< what checkpoints remember
  index_t warm_up_steps = 0;                     ///< before the half wave
  double minimum = 0;                            ///< factor in the last step
  [[nodiscard]] double operator()(index_t step, index_t total) const {
    if (step < warm_up_steps) return static_cast<double>(step + 1) / static_cast<double>(warm_up_steps);
    // the first step after the warm-up has 1, the last has the minimum
    index_t const length = total - 1 - warm_up_steps;
    double const t = length > 0
                         ? std::clamp(static_cast<double>(step - warm_up_steps) / static_cast<double>(length), 0.0, 1.0)
                         : (step > 0 ? 1.0 : 0.0);
    return minimum + (1 - minimum) * 0.5 * (1 + std::cos(3.14159265358979323846 * t));
  }
  PLEAT_ONCE void check(index_t total) const;
  /// The half wave is as long as the training.
  PLEAT_ONCE [[nodiscard]] std::string settings(index_t total) const;
};

template <class> void cosine::check(index_t total) const {
  detail::check_warm_up("nn::cosine", warm_up_steps, total);
  if (!(minimum >= 0 && std::isfinite(minimum)))
    throw error{"nn::cosine", "minimum is " + pleat::detail::number_text(minimum) + ", expected a number of at least 0",
                "Say .minimum = 0.1: the last step has a tenth of the rate"};
}
PLEAT_COMPILED_ONCE(void cosine::check(index_t total) const);

template <class> std::string cosine::settings(index_t total) const {
  return "warm_up_steps " + std::to_string(warm_up_steps) + ", minimum " + pleat::detail::number_text(minimum) +
         ", over " + std::to_string(total) + " steps";
}
PLEAT_COMPILED_ONCE(std::string cosine::settings(index_t total) const);

/// Says in words what a schedule lacks (law 1).
template <class S> constexpr void demand_schedule() {
  static_assert(std::is_invocable_r_v<double, S const&, index_t, index_t>,
                "pleat: a schedule is a function of (index_t step, index_t steps), const, that returns a double: the "
                "factor on the learning rate in that step, which follows from the step alone");
  static_assert(
      detail::checks<S> || !requires { &S::check; },
      "pleat: a schedule's check is 'void check(index_t steps) const', which throws where its settings make no "
      "sense");
  static_assert(
      detail::tells_settings<S> || !requires { &S::settings; },
      "pleat: a schedule's settings are 'std::string settings(index_t steps) const'");
}

/// Any function of (step, steps), its type forgotten: one of the above, or one's own.
///
///     .schedule = nn::cosine{.warm_up_steps = 100}
///     .schedule = {"halves", [](index_t step, index_t steps) { return step < steps / 2 ? 1.0 : 0.5; }}
///
/// A type of one's own may have `static constexpr char const* name`, which is then what checkpoints remember; and
/// `settings` and `check`, which they remember too and fit asks before the first step.
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
      if constexpr (detail::checks<S>)
        check_ = [](void const* self, index_t steps) { static_cast<S const*>(self)->check(steps); };
      if constexpr (detail::tells_settings<S>)
        settings_ = [](void const* self, index_t steps) {
          return std::string(static_cast<S const*>(self)->settings(steps));
        };
    }
  }

  [[nodiscard]] std::string const& name() const noexcept { return name_; }
  /// What it says of its settings; empty if it says nothing.
  [[nodiscard]] std::string settings(index_t steps) const {
    return settings_ ? settings_(self_.get(), steps) : std::string();
  }
  /// \throws error for settings that make no sense in a training of so many steps
  void check(index_t steps) const {
    if (check_) check_(self_.get(), steps);
  }
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
  void (*check_)(void const*, index_t) = nullptr;
  std::string (*settings_)(void const*, index_t) = nullptr;
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
