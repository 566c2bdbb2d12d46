// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The same layer n times, each with weights of its own.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <pleat/base/pooled_array.hpp>
#include <pleat/nn/describe.hpp>
#include <pleat/nn/layer.hpp>
#include <pleat/nn/names.hpp>
#include <pleat/nn/units.hpp>

namespace pleat::nn {

/// n copies of a layer, one after the other. Copy i's parameters are called "<name>.<i>.…". Units: n, whatever a copy
/// consists of.
template <class L> class repeat {
  static_assert((demand_layer<L>(), true));

 public:
  using value_type = value_type_of<L>;                      ///< of weights and activations
  using execution_space = space_of<L>;                      ///< where it runs
  using tensor_type = tensor<value_type, execution_space>;  ///< of its activations
  using pass_type = pass<execution_space>;                  ///< what layers are called with
  static constexpr char const* kind = "repeat";             ///< what descriptions call it
  static constexpr mixing mixes = mixing::children;  ///< where the tensor axis may cut its input (placement_rules.hpp)

  /// What every copy saved; n is known at run time, so the memory comes from the context's host pool.
  struct saved {
    pooled_array<saved_of<L>> each;
  };

  repeat(std::string name, index_t n, L const& layer) : name_(std::move(name)) {
    if (n < 1)
      throw error{"nn::repeat '" + name_ + "'", "expected at least one copy, found n = " + std::to_string(n),
                  "Ask for 1 or more copies, or leave the layer out"};
    layers_.reserve(static_cast<std::size_t>(n));
    for (index_t i = 0; i < n; ++i) {
      layers_.push_back(layer);
      prefix_names(layers_.back(), name_ + "." + std::to_string(i) + ".");
    }
  }
  /// From copies that have their names already.
  repeat(std::string name, std::vector<L> layers) : name_(std::move(name)), layers_(std::move(layers)) {}

  [[nodiscard]] std::string const& name() const noexcept { return name_; }
  void prefix_name(std::string_view prefix) { name_.insert(0, prefix); }
  [[nodiscard]] index_t units() const noexcept { return static_cast<index_t>(layers_.size()); }

  [[nodiscard]] extents shape(extents const& in) const { return shape_units(in, 0, units()); }
  [[nodiscard]] step<saved, tensor_type> forward(pass_type const& p, tensor_type x) const {
    saved s;
    auto y = forward_units(p, 0, units(), std::move(x), s);
    return {std::move(y), std::move(s)};
  }
  [[nodiscard]] tensor_type backward(pass_type const& p, saved& s, tensor_type dy) {
    return backward_units(p, 0, units(), s, std::move(dy));
  }
  [[nodiscard]] tensor_type backward_input(pass_type const& p, saved& s, tensor_type dy) {
    return backward_input_units(p, 0, units(), s, std::move(dy));
  }
  void backward_weight(pass_type const& p, saved& s) { backward_weight_units(p, 0, units(), s); }

  [[nodiscard]] extents shape_units(extents in, index_t begin, index_t end) const {
    for (index_t i = first(begin); i < last(end); ++i) in = copy(i).shape(in);
    return in;
  }
  [[nodiscard]] tensor_type forward_units(pass_type const& p, index_t begin, index_t end, tensor_type x,
                                          saved& s) const {
    if (p.training && s.each.empty()) s.each = pooled_array<saved_of<L>>(p.where->host_pool(), layers_.size());
    for (index_t i = first(begin); i < last(end); ++i) {
      auto out = call(p, copy(i), std::move(x));
      x = std::move(out.y);
      if (p.training) s.each[static_cast<std::size_t>(i)] = std::move(out.saved);
    }
    return x;
  }
  [[nodiscard]] tensor_type backward_units(pass_type const& p, index_t begin, index_t end, saved& s, tensor_type dy) {
    index_t const stop = last_needed(p, begin, end);
    for (index_t i = last(end); i-- > stop;)
      dy = call_backward(inner(p, i, stop), copy(i), s.each[static_cast<std::size_t>(i)], std::move(dy));
    forget(s, begin, stop);
    return below(begin, stop) ? tensor_type{} : dy;
  }
  [[nodiscard]] tensor_type backward_input_units(pass_type const& p, index_t begin, index_t end, saved& s,
                                                 tensor_type dy) {
    index_t const stop = last_needed(p, begin, end);
    for (index_t i = last(end); i-- > stop;)
      dy = call_backward_input(inner(p, i, stop), copy(i), s.each[static_cast<std::size_t>(i)], std::move(dy));
    forget(s, begin, stop);
    return below(begin, stop) ? tensor_type{} : dy;
  }
  void backward_weight_units(pass_type const& p, index_t begin, index_t end, saved& s) {
    index_t const stop = last_needed(p, begin, end);
    for (index_t i = last(end); i-- > stop;)
      call_backward_weight(inner(p, i, stop), copy(i), s.each[static_cast<std::size_t>(i)]);
  }

  template <class F> void for_each_parameter(F&& f) {
    for (auto& l : layers_) l.for_each_parameter(f);
  }
  template <class F> void for_each_parameter_units(index_t begin, index_t end, F&& f) {
    for (index_t i = first(begin); i < last(end); ++i) copy(i).for_each_parameter(f);
  }
  template <class F> void for_each_child(F&& f) {
    for (auto& l : layers_) f(l);
  }
  /// The same with mapped copies.
  template <class F> [[nodiscard]] auto map(F&& f) const {
    std::vector<decltype(f(layers_.front()))> mapped;
    mapped.reserve(layers_.size());
    for (auto const& l : layers_) mapped.push_back(f(l));
    return nn::repeat<decltype(f(layers_.front()))>(name_, std::move(mapped));
  }
  void describe(extents const& in, describe_walk& walk) const { (void)describe_units(in, 0, units(), walk); }
  extents describe_units(extents in, index_t begin, index_t end, describe_walk& walk) const {
    for (index_t i = first(begin); i < last(end); ++i) {
      nn::describe(copy(i), in, walk);
      in = copy(i).shape(in);
    }
    return in;
  }

  /// Copy i.
  [[nodiscard]] L& copy(index_t i) noexcept { return layers_[static_cast<std::size_t>(i)]; }
  [[nodiscard]] L const& copy(index_t i) const noexcept { return layers_[static_cast<std::size_t>(i)]; }

 private:
  [[nodiscard]] static index_t first(index_t begin) noexcept { return begin > 0 ? begin : 0; }
  [[nodiscard]] index_t last(index_t end) const noexcept { return end < units() ? end : units(); }
  [[nodiscard]] static bool below(index_t begin, index_t stop) noexcept { return stop > first(begin); }
  /// The lowest copy that backward must reach.
  [[nodiscard]] index_t last_needed(pass_type const& p, index_t begin, index_t end) const {
    index_t i = first(begin);
    if (!p.input_gradient)
      while (i < last(end) && !learns(copy(i))) ++i;
    return i;
  }
  [[nodiscard]] static pass_type inner(pass_type p, index_t i, index_t stop) noexcept {
    p.input_gradient = p.input_gradient || i > stop;
    return p;
  }
  static void forget(saved& s, index_t begin, index_t stop) {
    for (index_t i = first(begin); i < stop; ++i) s.each[static_cast<std::size_t>(i)] = {};
  }

  std::string name_;
  std::vector<L> layers_;
};

}  // namespace pleat::nn
