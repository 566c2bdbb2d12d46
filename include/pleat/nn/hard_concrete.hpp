// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Gates that learn to close: every feature is multiplied by a number in [0, 1] that training may push to exactly zero.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include <pleat/base/math.hpp>
#include <pleat/base/random.hpp>
#include <pleat/compute/for_each.hpp>
#include <pleat/compute/math.hpp>
#include <pleat/compute/reduce.hpp>
#include <pleat/nn/description.hpp>
#include <pleat/nn/layer.hpp>
#include <pleat/nn/weight_products.hpp>

namespace pleat::nn {

/// The gates' distribution and what an open one costs (Louizos, Welling and Kingma, 2018).
struct hard_concrete_options {
  /// λ: what an open gate costs in the loss; its gradient is added in backward (the stated loss leaves it out)
  double penalty = 0;
  /// of log α: how open gates begin (sigmoid of it; 2.5: 92 % of them are open before stretching)
  double start = 2.5;
  double temperature = 2.0 / 3;
  double stretch = 0.1;  ///< the sigmoid is stretched to [−stretch, 1 + stretch] and cut to [0, 1]
};

namespace detail {

/// The gate of feature i and its derivative by log α; while training of a draw, else of the middle.
template <class T> struct gate_body {
  T const* log_alpha;
  T *gate, *slope;
  T temperature, stretch;
  bool training;
  random::stream numbers;
  PLEAT_INLINE void operator()(index_t i) const {
    T argument = log_alpha[i], scale = T(1);
    if (training) {
      // inside (0, 1)
      T const u = (static_cast<T>(numbers.uniform(static_cast<std::uint64_t>(i))) + T(0x1p-25)) * (T(1) - T(0x1p-24));
      argument = (compute::math::log(u) - compute::math::log(T(1) - u) + argument) / temperature;
      scale = T(1) / temperature;
    }
    T const s = compute::math::sigmoid(argument), wide = compute::fma(s, T(1) + 2 * stretch, -stretch);
    gate[i] = wide < T(0) ? T(0) : wide > T(1) ? T(1) : wide;
    slope[i] = wide <= T(0) || wide >= T(1) ? T(0) : s * (T(1) - s) * (T(1) + 2 * stretch) * scale;
  }
};
template <class T> struct times_gate_body {
  T const *x, *gate;
  T* y;
  index_t inner, features;
  PLEAT_INLINE void operator()(index_t i) const { y[i] = x[i] * gate[i / inner % features]; }
};
/// What an element adds to the gradient of its feature's log α: dy·x·∂z/∂log α, and its share of the penalty's, λ·p·(1
/// − p), p = sigmoid(log α − temperature·log(stretch / (1 + stretch))) being the probability that the gate is open.
template <class T> struct gate_gradient_body {
  T const *x, *dy, *slope, *log_alpha;
  T* out;
  index_t inner, features;
  T shift, share;
  PLEAT_INLINE void operator()(index_t i) const {
    index_t const f = i / inner % features;
    T const open = compute::math::sigmoid(log_alpha[f] - shift);
    out[i] = compute::fma(dy[i] * x[i], slope[f], share * open * (T(1) - open));
  }
};

}  // namespace detail

/// y = x·z, one gate z per feature (of [m, features] and [m, positions, features] the last extent, of images and all of
/// higher rank the channel). While training a gate is drawn from the hard concrete distribution, one draw per step for
/// the whole batch, keyed by (seed, name, step, feature): the same on any number of ranks. In inference it is the
/// distribution's middle, which is exactly 0 or 1 for most gates in the end (Louizos, Welling, Kingma, "Learning sparse
/// neural networks through L0 regularization", arXiv:1712.01312). Closed gates are taken out by
/// compress::prune_channels_by<compress::closed_gates>. Parameter: "<name>.log_alpha" [features].
template <class T = float, class Space = Kokkos::DefaultExecutionSpace> class hard_concrete {
 public:
  static_assert(!is_reduced_v<T>,
                "pleat: nn::hard_concrete computes in float or double: a network of 16-bit numbers has no gates");
  using value_type = T;                                 ///< of weights and activations
  using execution_space = Space;                        ///< where it runs
  using tensor_type = tensor<T, Space>;                 ///< of its activations
  static constexpr char const* kind = "hard_concrete";  ///< what descriptions call it
  static constexpr bool keeps_channels = true;

  /// What backward needs: the input, the gradient that came, and the slope of each gate.
  struct saved {
    tensor_type x, dy, slope;
  };

  hard_concrete(std::string name, index_t features, hard_concrete_options options = {})
      : name_(std::move(name)),
        options_(options),
        log_alpha_(name_ + ".log_alpha", extents{features}, initializer::constant(options.start)) {
    if (features < 1)
      throw error{"nn::hard_concrete '" + name_ + "'",
                  "expected at least one feature, found " + std::to_string(features),
                  "Give the number of features of its input"};
    if (!(options.penalty >= 0) || !(options.temperature > 0) || !(options.stretch > 0))
      throw error{"nn::hard_concrete '" + name_ + "'",
                  "penalty must not be negative, temperature and stretch must be positive; found " +
                      std::to_string(options.penalty) + ", " + std::to_string(options.temperature) + ", " +
                      std::to_string(options.stretch),
                  "Set a penalty of 0 or more, and leave temperature and stretch at 2/3 and 0.1"};
  }

  [[nodiscard]] std::string const& name() const noexcept { return name_; }
  void prefix_name(std::string_view prefix) { name_.insert(0, prefix); }
  [[nodiscard]] index_t features() const noexcept { return log_alpha_.shape[0]; }
  [[nodiscard]] hard_concrete_options const& options() const noexcept { return options_; }
  [[nodiscard]] values<T, Space> const& log_alpha() const noexcept { return log_alpha_; }

  /// The gate that inference uses where log α is this. Exactly 0 means closed.
  [[nodiscard]] double gate(double log_alpha) const noexcept {
    double const wide = (1 + 2 * options_.stretch) / (1 + std::exp(-log_alpha)) - options_.stretch;
    return wide < 0 ? 0 : wide > 1 ? 1 : wide;
  }
  /// The probability that a draw is not zero: what the penalty counts.
  [[nodiscard]] double open(double log_alpha) const noexcept { return 1 / (1 + std::exp(shift() - log_alpha)); }

  [[nodiscard]] extents shape(extents const& in) const {
    if (in.rank() < 2 || in[dimension(in)] != features())
      throw error{"nn::hard_concrete '" + name_ + "'",
                  "expected " + std::to_string(features()) + " features, found an input of shape " + in.to_string(),
                  "Make the features of this layer and the one before it agree"};
    return in;
  }

  [[nodiscard]] step<saved, tensor_type> forward(pass<Space> const& p, tensor_type x) const {
    (void)shape(x.shape());
    auto const gate = tensor_type::allocate(*p.where, {features()});
    saved s;
    s.slope = tensor_type::allocate(*p.where, {features()});
    std::uint64_t z = random::hash(name_) + (p.step + 1) * 0x9e3779b97f4a7c15u;  // no two steps share numbers
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    compute::for_each(p.space(), features(),
                      detail::gate_body<T>{log_alpha_.data(), gate.data(), s.slope.data(), T(options_.temperature),
                                           T(options_.stretch), p.training, random::stream(p.seed, z ^ (z >> 31))},
                      40);
    auto y = tensor_type::allocate(*p.where, x.shape());
    compute::for_each(p.space(), x.size(),
                      detail::times_gate_body<T>{x.data(), gate.data(), y.data(), inner(x.shape()), features()});
    if (!p.training) return {std::move(y), {}};
    s.x = std::move(x);
    s.dy = gate;
    return {std::move(y), std::move(s)};
  }

  [[nodiscard]] tensor_type backward_input(pass<Space> const& p, saved& s, tensor_type dy) {
    auto const gate = std::exchange(s.dy, dy);
    if (!p.input_gradient) return {};
    auto dx = tensor_type::allocate(*p.where, dy.shape());
    compute::for_each(p.space(), dy.size(),
                      detail::times_gate_body<T>{dy.data(), gate.data(), dx.data(), inner(dy.shape()), features()});
    return dx;
  }
  void backward_weight(pass<Space> const& p, saved& s) {
    extents const e = s.x.shape();
    index_t const per_sample = e.size_from(1) / features();
    auto const t = tensor_type::allocate(*p.where, e);
    // The penalty's gradient, spread evenly over all elements of the global batch: it comes out once, whoever holds
    // which samples.
    T const share = T(options_.penalty / static_cast<double>(p.global_batch * per_sample));
    compute::for_each(p.space(), s.x.size(),
                      detail::gate_gradient_body<T>{s.x.data(), s.dy.data(), s.slope.data(), log_alpha_.data(),
                                                    t.data(), inner(e), features(), T(shift()), share},
                      8);
    if (e.rank() > 3)
      accumulate_gradient(p, log_alpha_, [&](master_t<T>* out, compute::lanes const& l) {
        compute::channel_sum(p.space(), features(), per_sample, static_cast<T const*>(t.data()), out, l);
      });
    else
      accumulate_gradient(p, log_alpha_, per_sample, [&](master_t<T>* out, compute::lanes const& l) {
        compute::column_sum(p.space(), features(), static_cast<T const*>(t.data()), features(), out, l);
      });
    s = {};
  }

  template <class F> void for_each_parameter(F&& f) { f(log_alpha_); }

  [[nodiscard]] layer_cost cost(extents const& in) const {
    layer_cost c{.name = name_, .kind = kind, .in = in, .out = shape(in)};
    c.forward_flops = c.backward_input_flops = static_cast<double>(in.size());
    c.backward_weight_flops = 4 * static_cast<double>(in.size());
    c.saved_bytes = 2 * features() * static_cast<index_t>(sizeof(T));
    return c;
  }

 private:
  [[nodiscard]] static int dimension(extents const& e) noexcept { return e.rank() == 3 ? 2 : 1; }
  [[nodiscard]] static index_t inner(extents const& e) noexcept { return e.rank() > 3 ? e.size_from(2) : 1; }
  [[nodiscard]] double shift() const noexcept {
    return options_.temperature * std::log(options_.stretch / (1 + options_.stretch));
  }

  std::string name_;
  hard_concrete_options options_;
  values<T, Space> log_alpha_;
};

hard_concrete(std::string, index_t) -> hard_concrete<>;
hard_concrete(std::string, index_t, hard_concrete_options) -> hard_concrete<>;

}  // namespace pleat::nn
