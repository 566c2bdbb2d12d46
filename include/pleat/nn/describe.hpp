// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Walks over a model that are not passes: its description as data, its units, the same model with other leaves.
#pragma once

#include <utility>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/nn/description.hpp>
#include <pleat/nn/layer.hpp>

namespace pleat::nn {

/// A walk over a network that appends the costs of its layers and follows the blocks of memory between them: a block counts as
/// an activation of the layer that takes it, if anybody still holds it when forward is over.
class describe_walk {
 public:
  explicit describe_walk(description& out) : out_(&out) { blocks_.push_back({0, -1, true, 1}); }

  /// The block that holds the output of the layer visited last (at first the network's input, which the caller holds).
  [[nodiscard]] int current() const noexcept { return current_; }
  void set_current(int block) noexcept { current_ = block; }
  /// True if a layer could write over this block: it came from the pool and nobody else holds it.
  [[nodiscard]] bool free(int block) const noexcept { return !at(block).kept && at(block).holders == 0; }
  /// Somebody holds the block for a while (a shortcut), or no longer.
  void hold(int block, int by) noexcept { at(block).holders += by; }
  /// Somebody holds the block until backward.
  void keep(int block) {
    auto& b = at(block);
    if (std::exchange(b.kept, true)) return;
    out_->layers[static_cast<std::size_t>(b.producer)].activation_bytes += b.bytes;
  }
  /// Appends a layer with all but activation_bytes, which takes `output_bytes` for its output if it cannot do without.
  PLEAT_ONCE void append(layer_cost c, index_t output_bytes) {
    c.activation_bytes = c.saved_bytes;
    bool const keeps_input = c.keeps_input, keeps_output = c.keeps_output, view = c.view, in_place = c.in_place;
    out_->layers.push_back(std::move(c));
    if (keeps_input) keep(current_);
    if (!view && !(in_place && free(current_))) current_ = take(output_bytes);
    if (keeps_output) keep(current_);
  }
  /// A new block of the layer appended last.
  [[nodiscard]] int take(index_t bytes) {
    blocks_.push_back({bytes, static_cast<int>(out_->layers.size()) - 1, false, 0});
    return static_cast<int>(blocks_.size()) - 1;
  }

 private:
  struct block {
    index_t bytes;
    int producer;
    bool kept;
    int holders;
  };
  [[nodiscard]] block& at(int i) noexcept { return blocks_[static_cast<std::size_t>(i)]; }
  [[nodiscard]] block const& at(int i) const noexcept { return blocks_[static_cast<std::size_t>(i)]; }

  description* out_;
  std::vector<block> blocks_;
  int current_ = 0;
};

/// Appends the costs of `l` for an input of shape `in`. A layer gives `layer_cost cost(extents in) const` (a composite
/// `void describe(extents in, describe_walk&) const`); for one that gives neither, shapes and parameters are all that is known,
/// and it is taken to keep its input.
template <class L> void describe(L const& l, extents const& in, describe_walk& walk) {
  if constexpr (requires { l.describe(in, walk); }) {
    l.describe(in, walk);
  } else {
    layer_cost c;
    if constexpr (requires { { l.cost(in) } -> std::convertible_to<layer_cost>; }) {
      c = l.cost(in);
    } else {
      c.name = name_of(l);
      c.kind = "user";
      c.in = in;
      c.out = l.shape(in);
    }
    for_each_parameter(l, [&](auto const& w) {
      if (!w.tied_to.empty()) return;
      c.parameters += w.size();
      c.parameter_bytes += w.bytes();
    });
    index_t const bytes = c.out.size() * static_cast<index_t>(sizeof(value_type_of<L>));
    walk.append(std::move(c), bytes);
  }
}

/// The network as data for inputs of shape `in` (with the batch as extent 0). The network's output counts as held: the loss reads it.
template <class L> [[nodiscard]] description describe(L const& net, extents const& in) {
  description d;
  describe_walk walk(d);
  describe(net, in, walk);
  walk.keep(walk.current());
  return d;
}

/// How many places a pipeline may cut at: a layer is one unit unless it says otherwise.
template <class L> [[nodiscard]] index_t units_of(L const& l) {
  if constexpr (requires { { l.units() } -> std::convertible_to<index_t>; }) return l.units();
  else return 1;
}

/// The same tree with every leaf l replaced by f(l). Composites have `map`.
template <class L, class F> [[nodiscard]] auto map_leaves(L const& l, F const& f) {
  if constexpr (composite<L>) return l.map([&](auto const& child) { return map_leaves(child, f); });
  else return f(l);
}

}  // namespace pleat::nn
