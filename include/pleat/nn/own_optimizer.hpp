// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// An optimizer of one's own: what it must have, and the value that fit takes it as.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <Kokkos_Core.hpp>

#include <pleat/base/error.hpp>
#include <pleat/compute/optimizer.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::nn {

/// What a rule may know of the step, beside what each element says.
struct update_step {
  std::uint64_t number = 1;  ///< from 1: for corrections of moments that begin with zero
};

/// Most buffers that an optimizer may keep.
inline constexpr int max_optimizer_buffers = 8;

/// A piece of the flat buffers in a step, as optimizers get it. Chunks count from its begin and lie in Space's memory.
template <class W, class Space> struct update_piece {
  Space const& space;
  std::span<compute::update_chunk const> chunks;
  index_t n;          ///< elements
  W* value;           ///< of masters, where the parameters have 16 bits
  W const* gradient;  ///< summed over all ranks, not yet scaled
  W* const* state;    ///< one pointer per buffer
  std::uint64_t step;
  double rate_factor, gradient_scale;
};

namespace detail {

template <class O> [[nodiscard]] consteval bool says_buffers() {
  return requires {
    typename std::integral_constant<std::size_t, O::buffers.size()>;
    requires std::same_as<typename std::remove_cvref_t<decltype(O::buffers)>::value_type, std::string_view>;
  };
}
template <class O> [[nodiscard]] consteval bool says_rule() {
  return requires(O const& o, update_step s) {
    o.template rule<float>(s);
    o.template rule<double>(s);
  };
}
template <class O, class T>
using rule_of = std::remove_cvref_t<decltype(std::declval<O const&>().template rule<T>(update_step{}))>;
template <class O, class T> [[nodiscard]] consteval bool rule_takes_elements_of() {
  if constexpr (says_buffers<O>() && says_rule<O>())
    return requires(rule_of<O, T> const& rule, compute::update_element<T, static_cast<int>(O::buffers.size())>& e) {
      rule(e);
    };
  else return false;
}
template <class O> [[nodiscard]] consteval bool rule_takes_elements() {
  return rule_takes_elements_of<O, float>() && rule_takes_elements_of<O, double>();
}
template <class O> [[nodiscard]] consteval bool rule_is_plain() {
  if constexpr (says_rule<O>())
    return std::is_trivially_copyable_v<rule_of<O, float>> && std::is_trivially_copyable_v<rule_of<O, double>>;
  else return false;
}
template <class O> [[nodiscard]] consteval bool says_rate() {
  return requires(O const& o) {
    { o.learning_rate } -> std::convertible_to<double>;
  };
}
template <class O> [[nodiscard]] consteval bool says_name() {
  return requires { typename std::bool_constant<(std::string_view(O::name), true)>; };
}
template <class O> [[nodiscard]] consteval bool has_name_of_its_own() {
  if constexpr (says_name<O>()) {
    std::string_view const name = O::name;
    return !name.empty() && name != "sgd" && name != "adam" && name != "adamw";
  } else {
    return false;
  }
}
template <class O> [[nodiscard]] double decay_of(O const& o) {
  if constexpr (requires {
                  { o.weight_decay } -> std::convertible_to<double>;
                })
    return static_cast<double>(o.weight_decay);
  else return 0;
}

}  // namespace detail

/// Says in words what an optimizer of one's own lacks (law 1). It has
///
///     static constexpr std::string_view name = "lion";                        // checkpoints remember it
///     static constexpr std::array<std::string_view, 1> buffers{"momentum"};   // what it keeps for each parameter
///     double learning_rate = 1e-4;
///     double weight_decay = 0;                                                // may be left out
///     template <class T> lion_rule<T> rule(nn::update_step) const;            // the step's numbers, for the kernel
///     void check() const;                                                     // may be left out: throws pleat::error
///
/// and a functor at namespace scope with `PLEAT_INLINE void operator()(compute::update_element<T, 1>&) const`, which
/// moves one element. T is float or double.
template <class O> constexpr void demand_optimizer() {
  static_assert(detail::says_rate<O>(),
                "pleat: an optimizer needs 'double learning_rate': what the schedule's factor multiplies");
  static_assert(
      detail::says_name<O>(),
      "pleat: an optimizer needs 'static constexpr std::string_view name': checkpoints remember by which one they were "
      "trained");
  static_assert(
      detail::has_name_of_its_own<O>(),
      "pleat: an optimizer's name says which one it is: not empty, and not that of one of pleat's (sgd, adam, "
      "adamw)");
  static_assert(
      detail::says_buffers<O>(),
      "pleat: an optimizer needs 'static constexpr std::array<std::string_view, n> buffers': the names of the "
      "n numbers that it keeps for each parameter");
  static_assert(detail::says_rule<O>(),
                "pleat: an optimizer needs 'template <class T> R rule(nn::update_step) const': a functor at namespace "
                "scope, for float and double");
  static_assert(detail::rule_takes_elements<O>(),
                "pleat: an optimizer's rule needs 'void operator()(compute::update_element<T, n>&) const', n being the "
                "number of its buffers: it moves one element");
  static_assert(detail::rule_is_plain<O>(),
                "pleat: an optimizer's rule must be trivially copyable: it goes to where the parameters are");
  if constexpr (detail::says_buffers<O>())
    static_assert(static_cast<int>(O::buffers.size()) <= max_optimizer_buffers,
                  "pleat: an optimizer keeps at most nn::max_optimizer_buffers numbers for each parameter");
}

/// An optimizer of one's own as a value, its type forgotten: training is compiled once for all of them. Its kernels, for
/// parameters (or their masters) of float and double on Kokkos' default space, are compiled where it is made.
class own_optimizer {
 public:
  template <class O>
    requires(!std::same_as<std::remove_cvref_t<O>, own_optimizer>)
  own_optimizer(O o) : learning_rate(0), weight_decay(detail::decay_of(o)) {  // NOLINT: an optimizer is one
    demand_optimizer<O>();
    if constexpr (detail::says_rate<O>() && detail::says_name<O>() && detail::rule_takes_elements<O>()) {
      learning_rate = static_cast<double>(o.learning_rate);
      name = O::name;
      buffers_ = std::span<std::string_view const>(O::buffers.data(), O::buffers.size());
      check_ = [](void const* self) {
        if constexpr (requires(O const& mine) { mine.check(); }) static_cast<O const*>(self)->check();
      };
      float_ = &run<O, float>;
      double_ = &run<O, double>;
      self_ = std::make_shared<O const>(std::move(o));
    }
  }

  double learning_rate, weight_decay;
  std::string_view name;

  [[nodiscard]] std::span<std::string_view const> buffers() const noexcept { return buffers_; }
  void check() const { check_(self_.get()); }
  /// Moves a piece. \throws error for parameters elsewhere than on Kokkos' default space
  template <class W, class Space> void update(update_piece<W, Space> const& p) const {
    if constexpr (std::same_as<Space, space> && std::same_as<W, float>) float_(self_.get(), learning_rate, p);
    else if constexpr (std::same_as<Space, space> && std::same_as<W, double>) double_(self_.get(), learning_rate, p);
    else
      throw error{"nn::optimizer_state",
                  "the optimizer '" + std::string(name) + "' is compiled for Kokkos' default space only",
                  "Build the model there, or use sgd, adam or adamw"};
  }

 private:
  using space = Kokkos::DefaultExecutionSpace;

  template <class O, class W> static void run(void const* self, double rate, update_piece<W, space> const& p) {
    auto const& o = *static_cast<O const*>(self);
    compute::element_update<static_cast<int>(O::buffers.size())>(
        p.space, p.chunks.data(), static_cast<index_t>(p.chunks.size()), p.n,
        o.template rule<W>(update_step{.number = p.step}), static_cast<W>(rate * p.rate_factor),
        static_cast<W>(p.gradient_scale), p.value, p.gradient, p.state);
  }

  std::span<std::string_view const> buffers_;
  void (*check_)(void const*) = nullptr;
  void (*float_)(void const*, double rate, update_piece<float, space> const&) = nullptr;
  void (*double_)(void const*, double rate, update_piece<double, space> const&) = nullptr;
  std::shared_ptr<void const> self_;
};

}  // namespace pleat::nn
