// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The layer protocol and `nn::call`, the one way into a child.
///
/// A layer is a copyable struct with
///
///     struct saved;                                                  // default-constructible, movable: all that backward needs
///     extents shape(extents in) const;                               // of the output; throws a sentence if `in` does not fit
///     step<saved, tensor<T, Space>> forward(pass<Space> const&, tensor<T, Space> x) const;
///     tensor<T, Space> backward(pass<Space> const&, saved&, tensor<T, Space> dy);
///       // or the pair:  backward_input(pass, saved&, dy) -> dx   (keeps in `saved` what the weight half needs)
///       //               backward_weight(pass, saved&)            (consumes saved)
///     void for_each_parameter(auto&& f);                             // f(weight&); none: an empty body
///
/// If parts of the network are cut along the tensor axis of a mesh, `static constexpr mixing mixes` says which
/// dimensions the layer mixes (placement_rules.hpp); without it the layer gets its whole input, which is always right.
/// Shapes are those of whole tensors; only `forward` and its backward see parts.
///
/// and, where they differ from float and Kokkos' default space, `using value_type` and `using execution_space`. Two
/// words let a sequence keep less where pass.recompute says so: `static constexpr bool cheap = true` says that forward
/// costs little against the bytes that it saves, so it may run again before backward; `drop_input(saved&)` and
/// `supply_input(pass, saved&, x)` of an expensive layer let go of its input and take it back.
///
/// When `pass.training` is false, `saved` should stay empty. A layer owns weights or children, never both; one that
/// owns children has `for_each_child(f)` and reaches them through `nn::call` / `nn::call_backward` only.
#pragma once

#include <concepts>
#include <exception>
#include <string>
#include <type_traits>
#include <utility>

#include <pleat/base/profile.hpp>
#include <pleat/compute/elementwise.hpp>
#include <pleat/compute/reduce.hpp>
#include <pleat/nn/align.hpp>
#include <pleat/nn/parameter.hpp>
#include <pleat/nn/pass.hpp>
#include <pleat/tensor/tensor.hpp>

namespace pleat::nn {

/// What forward returns: the output, and what backward needs as a value (so a pipeline holds as many as its schedule
/// says).
template <class Saved, class Tensor> struct step {
  Tensor y;
  Saved saved;
};

namespace detail {
template <class L> struct value_type_of {
  using type = float;
};
template <class L>
  requires requires { typename L::value_type; }
struct value_type_of<L> {
  using type = typename L::value_type;
};
template <class L> struct space_of {
  using type = Kokkos::DefaultExecutionSpace;
};
template <class L>
  requires requires { typename L::execution_space; }
struct space_of<L> {
  using type = typename L::execution_space;
};
struct any_parameter {
  void operator()(parameter const&) const {}
};
struct any_child {
  template <class C> void operator()(C const&) const {}
};
}  // namespace detail

template <class L> using value_type_of = typename detail::value_type_of<std::remove_cvref_t<L>>::type;
template <class L> using space_of = typename detail::space_of<std::remove_cvref_t<L>>::type;
template <class L> using tensor_of = tensor<value_type_of<L>, space_of<L>>;
template <class L> using pass_of = pass<space_of<L>>;

template <class L>
concept has_saved = std::default_initializable<typename L::saved> && std::movable<typename L::saved>;
template <class L>
concept has_shape = requires(L const& l, extents e) {
  { l.shape(e) } -> std::same_as<extents>;
};
template <class L>
concept has_forward = requires(L const& l, pass_of<L> const& p, tensor_of<L> x) {
  { l.forward(p, x).y } -> std::convertible_to<tensor_of<L>>;
  { l.forward(p, x).saved } -> std::convertible_to<typename L::saved>;
};
template <class L>
concept has_backward = requires(L& l, pass_of<L> const& p, typename L::saved& s, tensor_of<L> dy) {
  { l.backward(p, s, dy) } -> std::convertible_to<tensor_of<L>>;
};
template <class L>
concept has_split_backward = requires(L& l, pass_of<L> const& p, typename L::saved& s, tensor_of<L> dy) {
  { l.backward_input(p, s, dy) } -> std::convertible_to<tensor_of<L>>;
  l.backward_weight(p, s);
};
template <class L>
concept has_for_each_parameter = requires(L& l) { l.for_each_parameter(detail::any_parameter{}); };
template <class L>
concept composite = requires(L& l) { l.for_each_child(detail::any_child{}); };

/// A layer that can answer; enough for inference.
template <class L>
concept layer = has_saved<L> && has_shape<L> && has_forward<L> && has_for_each_parameter<L>;

/// Says in words what a layer lacks for inference (law 1). Where it must be the compiler's first error, ask
/// `static_assert((demand_layer<L>(), true))`: a mere call is looked into behind all that the caller's body gets wrong.
template <class L> constexpr void demand_layer() {
  static_assert(
      requires { typename L::saved; }, "pleat: a layer needs 'struct saved': what its backward needs, as a value");
  if constexpr (requires { typename L::saved; })
    static_assert(has_saved<L>, "pleat: a layer's 'saved' must be default-constructible and movable");
  static_assert(has_shape<L>, "pleat: a layer needs 'extents shape(extents in) const': the output's extents");
  static_assert(has_forward<L>,
                "pleat: a layer needs 'step<saved, tensor<T, Space>> forward(pass<Space> const&, tensor<T, Space> x) "
                "const': the output y, and saved");
  static_assert(
      has_for_each_parameter<L>,
      "pleat: a layer needs 'void for_each_parameter(auto&& f)': f(weight) for each, an empty body if there are none");
}

/// Says in words what a layer lacks for training.
template <class L> constexpr void demand_trainable_layer() {
  demand_layer<L>();
  static_assert(!layer<L> || has_backward<L> || has_split_backward<L>,  // without a layer, the first sentence is enough
                "pleat: a trainable layer needs 'tensor<T, Space> backward(pass<Space> const&, saved&, tensor<T, "
                "Space> dy)': the input's gradient; "
                "or the pair 'backward_input' (returns it) and 'backward_weight'");
}

/// A layer's name for error messages: its own, or what it is.
template <class L> [[nodiscard]] std::string name_of(L const& l) {
  if constexpr (requires {
                  { l.name() } -> std::convertible_to<std::string>;
                })
    return l.name();
  else if constexpr (requires { std::string(L::kind); }) return std::string(L::kind);
  else return "a layer of the user's";
}

namespace detail {
template <class L, class T, class Space>
void check_finite(pass<Space> const& p, L const& l, tensor<T, Space> const& y, char const* what) {
  if (!p.nonfinite || composite<L>) return;
  auto& note = *p.nonfinite;
  index_t const number = note.looked++;
  if (note.at >= 0) return;
  auto found = tensor<int, Space>::allocate(*p.where, {1});
  compute::any_nonfinite(p.space(), y.size(), static_cast<T const*>(y.data()), found.data());
  int bad = 0;
  copy_to_host(*p.where, found, &bad);
  if (bad == 0) return;
  note.at = number;
  note.found =
      std::string(what) + " of layer '" + name_of(l) + "' holds NaN or infinity in step " + std::to_string(p.step);
}
}  // namespace detail

namespace detail {
/// A leaf's parameters while its code runs.
template <class L, class Space> class in_use {
 public:
  enum class what { forward, backward, input_half, weight_half };
  // from here on the destructor closes, whatever fails
  in_use(pass<Space> const& p, L const& l, what w) : in_use(p.hooks, l, w != what::weight_half) {
    if (!hooks_) return;
    if (closes_) layer_->for_each_parameter([&](parameter& x) { hooks_->open_values(x, w != what::forward); });
    if (w == what::backward || w == what::weight_half)
      layer_->for_each_parameter([&](parameter& x) { hooks_->open_gradient(x); });
  }
  in_use(in_use const&) = delete;
  in_use& operator=(in_use const&) = delete;
  ~in_use() {
    if (hooks_ && closes_) layer_->for_each_parameter([&](parameter& x) { hooks_->close_values(x); });
  }

 private:
  in_use(pass_hooks* hooks, L const& l, bool closes) noexcept
      : hooks_(composite<L> ? nullptr : hooks), layer_(const_cast<L*>(&l)), closes_(closes) {}

  pass_hooks* hooks_;
  L* layer_;  // a view is opened: no change of the layer
  bool closes_;
};
}  // namespace detail

/// What a layer mixes: as it says, else everything.
template <class L> [[nodiscard]] consteval mixing mixing_of() noexcept {
  if constexpr (requires {
                  { L::mixes } -> std::convertible_to<mixing>;
                })
    return L::mixes;
  else return mixing::everything;
}

/// What nn::call keeps of a layer besides the layer's own `saved`: where its input lived, where it was brought, where
/// its output lived.
template <class L> struct kept : L::saved {
  axis_layout in, taken, out;
};
/// What a composite holds per child. A composite that passes placements on needs no more than its own `saved`.
template <class L> using saved_of = std::conditional_t<mixing_of<L>() == mixing::children, typename L::saved, kept<L>>;

namespace detail {

/// True if the layer may take an input that lives so.
template <class L> [[nodiscard]] bool takes_layout(L const& l, axis_layout const& x, int rank, int parts) {
  if (!x.cut()) return true;
  if constexpr (requires {
                  { l.takes(x, rank, parts) } -> std::convertible_to<bool>;
                })
    return l.takes(x, rank, parts);
  else return takes(mixing_of<L>(), x.where, rank);
}

/// Says that y or dx, which a layer made of a cut tensor, is cut alike.
template <class L, class T, class Space>
void cut_alike(L const& l, tensor<T, Space>& y, axis_layout const& like, index_t extent) {
  if (!like.cut() || y.layout().cut()) return;
  int const d = like.where.dim;
  if (d >= y.rank() || y.extent(d) != extent)
    throw error{"nn::call",
                "layer '" + name_of(l) + "' takes an input placed as " + like.to_string() +
                    " along the tensor axis and returns " + y.shape().to_string() + ", which is not cut alike",
                "Declare what it mixes (nn::mixing), or give the tensor it returns its layout"};
  y = y.with_layout(like);
}

/// Brings x to where the layer can work on it; `k` remembers.
template <class L, class T, class Space>
[[nodiscard]] tensor<T, Space> enter(pass<Space> const& p, L const& l, kept<L>& k, tensor<T, Space> x) {
  k.in = x.layout();
  if constexpr (mixing_of<L>() != mixing::weights)
    if (p.tensor && !takes_layout(l, x.layout(), x.rank(), p.tensor->size()))
      x = redistribute(p, std::move(x), {}, p.moves ? name_of(l) : std::string{});
  k.taken = x.layout();
  return x;
}
/// The local extent of the dimension that x is cut along.
template <class T, class Space> [[nodiscard]] index_t cut_extent(tensor<T, Space> const& x) noexcept {
  return x.layout().cut() ? x.extent(x.layout().where.dim) : 0;
}
template <class L, class T, class Space> void leave(L const& l, kept<L>& k, tensor<T, Space>& y, index_t extent) {
  if constexpr (mixing_of<L>() != mixing::weights) cut_alike(l, y, k.taken, extent);
  k.out = y.layout();
}
/// Brings dy to where y lived; the pass then says where dx is wanted.
template <class L, class T, class Space>
[[nodiscard]] tensor<T, Space> enter_backward(pass<Space>& p, kept<L> const& k, tensor<T, Space> dy) {
  p.input = k.in;
  p.addends = k.out.cut();
  return redistribute(p, std::move(dy), k.out);
}
/// dx returns to where x came from.
template <class L, class T, class Space>
[[nodiscard]] tensor<T, Space> leave_backward(pass<Space> const& p, L const& l, kept<L> const& k, tensor<T, Space> dx) {
  if (!p.tensor || dx.rank() == 0) return dx;
  if constexpr (mixing_of<L>() != mixing::weights)
    if (k.taken.cut() && k.taken.where.dim < dx.rank())
      cut_alike(l, dx, k.taken, k.taken.range(p.tensor->size(), p.tensor->rank()).size());
  return redistribute(p, std::move(dx), k.in);
}
}  // namespace detail

namespace detail {
template <class T, class Space> [[nodiscard]] tensor<T, Space> zeros(pass<Space> const& p, extents const& shape) {
  auto y = tensor<T, Space>::allocate(*p.where, shape);
  compute::fill(p.space(), y.size(), T(0.0f), y.data());
  return y;
}
/// In a handler: notes what a leaf has thrown where the walk goes on, and gives zeros for its output; else throws it on.
/// What a composite throws is not a layer's: parameters that did not come.
template <class T, class L, class Space>
[[nodiscard]] tensor<T, Space> zeros_for(pass<Space> const& p, L const& l, extents const& in) {
  if (composite<L> || !p.failure) throw;
  if (!p.failure->first) p.failure->first = std::current_exception();
  return zeros<T>(p, l.shape(in));
}
}  // namespace detail

namespace detail {
/// A leaf's forward, as a tool and a listener hear of it.
template <class L, class Space> class forward_of {
 public:
  forward_of(pass<Space> const& p, L const& l)
      : layer_(&l),
        region_("pleat::nn::forward", [&] { return name_of(l); }),
        who_(composite<L> ? nullptr : p.layers),
        thrown_(std::uncaught_exceptions()) {
    if (who_) who_->begins();
  }
  forward_of(forward_of const&) = delete;
  forward_of& operator=(forward_of const&) = delete;
  ~forward_of() {
    if (!who_ || std::uncaught_exceptions() > thrown_) return;
    try {
      who_->ends(name_of(*layer_));
    } catch (...) {  // a listener that has no memory misses one; the answer does not
    }
  }

 private:
  L const* layer_;
  region region_;
  layer_listener* who_;
  int thrown_;
};
}  // namespace detail

/// Forward into a child.
template <class L, class Space, class T>
[[nodiscard]] step<saved_of<L>, tensor<T, Space>> call(pass<Space> const& p, L const& l, tensor<T, Space> x) {
  static_assert((demand_layer<L>(), true));
  detail::forward_of<L, Space> const heard(p, l);
  using used = detail::in_use<L, Space>;
  used const u(p, l, used::what::forward);
  step<saved_of<L>, tensor<T, Space>> out;
  if (p.tensor) {
    if constexpr (mixing_of<L>() != mixing::children) {
      x = detail::enter(p, l, out.saved, std::move(x));
      index_t const extent = detail::cut_extent(x);
      auto made = l.forward(p, std::move(x));
      detail::leave(l, out.saved, made.y, extent);
      out.y = std::move(made.y);
      static_cast<typename L::saved&>(out.saved) = std::move(made.saved);
      detail::check_finite(p, l, out.y, "the output");
      if (p.hooks) p.hooks->poll();
      return out;
    }
  }
  extents const in = x.shape();
  try {
    auto made = l.forward(p, std::move(x));
    out.y = std::move(made.y);
    static_cast<typename L::saved&>(out.saved) = std::move(made.saved);
  } catch (...) {
    out.y = detail::zeros_for<T>(p, l, in);
  }
  detail::check_finite(p, l, out.y, "the output");
  if (p.hooks) p.hooks->poll();
  return out;
}

/// Tells the listener that the gradients of a leaf are written, and lets communication move on.
template <class L, class Space> void gradients_ready(pass<Space> const& p, L& l) {
  if (!p.hooks) return;
  if constexpr (!composite<L>)
    l.for_each_parameter([&](parameter& w) {
      if (w.id >= 0 && w.use && w.use->done >= w.use->expected) p.hooks->gradient_ready(w);
    });
  p.hooks->poll();
}

namespace detail {
/// back(pass, dy) → dx, between aligning dy and returning dx. `s` is what nn::call gave, or (without a tensor axis)
/// just the layer's own.
template <class L, class Space, class S, class T, class Back>
[[nodiscard]] tensor<T, Space> aligned_backward(pass<Space> const& p, L& l, [[maybe_unused]] S& s, tensor<T, Space> dy,
                                                Back&& back) {
  if constexpr (std::is_same_v<S, kept<L>>) {
    if (p.tensor) {
      pass<Space> inner = p;
      dy = enter_backward(inner, s, std::move(dy));
      kept<L> where{};
      where.in = s.in, where.taken = s.taken, where.out = s.out;  // the layer may empty `s`
      auto dx = leave_backward(p, l, where, back(inner, std::move(dy)));
      s.in = where.in, s.taken = where.taken, s.out = where.out;
      return dx;
    }
  }
  return back(p, std::move(dy));
}
}  // namespace detail

/// Backward into a child: dx, with the weights' gradients written and reported.
/// \param s what nn::call returned
template <class L, class Space, class S, class T>
[[nodiscard]] tensor<T, Space> call_backward(pass<Space> const& p, L& l, S& s, tensor<T, Space> dy) {
  static_assert((demand_trainable_layer<L>(), true));
  static_assert(std::is_base_of_v<typename L::saved, S> || std::is_same_v<typename L::saved, S>,
                "pleat: hand nn::call_backward the `saved` that nn::call of the same layer returned");
  region const r("pleat::nn::backward", [&] { return name_of(l); });
  auto dx = detail::aligned_backward(p, l, s, std::move(dy), [&](pass<Space> const& inner, tensor<T, Space> d) {
    using used = detail::in_use<L, Space>;
    used const u(inner, l, used::what::backward);
    if constexpr (has_backward<L>) {
      return tensor<T, Space>(l.backward(inner, s, std::move(d)));
    } else if constexpr (has_split_backward<L>) {
      tensor<T, Space> made = l.backward_input(inner, s, std::move(d));
      l.backward_weight(inner, s);
      return made;
    } else {  // the sentence above says it all
      return d;
    }
  });
  if (dx.data()) detail::check_finite(p, l, dx, "the input gradient");
  gradients_ready(p, l);
  return dx;
}

/// The input half of a split backward. A layer without the pair does everything here.
template <class L, class Space, class S, class T>
[[nodiscard]] tensor<T, Space> call_backward_input(pass<Space> const& p, L& l, S& s, tensor<T, Space> dy) {
  if constexpr (has_split_backward<L>) {
    static_assert((demand_layer<L>(), true));
    region const r("pleat::nn::backward_input", [&] { return name_of(l); });
    return detail::aligned_backward(p, l, s, std::move(dy), [&](pass<Space> const& inner, tensor<T, Space> d) {
      using used = detail::in_use<L, Space>;
      used const u(inner, l, used::what::input_half);
      return tensor<T, Space>(l.backward_input(inner, s, std::move(d)));
    });
  } else {
    return call_backward(p, l, s, std::move(dy));
  }
}

/// The weight half of a split backward.
template <class L, class Space, class S> void call_backward_weight(pass<Space> const& p, L& l, S& s) {
  if constexpr (has_split_backward<L>) {
    region const r("pleat::nn::backward_weight", [&] { return name_of(l); });
    using used = detail::in_use<L, Space>;
    used const u(p, l, used::what::weight_half);
    if constexpr (std::is_same_v<S, kept<L>>) {
      pass<Space> inner = p;
      inner.addends = s.out.cut();
      l.backward_weight(inner, s);
    } else {
      l.backward_weight(p, s);
    }
    gradients_ready(p, l);
  }
}

/// f(parameter const&) over a const layer: the protocol has one spelling, which is not const; nothing is written here.
template <class L, class F> void for_each_parameter(L const& l, F&& f) {
  const_cast<L&>(l).for_each_parameter([&](auto& w) { f(std::as_const(w)); });
}

}  // namespace pleat::nn
