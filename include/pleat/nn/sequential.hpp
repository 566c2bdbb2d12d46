// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// One layer after the other.
#pragma once

#include <tuple>
#include <utility>

#include <pleat/compute/activation.hpp>
#include <pleat/nn/describe.hpp>
#include <pleat/nn/layer.hpp>

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
  using saved = std::tuple<typename Ls::saved...>;
  static_assert((std::is_same_v<value_type_of<Ls>, value_type> && ...) && (std::is_same_v<space_of<Ls>, execution_space> && ...),
                "pleat: the layers of one nn::sequential share one value type and one execution space");
  static constexpr char const* kind = "sequential";
  static constexpr int size = static_cast<int>(sizeof...(Ls));

  explicit sequential(Ls... layers) : layers_(std::move(layers)...) {}

  [[nodiscard]] extents shape(extents in) const {
    std::apply([&](auto const&... l) { ((in = l.shape(in)), ...); }, layers_);
    return in;
  }

  [[nodiscard]] index_t units() const {
    return std::apply([](auto const&... l) { return (units_of(l) + ...); }, layers_);
  }

  [[nodiscard]] step<saved, tensor_type> forward(pass_type const& p, tensor_type x) const {
    saved s;
    auto y = forward_from<0>(p, std::move(x), s);
    return {std::move(y), std::move(s)};
  }

  [[nodiscard]] tensor_type backward(pass_type const& p, saved& s, tensor_type dy) {
    return backward_from<size - 1, half::both>(p, s, std::move(dy), false);
  }
  [[nodiscard]] tensor_type backward_input(pass_type const& p, saved& s, tensor_type dy) {
    return backward_from<size - 1, half::input>(p, s, std::move(dy), false);
  }
  void backward_weight(pass_type const& p, saved& s) { backward_weight_from<size - 1>(p, s); }

  template <class F> void for_each_parameter(F&& f) {
    std::apply([&](auto&... l) { (l.for_each_parameter(f), ...); }, layers_);
  }
  template <class F> void for_each_child(F&& f) {
    std::apply([&](auto&... l) { (f(l), ...); }, layers_);
  }

  /// The same composition of mapped layers: f(layer const&) returns the layer that takes its place.
  template <class F> [[nodiscard]] auto map(F&& f) const {
    return std::apply([&](auto const&... l) { return nn::sequential<decltype(f(l))...>(f(l)...); }, layers_);
  }

  void describe(extents in, description& out) const {
    std::apply([&](auto const&... l) { ((nn::describe(l, in, out), in = l.shape(in)), ...); }, layers_);
  }

  template <int I> [[nodiscard]] auto& layer() noexcept { return std::get<I>(layers_); }
  template <int I> [[nodiscard]] auto const& layer() const noexcept { return std::get<I>(layers_); }

 private:
  enum class half { both, input };
  template <int I> using layer_at = std::tuple_element_t<I, std::tuple<Ls...>>;

  /// Child I+1 is an activation that child I can apply in its epilogue.
  template <int I> static constexpr bool fused_forward() {
    if constexpr (I + 1 < size) return detail::fuses_activation<layer_at<I>> && detail::fusable_activation<layer_at<I + 1>>;
    else return false;
  }
  /// Child I can apply the backward of child I−1, an activation, in its input gradient.
  template <int I> static constexpr bool fused_backward() {
    if constexpr (I > 0) return detail::masks_input<layer_at<I>> && detail::fusable_activation<layer_at<I - 1>>;
    else return false;
  }

  template <int I> [[nodiscard]] tensor_type forward_from(pass_type const& p, tensor_type x, saved& s) const {
    if constexpr (I == size) {
      return x;
    } else if constexpr (fused_forward<I>()) {
      region r("pleat::nn::forward");
      auto out = std::get<I>(layers_).forward(p, std::move(x), layer_at<I + 1>::fusable);
      detail::check_finite(p, std::get<I>(layers_), out.y, "the output");
      std::get<I>(s) = std::move(out.saved);
      if (p.training) std::get<I + 1>(s) = layer_at<I + 1>::saved_from_output(out.y);
      return forward_from<I + 2>(p, std::move(out.y), s);
    } else {
      auto out = call(p, std::get<I>(layers_), std::move(x));
      std::get<I>(s) = std::move(out.saved);
      return forward_from<I + 1>(p, std::move(out.y), s);
    }
  }

  /// `masked`: the child after this one has applied this activation's backward already.
  template <int I, half Half> [[nodiscard]] tensor_type backward_from(pass_type const& p, saved& s, tensor_type dy, [[maybe_unused]] bool masked) {
    if constexpr (I < 0) {
      return dy;
    } else {
      auto& l = std::get<I>(layers_);
      pass_type inner = p;
      if constexpr (I > 0) inner.input_gradient = true;
      if constexpr (detail::fusable_activation<layer_at<I>>) {
        if (masked) {
          std::get<I>(s) = {};
          return backward_from<I - 1, Half>(p, s, std::move(dy), false);
        }
      }
      if constexpr (fused_backward<I>()) {
        region r("pleat::nn::backward");
        auto dx = l.backward_input(inner, std::get<I>(s), std::move(dy), true);
        detail::check_finite(p, l, dx, "the input gradient");
        if constexpr (Half == half::both) {
          l.backward_weight(inner, std::get<I>(s));
          gradients_ready(inner, l);
        }
        return backward_from<I - 1, Half>(p, s, std::move(dx), true);
      } else if constexpr (Half == half::both) {
        return backward_from<I - 1, Half>(p, s, call_backward(inner, l, std::get<I>(s), std::move(dy)), false);
      } else {
        return backward_from<I - 1, Half>(p, s, call_backward_input(inner, l, std::get<I>(s), std::move(dy)), false);
      }
    }
  }

  template <int I> void backward_weight_from(pass_type const& p, saved& s) {
    if constexpr (I >= 0) {
      call_backward_weight(p, std::get<I>(layers_), std::get<I>(s));
      backward_weight_from<I - 1>(p, s);
    }
  }

  std::tuple<Ls...> layers_;
};

template <class... Ls> sequential(Ls...) -> sequential<Ls...>;

}  // namespace pleat::nn
