// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// 2-D convolution of NCHW images.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include <pleat/codec/dense.hpp>
#include <pleat/compute/convolution.hpp>
#include <pleat/compute/elementwise.hpp>
#include <pleat/nn/description.hpp>
#include <pleat/nn/layer.hpp>
#include <pleat/nn/placement_rules.hpp>
#include <pleat/nn/window.hpp>
#include <pleat/nn/weight_products.hpp>

namespace pleat::nn {

/// How the kernel moves over the image, and which channels it sees.
struct conv2d_options {
  window stride = 1;
  window padding = 0;
  window dilation = 1;
  index_t groups = 1;
  bool bias = true;
};

/// x[m, in, h, w] → y[m, out, h', w'], h' = (h + 2·padding − dilation·(kernel − 1) − 1) / stride + 1.
/// Parameters: "<name>.weight" [out, in / groups, kernel_h, kernel_w] in one of `Forms`, "<name>.bias" [out].
///
/// Along a tensor axis the weight may be cut by outputs (shard<0>; with groups: whole groups, whose inputs follow,
/// without communication if the input is cut alike) or by inputs (shard<1>; with groups: some inputs of every group,
/// the results are sums over the ranks).
template <class Forms = codec::forms<codec::dense<float>>, class Space = Kokkos::DefaultExecutionSpace> class conv2d {
 public:
  using value_type = typename Forms::value_type;    ///< of weights and activations
  using execution_space = Space;                    ///< where it runs
  using tensor_type = tensor<value_type, Space>;    ///< of its activations
  static constexpr char const* kind = "conv2d";     ///< what descriptions call it
  static constexpr mixing mixes = mixing::weights;  ///< where the tensor axis may cut its input (placement_rules.hpp)
  template <class Others> using with_forms = conv2d<Others, Space>;

  /// The input; after backward_input the output's gradient too.
  struct saved {
    tensor_type x, dy;
  };

  conv2d(std::string name, index_t in, index_t out, window kernel, conv2d_options options = {});

  /// The same layer with its weight in another set of forms.
  template <class Others>
  explicit conv2d(conv2d<Others, Space> const& o)
      : name_(o.name()), options_(o.options()), weight_(o.weight()), bias_(o.bias()) {}

  [[nodiscard]] std::string const& name() const noexcept { return name_; }
  void prefix_name(std::string_view prefix) { name_.insert(0, prefix); }
  [[nodiscard]] conv2d_options const& options() const noexcept { return options_; }
  [[nodiscard]] bool has_bias() const noexcept { return options_.bias; }
  /// Gives the layer a bias if it has none (a norm is to be folded into it), or takes it away. To be followed by
  /// model.rebuild.
  void use_bias(bool yes) noexcept { options_.bias = yes; }
  [[nodiscard]] nn::weight<Forms, Space> const& weight() const noexcept { return weight_; }
  [[nodiscard]] values<value_type, Space> const& bias() const noexcept { return bias_; }
  [[nodiscard]] index_t inputs() const noexcept { return weight_.whole()[1] * options_.groups; }
  [[nodiscard]] index_t outputs() const noexcept { return weight_.whole()[0]; }

  [[nodiscard]] extents shape(extents const& in) const {
    auto const g = geometry(in, inputs(), outputs(), options_.groups);
    return {g.batch, g.out_channels, g.out_height(), g.out_width()};
  }

  /// y = act(x ∗ W + b); the activation is handed in by a composite that fuses it.
  [[nodiscard]] step<saved, tensor_type> forward(pass<Space> const& p, tensor_type x,
                                                 compute::activation act = compute::activation::none) const {
    (void)shape(x.whole_shape());
    if (p.inputs) {
      auto const whole = redistribute(p, x, {});
      auto const g = geometry(whole.shape(), inputs(), outputs(), options_.groups);
      p.inputs->multiplied({weight_, whole.data(), whole.shape(), &g});
    }
    if (p.tensor)
      x = cut_inside_groups() ? inside_groups(p, std::move(x))
                              : redistribute(p, std::move(x), needs(x.layout()), weight_.name);
    auto const g = part(x.shape());
    auto y = tensor_type::allocate(*p.where, {g.batch, g.out_channels, g.out_height(), g.out_width()});
    auto const made = product_gives(weight_.where, x.layout(), 1, outputs());
    bool const partial = p.tensor && made.partial;  // then bias and activation wait for the sum
    value_type const* const bias = options_.bias ? bias_.data() : nullptr;
    if (g.in_channels == 0) {
      compute::fill(p.space(), y.size(), value_type(0), y.data());
    } else if (y.size() > 0) {
      weight_.visit([&](auto tag, auto const& s) {
        using F = typename decltype(tag)::type;
        if constexpr (requires { F::convolve(*p.where, g, s, x.data(), bias_.data(), y.data(), act); })
          F::convolve(*p.where, g, s, static_cast<value_type const*>(x.data()), partial ? nullptr : bias, y.data(),
                      partial ? compute::activation::none : act);
        else cannot_convolve(F::name);
      });
    }
    if (partial) {
      y = resolve(p, std::move(y), left_layout(p, weight_, y.shape(), 1));
      if (bias) compute::add_channel_bias(p.space(), y.extent(0), y.extent(1), y.shape().size_from(2), bias, y.data());
      if (act == compute::activation::relu)
        compute::relu(p.space(), y.size(), static_cast<value_type const*>(y.data()), y.data());
    } else if (p.tensor) {
      y = y.with_layout(made.layout);
    }
    saved s;
    if (p.training) s.x = std::move(x);
    return {std::move(y), std::move(s)};
  }

  /// The same and max pooling by windows of 2 × 2 side by side, in inference, where the form in use does both at once:
  /// the outputs between are never stored. Else nothing (a tensor without data), and a composite takes the two one
  /// after the other.
  [[nodiscard]] tensor_type forward_pooled(pass<Space> const& p, tensor_type const& x, compute::activation act) const {
    tensor_type y;
    if (p.training || p.tensor || p.inputs || p.nonfinite) return y;
    extents const full = shape(x.shape());
    auto const g = part(x.shape());
    if (full[2] < 2 || full[3] < 2 || full.size() == 0) return y;
    weight_.visit([&](auto tag, auto const& s) {
      using F = typename decltype(tag)::type;
      if constexpr (requires { F::convolve_pooled(*p.where, g, s, x.data(), bias_.data(), y.data(), act); }) {
        auto pooled = tensor_type::allocate(*p.where, {full[0], full[1], full[2] / 2, full[3] / 2});
        if (F::convolve_pooled(*p.where, g, s, static_cast<value_type const*>(x.data()),
                               options_.bias ? static_cast<value_type const*>(bias_.data()) : nullptr, pooled.data(),
                               act))
          y = std::move(pooled);
      }
    });
    return y;
  }

  [[nodiscard]] tensor_type backward_input(pass<Space> const& p, saved& s, tensor_type dy) {
    tensor_type dx;
    if (p.tensor && weight_.where.shards(1)) dy = redistribute(p, std::move(dy), {});
    if (p.input_gradient || learns_inputs(weight_)) {
      auto const g = part(s.x.shape());
      dx = tensor_type::allocate(*p.where, s.x.shape());
      if (g.out_channels == 0) {
        compute::fill(p.space(), dx.size(), value_type(0), dx.data());
      } else if (dx.size() > 0) {
        weight_.visit([&](auto tag, auto const& w) {
          using F = typename decltype(tag)::type;
          if constexpr (requires { F::convolve_transposed(*p.where, g, w, dy.data(), dx.data()); })
            F::convolve_transposed(*p.where, g, w, static_cast<value_type const*>(dy.data()), dx.data());
          else cannot_convolve(F::name);
        });
        // of weights that are cut a rank has addends, or inputs of its own
        mask_cut_inputs(p, s.x, dx, weight_, weight_.where.shards() || s.x.layout().cut());
      }
      if (!p.input_gradient) {
        dx = {};
      } else if (p.tensor && cut_inside_groups()) {
        dx = out_of_groups(p, std::move(dx));
      } else if (p.tensor) {
        auto const made = cut_between_groups() ? product_result{s.x.layout(), false}
                                               : product_input_gradient(weight_.where, s.x.layout());
        dx = made.partial ? resolve(p, std::move(dx), p.input) : redistribute(p, dx.with_layout(made.layout), p.input);
      }
    }
    s.dy = std::move(dy);
    return dx;
  }

  void backward_weight(pass<Space> const& p, saved& s) {
    auto const g = part(s.x.shape());
    using wide = wide_t<value_type>;  // 16-bit images as floats in pooled memory, while the gradients are summed
    auto const taken = as_multiplied(p, s.x, weight_);
    auto const wide_x = codec::detail::widened(*p.where, static_cast<value_type const*>(taken.data()), taken.size());
    auto const wide_dy = codec::detail::widened(*p.where, static_cast<value_type const*>(s.dy.data()), s.dy.size());
    wide const *const x = wide_x.data(), *const dy = wide_dy.data();
    auto const q = p.on(s.dy);
    bool const empty = g.out_channels == 0 || g.in_channels == 0;
    accumulate_gradient(q, weight_, [&](wide* out, compute::lanes const& l) {
      if (!empty) compute::conv2d_backward_weight(p.space(), g, dy, x, out, l);
    });
    if (options_.bias)
      accumulate_gradient(q, bias_, [&](wide* out, compute::lanes const& l) {
        auto b = g;
        b.in_channels = std::max(g.in_channels, g.groups);  // of which the bias knows nothing
        if (g.out_channels > 0) compute::conv2d_backward_bias(p.space(), b, dy, out, l);
      });
    s = {};
  }

  template <class F> void for_each_parameter(F&& f) {
    f(weight_);
    if (options_.bias) f(bias_);
  }

  [[nodiscard]] layer_cost cost(extents const& in) const {
    layer_cost c{.name = name_, .kind = kind, .in = in, .out = shape(in)};
    c.forward_flops = c.backward_input_flops = c.backward_weight_flops =
        geometry(in, inputs(), outputs(), options_.groups).flops();
    return c;
  }
  /// Where its activations live along the tensor axis. \param in the input over all ranks \param x where it lives
  [[nodiscard]] layer_path path(extents const& in, axis_layout const& x) const {
    // some inputs of every group: as many as if units of so many of all were dealt
    axis_layout const taken =
        grouped(1) ? axis_layout{{spread::shard, 1, weight_.where.unit * options_.groups}, inputs()} : needs(x);
    auto const made = product_gives(weight_.where, taken, 1, outputs());
    auto const gives = made.partial ? product_leaves(weight_.leaves, shape(in), 1) : made.layout;
    return {taken, gives, made.partial ? axis_layout{} : gives, grouped(1)};
  }

 private:
  [[nodiscard]] index_t group_inputs() const noexcept { return weight_.whole()[1]; }
  [[nodiscard]] index_t group_outputs() const noexcept { return outputs() / options_.groups; }
  /// There are groups, and the weight is, or will be, cut between them (0) or inside each (1).
  [[nodiscard]] bool grouped(int dim) const noexcept { return options_.groups > 1 && weight_.where.shards(dim); }
  [[nodiscard]] bool cut_between_groups() const noexcept { return weight_.parts > 1 && grouped(0); }
  [[nodiscard]] bool cut_inside_groups() const noexcept { return weight_.parts > 1 && grouped(1); }

  /// Where x is needed, unless groups are cut inside.
  [[nodiscard]] axis_layout needs(axis_layout const& x) const noexcept {
    if (grouped(0)) return groups_need(weight_.where, group_outputs(), group_inputs(), 1, inputs());
    return product_needs(weight_.where, x.where.dim > 1 ? axis_layout{} : x, 1, inputs());
  }
  /// Some inputs of every group are a cut along dimension 2 of images seen as [m, groups, inputs of a group, h, w].
  [[nodiscard]] axis_layout group_layout() const noexcept {
    return {{spread::shard, 2, weight_.where.unit}, group_inputs()};
  }
  /// The layout of the same images seen so, if they are whole or cut between groups.
  [[nodiscard]] bool seen_by_groups(axis_layout const& x, axis_layout& out) const noexcept {
    if (x.cut() && (x.where.dim != 1 || x.where.unit % group_inputs() != 0)) return false;
    out = x.cut() ? axis_layout{{spread::shard, 1, x.where.unit / group_inputs()}, options_.groups} : axis_layout{};
    return true;
  }
  [[nodiscard]] tensor_type inside_groups(pass<Space> const& p, tensor_type x) const {
    axis_layout by_groups;
    if (!seen_by_groups(x.layout(), by_groups)) x = redistribute(p, std::move(x), {}, weight_.name);
    extents const in = x.shape();
    x = x.with_layout({}).reshape({in[0], in[1] / group_inputs(), group_inputs(), in[2], in[3]}).with_layout(by_groups);
    x = redistribute(p, std::move(x), group_layout(), weight_.name);
    return x.with_layout({}).reshape({in[0], x.extent(1) * x.extent(2), in[2], in[3]});
  }
  /// The way back, to where the pass wants dx.
  [[nodiscard]] tensor_type out_of_groups(pass<Space> const& p, tensor_type dx) const {
    axis_layout by_groups;
    bool const direct = seen_by_groups(p.input, by_groups);
    extents const in = dx.shape();
    dx = dx.reshape({in[0], options_.groups, weight_.shape[1], in[2], in[3]}).with_layout(group_layout());
    dx = redistribute(p, std::move(dx), by_groups);
    dx = dx.with_layout({}).reshape({in[0], dx.extent(1) * dx.extent(2), in[2], in[3]});
    return direct ? dx.with_layout(p.input) : redistribute(p, std::move(dx), p.input);
  }

  /// Of this rank's part.
  [[nodiscard]] compute::conv2d_shape part(extents const& in) const {
    index_t const groups = cut_between_groups() ? weight_.shape[0] / group_outputs() : options_.groups;
    if (weight_.parts == 1 || weight_.size() > 0)
      return geometry(in, weight_.shape[1] * groups, weight_.shape[0], groups);
    auto g = geometry(extents{in[0], inputs(), in[2], in[3]}, inputs(), outputs(), options_.groups);
    g.in_channels = in[1];
    g.out_channels = weight_.shape[0];
    return g;
  }
  [[nodiscard]] compute::conv2d_shape geometry(extents const& in, index_t const inputs, index_t const outputs,
                                               index_t const groups) const {
    if (in.rank() != 4 || in[1] != inputs)
      throw error{
          "nn::conv2d '" + name_ + "'",
          "expected images [m, " + std::to_string(inputs) + ", h, w], found an input of shape " + in.to_string(),
          "Make the channels of this layer and the one before it agree"};
    compute::conv2d_shape const g{.batch = in[0],
                                  .in_channels = in[1],
                                  .height = in[2],
                                  .width = in[3],
                                  .out_channels = outputs,
                                  .kernel_h = weight_.shape[2],
                                  .kernel_w = weight_.shape[3],
                                  .stride_h = options_.stride.height,
                                  .stride_w = options_.stride.width,
                                  .padding_h = options_.padding.height,
                                  .padding_w = options_.padding.width,
                                  .dilation_h = options_.dilation.height,
                                  .dilation_w = options_.dilation.width,
                                  .groups = groups};
    try {
      g.check("conv2d");
    } catch (error const& e) {
      throw error{"nn::conv2d '" + name_ + "'",
                  e.problem() + ", for an input of shape " + in.to_string() + " and a weight of shape " +
                      weight_.shape.to_string(),
                  e.remedy()};
    }
    return g;
  }
  [[noreturn]] void cannot_convolve(std::string_view form) const {
    throw error{"nn::conv2d '" + name_ + "'", "the form '" + std::string(form) + "' has no convolution",
                "Leave this layer in another form, e.g. 'dense' or 'masked'"};
  }

  std::string name_;
  conv2d_options options_;
  nn::weight<Forms, Space> weight_;
  values<value_type, Space> bias_;
};

template <class Forms, class Space>
conv2d<Forms, Space>::conv2d(std::string name, index_t in, index_t out, window kernel, conv2d_options options)
    : name_(std::move(name)), options_(options) {
  if (in < 1 || out < 1 || options.groups < 1 || in % options.groups != 0 || out % options.groups != 0)
    throw error{"nn::conv2d '" + name_ + "'",
                "channels must be positive multiples of groups, found in = " + std::to_string(in) +
                    ", out = " + std::to_string(out) + ", groups = " + std::to_string(options.groups),
                "Choose channels that groups divides, or leave groups at 1"};
  if (kernel.height < 1 || kernel.width < 1)
    throw error{"nn::conv2d '" + name_ + "'", "kernel extents must be positive, found " + kernel.to_string(),
                "Give a kernel of 1 or more each way: 3 is 3 × 3"};
  index_t const fan_in = in / options.groups * kernel.height * kernel.width;
  weight_ = {name_ + ".weight", extents{out, in / options.groups, kernel.height, kernel.width},
             initializer::fan_in_uniform(fan_in)};
  bias_ = {name_ + ".bias", extents{out}, initializer::fan_in_uniform(fan_in)};
}

conv2d(std::string, index_t, index_t, window) -> conv2d<>;
conv2d(std::string, index_t, index_t, window, conv2d_options) -> conv2d<>;

}  // namespace pleat::nn
