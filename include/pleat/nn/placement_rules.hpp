// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What a layer does with placements: the rules from which tensor parallelism follows. Pure functions of words; no
/// Kokkos.
///
/// A product y = x·Wᵀ (or a convolution) with W [out, in, …] reads dimension `c` of x and writes dimension `c` of y
/// (the last one of rows, dimension 1 of images); all other dimensions pass through it.
///
/// | W         | needs x                           | gives y     | needs dy   | gives dx    | gradient of W        |
/// |-----------|-----------------------------------|-------------|------------|-------------|----------------------|
/// | replicate | as it is, but for a cut of c or 0 | as x        | as y       | as x        | an addend, if y is cut |
/// | shard<0>  | replicate                         | shard<c>    | shard<c>   | partial     | its own rows         |
/// | shard<1>  | shard<c>                          | partial     | replicate  | shard<c>    | its own columns      |
///
/// What is partial is resolved before the epilogue: by all-reduce, or by reduce-scatter where the weight `leaves` its
/// results cut and they have positions. Gradients return to where the input lived: a partial dx by all-reduce or
/// reduce-scatter. The gradient of any parameter is complete on the ranks that hold it, but for one case: a replicated
/// parameter of a layer whose activations are cut has an addend on every rank (`gradient_is_addend`); nothing else is
/// ever summed along the tensor axis. (A replicated weight that is tied counts as such as soon as it is used twice: its
/// whole uses then enter the sum from rank 0.)
#pragma once

#include <algorithm>
#include <cstdint>

#include <pleat/base/config.hpp>
#include <pleat/tensor/axis_layout.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::nn {

/// Which dimensions of its input a layer mixes, that is: along which a cut would change its result. `static constexpr
/// mixing mixes` of a layer; without it: everything, so that a layer of one's own is right before it is fast. Samples
/// (dimension 0) are the data axis' business: no layer takes them cut along the tensor axis.
enum class mixing : std::uint8_t {
  everything,  ///< the input is gathered before the layer sees it
  nothing,     ///< elementwise
  rows,        ///< the last dimension only: norms of rows
  planes,      ///< all but samples and channels: pooling
  weights,     ///< as its weights say: it goes through nn::aligned and nn::apply
  children     ///< a composite that calls its children by nn::call and joins what they give by nn::align_with
};

/// True if a layer that mixes so may take its input as it lives.
PLEAT_LAZY [[nodiscard]] constexpr bool takes(mixing m, axis_placement const& where, int rank) noexcept {
  if (where.replicates()) return true;
  if (!where.shards() || where.dim == 0) return false;
  switch (m) {
    case mixing::nothing:
      return true;
    case mixing::rows:
      return where.dim + 1 < rank;
    case mixing::planes:
      return where.dim == 1;
    default:
      return false;
  }
}

/// Where a product needs its input. \param c the dimension that the weight's columns read, of extent `whole` over all
/// ranks
PLEAT_LAZY [[nodiscard]] constexpr axis_layout product_needs(axis_placement const& w, axis_layout const& x, int c,
                                                             index_t whole) noexcept {
  if (w.shards(1)) return {{spread::shard, static_cast<std::int8_t>(c), w.unit}, whole};
  if (w.shards(0) || !x.cut() || x.where.dim == c || x.where.dim == 0) return {};
  return x;
}

/// Where a grouped convolution cut by outputs needs its input: a rank has whole groups (the word's unit is whole groups
/// of outputs), and of the channels those that its groups read. Its dx lives there too, complete: groups share no
/// input.
/// \param outs, ins channels of a group \param c the channels' dimension, of extent `whole` over all ranks
[[nodiscard]] constexpr axis_layout groups_need(axis_placement const& w, index_t outs, index_t ins, int c,
                                                index_t whole) noexcept {
  return {{spread::shard, static_cast<std::int8_t>(c), std::max<index_t>(1, w.unit / outs) * ins}, whole};
}

/// Where a product's result lives; `partial` if every rank has an addend. \param x as product_needs says
struct product_result {
  axis_layout layout;
  bool partial = false;
};
PLEAT_LAZY [[nodiscard]] constexpr product_result product_gives(axis_placement const& w, axis_layout const& x, int c,
                                                                index_t whole) noexcept {
  if (w.shards(1)) return {{}, true};
  if (w.shards(0)) return {{{spread::shard, static_cast<std::int8_t>(c), w.unit}, whole}, false};
  return {x, false};
}

/// Where a product's complete result is brought because its weight `leaves` it cut: along positions, that is, a
/// dimension that is neither samples nor channels. A result without such a dimension stays whole.
[[nodiscard]] constexpr axis_layout product_leaves(axis_placement const& leaves, extents const& y, int c) noexcept {
  if (!leaves.shards() || leaves.dim == 0 || leaves.dim == c || leaves.dim >= y.rank()) return {};
  return {leaves, y[leaves.dim]};
}

/// Where its input gradient lives. \param x as product_needs says
[[nodiscard]] constexpr product_result product_input_gradient(axis_placement const& w, axis_layout const& x) noexcept {
  if (w.shards(0)) return {{}, true};
  return {x, false};
}

/// Where a layer's activations live: its input as the layer takes it, its output, and the output's gradient as the
/// weight half keeps it. What a layer with `mixing::weights` that is cut says of itself (`path`), so that its memory
/// can be described (nn/describe.hpp).
struct layer_path {
  axis_layout taken, gives, gradient;
  /// `taken` says how much of the input a rank has, in another choice of elements than the words can say: it always
  /// moves there
  bool chosen = false;
};

/// Of y = x·Wᵀ as nn::aligned, nn::apply and nn::aligned_gradient move it. \param leaves where the weight leaves its
/// results
/// \param x where the input lives \param c, columns the dimension of x that is read, and its extent over all ranks
/// \param y the output over all ranks, whose last dimension is written
PLEAT_LAZY [[nodiscard]] constexpr layer_path product_path(axis_placement const& w, axis_placement const& leaves,
                                                           axis_layout const& x, int c, index_t columns,
                                                           extents const& y) noexcept {
  int const d = y.rank() - 1;
  layer_path p;
  p.taken = product_needs(w, x, c, columns);
  auto const made = product_gives(w, p.taken, d, y[d]);
  auto const wish = product_leaves(leaves, y, d);
  p.gives = made.partial || (wish.cut() && !made.layout.cut()) ? wish : made.layout;
  p.gradient = product_gives(w, p.gives.cut() && p.gives.where.dim == d ? axis_layout{} : p.gives, d, y[d]).layout;
  return p;
}

/// True if every rank has an addend of a parameter's gradient. \param activations_cut whether the layer's dy is cut
[[nodiscard]] constexpr bool gradient_is_addend(axis_placement const& parameter, bool activations_cut) noexcept {
  return activations_cut && parameter.replicates();
}

}  // namespace pleat::nn
