// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Several layers side by side over one input.
#pragma once

#include <array>
#include <tuple>
#include <utility>

#include <pleat/compute/copy_block.hpp>
#include <pleat/nn/align.hpp>
#include <pleat/nn/describe.hpp>
#include <pleat/nn/layer.hpp>
#include <pleat/nn/residual.hpp>
#include <pleat/tensor/axis_layout.hpp>

namespace pleat::nn {

/// What becomes of the outputs of a branch.
enum class merge : std::uint8_t {
  concatenate,  ///< side by side along dimension 1: features or channels
  sum           ///< added, in the order of the layers
};

/// Layers that all see the same input; their outputs are concatenated along dimension 1, or summed. One unit.
///
/// Along the tensor axis each layer gets the input as it lives. Outputs to be concatenated are brought whole; a sum
/// lives where the first layer's output does.
template <class... Ls> class branch {
  static_assert(((demand_layer<Ls>(), ...), true));
  using first_layer = std::tuple_element_t<0, std::tuple<Ls..., void>>;

 public:
  static_assert(sizeof...(Ls) > 0, "pleat: nn::branch needs at least one layer");
  using value_type = value_type_of<first_layer>;            ///< of weights and activations
  using execution_space = space_of<first_layer>;            ///< where it runs
  using tensor_type = tensor<value_type, execution_space>;  ///< of its activations
  using pass_type = pass<execution_space>;                  ///< what layers are called with
  static_assert((std::is_same_v<value_type_of<Ls>, value_type> && ...) &&
                    (std::is_same_v<space_of<Ls>, execution_space> && ...),
                "pleat: the layers of one nn::branch share one value type and one execution space");
  static constexpr char const* kind = "branch";      ///< what descriptions call it
  static constexpr mixing mixes = mixing::children;  ///< where the tensor axis may cut its input (placement_rules.hpp)
  static constexpr int size = static_cast<int>(sizeof...(Ls));

  /// What backward needs: each branch's, and the shapes that were put side by side.
  struct saved {
    std::tuple<saved_of<Ls>...> each;
    std::array<extents, static_cast<std::size_t>(size)> out;
  };

  explicit branch(Ls... layers) : branch(merge::concatenate, std::move(layers)...) {}
  explicit branch(merge how, Ls... layers) : how_(how), layers_(std::move(layers)...) {}

  [[nodiscard]] merge how() const noexcept { return how_; }

  [[nodiscard]] extents shape(extents const& in) const { return merged(shapes(in)); }

  [[nodiscard]] step<saved, tensor_type> forward(pass_type const& p, tensor_type x) const {
    saved s;
    s.out = shapes(x.whole_shape());
    extents const out = merged(s.out);
    tensor_type y;
    if (how_ == merge::concatenate) y = tensor_type::allocate(*p.where, out);
    forward_from<0>(p, std::move(x), y, 0, s);
    return {std::move(y), std::move(s)};
  }

  [[nodiscard]] tensor_type backward(pass_type const& p, saved& s, tensor_type dy) {
    tensor_type dx;
    if (how_ == merge::concatenate) dy = redistribute(p, std::move(dy), {});
    backward_from<0>(
        p, [&](auto& l, auto& saved, tensor_type d) { return call_backward(p, l, saved, std::move(d)); }, s, dy, 0, dx);
    return dx;
  }
  [[nodiscard]] tensor_type backward_input(pass_type const& p, saved& s, tensor_type dy) {
    tensor_type dx;
    if (how_ == merge::concatenate) dy = redistribute(p, std::move(dy), {});
    backward_from<0>(
        p, [&](auto& l, auto& saved, tensor_type d) { return call_backward_input(p, l, saved, std::move(d)); }, s, dy,
        0, dx);
    return dx;
  }
  void backward_weight(pass_type const& p, saved& s) { backward_weight_from<0>(p, s); }

  template <class F> void for_each_parameter(F&& f) {
    std::apply([&](auto&... l) { (l.for_each_parameter(f), ...); }, layers_);
  }
  template <class F> void for_each_child(F&& f) {
    std::apply([&](auto&... l) { (f(l), ...); }, layers_);
  }
  /// The same with mapped layers.
  template <class F> [[nodiscard]] auto map(F&& f) const {
    return std::apply([&](auto const&... l) { return nn::branch<decltype(f(l))...>{how_, f(l)...}; }, layers_);
  }

  void describe(extents const& in, describe_walk& walk) const {
    int const x = walk.current();
    auto const from = walk.layout();
    axis_layout to;  // of a sum: where the first layer's output lives
    walk.hold(x, 1);
    int sum = -1, i = 0;
    bool moved = false;
    std::apply([&](auto const&... l) { ((describe_one(l, in, walk, x, from, to, sum, moved, ++i)), ...); }, layers_);
    if (!moved) walk.hold(x, -1);
    layer_cost c{.name = kind, .kind = kind, .in = in, .out = shape(in)};
    index_t const bytes = walk.local(c.out, to).size() * static_cast<index_t>(sizeof(value_type));
    if (how_ == merge::sum) c.forward_flops = static_cast<double>((size - 1) * c.out.size());
    c.backward_input_flops = static_cast<double>((size - 1) * in.size());
    c.keeps_input = false;
    c.view = how_ == merge::sum;
    walk.append(std::move(c), bytes);
    walk.set_layout(to);
  }

  template <int At> [[nodiscard]] auto& layer() noexcept { return std::get<At>(layers_); }
  template <int At> [[nodiscard]] auto const& layer() const noexcept { return std::get<At>(layers_); }

 private:
  using shapes_type = std::array<extents, static_cast<std::size_t>(size)>;

  [[nodiscard]] shapes_type shapes(extents const& in) const {
    return std::apply([&](auto const&... l) { return shapes_type{l.shape(in)...}; }, layers_);
  }
  [[nodiscard]] extents merged(shapes_type const& each) const {
    extents out = each[0];
    for (std::size_t i = 1; i < each.size(); ++i) {
      extents e = each[i];
      bool const fits = e.rank() == out.rank() && e.rank() >= 2;
      if (how_ == merge::concatenate && fits) {
        index_t const together = out[1] + e[1];
        e[1] = out[1];
        if (e == out) {
          out[1] = together;
          continue;
        }
      } else if (how_ == merge::sum && each[i] == out) {
        continue;
      }
      throw error{
          "nn::branch",
          "layer 0 makes " + each[0].to_string() + ", layer " + std::to_string(i) + " makes " + each[i].to_string(),
          how_ == merge::sum ? "Outputs that are summed must have one shape"
                             : "Outputs that are concatenated may differ in dimension 1 only"};
    }
    return out;
  }

  template <int At>
  void forward_from(pass_type const& p, tensor_type x, tensor_type& y, index_t column, saved& s) const {
    if constexpr (At < size) {
      auto out = At + 1 < size ? call(p, std::get<At>(layers_), x) : call(p, std::get<At>(layers_), std::move(x));
      std::get<At>(s.each) = std::move(out.saved);
      index_t const width = s.out[At].size_from(1);
      if (how_ == merge::concatenate) out.y = redistribute(p, std::move(out.y), {});
      if (how_ == merge::sum) y = At == 0 ? std::move(out.y) : detail::add(p, std::move(y), std::move(out.y));
      else
        compute::copy_block(p.space(), y.batch(), width, static_cast<value_type const*>(out.y.data()), width,
                            y.data() + column, y.shape().size_from(1));
      out = {};
      forward_from<At + 1>(p, std::move(x), y, column + width, s);
    }
  }

  template <int At, class Back>
  void backward_from(pass_type const& p, Back const& back, saved& s, tensor_type& dy, index_t column, tensor_type& dx) {
    if constexpr (At < size) {
      index_t const width = s.out[At].size_from(1);
      tensor_type d = dy;
      if (how_ == merge::concatenate) {
        d = tensor_type::allocate(*p.where, s.out[At]);
        compute::copy_block(p.space(), dy.batch(), width, static_cast<value_type const*>(dy.data() + column),
                            dy.shape().size_from(1), d.data(), width);
      }
      if constexpr (At + 1 == size) dy = {};
      auto part = back(std::get<At>(layers_), std::get<At>(s.each), std::move(d));
      if (p.input_gradient) dx = At == 0 ? std::move(part) : detail::add(p, std::move(dx), std::move(part));
      backward_from<At + 1>(p, back, s, dy, column + width, dx);
    }
  }
  template <int At> void backward_weight_from(pass_type const& p, saved& s) {
    if constexpr (At < size) {
      call_backward_weight(p, std::get<At>(layers_), std::get<At>(s.each));
      backward_weight_from<At + 1>(p, s);
    }
  }

  template <class L>
  void describe_one(L const& l, extents const& in, describe_walk& walk, int x, axis_layout const& from, axis_layout& to,
                    int& sum, bool& moved, int number) const {
    if (number == size) {
      walk.hold(x, -1);  // the last layer gets the input itself
      moved = true;
    }
    walk.set_current(x);
    walk.set_layout(from);
    nn::describe(l, in, walk);
    if (how_ == merge::concatenate) return;
    if (number == 1) to = walk.layout();
    index_t const bytes = walk.local(l.shape(in), to).size() * static_cast<index_t>(sizeof(value_type));
    int const y = walk.layout().same(to, walk.parts()) ? walk.current() : walk.take(bytes);
    sum = number == 1 ? y : sum != y && walk.free(sum) ? sum : sum != y && walk.free(y) ? y : walk.take(bytes);
    walk.set_current(sum);
  }

  merge how_;
  std::tuple<Ls...> layers_;
};

template <class... Ls> branch(Ls...) -> branch<Ls...>;
template <class... Ls> branch(merge, Ls...) -> branch<Ls...>;

}  // namespace pleat::nn
