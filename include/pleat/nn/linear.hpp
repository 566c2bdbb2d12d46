// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// y = x·Wᵀ + b.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <pleat/codec/dense.hpp>
#include <pleat/compute/gemm.hpp>
#include <pleat/compute/reduce.hpp>
#include <pleat/nn/description.hpp>
#include <pleat/nn/layer.hpp>
#include <pleat/nn/weight_products.hpp>

namespace pleat::nn {

/// The bias, shared memory, and the first values.
struct linear_options {
  bool bias = true;
  std::string tied_to{};                 ///< path of the weight whose memory this one shares, e.g. "embedding.weight"
  std::optional<initializer> initial{};  ///< of the weight, with a bias of zeros; not set: U(−1/√in, 1/√in) for both
};

/// A fully connected layer: x[m, in] → y[m, out]. Inputs of any rank whose samples have `in` elements are taken as
/// rows; sequences x[m, positions, in] → y[m, positions, out], each position a row. Parameters: "<name>.weight" [out,
/// in] in one of `Forms`, "<name>.bias" [out].
template <class Forms = codec::forms<codec::dense<float>>, class Space = Kokkos::DefaultExecutionSpace> class linear {
 public:
  using value_type = typename Forms::value_type;    ///< of weights and activations
  using execution_space = Space;                    ///< where it runs
  using tensor_type = tensor<value_type, Space>;    ///< of its activations
  static constexpr char const* kind = "linear";     ///< what descriptions call it
  static constexpr mixing mixes = mixing::weights;  ///< where the tensor axis may cut its input (placement_rules.hpp)
  template <class Others> using with_forms = linear<Others, Space>;

  /// The input as rows, and its shape as it came; after backward_input the output's gradient too.
  struct saved {
    tensor_type x, dy;
    extents in;
  };

  linear(std::string name, index_t in, index_t out, linear_options options = {});

  /// With one extent: says in words what is missing (law 1).
  template <class Missing = void> linear(std::string, index_t) {
    static_assert(!std::is_void_v<Missing>,
                  "pleat: nn::linear needs two extents, the elements of a sample before and after it: "
                  "'linear(\"fc1\", 64, 48)'");
  }

  /// The same layer with its weight in another set of forms.
  template <class Others>
  explicit linear(linear<Others, Space> const& o)
      : name_(o.name()), has_bias_(o.has_bias()), weight_(o.weight()), bias_(o.bias()) {}

  [[nodiscard]] std::string const& name() const noexcept { return name_; }
  [[nodiscard]] bool has_bias() const noexcept { return has_bias_; }
  /// Gives the layer a bias if it has none (a norm is to be folded into it), or takes it away. To be followed by
  /// model.rebuild.
  void use_bias(bool yes) noexcept { has_bias_ = yes; }
  [[nodiscard]] nn::weight<Forms, Space> const& weight() const noexcept { return weight_; }
  [[nodiscard]] values<value_type, Space> const& bias() const noexcept { return bias_; }
  [[nodiscard]] index_t inputs() const noexcept { return weight_.whole()[1]; }
  [[nodiscard]] index_t outputs() const noexcept { return weight_.whole()[0]; }

  [[nodiscard]] extents shape(extents const& in) const {
    if (has_positions(in)) return {in[0], in[1], outputs()};
    if (in.rank() < 2 || in.size_from(1) != inputs())
      throw error{
          "nn::linear '" + name_ + "'",
          "expected samples of " + std::to_string(inputs()) + " elements, found an input of shape " + in.to_string(),
          "Make the extents of this layer and the one before it agree"};
    return {in[0], outputs()};
  }

  /// y = act(x·Wᵀ + b); the activation is handed in by a composite that fuses it.
  [[nodiscard]] step<saved, tensor_type> forward(pass<Space> const& p, tensor_type x,
                                                 compute::activation act = compute::activation::none) const {
    (void)shape(x.whole_shape());
    saved s;
    s.in = x.shape();
    if (!has_positions(x.whole_shape())) x = x.reshape(rows_of_samples(s.in));
    x = aligned(p, std::move(x), weight_);
    auto y =
        apply(p, x, weight_, compute::epilogue<value_type>{.bias = has_bias_ ? bias_.data() : nullptr, .act = act});
    if (p.training) s.x = std::move(x);
    return {std::move(y), std::move(s)};
  }

  /// Lets go of the input, which supply_input brings back before backward (sequential.hpp).
  void drop_input(saved& s) const { s.x = {}; }
  void supply_input(pass<Space> const& p, saved& s, tensor_type x) const {
    if (!has_positions(x.whole_shape())) x = x.reshape(rows_of_samples(s.in));
    s.x = aligned(p, std::move(x), weight_);
  }

  /// dx; with `mask_input`, zero wherever the input is not positive: the backward of a ReLU that made the input, fused.
  [[nodiscard]] tensor_type backward_input(pass<Space> const& p, saved& s, tensor_type dy, bool mask_input = false) {
    tensor_type dx;
    dy = aligned_gradient(p, std::move(dy), weight_);
    if (p.input_gradient || learns_inputs(weight_)) {
      pass<Space> inner = p;
      if (s.in.rank() != s.x.rank()) inner.input = reshaped(p.input, s.in, rows_of_samples(s.in)).layout;
      dx = apply_transposed(inner, dy, weight_, mask_input ? s.x.data() : nullptr);
      if (rounds_inputs(weight_))
        mask_cut_inputs(p, redistribute(inner, s.x, dx.layout()), dx, weight_, dx.layout().cut());
      dx = p.input_gradient ? dx.reshape(s.in) : tensor_type{};
    }
    s.dy = std::move(dy);
    return dx;
  }

  void backward_weight(pass<Space> const& p, saved& s) {
    index_t const per_sample = s.x.rank() == 3 ? s.x.extent(1) : 1;
    index_t const rows = weight_.shape[0], columns = weight_.shape[1];  // of this rank's part
    auto const q = p.on(s.dy);
    auto const x = as_multiplied(p, s.x, weight_);
    accumulate_gradient(q, weight_, per_sample, [&](auto* out, compute::lanes const& l) {
      compute::gemm_lanes(p.space(), rows, columns, s.dy.data(), rows, x.data(), columns, out, columns, l);
    });
    if (has_bias_)
      accumulate_gradient(q, bias_, per_sample, [&](auto* out, compute::lanes const& l) {
        compute::column_sum(p.space(), rows, s.dy.data(), rows, out, l);
      });
    s = {};
  }

  /// Called by nn::prefix_names, which names the parameters too.
  void prefix_name(std::string_view prefix) { name_.insert(0, prefix); }

  template <class F> void for_each_parameter(F&& f) {
    f(weight_);
    if (has_bias_) f(bias_);
  }

  [[nodiscard]] layer_cost cost(extents const& in) const {
    layer_cost c{.name = name_, .kind = kind, .in = in, .out = shape(in)};
    double const mnk = static_cast<double>(in.size()) * static_cast<double>(outputs());
    c.forward_flops = 2 * mnk;
    c.backward_input_flops = 2 * mnk;
    c.backward_weight_flops = 2 * mnk;
    return c;
  }
  /// Where its activations live along the tensor axis. \param in the input over all ranks \param x where it lives
  [[nodiscard]] layer_path path(extents const& in, axis_layout const& x) const {
    extents const out = shape(in), rows = has_positions(in) ? in : rows_of_samples(in);
    return product_path(weight_.where, weight_.leaves, reshaped(x, in, rows).layout, rows.rank() - 1, inputs(), out);
  }

 private:
  [[nodiscard]] static extents rows_of_samples(extents const& in) { return {in[0], in.size_from(1)}; }
  /// True for sequences of rows.
  [[nodiscard]] bool has_positions(extents const& in) const noexcept { return in.rank() == 3 && in[2] == inputs(); }

  std::string name_;
  bool has_bias_;
  nn::weight<Forms, Space> weight_;
  values<value_type, Space> bias_;
};

template <class Forms, class Space>
linear<Forms, Space>::linear(std::string name, index_t in, index_t out, linear_options options)
    : name_(std::move(name)),
      has_bias_(options.bias),
      weight_(name_ + ".weight", extents{out, in}, options.initial.value_or(initializer::fan_in_uniform(in))),
      bias_(name_ + ".bias", extents{out},
            options.initial ? initializer::constant(0) : initializer::fan_in_uniform(in)) {
  if (in < 1 || out < 1)
    throw error{"nn::linear '" + name_ + "'",
                "extents must be positive, found in = " + std::to_string(in) + ", out = " + std::to_string(out),
                "Give the elements of a sample before and after it, 1 or more each"};
  weight_.tied_to = std::move(options.tied_to);
}

linear(std::string, index_t, index_t) -> linear<>;
linear(std::string, index_t, index_t, linear_options) -> linear<>;

}  // namespace pleat::nn
