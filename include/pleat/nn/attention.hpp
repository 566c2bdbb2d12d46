// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Multi-head attention between two linear layers: what mixes positions.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include <pleat/compute/attention.hpp>
#include <pleat/compute/rotary.hpp>
#include <pleat/nn/description.hpp>
#include <pleat/nn/layer.hpp>

namespace pleat::nn {

/// Which keys a query sees, and how positions enter.
struct attention_options {
  index_t key_value_heads = 0;  ///< heads of keys and values; 0: as many as of queries
  bool causal = true;           ///< a position sees itself and those before it
  bool rotary = false;          ///< turn queries and keys by their positions (compute/rotary.hpp)
  double rotary_base = 10000;
};

/// Elements of the row that the layer before `attention` makes: queries, keys and values of all heads.
[[nodiscard]] constexpr index_t attention_width(index_t heads, index_t head_size,
                                                index_t key_value_heads = 0) noexcept {
  return (heads + 2 * (key_value_heads > 0 ? key_value_heads : heads)) * head_size;
}

/// softmax(q·kᵀ/√head_size)·v: x[m, positions, attention_width(…)] → y[m, positions, heads·head_size]. No parameters:
/// it stands between a linear that makes queries, keys and values, and one that takes the heads back:
///
///     linear("qkv", width, attention_width(heads, width / heads)), attention("attention", heads, width / heads), linear("out", width, width)
///
/// A row of x holds group after group (a group is one head of keys and values and the heads of queries that share it):
/// its queries, its key, its value. So a slice of the first linear's outputs at group borders is a whole attention of
/// fewer heads, with the matching slice of the second linear's inputs: this layer takes any whole number of groups, and
/// a column-parallel, row-parallel pair around it splits it by heads without its knowing.
template <class T = float, class Space = Kokkos::DefaultExecutionSpace> class attention {
 public:
  using value_type = T;                                ///< of weights and activations
  using execution_space = Space;                       ///< where it runs
  using tensor_type = tensor<T, Space>;                ///< of its activations
  static constexpr char const* kind = "attention";     ///< what descriptions call it
  static constexpr mixing mixes = mixing::everything;  // but see takes
  static constexpr bool cheap = true;                  // against the products around it

  /// The (turned) packed rows, the output, and one number per query.
  struct saved {
    tensor_type x, y;
    tensor<wide_t<T>, Space> logsum;
  };

  /// \param heads     of queries, of the whole layer (a rank may be given fewer)
  /// \throws error if key_value_heads does not divide heads, or the head size is odd and rotary positions are asked for
  attention(std::string name, index_t heads, index_t head_size, attention_options options = {})
      : name_(std::move(name)), options_(options), heads_(heads), head_size_(head_size) {
    if (options_.key_value_heads == 0) options_.key_value_heads = heads;
    if (heads < 1 || head_size < 1 || options_.key_value_heads < 1 || heads % options_.key_value_heads != 0)
      throw error{"nn::attention '" + name_ + "'",
                  "expected positive heads that key_value_heads divides and a positive head size, found heads = " +
                      std::to_string(heads) + ", key_value_heads = " + std::to_string(options_.key_value_heads) +
                      ", head_size = " + std::to_string(head_size),
                  "Choose heads that are a multiple of key_value_heads, or leave key_value_heads at 0: as many"};
    if (options_.rotary) frequencies_ = compute::rotary_frequencies(head_size, options_.rotary_base);
  }

  [[nodiscard]] std::string const& name() const noexcept { return name_; }
  void prefix_name(std::string_view prefix) { name_.insert(0, prefix); }
  [[nodiscard]] index_t heads() const noexcept { return heads_; }
  [[nodiscard]] index_t head_size() const noexcept { return head_size_; }
  [[nodiscard]] attention_options const& options() const noexcept { return options_; }
  /// Heads of queries per head of keys and values.
  [[nodiscard]] index_t group_heads() const noexcept { return heads_ / options_.key_value_heads; }
  /// Elements of one group in a packed row: borders at which a row may be cut.
  [[nodiscard]] index_t group_width() const noexcept { return (group_heads() + 2) * head_size_; }

  /// True for rows that are cut between groups: each rank attends with its own heads (a rank may have none).
  [[nodiscard]] bool takes(axis_layout const& x, int rank, int parts) const noexcept {
    return rank == 3 && x.where.dim == 2 && x.borders_on(group_width(), parts);
  }

  [[nodiscard]] extents shape(extents const& in) const {
    if (in.rank() != 3 || in[2] % group_width() != 0 || in[2] == 0)
      throw error{"nn::attention '" + name_ + "'",
                  "expected [m, positions, " +
                      std::to_string(attention_width(heads_, head_size_, options_.key_value_heads)) +
                      "] or fewer whole groups of " + std::to_string(group_width()) +
                      " elements, found an input of shape " + in.to_string(),
                  "Make the outputs of the layer before it nn::attention_width(heads, head_size, key_value_heads)"};
    return {in[0], in[1], in[2] / group_width() * group_heads() * head_size_};
  }

  [[nodiscard]] step<saved, tensor_type> forward(pass<Space> const& p, tensor_type x) const {
    (void)shape(x.whole_shape());
    auto const s = geometry(x.shape());
    auto y = tensor_type::allocate(*p.where, {s.batch, s.positions, s.out_width()}).with_layout(of_output(x.layout()));
    if (s.groups == 0) {  // no heads on this rank
      saved keep;
      if (p.training) keep = {std::move(x), y, {}};
      return {std::move(y), std::move(keep)};
    }
    auto logsum = tensor<wide_t<T>, Space>::allocate(*p.where, {s.batch, s.heads(), s.positions});
    if (options_.rotary) {
      auto turned = x.sole_owner() ? x : tensor_type::allocate(*p.where, x.shape()).with_layout(x.layout());
      compute::rotary(p.space(), s, frequencies_, false, static_cast<T const*>(x.data()), turned.data());
      x = std::move(turned);
    }
    compute::attention_forward(p.space(), s, static_cast<T const*>(x.data()), y.data(), logsum.data());
    saved keep;
    if (p.training) keep = {std::move(x), y, std::move(logsum)};
    return {std::move(y), std::move(keep)};
  }

  [[nodiscard]] tensor_type backward(pass<Space> const& p, saved& keep, tensor_type dy) {
    tensor_type dx;
    if (p.input_gradient) {
      auto const s = geometry(keep.x.shape());
      dx = tensor_type::allocate(*p.where, keep.x.shape()).with_layout(keep.x.layout());
      if (s.groups == 0) {
        keep = {};
        return dx;
      }
      auto const delta = tensor<wide_t<T>, Space>::allocate(*p.where, keep.logsum.shape());
      compute::attention_backward(
          p.space(), s, static_cast<T const*>(keep.x.data()), static_cast<T const*>(keep.y.data()),
          static_cast<wide_t<T> const*>(keep.logsum.data()), static_cast<T const*>(dy.data()), delta.data(), dx.data());
      if (options_.rotary)
        compute::rotary(p.space(), s, frequencies_, true, static_cast<T const*>(dx.data()), dx.data());
    }
    keep = {};
    return dx;
  }

  template <class F> void for_each_parameter(F&&) {}

  [[nodiscard]] layer_cost cost(extents const& in) const {
    layer_cost c{.name = name_, .kind = kind, .in = in, .out = shape(in)};
    auto const s = geometry(in);
    double const n = static_cast<double>(s.positions), pairs = options_.causal ? n * (n + 1) / 2 : n * n;
    double const product = 2.0 * static_cast<double>(s.batch * s.heads() * s.head_size) * pairs;
    c.forward_flops = 2 * product;
    c.backward_input_flops = 5 * product;
    c.keeps_output = true;
    c.saved_bytes = s.batch * s.heads() * s.positions * static_cast<index_t>(sizeof(wide_t<T>));
    return c;
  }
  /// Where the heads live if the packed rows live so.
  [[nodiscard]] axis_layout of_output(axis_layout x) const noexcept {
    if (!x.cut()) return x;
    index_t const width = group_heads() * head_size_, group = group_width();
    x.where.unit = (x.where.unit % group == 0 ? x.where.unit / group : 1) * width;
    x.whole = x.whole / group * width;
    return x;
  }

 private:
  [[nodiscard]] compute::attention_shape geometry(extents const& in) const noexcept {
    return {in[0], in[1], in[2] / group_width(), group_heads(), head_size_, options_.causal};
  }

  std::string name_;
  attention_options options_;
  index_t heads_, head_size_;
  compute::rotary_frequencies frequencies_;
};

attention(std::string, index_t, index_t) -> attention<>;
attention(std::string, index_t, index_t, attention_options) -> attention<>;

}  // namespace pleat::nn
