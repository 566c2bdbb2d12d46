// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Normalisation of every row by its own statistics: layer norm and RMS norm.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include <pleat/compute/layer_norm.hpp>
#include <pleat/compute/reduce.hpp>
#include <pleat/nn/description.hpp>
#include <pleat/nn/layer.hpp>
#include <pleat/nn/weight_products.hpp>

namespace pleat::nn {

/// What is added to the variance, and whether there is a bias.
struct layer_norm_options {
  double epsilon = 1e-5;  ///< added to a variance, so that its root is never zero
  bool bias = true;
};
/// What is added to the mean square.
struct rms_norm_options {
  double epsilon = 1e-5;  ///< added to a variance, so that its root is never zero
};

namespace detail {

/// Both norms: with or without centring. Rows are the last extent; what lies before it does not matter.
template <class T, class Space, bool Centred> class row_norm {
 public:
  using value_type = T;
  using execution_space = Space;
  using tensor_type = tensor<T, Space>;
  static constexpr char const* kind = Centred ? "layer_norm" : "rms_norm";
  static constexpr mixing mixes = mixing::rows;
  static constexpr bool cheap = true;

  /// The input and each row's statistics; after backward_input the output's gradient too.
  struct saved {
    tensor_type x;
    tensor<wide_t<T>, Space> statistics;
    tensor_type dy;
  };

  [[nodiscard]] std::string const& name() const noexcept { return name_; }
  void prefix_name(std::string_view prefix) { name_.insert(0, prefix); }
  [[nodiscard]] index_t width() const noexcept { return weight_.shape[0]; }
  [[nodiscard]] bool has_bias() const noexcept { return has_bias_; }
  [[nodiscard]] double epsilon() const noexcept { return epsilon_; }
  [[nodiscard]] values<T, Space> const& weight() const noexcept { return weight_; }
  [[nodiscard]] values<T, Space> const& bias() const noexcept { return bias_; }

  [[nodiscard]] extents shape(extents const& in) const {
    if (in.rank() < 2 || in[in.rank() - 1] != width())
      throw error{
          std::string("nn::") + kind + " '" + name_ + "'",
          "expected rows of " + std::to_string(width()) + " elements, found an input of shape " + in.to_string(),
          "Make the extents of this layer and the one before it agree"};
    return in;
  }

  [[nodiscard]] step<saved, tensor_type> forward(pass<Space> const& p, tensor_type x) const {
    (void)shape(x.shape());
    index_t const rows = x.size() / width();
    auto y = !p.training && x.sole_owner() ? x : tensor_type::allocate(*p.where, x.shape());
    saved s;
    wide_t<T>* mean = nullptr;
    wide_t<T>* inverse = nullptr;
    if (p.training) {
      s.statistics = tensor<wide_t<T>, Space>::allocate(*p.where, {Centred ? 2 : 1, rows});
      inverse = s.statistics.data();
      if constexpr (Centred) mean = inverse + rows;
    }
    if constexpr (Centred)
      compute::layer_norm_forward(p.space(), rows, width(), static_cast<T const*>(x.data()),
                                  static_cast<wide_t<T>>(epsilon_), static_cast<T const*>(weight_.data()),
                                  has_bias_ ? static_cast<T const*>(bias_.data()) : nullptr, y.data(), mean, inverse);
    else
      compute::rms_norm_forward(p.space(), rows, width(), static_cast<T const*>(x.data()),
                                static_cast<wide_t<T>>(epsilon_), static_cast<T const*>(weight_.data()), y.data(),
                                inverse);
    if (p.training) s.x = std::move(x);
    return {std::move(y), std::move(s)};
  }

  [[nodiscard]] tensor_type backward_input(pass<Space> const& p, saved& s, tensor_type dy) {
    tensor_type dx;
    if (p.input_gradient) {
      dx = tensor_type::allocate(*p.where, dy.shape());
      compute::row_norm_backward(p.space(), s.x.size() / width(), width(), static_cast<T const*>(s.x.data()), mean(s),
                                 inverse(s), static_cast<T const*>(weight_.data()), static_cast<T const*>(dy.data()),
                                 dx.data());
    }
    s.dy = std::move(dy);
    return dx;
  }

  void backward_weight(pass<Space> const& p, saved& s) {
    index_t const per_sample = s.x.shape().size_from(1) / width();
    T const* const dy = s.dy.data();
    accumulate_gradient(p, weight_, per_sample, [&](auto* out, compute::lanes const& l) {
      compute::row_norm_gradient(p.space(), width(), static_cast<T const*>(s.x.data()), mean(s), inverse(s), dy, out,
                                 l);
    });
    if (has_bias_)
      accumulate_gradient(p, bias_, per_sample, [&](auto* out, compute::lanes const& l) {
        compute::column_sum(p.space(), width(), dy, width(), out, l);
      });
    s = {};
  }

  template <class F> void for_each_parameter(F&& f) {
    f(weight_);
    if (has_bias_) f(bias_);
  }

  [[nodiscard]] layer_cost cost(extents const& in) const {
    layer_cost c{.name = name_, .kind = kind, .in = in, .out = shape(in)};
    double const n = static_cast<double>(in.size());
    c.forward_flops = (Centred ? 7 : 4) * n;
    c.backward_input_flops = (Centred ? 13 : 10) * n;
    c.backward_weight_flops = (has_bias_ ? 5 : 4) * n;
    c.saved_bytes = (Centred ? 2 : 1) * (in.size() / width()) * static_cast<index_t>(sizeof(wide_t<T>));
    return c;
  }

 protected:
  row_norm(std::string name, index_t width, double epsilon, bool bias)
      : name_(std::move(name)),
        epsilon_(epsilon),
        has_bias_(bias),
        weight_(name_ + ".weight", extents{width}, initializer::constant(1)),
        bias_(name_ + ".bias", extents{width}, initializer::constant(0)) {
    if (width < 1 || !(epsilon >= 0))
      throw error{std::string("nn::") + kind + " '" + name_ + "'",
                  "expected a positive width and an epsilon of at least 0, found width = " + std::to_string(width) +
                      ", epsilon = " + std::to_string(epsilon),
                  "Give the last extent of its input, and leave epsilon as it is"};
  }

 private:
  [[nodiscard]] static wide_t<T> const* inverse(saved const& s) noexcept { return s.statistics.data(); }
  [[nodiscard]] static wide_t<T> const* mean(saved const& s) noexcept {
    return Centred ? s.statistics.data() + s.statistics.extent(1) : nullptr;
  }

  std::string name_;
  double epsilon_;
  bool has_bias_;
  values<T, Space> weight_, bias_;
};

}  // namespace detail

/// y = (x − mean)/sqrt(variance + epsilon)·weight + bias over the last extent (Ba, Kiros, Hinton, arXiv:1607.06450).
/// Parameters: "<name>.weight" [width] (ones), "<name>.bias" [width] (zeros).
template <class T = float, class Space = Kokkos::DefaultExecutionSpace>
class layer_norm : public detail::row_norm<T, Space, true> {
 public:
  layer_norm(std::string name, index_t width, layer_norm_options options = {})
      : detail::row_norm<T, Space, true>(std::move(name), width, options.epsilon, options.bias) {}
};
layer_norm(std::string, index_t) -> layer_norm<>;
layer_norm(std::string, index_t, layer_norm_options) -> layer_norm<>;

/// y = x/sqrt(mean of x² + epsilon)·weight over the last extent (Zhang, Sennrich, arXiv:1910.07467).
/// Parameter: "<name>.weight" [width] (ones).
template <class T = float, class Space = Kokkos::DefaultExecutionSpace>
class rms_norm : public detail::row_norm<T, Space, false> {
 public:
  rms_norm(std::string name, index_t width, rms_norm_options options = {})
      : detail::row_norm<T, Space, false>(std::move(name), width, options.epsilon, false) {}
};
rms_norm(std::string, index_t) -> rms_norm<>;
rms_norm(std::string, index_t, rms_norm_options) -> rms_norm<>;

}  // namespace pleat::nn
