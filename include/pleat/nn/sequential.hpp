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
template <class L>
concept fusable_activation = requires {
  { L::fusable } -> std::convertible_to<compute::activation>;
};
template <class L>
concept fuses_activation =
    requires(L const& l, pass_of<L> const& p, tensor_of<L> x) { l.forward(p, x, compute::activation::relu); };
template <class L>
concept fuses_pooling =
    requires(L const& l, pass_of<L> const& p, tensor_of<L> x) { l.forward_pooled(p, x, compute::activation::relu); };
template <class L>
concept fusable_pooling = requires(L const& l) {
  { l.halves() } -> std::convertible_to<bool>;
};
template <class L>
concept cheap_layer = requires {
  { L::cheap } -> std::convertible_to<bool>;
} && bool(L::cheap);
template <class L>
concept resupplied = requires(L const& l, pass_of<L> const& p, typename L::saved& s, tensor_of<L> x) {
  l.drop_input(s);
  l.supply_input(p, s, x);
};
template <class L>
concept masks_input =
    requires(L& l, pass_of<L> const& p, typename L::saved& s, tensor_of<L> dy) { l.backward_input(p, s, dy, true); };

/// Whether all weights of a layer can be trained, as far as the arguments of its type tell: sets of forms say so. Where
/// not, the halves of backward are compiled apart, so that a network that cannot learn may still be asked for its
/// input's gradient.
template <class L> struct learns : std::true_type {};
template <class L>
  requires requires { typename std::bool_constant<L::trainable>; }
struct learns<L> : std::bool_constant<L::trainable> {};
template <template <class...> class L, class... A>
  requires(!requires { typename std::bool_constant<L<A...>::trainable>; })
struct learns<L<A...>> : std::conjunction<learns<A>...> {};

// The fused calls know two layers and no sequence, so that they are compiled once for all sequences that have these.

/// nn::call of a layer and of the activation A behind it, in its epilogue.
/// \param pool whether the max pooling behind that may happen there, too; then, whether it has
template <class L, class A>
[[nodiscard]] tensor_of<L> call_activated(pass_of<L> const& p, L const& l, tensor_of<L> x, saved_of<L>& own,
                                          saved_of<A>& next, [[maybe_unused]] bool& pool) {
  forward_of<L, nn::space_of<L>> const heard(p, l);
  using used = in_use<L, nn::space_of<L>>;
  used const u(p, l, used::what::forward);
  own.in = own.taken = x.layout();
  extents const in = x.shape();
  tensor_of<L> y;
  try {
    if constexpr (fuses_pooling<L>) {
      if (pool) {
        y = l.forward_pooled(p, x, A::fusable);
        if (y.rank() > 0) {
          if (p.hooks) p.hooks->poll();
          return y;
        }
        pool = false;
      }
    }
    auto out = l.forward(p, std::move(x), A::fusable);
    y = std::move(out.y);
    static_cast<typename L::saved&>(own) = std::move(out.saved);
  } catch (...) {
    pool = false;
    y = zeros_for<nn::value_type_of<L>>(p, l, in);
  }
  check_finite(p, l, y, "the output");
  if (p.hooks) p.hooks->poll();
  own.out = next.in = next.taken = next.out = y.layout();
  if (p.training) static_cast<typename A::saved&>(next) = A::saved_from_output(y);
  return y;
}

/// nn::call_backward (with `both` false: nn::call_backward_input) of a layer and of the activation before it. Input:
/// `both` is never true.
template <class L, bool Input = false>
[[nodiscard]] tensor_of<L> call_backward_masked(pass_of<L> const& p, L& l, saved_of<L>& own, tensor_of<L> dy,
                                                bool both) {
  region const r("pleat::nn::backward", [&] { return name_of(l); });
  tensor_of<L> dx;
  {
    using used = in_use<L, nn::space_of<L>>;
    used const opened(p, l, both ? used::what::backward : used::what::input_half);
    dx = aligned_backward(p, l, own, std::move(dy), [&](pass_of<L> const& q, tensor_of<L> d) {
      return tensor_of<L>(l.backward_input(q, own, std::move(d), true));
    });
    check_finite(p, l, dx, "the input gradient");
    if constexpr (!Input)
      if (both) l.backward_weight(p, own);
  }
  if (both) gradients_ready(p, l);
  return dx;
}
}  // namespace detail

/// Composition of layers; the value of the next is a function of the one before.
///
/// Where a linear or convolution is followed by a ReLU, the ReLU happens in the product's epilogue (in inference max
/// pooling by 2 × 2 after that, too, if the convolution's form does it); where a ReLU is followed by a linear, its
/// backward happens in the epilogue of that layer's input gradient. Results are the same bits as unfused.
///
/// Where pass.recompute says so, a run of cheap layers (norms, activations that keep slopes, dropout, the core of
/// attention) before an expensive one (linear) keeps its input only: neither what the cheap layers save nor the
/// expensive one's input. They run again just before the expensive layer's backward, with the same bits, as selective
/// recompute does in Korthikanti et al., "Reducing activation recomputation in large transformer models",
/// arXiv:2205.05198, section 5. With a backward in two halves, what was computed again lives until the weight half.
/// Units (what a pipeline may cut between): the sum of the children's.
template <class... Ls> class sequential {
  static_assert(((demand_layer<Ls>(), ...), true));
  using first_layer = std::tuple_element_t<0, std::tuple<Ls..., void>>;

  // Runs of cheap children that end before one whose input can be brought back: per child the number of its run (that
  // one belongs to it), or −1; how many there are.
  struct run_table {
    std::array<int, sizeof...(Ls)> of{}, first{};
    std::size_t count = 0;
  };
  static constexpr run_table find_runs() {
    run_table t;
    std::array<bool, sizeof...(Ls)> const cheap{detail::cheap_layer<Ls>...}, ends{detail::resupplied<Ls>...};
    int begin = -1;
    for (int i = 0; i < static_cast<int>(sizeof...(Ls)); ++i) {
      auto const at = static_cast<std::size_t>(i);
      t.of[at] = -1;
      t.first[at] = i;
      if (cheap[at]) {
        if (begin < 0) begin = i;
        continue;
      }
      if (ends[at] && begin >= 0) {
        for (int j = begin; j <= i; ++j)
          t.of[static_cast<std::size_t>(j)] = static_cast<int>(t.count), t.first[static_cast<std::size_t>(j)] = begin;
        ++t.count;
      }
      begin = -1;
    }
    return t;
  }
  static constexpr std::size_t run_count() { return find_runs().count; }

 public:
  static_assert(sizeof...(Ls) > 0, "pleat: nn::sequential needs at least one layer");
  using value_type = value_type_of<first_layer>;            ///< of weights and activations
  using execution_space = space_of<first_layer>;            ///< where it runs
  using tensor_type = tensor<value_type, execution_space>;  ///< of its activations
  using pass_type = pass<execution_space>;                  ///< what layers are called with
  static constexpr int size = static_cast<int>(sizeof...(Ls));
  /// What each child saved, and the inputs of the runs that are computed again.
  struct saved : std::tuple<saved_of<Ls>...> {
    std::array<tensor_type, run_count()> again;
  };
  static_assert((std::is_same_v<value_type_of<Ls>, value_type> && ...) &&
                    (std::is_same_v<space_of<Ls>, execution_space> && ...),
                "pleat: the layers of one nn::sequential share one value type and one execution space");
  static constexpr char const* kind = "sequential";  ///< what descriptions call it
  static constexpr mixing mixes = mixing::children;  ///< where the tensor axis may cut its input (placement_rules.hpp)

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
  [[nodiscard]] tensor_type backward(pass_type const& p, saved& s, tensor_type dy) {
    return backward_units(p, 0, units(), s, std::move(dy));
  }
  [[nodiscard]] tensor_type backward_input(pass_type const& p, saved& s, tensor_type dy) {
    return backward_input_units(p, 0, units(), s, std::move(dy));
  }
  void backward_weight(pass_type const& p, saved& s) { backward_weight_units(p, 0, units(), s); }

  // The same over units [begin, end): nn/units.hpp.
  [[nodiscard]] extents shape_units(extents in, index_t begin, index_t end) const {
    std::size_t i = 0;
    std::apply(
        [&](auto const&... l) {
          ((in = nn::shape_units(l, in, begin - first_unit_[i], end - first_unit_[i]), ++i), ...);
        },
        layers_);
    return in;
  }
  [[nodiscard]] tensor_type forward_units(pass_type const& p, index_t begin, index_t end, tensor_type x,
                                          saved& s) const {
    return forward_from<0>(p, begin, end, std::move(x), s);
  }
  [[nodiscard]] tensor_type backward_units(pass_type const& p, index_t begin, index_t end, saved& s, tensor_type dy) {
    return backward_from<size - 1>(p, {begin, end, last_needed(p, begin, end), true}, s, std::move(dy), false);
  }
  [[nodiscard]] tensor_type backward_input_units(pass_type const& p, index_t begin, index_t end, saved& s,
                                                 tensor_type dy) {
    return backward_from<size - 1, !std::conjunction_v<detail::learns<Ls>...>>(
        p, {begin, end, last_needed(p, begin, end), false}, s, std::move(dy), false);
  }
  void backward_weight_units(pass_type const& p, index_t begin, index_t end, saved& s) {
    backward_weight_from<size - 1>(p, {begin, end, last_needed(p, begin, end), false}, s);
  }

  template <class F> void for_each_parameter(F&& f) {
    std::apply([&](auto&... l) { (l.for_each_parameter(f), ...); }, layers_);
  }
  template <class F> void for_each_parameter_units(index_t begin, index_t end, F&& f) {
    std::size_t i = 0;
    std::apply(
        [&](auto&... l) {
          ((nn::for_each_parameter_units(l, begin - first_unit_[i], end - first_unit_[i], f), ++i), ...);
        },
        layers_);
  }
  template <class F> void for_each_child(F&& f) {
    std::apply([&](auto&... l) { (f(l), ...); }, layers_);
  }

  /// The same composition of mapped layers: f(layer const&), called in forward order, returns the layer that takes its
  /// place.
  template <class F> [[nodiscard]] auto map(F&& f) const {
    return std::apply([&](auto const&... l) { return nn::sequential<decltype(f(l))...>{f(l)...}; }, layers_);
  }

  void describe(extents const& in, describe_walk& walk) const { (void)describe_units(in, 0, units(), walk); }
  extents describe_units(extents in, index_t begin, index_t end, describe_walk& walk) const {
    [&]<std::size_t... Index>(std::index_sequence<Index...>) {
      ((in = describe_child<static_cast<int>(Index)>(in, begin, end, walk)), ...);
    }(std::make_index_sequence<sizeof...(Ls)>{});
    return in;
  }

  template <int At> [[nodiscard]] auto& layer() noexcept { return std::get<At>(layers_); }
  template <int At> [[nodiscard]] auto const& layer() const noexcept { return std::get<At>(layers_); }

 private:
  static constexpr run_table runs = find_runs();
  /// The run that child At is in, or −1; its first child; whether At is the one whose input is dropped.
  template <int At> static constexpr int run_of = runs.of[static_cast<std::size_t>(At)];
  template <int At> static constexpr int run_begin = runs.first[static_cast<std::size_t>(At)];
  template <int At> static constexpr bool ends_run() {
    if constexpr (At + 1 < size) return run_of<At> >= 0 && run_of<At + 1> != run_of<At>;
    else return run_of<At> >= 0;
  }
  template <int At> static constexpr int run_end() {
    if constexpr (run_of<At> < 0 || ends_run<At>()) return At;
    else return run_end<At + 1>();
  }
  /// Child At is in a run that lies within the units, so it may be computed again.
  template <int At> [[nodiscard]] bool runs_again(index_t begin, index_t end) const noexcept {
    if constexpr (run_of<At> < 0) return false;
    else return inside<run_begin<At>>(begin, end) && inside<run_end<At>()>(begin, end);
  }
  template <int At> extents describe_child(extents const& in, index_t begin, index_t end, describe_walk& walk) const {
    bool const again = walk.recompute() && runs_again<At>(begin, end);
    if (again && At == run_begin<At>) {
      walk.hold_for_backward(walk.current());
      walk.dropping(1);
    }
    auto const out =
        nn::describe_units(std::get<At>(layers_), in, begin - first_unit_[At], end - first_unit_[At], walk);
    if (again && ends_run<At>()) walk.dropping(-1);
    return out;
  }

  /// The cheap children before At, once more; what they save is there again, and so is At's input.
  template <int At> void again_before(pass_type const& p, saved& s) const {
    constexpr auto run = static_cast<std::size_t>(run_of<At>);
    auto x = std::exchange(s.again[run], tensor_type{});
    x = again_from<run_begin<At>, At>(p, std::move(x), s);
    std::get<At>(layers_).supply_input(p, std::get<At>(s), std::move(x));
  }
  template <int At, int End> [[nodiscard]] tensor_type again_from(pass_type const& p, tensor_type x, saved& s) const {
    if constexpr (At == End) {
      return x;
    } else {
      auto out = nn::call(p, std::get<At>(layers_), std::move(x));
      std::get<At>(s) = std::move(out.saved);
      return again_from<At + 1, End>(p, std::move(out.y), s);
    }
  }
  template <int At> using layer_at = std::tuple_element_t<At, std::tuple<Ls...>>;

  /// Child I+1 is an activation that child I can apply in its epilogue.
  template <int At> static constexpr bool fused_forward() {
    if constexpr (At + 1 < size)
      return detail::fuses_activation<layer_at<At>> && detail::fusable_activation<layer_at<At + 1>>;
    else return false;
  }
  /// Child I+2, after that activation, is a max pooling that child I may do.
  template <int At> static constexpr bool fused_pooling() {
    if constexpr (fused_forward<At>() && At + 2 < size)
      return detail::fuses_pooling<layer_at<At>> && detail::fusable_pooling<layer_at<At + 2>>;
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
    bool both;  ///< halves of backward
  };

  template <int At> [[nodiscard]] bool inside(index_t begin, index_t end) const noexcept {
    return begin < first_unit_[At + 1] && end > first_unit_[At];
  }

  /// The lowest child that backward must reach.
  [[nodiscard]] int last_needed(pass_type const& p, index_t begin, index_t end) const {
    if (p.input_gradient) return 0;
    int stop = size, i = 0;
    std::apply(
        [&](auto const&... l) {
          ((stop = stop == size && begin < first_unit_[static_cast<std::size_t>(i) + 1] &&
                           end > first_unit_[static_cast<std::size_t>(i)] && learns(l)
                       ? i
                       : stop,
            ++i),
           ...);
        },
        layers_);
    return stop;
  }

  template <int At>
  [[nodiscard]] tensor_type forward_from(pass_type const& p, index_t begin, index_t end, tensor_type x,
                                         saved& s) const {
    if constexpr (At == size) {
      return x;
    } else {
      if (!inside<At>(begin, end)) return forward_from<At + 1>(p, begin, end, std::move(x), s);
      auto const& l = std::get<At>(layers_);
      [[maybe_unused]] bool const again = p.recompute && p.training && runs_again<At>(begin, end);
      if constexpr (run_of<At> >= 0) {
        if (again) {
          if constexpr (run_begin<At> == At) s.again[static_cast<std::size_t>(run_of<At>)] = x;
          if constexpr (!ends_run<At>()) return forward_from<At + 1>(p, begin, end, nn::call(p, l, std::move(x)).y, s);
        }
      }
      if constexpr (fused_forward<At>()) {
        if (inside<At + 1>(begin, end)) {
          static_assert(mixing_of<layer_at<At>>() == mixing::weights,
                        "pleat: a layer that applies an activation places its input by its weights");
          auto& own = std::get<At>(s);
          bool pool = false;
          if constexpr (fused_pooling<At>())
            pool = !p.training && inside<At + 2>(begin, end) && std::get<At + 2>(layers_).halves();
          auto y = detail::call_activated<layer_at<At>, layer_at<At + 1>>(p, l, std::move(x), own, std::get<At + 1>(s),
                                                                          pool);
          if constexpr (fused_pooling<At>())
            if (pool) return forward_from<At + 3>(p, begin, end, std::move(y), s);
          if constexpr (ends_run<At>())
            if (again) l.drop_input(own);
          return forward_from<At + 2>(p, begin, end, std::move(y), s);
        }
      }
      auto y = nn::forward_units(p, l, begin - first_unit_[At], end - first_unit_[At], std::move(x), std::get<At>(s));
      if constexpr (ends_run<At>())
        if (again) l.drop_input(std::get<At>(s));
      return forward_from<At + 1>(p, begin, end, std::move(y), s);
    }
  }

  /// `masked`: the child after this one has applied this activation's backward already.
  template <int At, bool Input = false>
  [[nodiscard]] tensor_type backward_from(pass_type const& p, range const& u, saved& s, tensor_type dy,
                                          [[maybe_unused]] bool masked) {
    if constexpr (At < 0) {
      return dy;
    } else {
      if (!inside<At>(u.begin, u.end)) return backward_from<At - 1, Input>(p, u, s, std::move(dy), false);
      if constexpr (ends_run<At>())
        if (At >= u.stop && s.again[static_cast<std::size_t>(run_of<At>)].rank() > 0) again_before<At>(p, s);
      if (At < u.stop) {
        std::get<At>(s) = {};
        if constexpr (run_of<At> >= 0) s.again[static_cast<std::size_t>(run_of<At>)] = {};
        return backward_from<At - 1, Input>(p, u, s, tensor_type{}, false);
      }
      auto& l = std::get<At>(layers_);
      pass_type inner = p;
      inner.input_gradient = p.input_gradient || At > u.stop;
      if constexpr (detail::fusable_activation<layer_at<At>>) {
        if (masked) {
          std::get<At>(s) = {};
          return backward_from<At - 1, Input>(p, u, s, std::move(dy), false);
        }
      }
      if constexpr (fused_backward<At>()) {
        if (inside<At - 1>(u.begin, u.end) && At > u.stop) {
          dy = detail::call_backward_masked<layer_at<At>, Input>(inner, l, std::get<At>(s), std::move(dy), u.both);
          return backward_from<At - 1, Input>(p, u, s, std::move(dy), true);
        }
      }
      index_t const begin = u.begin - first_unit_[At], end = u.end - first_unit_[At];
      if constexpr (Input) {
        dy = nn::backward_input_units(inner, l, begin, end, std::get<At>(s), std::move(dy));
      } else {
        if (u.both) dy = nn::backward_units(inner, l, begin, end, std::get<At>(s), std::move(dy));
        else dy = nn::backward_input_units(inner, l, begin, end, std::get<At>(s), std::move(dy));
      }
      return backward_from<At - 1, Input>(p, u, s, std::move(dy), false);
    }
  }

  template <int At> void backward_weight_from(pass_type const& p, range const& u, saved& s) {
    if constexpr (At >= 0) {
      if (inside<At>(u.begin, u.end) && At >= u.stop) {
        pass_type inner = p;
        inner.input_gradient = p.input_gradient || At > u.stop;
        nn::backward_weight_units(inner, std::get<At>(layers_), u.begin - first_unit_[At], u.end - first_unit_[At],
                                  std::get<At>(s));
      }
      backward_weight_from<At - 1>(p, u, s);
    }
  }

  std::tuple<Ls...> layers_;
  std::array<index_t, size + 1> first_unit_{};
};

template <class... Ls> sequential(Ls...) -> sequential<Ls...>;

}  // namespace pleat::nn
