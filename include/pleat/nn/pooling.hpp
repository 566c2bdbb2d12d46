// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Max and average pooling of NCHW images.
#pragma once

#include <utility>

#include <pleat/base/config.hpp>
#include <pleat/compute/pooling.hpp>
#include <pleat/nn/description.hpp>
#include <pleat/nn/layer.hpp>
#include <pleat/nn/window.hpp>

namespace pleat::nn {

/// How the window moves.
struct max_pool2d_options {
  window stride = 0;   ///< 0: the kernel's extents
  window padding = 0;  ///< at most half of the kernel; padding never wins
};

/// How the window moves, and what it is divided by at the border.
struct avg_pool2d_options {
  window stride = 0;              ///< 0: the kernel's extents
  window padding = 0;             ///< at most half of the kernel
  bool count_include_pad = true;  ///< divide by the whole window, or by the part of it in the image
};

namespace detail {
PLEAT_ONCE [[nodiscard]] compute::pool2d_shape pool_geometry(char const* layer, extents const& in, window kernel,
                                                             window stride, window padding, bool count_include_pad) {
  if (in.rank() != 4)
    throw error{layer, "expected images [m, channels, h, w], found an input of shape " + in.to_string(),
                "Put pooling before the layer that flattens, and hand over images"};
  window const s = stride == window(0) ? kernel : stride;
  compute::pool2d_shape const g{.batch = in[0],
                                .channels = in[1],
                                .height = in[2],
                                .width = in[3],
                                .kernel_h = kernel.height,
                                .kernel_w = kernel.width,
                                .stride_h = s.height,
                                .stride_w = s.width,
                                .padding_h = padding.height,
                                .padding_w = padding.width,
                                .count_include_pad = count_include_pad};
  try {
    g.check(layer);
  } catch (error const& e) {
    throw error{layer,
                e.problem() + ", for an input of shape " + in.to_string() + " and a kernel of " + kernel.to_string(),
                e.remedy()};
  }
  return g;
}
PLEAT_COMPILED_ONCE(compute::pool2d_shape pool_geometry(char const* layer, extents const& in, window kernel,
                                                        window stride, window padding, bool count_include_pad));
}  // namespace detail

/// y[m, c, h', w'] = the largest value of each window; h' = (h + 2·padding − kernel) / stride + 1.
template <class T = float, class Space = Kokkos::DefaultExecutionSpace> class max_pool2d {
 public:
  using value_type = T;                              ///< of weights and activations
  using execution_space = Space;                     ///< where it runs
  using tensor_type = tensor<T, Space>;              ///< of its activations
  static constexpr char const* kind = "max_pool2d";  ///< what descriptions call it
  static constexpr mixing mixes = mixing::planes;    ///< where the tensor axis may cut its input (placement_rules.hpp)

  /// Which pixel won each window, and the input's shape.
  struct saved {
    tensor<std::int32_t, Space> winner;
    extents in;
  };

  explicit max_pool2d(window kernel, max_pool2d_options options = {}) : kernel_(kernel), options_(options) {}

  [[nodiscard]] window kernel() const noexcept { return kernel_; }
  [[nodiscard]] max_pool2d_options const& options() const noexcept { return options_; }
  /// Windows of 2 × 2 side by side, no padding: a convolution before it may pool while it stores (nn::sequential).
  [[nodiscard]] bool halves() const noexcept {
    return kernel_ == window(2) && (options_.stride == window(0) || options_.stride == window(2)) &&
           options_.padding == window(0);
  }

  [[nodiscard]] extents shape(extents const& in) const {
    auto const g = geometry(in);
    return {g.batch, g.channels, g.out_height(), g.out_width()};
  }
  [[nodiscard]] step<saved, tensor_type> forward(pass<Space> const& p, tensor_type x) const {
    extents out = shape(x.whole_shape());
    out[1] = x.extent(1);
    auto y = tensor_type::allocate(*p.where, out);
    saved s;
    if (p.training) {
      s.winner = tensor<std::int32_t, Space>::allocate(*p.where, out);
      s.in = x.shape();
    }
    if (x.extent(1) > 0)  // a rank may have no channel
      compute::max_pool2d_forward(p.space(), geometry(x.shape()), static_cast<T const*>(x.data()), y.data(),
                                  s.winner.data());
    return {std::move(y), std::move(s)};
  }
  [[nodiscard]] tensor_type backward(pass<Space> const& p, saved& s, tensor_type dy) {
    tensor_type dx;
    if (p.input_gradient) {
      dx = tensor_type::allocate(*p.where, s.in);
      if (s.in[1] > 0)
        compute::max_pool2d_backward(p.space(), geometry(s.in), static_cast<T const*>(dy.data()),
                                     static_cast<std::int32_t const*>(s.winner.data()), dx.data());
    }
    s = {};
    return dx;
  }
  template <class F> void for_each_parameter(F&&) {}

  [[nodiscard]] layer_cost cost(extents const& in) const {
    layer_cost c{.name = kind, .kind = kind, .in = in, .out = shape(in)};
    c.forward_flops = static_cast<double>(c.out.size() * kernel_.height * kernel_.width);
    c.backward_input_flops = static_cast<double>(c.out.size());
    c.keeps_input = false;
    c.saved_bytes = c.out.size() * static_cast<index_t>(sizeof(std::int32_t));
    return c;
  }

 private:
  [[nodiscard]] compute::pool2d_shape geometry(extents const& in) const {
    return detail::pool_geometry("nn::max_pool2d", in, kernel_, options_.stride, options_.padding, true);
  }
  window kernel_;
  max_pool2d_options options_;
};

/// y[m, c, h', w'] = the mean of each window; h' = (h + 2·padding − kernel) / stride + 1.
template <class T = float, class Space = Kokkos::DefaultExecutionSpace> class avg_pool2d {
 public:
  using value_type = T;                              ///< of weights and activations
  using execution_space = Space;                     ///< where it runs
  using tensor_type = tensor<T, Space>;              ///< of its activations
  static constexpr char const* kind = "avg_pool2d";  ///< what descriptions call it
  static constexpr mixing mixes = mixing::planes;    ///< where the tensor axis may cut its input (placement_rules.hpp)

  /// The input's shape.
  struct saved {
    extents in;
  };

  explicit avg_pool2d(window kernel, avg_pool2d_options options = {}) : kernel_(kernel), options_(options) {}

  [[nodiscard]] window kernel() const noexcept { return kernel_; }
  [[nodiscard]] avg_pool2d_options const& options() const noexcept { return options_; }

  [[nodiscard]] extents shape(extents const& in) const {
    auto const g = geometry(in);
    return {g.batch, g.channels, g.out_height(), g.out_width()};
  }
  [[nodiscard]] step<saved, tensor_type> forward(pass<Space> const& p, tensor_type x) const {
    extents out = shape(x.whole_shape());
    out[1] = x.extent(1);
    auto y = tensor_type::allocate(*p.where, out);
    if (x.extent(1) > 0)
      compute::avg_pool2d_forward(p.space(), geometry(x.shape()), static_cast<T const*>(x.data()), y.data());
    return {std::move(y), saved{x.shape()}};
  }
  [[nodiscard]] tensor_type backward(pass<Space> const& p, saved& s, tensor_type dy) {
    tensor_type dx;
    if (p.input_gradient) {
      dx = tensor_type::allocate(*p.where, s.in);
      if (s.in[1] > 0)
        compute::avg_pool2d_backward(p.space(), geometry(s.in), static_cast<T const*>(dy.data()), dx.data());
    }
    return dx;
  }
  template <class F> void for_each_parameter(F&&) {}

  [[nodiscard]] layer_cost cost(extents const& in) const {
    layer_cost c{.name = kind, .kind = kind, .in = in, .out = shape(in)};
    c.forward_flops = c.backward_input_flops = static_cast<double>(c.out.size() * kernel_.height * kernel_.width);
    c.keeps_input = false;
    return c;
  }

 private:
  [[nodiscard]] compute::pool2d_shape geometry(extents const& in) const {
    return detail::pool_geometry("nn::avg_pool2d", in, kernel_, options_.stride, options_.padding,
                                 options_.count_include_pad);
  }
  window kernel_;
  avg_pool2d_options options_;
};

max_pool2d(window) -> max_pool2d<>;
max_pool2d(window, max_pool2d_options) -> max_pool2d<>;
avg_pool2d(window) -> avg_pool2d<>;
avg_pool2d(window, avg_pool2d_options) -> avg_pool2d<>;

}  // namespace pleat::nn
