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
#include <pleat/nn/placement_rules.hpp>
#include <pleat/tensor/axis_layout.hpp>

namespace pleat::nn {

/// A walk over a network that appends the costs of its layers and follows the blocks of memory between them: a block
/// counts as an activation of the layer that takes it, if anybody still holds it when forward is over. Shapes,
/// parameters and floating-point operations are those of whole layers; blocks are one rank's, if the walk is `on_part`
/// of a tensor axis.
class describe_walk {
 public:
  /// \param recompute the pass that is described says so (pass.recompute)
  PLEAT_ONCE explicit describe_walk(description& out, bool recompute = false);

  /// Blocks are those of rank `part` of the `parts` of a tensor axis. \param layout where the input lives
  void on_part(index_t part, index_t parts, axis_layout const& layout = {}) noexcept {
    part_ = part, parts_ = parts, layout_ = layout;
  }
  [[nodiscard]] index_t parts() const noexcept { return parts_; }
  /// Where the output of the layer visited last lives along that axis.
  [[nodiscard]] axis_layout const& layout() const noexcept { return layout_; }
  void set_layout(axis_layout const& l) noexcept { layout_ = l; }
  /// This rank's part of a tensor that lives so.
  PLEAT_LAZY [[nodiscard]] extents local(extents whole, axis_layout const& l) const {
    if (l.cut()) whole[l.where.dim] = l.range(parts_, part_).size();
    return whole;
  }

  [[nodiscard]] bool recompute() const noexcept { return recompute_; }
  void set_recompute(bool on) noexcept { recompute_ = on; }
  /// Layers appended from now on save nothing: they are computed again. Until it is said again with −1.
  void dropping(int by) noexcept { dropping_ += by; }

  /// The block that holds the output of the layer visited last (at first the network's input, which the caller holds).
  [[nodiscard]] int current() const noexcept { return current_; }
  void set_current(int block) noexcept { current_ = block; }
  /// True if a layer could write over this block: it came from the pool and nobody else holds it.
  [[nodiscard]] bool free(int block) const noexcept { return !at(block).kept && at(block).holders == 0; }
  /// Somebody holds the block for a while (a shortcut), or no longer.
  PLEAT_LAZY void hold(int block, int by) noexcept { at(block).holders += by; }
  /// Somebody holds the block until backward.
  PLEAT_LAZY void keep(int block) {
    auto& b = at(block);
    if (std::exchange(b.kept, true)) return;
    if (b.producer >= 0) out_->layers[static_cast<std::size_t>(b.producer)].activation_bytes += b.bytes;
  }
  /// Whether the input of the network (or of the units that are described) is held until backward, and between its
  /// halves.
  [[nodiscard]] bool keeps_input() const noexcept { return input_kept_; }
  PLEAT_LAZY [[nodiscard]] bool input_between() const noexcept { return at(0).between; }
  /// Appends a layer with all but activation_bytes, which takes `output_bytes` for its output if it cannot do without.
  /// \param moved_bytes of the input, brought to where the layer takes it: a block of its own; negative: it lives there
  /// \param gradient_bytes of the output's gradient, as the weight half keeps it; negative: as the output
  PLEAT_ONCE void append(layer_cost c, index_t output_bytes, index_t moved_bytes = -1, index_t gradient_bytes = -1);
  /// keep, of any block: the input's is counted by who described it.
  PLEAT_LAZY void hold_for_backward(int block) {
    if (block == 0) input_kept_ = true;
    keep(block);
  }
  /// A new block of the layer appended last.
  PLEAT_ONCE [[nodiscard]] int take(index_t bytes);

 private:
  struct block {
    index_t bytes;
    int producer;
    bool kept;
    int holders;
    bool between = false;  // counted as held between the halves of backward
  };
  [[nodiscard]] block& at(int i) noexcept { return blocks_[static_cast<std::size_t>(i)]; }
  [[nodiscard]] block const& at(int i) const noexcept { return blocks_[static_cast<std::size_t>(i)]; }

  description* out_;
  std::vector<block> blocks_;
  index_t part_ = 0, parts_ = 1;
  axis_layout layout_;
  int current_ = 0, dropping_ = 0;
  bool recompute_ = false, input_kept_ = false;
};

template <class> describe_walk::describe_walk(description& out, bool recompute) : out_(&out), recompute_(recompute) {
  blocks_.push_back({0, -1, true, 1});
}
PLEAT_COMPILED_ONCE(describe_walk::describe_walk(description& out, bool recompute));

template <class>
void describe_walk::append(layer_cost c, index_t output_bytes, index_t moved_bytes, index_t gradient_bytes) {
  bool const drops = dropping_ > 0;
  c.activation_bytes = drops ? 0 : c.saved_bytes;
  bool const keeps_input = c.keeps_input, keeps_output = c.keeps_output, view = c.view, in_place = c.in_place,
             split = c.split;
  // the output's gradient is a block of its own
  c.between_bytes = split ? c.saved_bytes + (gradient_bytes < 0 ? output_bytes : gradient_bytes) : 0;
  out_->layers.push_back(std::move(c));
  if (moved_bytes >= 0) current_ = take(moved_bytes);
  if (keeps_input) {
    auto& x = at(current_);
    if (split && !std::exchange(x.between, true)) out_->layers.back().between_bytes += x.bytes;
    if (!drops) hold_for_backward(current_);
  }
  if (!view && !(in_place && free(current_))) current_ = take(output_bytes);
  if (keeps_output && !drops) hold_for_backward(current_);
}
PLEAT_COMPILED_ONCE(void describe_walk::append(layer_cost c, index_t output_bytes, index_t moved_bytes,
                                               index_t gradient_bytes));

template <class> int describe_walk::take(index_t bytes) {
  blocks_.push_back({bytes, static_cast<int>(out_->layers.size()) - 1, false, 0});
  return static_cast<int>(blocks_.size()) - 1;
}
PLEAT_COMPILED_ONCE(int describe_walk::take(index_t bytes));

namespace detail {
/// What a layer says of itself, and its parameters.
template <class L> [[nodiscard]] layer_cost cost_of(L const& l, extents const& in) {
  if constexpr (requires {
                  { l.cost(in) } -> std::convertible_to<layer_cost>;
                }) {
    return l.cost(in);
  } else {
    layer_cost c;
    c.name = name_of(l);
    c.kind = "user";
    c.in = in;
    c.out = l.shape(in);
    return c;
  }
}
/// Where a leaf's activations live if its input lives as `x` does: what nn::call and the layer will do.
/// \throws error for a layer that is cut and does not say
template <class L>
[[nodiscard]] layer_path path_of(L const& l, layer_cost const& c, axis_layout const& x, index_t parts) {
  if constexpr (requires {
                  { l.path(c.in, x) } -> std::same_as<layer_path>;
                }) {
    return l.path(c.in, x);
  } else if constexpr (mixing_of<L>() == mixing::weights) {
    bool cut = x.cut();
    for_each_parameter(l, [&](auto const& w) { cut = cut || w.where.shards(); });
    if (cut)
      throw error{"nn::describe",
                  "the layer '" + name_of(l) +
                      "' cuts its activations along the tensor axis, and does not tell where they live",
                  "Give it `layer_path path(extents in, axis_layout x) const`, or use plan::state_ledger for "
                  "parameters, gradients and optimizer state"};
    return {};
  } else {
    auto const taken = takes_layout(l, x, c.in.rank(), static_cast<int>(parts)) ? x : axis_layout{};
    if constexpr (requires {
                    { l.of_output(taken) } -> std::same_as<axis_layout>;
                  })
      return {taken, l.of_output(taken), l.of_output(taken)};
    auto const gives = c.in == c.out || !c.view ? taken : reshaped(taken, c.in, c.out).layout;
    return {taken, gives, gives};
  }
}
}  // namespace detail

/// Appends the costs of `l` for an input of shape `in`. A layer gives `layer_cost cost(extents in) const` (a composite
/// `void describe(extents in, describe_walk&) const`); for one that gives neither, shapes and parameters are all that
/// is known, and it is taken to keep its input.
template <class L> void describe(L const& l, extents const& in, describe_walk& walk) {
  if constexpr (requires { l.describe(in, walk); }) {
    l.describe(in, walk);
  } else {
    layer_cost c = detail::cost_of(l, in);
    for_each_parameter(l, [&](auto const& w) {
      if (!w.tied_to.empty()) return;
      c.parameters += w.size();
      c.parameter_bytes += w.bytes();
    });
    c.split = has_split_backward<L>;
    constexpr index_t element = static_cast<index_t>(sizeof(value_type_of<L>));
    if (walk.parts() == 1) {
      index_t const bytes = c.out.size() * element;
      return walk.append(std::move(c), bytes);
    }
    auto const path = detail::path_of(l, c, walk.layout(), walk.parts());
    auto const bytes_of = [&](extents const& whole, axis_layout const& where) {
      return walk.local(whole, where).size() * element;
    };
    bool const moves = path.chosen || !walk.layout().same(path.taken, walk.parts());
    if (c.saved_bytes > 0 && path.taken.cut()) {
      auto const mine = walk.local(in, path.taken);
      if (mine.size() == 0) c.saved_bytes = 0;
      else if constexpr (requires {
                           { l.saved_bytes(mine) } -> std::convertible_to<index_t>;
                         })
        c.saved_bytes = l.saved_bytes(mine);
      else c.saved_bytes = detail::cost_of(l, mine).saved_bytes;
    }
    index_t const out = bytes_of(c.out, path.gives), moved = moves ? bytes_of(in, path.taken) : -1,
                  gradient = bytes_of(c.out, path.gradient);
    walk.append(std::move(c), out, moved, gradient);
    walk.set_layout(path.gives);
  }
}

/// The same for units [begin, end) of it (nn/units.hpp). \returns the shape of their output
template <class L>
extents describe_units(L const& l, extents const& in, index_t begin, index_t end, describe_walk& walk) {
  if constexpr (requires {
                  { l.describe_units(in, begin, end, walk) } -> std::same_as<extents>;
                }) {
    return l.describe_units(in, begin, end, walk);
  } else {
    if (begin > 0 || end <= 0) return in;
    describe(l, in, walk);
    return l.shape(in);
  }
}

/// The network as data for inputs of shape `in` (with the batch as extent 0). The network's output counts as held: the
/// loss reads it.
/// \param recompute as a pass with pass.recompute holds it
template <class L> [[nodiscard]] description describe(L const& net, extents const& in, bool recompute = false) {
  description d;
  describe_walk walk(d, recompute);
  describe(net, in, walk);
  walk.keep(walk.current());
  return d;
}

/// How many places a pipeline may cut at: a layer is one unit unless it says otherwise.
template <class L> [[nodiscard]] index_t units_of(L const& l) {
  if constexpr (requires {
                  { l.units() } -> std::convertible_to<index_t>;
                })
    return l.units();
  else return 1;
}

/// The same tree with every leaf l replaced by f(l). Composites have `map`.
template <class L, class F> [[nodiscard]] auto map_leaves(L const& l, F const& f) {
  if constexpr (composite<L>) return l.map([&](auto const& child) { return map_leaves(child, f); });
  else return f(l);
}

}  // namespace pleat::nn
