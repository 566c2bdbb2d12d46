// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// One layer after the other.
#pragma once

#include <array>
#include <tuple>
#include <utility>

#include <pleat/compute/activation.hpp>
#include <pleat/nn/describe.hpp>
#include <pleat/nn/layer.hpp>
#include <pleat/nn/units.hpp>

namespace pleat::nn {

namespace detail {
template <class L> concept fusable_activation = requires { { L::fusable } -> std::convertible_to<compute::activation>; };
template <class L> concept fuses_activation = requires(L const& l, pass_of<L> const& p, tensor_of<L> x) { l.forward(p, x, compute::activation::relu); };
template <class L> concept masks_input = requires(L& l, pass_of<L> const& p, typename L::saved& s, tensor_of<L> dy) { l.backward_input(p, s, dy, true); };
}  // namespace detail

/// Composition of layers; the value of the next is a function of the one before.
///
/// Where a linear or convolution is followed by a ReLU, the ReLU happens in the product's epilogue; where a ReLU is followed by a linear,
/// its backward happens in the epilogue of that layer's input gradient. Results are the same bits as unfused.
/// Units (what a pipeline may cut between): the sum of the children's.
template <class... Ls> class sequential {
  using first_layer = std::tuple_element_t<0, std::tuple<Ls..., void>>;

 public:
  static_assert(sizeof...(Ls) > 0, "pleat: nn::sequential needs at least one layer");
  using value_type = value_type_of<first_layer>;
  using execution_space = space_of<first_layer>;
  using tensor_type = tensor<value_type, execution_space>;
  using pass_type = pass<execution_space>;
  using saved = std::tuple<saved_of<Ls>...>;
  static_assert((std::is_same_v<value_type_of<Ls>, value_type> && ...) && (std::is_same_v<space_of<Ls>, execution_space> && ...),
                "pleat: the layers of one nn::sequential share one value type and one execution space");
  static constexpr char const* kind = "sequential";
  static constexpr mixing mixes = mixing::children;
  static constexpr int size = static_cast<int>(sizeof...(Ls));

  explicit sequential(Ls... layers) : layers_(std::move(layers)...) {
    std::size_t i = 0;
    std::apply([&](auto const&... l) { ((first_unit_[i + 1] = first_unit_[i] + units_of(l), ++i), ...); }, layers_);
  }

  [[nodiscard]] extents shape(extents in) const {
    std::apply([&](auto const&... l) { ((in = l.shape(in)), ...); }, layers_);
    return in;
  }

  [[nodiscard]] index_t units() const noexcept { return first_unit_[size]; }

  [[nodiscard]] step<saved, tensor_type> forward(pass_type const& p, tensor_type x) const {
    saved s;
    auto y = forward_from<0>(p, 0, units(), std::move(x), s);
    return {std::move(y), std::move(s)};
  }
  [[nodiscard]] tensor_type backward(pass_type const& p, saved& s, tensor_type dy) { return backward_units(p, 0, units(), s, std::move(dy)); }
  [[nodiscard]] tensor_type backward_input(pass_type const& p, saved& s, tensor_type dy) { return backward_input_units(p, 0, units(), s, std::move(dy)); }
  void backward_weight(pass_type const& p, saved& s) { backward_weight_units(p, 0, units(), s); }

  // The same over units [begin, end): nn/units.hpp.
  [[nodiscard]] extents shape_units(extents in, index_t begin, index_t end) const {
    std::size_t i = 0;
    std::apply([&](auto const&... l) { ((in = nn::shape_units(l, in, begin - first_unit_[i], end - first_unit_[i]), ++i), ...); }, layers_);
    return in;
  }
  [[nodiscard]] tensor_type forward_units(pass_type const& p, index_t begin, index_t end, tensor_type x, saved& s) const {
    return forward_from<0>(p, begin, end, std::move(x), s);
  }
  [[nodiscard]] tensor_type backward_units(pass_type const& p, index_t begin, index_t end, saved& s, tensor_type dy) {
    return backward_from<size - 1, half::both>(p, {begin, end, last_needed(p, begin, end)}, s, std::move(dy), false);
  }
  [[nodiscard]] tensor_type backward_input_units(pass_type const& p, index_t begin, index_t end, saved& s, tensor_type dy) {
    return backward_from<size - 1, half::input>(p, {begin, end, last_needed(p, begin, end)}, s, std::move(dy), false);
  }
  void backward_weight_units(pass_type const& p, index_t begin, index_t end, saved& s) {
    backward_weight_from<size - 1>(p, {begin, end, last_needed(p, begin, end)}, s);
  }

  template <class F> void for_each_parameter(F&& f) {
    std::apply([&](auto&... l) { (l.for_each_parameter(f), ...); }, layers_);
  }
  template <class F> void for_each_parameter_units(index_t begin, index_t end, F&& f) {
    std::size_t i = 0;
    std::apply([&](auto&... l) { ((nn::for_each_parameter_units(l, begin - first_unit_[i], end - first_unit_[i], f), ++i), ...); }, layers_);
  }
  template <class F> void for_each_child(F&& f) {
    std::apply([&](auto&... l) { (f(l), ...); }, layers_);
  }

  /// The same composition of mapped layers: f(layer const&), called in forward order, returns the layer that takes its place.
  template <class F> [[nodiscard]] auto map(F&& f) const {
    return std::apply([&](auto const&... l) { return nn::sequential<decltype(f(l))...>{f(l)...}; }, layers_);
  }

  void describe(extents in, describe_walk& walk) const {
    std::apply([&](auto const&... l) { ((nn::describe(l, in, walk), in = l.shape(in)), ...); }, layers_);
  }

  template <int At> [[nodiscard]] auto& layer() noexcept { return std::get<At>(layers_); }
  template <int At> [[nodiscard]] auto const& layer() const noexcept { return std::get<At>(layers_); }

 private:
  enum class half { both, input };
  template <int At> using layer_at = std::tuple_element_t<At, std::tuple<Ls...>>;

  /// Child I+1 is an activation that child I can apply in its epilogue.
  template <int At> static constexpr bool fused_forward() {
    if constexpr (At + 1 < size) return detail::fuses_activation<layer_at<At>> && detail::fusable_activation<layer_at<At + 1>>;
    else return false;
  }
  /// Child I can apply the backward of child I−1, an activation, in its input gradient.
  template <int At> static constexpr bool fused_backward() {
    if constexpr (At > 0) return detail::masks_input<layer_at<At>> && detail::fusable_activation<layer_at<At - 1>>;
    else return false;
  }

  /// Units [begin, end); nothing below child `stop` learns, and nobody wants its input gradient.
  struct range {
    index_t begin, end;
    int stop;
  };

  template <int At> [[nodiscard]] bool inside(index_t begin, index_t end) const noexcept {
    return begin < first_unit_[At + 1] && end > first_unit_[At];
  }

  /// The lowest child that backward must reach.
  [[nodiscard]] int last_needed(pass_type const& p, index_t begin, index_t end) const {
    if (p.input_gradient) return 0;
    int stop = size, i = 0;
    std::apply([&](auto const&... l) {
      ((stop = stop == size && begin < first_unit_[static_cast<std::size_t>(i) + 1] && end > first_unit_[static_cast<std::size_t>(i)] && learns(l) ? i : stop, ++i), ...);
    }, layers_);
    return stop;
  }

  template <int At> [[nodiscard]] tensor_type forward_from(pass_type const& p, index_t begin, index_t end, tensor_type x, saved& s) const {
    if constexpr (At == size) {
      return x;
    } else {
      if (!inside<At>(begin, end)) return forward_from<At + 1>(p, begin, end, std::move(x), s);
      auto const& l = std::get<At>(layers_);
      if constexpr (fused_forward<At>()) {
        if (inside<At + 1>(begin, end)) {
          region r("pleat::nn::forward");
          using used = detail::in_use<layer_at<At>, execution_space>;
          used const u(p, l, used::what::forward);
          static_assert(mixing_of<layer_at<At>>() == mixing::weights, "pleat: a layer that applies an activation places its input by its weights");
          auto& own = std::get<At>(s);
          auto& next = std::get<At + 1>(s);
          own.in = own.taken = x.layout();
          auto out = l.forward(p, std::move(x), layer_at<At + 1>::fusable);
          detail::check_finite(p, l, out.y, "the output");
          if (p.hooks) p.hooks->poll();
          own.out = next.in = next.taken = next.out = out.y.layout();
          static_cast<typename layer_at<At>::saved&>(own) = std::move(out.saved);
          if (p.training) static_cast<typename layer_at<At + 1>::saved&>(next) = layer_at<At + 1>::saved_from_output(out.y);
          return forward_from<At + 2>(p, begin, end, std::move(out.y), s);
        }
      }
      return forward_from<At + 1>(p, begin, end, nn::forward_units(p, l, begin - first_unit_[At], end - first_unit_[At], std::move(x), std::get<At>(s)), s);
    }
  }

  /// `masked`: the child after this one has applied this activation's backward already.
  template <int At, half Half>
  [[nodiscard]] tensor_type backward_from(pass_type const& p, range const& u, saved& s, tensor_type dy, [[maybe_unused]] bool masked) {
    if constexpr (At < 0) {
      return dy;
    } else {
      if (!inside<At>(u.begin, u.end)) return backward_from<At - 1, Half>(p, u, s, std::move(dy), false);
      if (At < u.stop) {
        std::get<At>(s) = {};
        return backward_from<At - 1, Half>(p, u, s, tensor_type{}, false);
      }
      auto& l = std::get<At>(layers_);
      pass_type inner = p;
      inner.input_gradient = p.input_gradient || At > u.stop;
      if constexpr (detail::fusable_activation<layer_at<At>>) {
        if (masked) {
          std::get<At>(s) = {};
          return backward_from<At - 1, Half>(p, u, s, std::move(dy), false);
        }
      }
      if constexpr (fused_backward<At>()) {
        if (inside<At - 1>(u.begin, u.end) && At > u.stop) {
          region r("pleat::nn::backward");
          auto& own = std::get<At>(s);
          tensor_type dx;
          {
            using used = detail::in_use<layer_at<At>, execution_space>;
            used const opened(inner, l, Half == half::both ? used::what::backward : used::what::input_half);
            dx = detail::aligned_backward(inner, l, own, std::move(dy), [&](pass_type const& q, tensor_type d) { return tensor_type(l.backward_input(q, own, std::move(d), true)); });
            detail::check_finite(p, l, dx, "the input gradient");
            if constexpr (Half == half::both) l.backward_weight(inner, own);
          }
          if constexpr (Half == half::both) gradients_ready(inner, l);
          return backward_from<At - 1, Half>(p, u, s, std::move(dx), true);
        }
      }
      index_t const begin = u.begin - first_unit_[At], end = u.end - first_unit_[At];
      if constexpr (Half == half::both) dy = nn::backward_units(inner, l, begin, end, std::get<At>(s), std::move(dy));
      else dy = nn::backward_input_units(inner, l, begin, end, std::get<At>(s), std::move(dy));
      return backward_from<At - 1, Half>(p, u, s, std::move(dy), false);
    }
  }

  template <int At> void backward_weight_from(pass_type const& p, range const& u, saved& s) {
    if constexpr (At >= 0) {
      if (inside<At>(u.begin, u.end) && At >= u.stop) {
        pass_type inner = p;
        inner.input_gradient = p.input_gradient || At > u.stop;
        nn::backward_weight_units(inner, std::get<At>(layers_), u.begin - first_unit_[At], u.end - first_unit_[At], std::get<At>(s));
      }
      backward_weight_from<At - 1>(p, u, s);
    }
  }

  std::tuple<Ls...> layers_;
  std::array<index_t, size + 1> first_unit_{};
};

template <class... Ls> sequential(Ls...) -> sequential<Ls...>;

}  // namespace pleat::nn
