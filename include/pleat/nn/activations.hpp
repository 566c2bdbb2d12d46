// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Elementwise activations: relu, gelu (exact and with tanh), silu, tanh_activation, sigmoid.
#pragma once

#include <utility>

#include <pleat/compute/activation.hpp>
#include <pleat/compute/elementwise.hpp>
#include <pleat/nn/describe.hpp>
#include <pleat/nn/description.hpp>
#include <pleat/nn/layer.hpp>

namespace pleat::nn {

namespace detail {

/// A layer around y = f(x) whose slope follows from y (`from_output`), or is computed with y and kept instead of x.
/// Writes in place where nobody needs the input.
template <class Function, class T, class Space> class activation_layer {
 public:
  using value_type = T;
  using execution_space = Space;
  using tensor_type = tensor<T, Space>;
  static constexpr char const* kind = Function::kind;
  static constexpr mixing mixes = mixing::nothing;
  static constexpr bool cheap = !Function::from_output;  // else the input would have to be kept instead of the output

  /// The output, from which the slope follows, or the slope itself.
  struct saved {
    tensor_type t;
  };

  [[nodiscard]] extents shape(extents const& in) const { return in; }

  [[nodiscard]] step<saved, tensor_type> forward(pass<Space> const& p, tensor_type x) const {
    saved s;
    if constexpr (!Function::from_output) {
      if (p.training) {  // the slope lies where the input was
        auto y = tensor_type::allocate(*p.where, x.shape());
        s.t = x.sole_owner() ? x : tensor_type::allocate(*p.where, x.shape());
        Function::forward_with_slope(p.space(), x.size(), static_cast<T const*>(x.data()), y.data(), s.t.data());
        return {std::move(y), std::move(s)};
      }
    }
    auto y = x.sole_owner() ? x : tensor_type::allocate(*p.where, x.shape());
    Function::forward(p.space(), x.size(), static_cast<T const*>(x.data()), y.data());
    if (p.training) s.t = y;
    return {std::move(y), std::move(s)};
  }

  [[nodiscard]] tensor_type backward(pass<Space> const& p, saved& s, tensor_type dy) {
    tensor_type dx;
    if (p.input_gradient) {
      dx = dy.sole_owner() ? dy : tensor_type::allocate(*p.where, dy.shape());
      if constexpr (Function::from_output)
        Function::backward(p.space(), dy.size(), static_cast<T const*>(s.t.data()), static_cast<T const*>(dy.data()),
                           dx.data());
      else
        compute::multiply(p.space(), dy.size(), static_cast<T const*>(dy.data()), static_cast<T const*>(s.t.data()),
                          dx.data());
    }
    s = {};
    return dx;
  }

  template <class F> void for_each_parameter(F&&) {}

  [[nodiscard]] layer_cost cost(extents const& in) const {
    layer_cost c{.name = kind, .kind = kind, .in = in, .out = in};
    c.forward_flops = Function::forward_operations * static_cast<double>(in.size());
    c.backward_input_flops = Function::backward_operations * static_cast<double>(in.size());
    c.keeps_input = !Function::from_output;
    c.keeps_output = Function::from_output;
    c.in_place = Function::from_output;
    return c;
  }

  /// The slope takes the input's memory, or memory of its own where somebody else holds the input.
  void describe(extents const& in, describe_walk& walk) const {
    auto c = cost(in);
    // however the input is cut, so is the output
    index_t const bytes = walk.local(in, walk.layout()).size() * static_cast<index_t>(sizeof(T));
    if (!Function::from_output && !walk.free(walk.current())) {
      c.keeps_input = false;
      c.saved_bytes = bytes;
    }
    walk.append(std::move(c), bytes);
  }
};

// A transcendental counts as eight operations.
struct relu_function {
  static constexpr char const* kind = "relu";
  static constexpr bool from_output = true;
  static constexpr double forward_operations = 1, backward_operations = 1;
  template <class Space, class T> static void forward(Space const& s, index_t n, T const* x, T* y) {
    compute::relu(s, n, x, y);
  }
  template <class Space, class T> static void backward(Space const& s, index_t n, T const* y, T const* dy, T* dx) {
    compute::relu_backward(s, n, y, dy, dx);
  }
};
struct gelu_function {
  static constexpr char const* kind = "gelu";
  static constexpr bool from_output = false;
  static constexpr double forward_operations = 25, backward_operations = 1;
  template <class Space, class T> static void forward(Space const& s, index_t n, T const* x, T* y) {
    compute::gelu(s, n, x, y);
  }
  template <class Space, class T>
  static void forward_with_slope(Space const& s, index_t n, T const* x, T* y, T* slope) {
    compute::gelu_with_slope(s, n, x, y, slope);
  }
};
struct gelu_tanh_function {
  static constexpr char const* kind = "gelu_tanh";
  static constexpr bool from_output = false;
  static constexpr double forward_operations = 22, backward_operations = 1;
  template <class Space, class T> static void forward(Space const& s, index_t n, T const* x, T* y) {
    compute::gelu_tanh(s, n, x, y);
  }
  template <class Space, class T>
  static void forward_with_slope(Space const& s, index_t n, T const* x, T* y, T* slope) {
    compute::gelu_tanh_with_slope(s, n, x, y, slope);
  }
};
struct silu_function {
  static constexpr char const* kind = "silu";
  static constexpr bool from_output = false;
  static constexpr double forward_operations = 12, backward_operations = 1;
  template <class Space, class T> static void forward(Space const& s, index_t n, T const* x, T* y) {
    compute::silu(s, n, x, y);
  }
  template <class Space, class T>
  static void forward_with_slope(Space const& s, index_t n, T const* x, T* y, T* slope) {
    compute::silu_with_slope(s, n, x, y, slope);
  }
};
struct tanh_function {
  static constexpr char const* kind = "tanh";
  static constexpr bool from_output = true;
  static constexpr double forward_operations = 8, backward_operations = 3;
  template <class Space, class T> static void forward(Space const& s, index_t n, T const* x, T* y) {
    compute::tanh_activation(s, n, x, y);
  }
  template <class Space, class T> static void backward(Space const& s, index_t n, T const* y, T const* dy, T* dx) {
    compute::tanh_activation_backward(s, n, y, dy, dx);
  }
};
struct sigmoid_function {
  static constexpr char const* kind = "sigmoid";
  static constexpr bool from_output = true;
  static constexpr double forward_operations = 8, backward_operations = 3;
  template <class Space, class T> static void forward(Space const& s, index_t n, T const* x, T* y) {
    compute::sigmoid(s, n, x, y);
  }
  template <class Space, class T> static void backward(Space const& s, index_t n, T const* y, T const* dy, T* dx) {
    compute::sigmoid_backward(s, n, y, dy, dx);
  }
};

}  // namespace detail

/// y = max(x, 0). Composites fuse it into the product before it and, backward, into the product after it.
template <class T = float, class Space = Kokkos::DefaultExecutionSpace>
class relu : public detail::activation_layer<detail::relu_function, T, Space> {
  using base = detail::activation_layer<detail::relu_function, T, Space>;

 public:
  static constexpr compute::activation fusable = compute::activation::relu;
  /// What backward needs when somebody else has computed the output.
  [[nodiscard]] static typename base::saved saved_from_output(tensor<T, Space> y) { return {std::move(y)}; }
};

/// y = x·Φ(x) (Hendrycks and Gimpel, arXiv:1606.08415), Φ the normal distribution: the exact form, with erf.
template <class T = float, class Space = Kokkos::DefaultExecutionSpace>
class gelu : public detail::activation_layer<detail::gelu_function, T, Space> {};

/// y = x·(1 + tanh(√(2/π)·(x + 0.044715·x³)))/2, the approximation of the same paper: what GPT-2 was trained with.
template <class T = float, class Space = Kokkos::DefaultExecutionSpace>
class gelu_tanh : public detail::activation_layer<detail::gelu_tanh_function, T, Space> {};

/// y = x/(1 + e^−x) (Elfwing, Uchibe, Doya, arXiv:1702.03118), also called swish.
template <class T = float, class Space = Kokkos::DefaultExecutionSpace>
class silu : public detail::activation_layer<detail::silu_function, T, Space> {};

/// y = tanh(x).
template <class T = float, class Space = Kokkos::DefaultExecutionSpace>
class tanh_activation : public detail::activation_layer<detail::tanh_function, T, Space> {};

/// y = 1 / (1 + e^−x).
template <class T = float, class Space = Kokkos::DefaultExecutionSpace>
class sigmoid : public detail::activation_layer<detail::sigmoid_function, T, Space> {};

}  // namespace pleat::nn
