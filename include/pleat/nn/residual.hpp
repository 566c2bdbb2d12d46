// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// y = shortcut(x) + body(x).
#pragma once

#include <utility>

#include <pleat/compute/elementwise.hpp>
#include <pleat/nn/describe.hpp>
#include <pleat/nn/layer.hpp>
#include <pleat/nn/units.hpp>

namespace pleat::nn {

/// The shortcut that does nothing.
struct identity_shortcut {};

namespace detail {
/// a + b, placed as a is, over a's or b's memory where nobody else holds it.
template <class T, class Space>
[[nodiscard]] tensor<T, Space> add(pass<Space> const& p, tensor<T, Space> a, tensor<T, Space> b) {
  b = align_with(p, a, std::move(b));
  auto y = a.sole_owner()   ? a
           : b.sole_owner() ? b
                            : tensor<T, Space>::allocate(*p.where, a.shape()).with_layout(a.layout());
  compute::add(p.space(), a.size(), static_cast<T const*>(a.data()), static_cast<T const*>(b.data()), y.data());
  return y;
}
template <class S> struct saved_by {
  using type = saved_of<S>;
};
template <> struct saved_by<identity_shortcut> {
  using type = identity_shortcut;
};
template <class S> constexpr void demand_shortcut() {
  if constexpr (!std::is_same_v<S, identity_shortcut>) demand_layer<S>();
}
}  // namespace detail

/// y = x + body(x), or shortcut(x) + body(x) where the body changes the shape (He et al., "Deep residual learning",
/// CVPR 2016). One unit: a pipeline does not cut inside.
template <class Body, class Shortcut = identity_shortcut> class residual {
  static_assert((demand_layer<Body>(), detail::demand_shortcut<Shortcut>(), true));
  static constexpr bool plain = std::is_same_v<Shortcut, identity_shortcut>;

 public:
  using value_type = value_type_of<Body>;                   ///< of weights and activations
  using execution_space = space_of<Body>;                   ///< where it runs
  using tensor_type = tensor<value_type, execution_space>;  ///< of its activations
  using pass_type = pass<execution_space>;                  ///< what layers are called with
  static constexpr char const* kind = "residual";           ///< what descriptions call it
  static constexpr mixing mixes = mixing::children;  ///< where the tensor axis may cut its input (placement_rules.hpp)

  /// What backward needs: the body's and the shortcut's.
  struct saved {
    saved_of<Body> body;
    typename detail::saved_by<Shortcut>::type shortcut;
  };

  explicit residual(Body body, Shortcut shortcut = {})
    requires plain
      : body_(std::move(body)), shortcut_(shortcut) {}
  residual(Body body, Shortcut shortcut)
    requires(!plain)
      : body_(std::move(body)), shortcut_(std::move(shortcut)) {
    static_assert(plain || (std::is_same_v<value_type_of<Shortcut>, value_type> &&
                            std::is_same_v<space_of<Shortcut>, execution_space>),
                  "pleat: the body and the shortcut of nn::residual share one value type and one execution space");
  }

  /// Takes the body out for good: what remains is x itself. Its parameters are no longer the network's: give them back
  /// their memory by building or rebuilding the model. A file of such a network is read into one whose body is taken
  /// out too.
  void remove_body()
    requires plain
  {
    removed_ = true;
  }
  /// Puts it back where nothing was rebuilt meanwhile.
  void restore_body()
    requires plain
  {
    removed_ = false;
  }
  [[nodiscard]] bool removed() const noexcept { return removed_; }

  [[nodiscard]] extents shape(extents const& in) const {
    if (removed_) return in;
    extents const out = body_.shape(in);
    extents other = in;
    if constexpr (!plain) other = shortcut_.shape(in);
    if (out != other)
      throw error{"nn::residual",
                  "the body makes " + out.to_string() + " of " + in.to_string() + ", the shortcut " + other.to_string(),
                  plain
                      ? "Give residual a second layer that brings the input to the body's shape, e.g. a 1×1 convolution"
                      : "Make the two agree"};
    return out;
  }

  [[nodiscard]] step<saved, tensor_type> forward(pass_type const& p, tensor_type x) const {
    if (removed_) return {std::move(x), saved{}};
    (void)shape(x.whole_shape());
    saved s;
    auto b = call(p, body_, x);
    s.body = std::move(b.saved);
    if constexpr (plain) {
      return {detail::add(p, std::move(b.y), std::move(x)), std::move(s)};
    } else {
      auto c = call(p, shortcut_, std::move(x));
      s.shortcut = std::move(c.saved);
      return {detail::add(p, std::move(b.y), std::move(c.y)), std::move(s)};
    }
  }

  [[nodiscard]] tensor_type backward(pass_type const& p, saved& s, tensor_type dy) {
    return join(
        p, [&](auto& l, auto& saved, tensor_type d) { return call_backward(p, l, saved, std::move(d)); }, s,
        std::move(dy));
  }
  [[nodiscard]] tensor_type backward_input(pass_type const& p, saved& s, tensor_type dy) {
    return join(
        p, [&](auto& l, auto& saved, tensor_type d) { return call_backward_input(p, l, saved, std::move(d)); }, s,
        std::move(dy));
  }
  void backward_weight(pass_type const& p, saved& s) {
    if (removed_) return;
    call_backward_weight(p, body_, s.body);
    if constexpr (!plain) call_backward_weight(p, shortcut_, s.shortcut);
  }

  template <class F> void for_each_parameter(F&& f) {
    if (removed_) return;
    body_.for_each_parameter(f);
    if constexpr (!plain) shortcut_.for_each_parameter(f);
  }
  template <class F> void for_each_child(F&& f) {
    if (removed_) return;
    f(body_);
    if constexpr (!plain) f(shortcut_);
  }
  /// The same with a mapped body and shortcut.
  template <class F> [[nodiscard]] auto map(F&& f) const {
    if constexpr (plain) {
      nn::residual<decltype(f(body_))> mapped(f(body_));
      if (removed_) mapped.remove_body();
      return mapped;
    } else return nn::residual<decltype(f(body_)), decltype(f(shortcut_))>{f(body_), f(shortcut_)};
  }

  void describe(extents const& in, describe_walk& walk) const {
    if (removed_) return;
    int const x = walk.current();
    auto const from = walk.layout();
    walk.hold(x, 1);
    nn::describe(body_, in, walk);
    int const b = walk.current();
    auto const to = walk.layout();
    walk.hold(x, -1);
    walk.set_layout(from);
    int other = x;
    if constexpr (!plain) {
      walk.hold(b, 1);
      walk.set_current(x);
      nn::describe(shortcut_, in, walk);
      walk.hold(b, -1);
      other = walk.current();
    }
    layer_cost c{.name = kind, .kind = kind, .in = in, .out = shape(in)};
    c.forward_flops = c.backward_input_flops = static_cast<double>(c.out.size());
    c.keeps_input = false;
    c.view = true;  // the sum's memory is settled here
    index_t const bytes = walk.local(c.out, to).size() * static_cast<index_t>(sizeof(value_type));
    walk.append(std::move(c), bytes);
    if (!walk.layout().same(to, walk.parts())) other = walk.take(bytes);  // brought to where the body's output lives
    walk.set_layout(to);
    walk.set_current(b != other && walk.free(b) ? b : b != other && walk.free(other) ? other : walk.take(bytes));
  }

  [[nodiscard]] Body& body() noexcept { return body_; }
  [[nodiscard]] Body const& body() const noexcept { return body_; }
  [[nodiscard]] Shortcut& shortcut() noexcept { return shortcut_; }
  [[nodiscard]] Shortcut const& shortcut() const noexcept { return shortcut_; }

 private:
  /// dx = the body's + the shortcut's, each by `back`.
  template <class Back> [[nodiscard]] tensor_type join(pass_type const& p, Back&& back, saved& s, tensor_type dy) {
    if (removed_) return p.input_gradient ? std::move(dy) : tensor_type{};
    tensor_type db = back(body_, s.body, dy);
    if constexpr (plain) {
      return p.input_gradient ? detail::add(p, std::move(db), std::move(dy)) : tensor_type{};
    } else {
      tensor_type dc = back(shortcut_, s.shortcut, std::move(dy));
      return p.input_gradient ? detail::add(p, std::move(db), std::move(dc)) : tensor_type{};
    }
  }

  Body body_;
  Shortcut shortcut_;
  bool removed_ = false;
};

template <class Body> residual(Body) -> residual<Body>;
template <class Body, class Shortcut> residual(Body, Shortcut) -> residual<Body, Shortcut>;

}  // namespace pleat::nn
