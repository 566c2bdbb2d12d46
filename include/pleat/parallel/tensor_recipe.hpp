// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Where the parts of a network's weights live along the tensor axis: words by pattern of name, or a recipe for a whole
/// transformer.
///
/// A recipe only sets words; `build` cuts the weights when it knows the mesh, so the same program runs with mesh.tensor
/// = 1, 2, 3, ….
#pragma once

#include <algorithm>
#include <initializer_list>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/nn/any_weight.hpp>
#include <pleat/nn/layer.hpp>
#include <pleat/nn/trainable.hpp>

namespace pleat::parallel {

/// Words for the parameters whose names fit a pattern ('*' any characters, '?' one): one word for matrices, one for
/// vectors.
struct placement_rule {
  std::string pattern;
  axis_placement matrices{}, vectors{};
  axis_placement leaves{};  ///< where the matrices' results are brought; replicate: no wish
};

/// Outputs are shared out: every rank has some rows of a weight [out, in, …] and those elements of the bias. Its
/// results are cut along their channels, no communication forward. Of a convolution with groups whole groups are shared
/// out, inputs with them: no communication backward either. \param unit neighbouring outputs that stay together
PLEAT_LAZY [[nodiscard]] inline placement_rule column(std::string pattern, index_t unit = 1) {
  return {std::move(pattern), shard{0, unit}, shard{0, unit}, {}};
}
/// Inputs are shared out: every rank has some columns of a weight (of a convolution with groups: some inputs of every
/// group), the bias is replicated. Results are sums over the ranks.
PLEAT_LAZY [[nodiscard]] inline placement_rule row(std::string pattern, index_t unit = 1) {
  return {std::move(pattern), shard{1, unit}, {}, {}};
}
/// The same, but the sum is cut along the positions of sequences [m, positions, in]: a reduce-scatter instead of an
/// all-reduce, and what follows (norms, dropout, sums) works on a part of the positions until the next column-parallel
/// weight gathers them. Rows and images have no positions: their sums stay whole, which is said once.
PLEAT_LAZY [[nodiscard]] inline placement_rule row_by_sequence(std::string pattern, index_t unit = 1) {
  return {std::move(pattern), shard{1, unit}, {}, shard{1}};
}
/// A table by the rows of its vocabulary; also of the output layer that shares it.
PLEAT_LAZY [[nodiscard]] inline placement_rule vocabulary(std::string pattern) {
  return {std::move(pattern), shard{0}, {}, {}};
}
/// A placement that is known at compile time, checked there: `placed_as<shard<0>>("*.weight")`.
template <class Word> [[nodiscard]] placement_rule placed_as(std::string pattern) {
  constexpr axis_placement word = Word{};
  static_assert(!word.partial(),
                "pleat: a parameter cannot be placed as partial<sum>: no operation accepts a weight that is a sum over "
                "ranks; say replicate, shard<0> or shard<1>");
  static_assert(!word.shards() || word.dim <= 1,
                "pleat: no operation accepts a weight that is cut along dimension 2 or higher: products read dimension "
                "1 (inputs) and write dimension 0 (outputs)");
  return {std::move(pattern), word, word.shards(0) ? word : axis_placement{}, {}};
}

namespace detail {

/// Two placements that an operation does not accept together.
PLEAT_LAZY [[noreturn, gnu::cold]] inline void refuse_placements(std::string const& operation, std::string const& a,
                                                                 std::string const& b, std::string remedy) {
  throw error{"parallel::tensor_parallel", operation + " does not accept " + a + " with " + b, std::move(remedy)};
}
[[nodiscard]] inline std::string say(nn::parameter const& w) {
  return "'" + w.name + "' placed as " + w.where.to_string();
}

/// A grouped convolution is cut by outputs between groups: without a unit of one's own, one group is the unit.
/// \throws error for a cut that makes no sense, with the nearest that does
template <class L> void keep_groups_whole(L& l, std::string const& operation) {
  index_t const groups = l.options().groups, outs = l.outputs() / groups, ins = l.inputs() / groups;
  if (groups == 1) return;
  auto const of = std::to_string(groups) + " groups of ";
  l.for_each_parameter([&](nn::parameter& w) {
    if (w.where.shards(0)) {
      if (w.where.unit == 1) w.where.unit = outs;
      if (w.where.unit % outs != 0) {
        auto const nearest = std::to_string(std::max<index_t>(1, (w.where.unit + outs / 2) / outs) * outs);
        refuse_placements(
            "'" + operation + "'", say(w), of + std::to_string(outs) + " outputs",
            "A group stays whole: parallel::column(pattern) cuts between groups, parallel::column(pattern, " + nearest +
                ") is the nearest unit");
      }
    } else if (w.where.shards(1) && ins == 1) {
      refuse_placements("'" + operation + "'", say(w), of + "1 input",
                        "There is nothing to cut inside a group: parallel::column(pattern) shares the groups out, "
                        "inputs and outputs");
    }
  });
}

template <class L> void check_leaf(L& l) {
  nn::parameter* cut = nullptr;
  l.for_each_parameter([&](nn::parameter& w) {
    if (!cut && w.where.shards()) cut = &w;
  });
  if (!cut) return;
  std::string const operation = std::string(requires { std::string(L::kind); } ? "nn::" : "") + nn::name_of(l);
  if constexpr (nn::mixing_of<L>() != nn::mixing::weights) {
    refuse_placements("the layer '" + operation + "'", say(*cut), "an input placed as replicate",
                      "Leave its parameters replicated, or let it declare mixing::weights and go through nn::aligned, "
                      "nn::apply and nn::apply_transposed");
  } else {
    if constexpr (requires {
                    l.options().groups;
                    l.inputs();
                    l.outputs();
                  })
      keep_groups_whole(l, operation);
    // the first matrix leads: what its results or inputs are cut along, its companions must be cut along too
    nn::parameter* lead = nullptr;
    l.for_each_parameter([&](nn::parameter& w) {
      if (!lead) {
        lead = &w;
        if (w.where.shards() && w.where.dim > 1)
          refuse_placements("'" + operation + "'", say(w), "any input",
                            "A weight is cut along dimension 0 (outputs) or 1 (inputs)");
        return;
      }
      // an embedding's positions go with the columns of its table, a bias with the rows
      bool const table = w.whole().rank() > 1;
      axis_placement expected{};
      if (table && lead->where.shards(1)) expected = lead->where;
      if (!table && lead->where.shards(0)) expected = lead->where;
      if (!(w.where == expected))
        refuse_placements("'" + operation + "'", say(*lead), say(w),
                          "Place '" + w.name + "' as " + expected.to_string());
    });
  }
}

/// \param open false below a composite that does not pass placements on
template <class L> void check_placements(L& l, bool open) {
  if constexpr (nn::composite<L>) {
    bool const passes = open && nn::mixing_of<L>() == nn::mixing::children;
    l.for_each_child([&](auto& child) { check_placements(child, passes); });
  } else {
    if (!open)
      l.for_each_parameter([&](nn::parameter& w) {
        if (w.where.shards())
          refuse_placements("the composite around '" + nn::name_of(l) + "'", say(w), "results placed as replicate",
                            "Leave it replicated: this composite joins its children's whole results");
      });
    check_leaf(l);
  }
}

}  // namespace detail

/// The network with its parameters' words set. Later rules overrule earlier ones.
/// \throws error if a pattern fits no name, or an operation does not accept what it would get: both placements and the
/// operation
template <class Net> [[nodiscard]] Net tensor_parallel(Net net, std::vector<placement_rule> const& rules) {
  for (auto const& r : rules) {
    bool any = false;
    net.for_each_parameter([&](nn::parameter& w) {
      if (!nn::matches(r.pattern, w.name)) return;
      any = true;
      w.where = w.shape.rank() > 1 ? r.matrices : r.vectors;
      w.leaves = w.shape.rank() > 1 ? r.leaves : axis_placement{};
    });
    if (!any)
      throw error{"parallel::tensor_parallel", "no parameter's name fits '" + r.pattern + "'",
                  "Compare it with the names that nn::describe prints"};
  }
  detail::check_placements(net, true);
  return net;
}

/// Which parts of a transformer block are cut beside its products (Shoeybi et al., 2019; Korthikanti et al., 2022).
struct megatron_options {
  bool sequence = false;   ///< norms and dropout by position: reduce-scatter and all-gather instead of all-reduce
  bool vocabulary = true;  ///< embedding and output layer by vocabulary; the cross entropy then works on cut scores
};

namespace detail {
/// What the recipe for transformers sees of a leaf.
struct seen_leaf {
  enum class what { linear, attention, between, embedding, other } kind = what::other;
  nn::parameter *weight = nullptr, *bias = nullptr;
  index_t group_width = 1, heads_width = 1;  ///< of attention
};
template <class L> void see_leaves(L& l, std::vector<seen_leaf>& out) {
  if constexpr (nn::composite<L>) {
    l.for_each_child([&](auto& child) { see_leaves(child, out); });
  } else {
    seen_leaf s;
    std::string_view kind;
    if constexpr (requires { std::string_view(L::kind); }) kind = L::kind;
    if (kind == "linear") s.kind = seen_leaf::what::linear;
    else if (kind == "embedding") s.kind = seen_leaf::what::embedding;
    else if (nn::mixing_of<L>() == nn::mixing::nothing) s.kind = seen_leaf::what::between;
    if constexpr (requires {
                    l.group_width();
                    l.group_heads();
                    l.head_size();
                  }) {
      s.kind = seen_leaf::what::attention;
      s.group_width = l.group_width();
      s.heads_width = l.group_heads() * l.head_size();
    }
    l.for_each_parameter([&](nn::parameter& w) {
      if (!s.weight) s.weight = &w;
      else if (!s.bias && w.shape.rank() == 1) s.bias = &w;
    });
    out.push_back(s);
  }
}
}  // namespace detail

/// The placements of Shoeybi et al. (arXiv:1909.08053) and, with `sequence`, of Korthikanti et al. (arXiv:2205.05198),
/// found by structure, not by name: of two linear layers with an attention between them the first is cut by heads
/// (outputs) and the second by heads (inputs); of two with elementwise layers or nothing between them the first by
/// outputs and the second by inputs; embeddings and the last layer by vocabulary. Any other layer stays replicated.
/// \throws error if nothing in the network fits, or as tensor_parallel does
template <class Net> [[nodiscard]] Net megatron(Net net, megatron_options const& o = {}) {
  using what = detail::seen_leaf::what;
  std::vector<detail::seen_leaf> leaves;
  detail::see_leaves(net, leaves);
  bool any = false;
  std::size_t i = 0;
  while (i < leaves.size()) {
    auto& l = leaves[i];
    if (l.kind == what::embedding && o.vocabulary) {
      l.weight->where = shard{0};
      any = true;
    }
    if (l.kind == what::embedding && o.sequence) l.weight->leaves = shard{1};
    if (l.kind != what::linear) {
      ++i;
      continue;
    }
    std::size_t j = i + 1;
    index_t out_unit = 1, in_unit = 1;
    while (j < leaves.size() && (leaves[j].kind == what::between || leaves[j].kind == what::attention)) {
      if (leaves[j].kind == what::attention) out_unit = leaves[j].group_width, in_unit = leaves[j].heads_width;
      ++j;
    }
    if (j == leaves.size() || leaves[j].kind != what::linear) {
      if (j == leaves.size() && o.vocabulary) {
        l.weight->where = shard{0};
        if (l.bias) l.bias->where = shard{0};
        any = true;
      }
      i = j;
      continue;
    }
    l.weight->where = shard{0, out_unit};
    if (l.bias) l.bias->where = shard{0, out_unit};
    leaves[j].weight->where = shard{1, in_unit};
    if (o.sequence) leaves[j].weight->leaves = shard{1};
    any = true;
    i = j + 1;
  }
  if (!any)
    throw error{"parallel::megatron",
                "there is nothing in this network that it could cut: no two linear layers in a row, no embedding",
                "Name the placements: parallel::tensor_parallel(net, {column(…), row(…)})"};
  detail::check_placements(net, true);
  return net;
}

namespace detail {
/// Borders of an encoded weight lie between its blocks: the word's unit grows to what the form allows, on all ranks
/// alike. Of a weight that is cut already the part's shape follows; its numbers are for the caller to bring.
/// \param stored suffixes of what a file holds of it, if they come from one
template <class T, class Space>
void keep_blocks_whole(nn::any_weight<T, Space>& w, std::span<std::string const> stored = {}) {
  if (w.where.shards() && w.where.dim < 2 && w.where.dim < w.shape.rank()) {
    auto const unit = w.granularity(stored);
    w.where.unit = std::lcm(
        w.where.unit, w.where.dim == 0 ? unit.rows : unit.columns / std::gcd(unit.columns, w.whole().size_from(2)));
  }
  if (w.parts > 1) w.shape = w.box().shape();
}
}  // namespace detail

/// Makes every parameter that of this rank: what `build` does with a network's words. Forms that keep their numbers
/// themselves are sliced; those of blocks only between blocks, so that parts may be uneven, or empty.
/// \throws error for a weight whose form has no `slice`
template <class Net, class Context> void cut_parameters(Context& where, Net& net, int part, int parts) {
  if (parts <= 1) return;
  net.for_each_parameter([&](auto& w) {
    if (w.parts > 1) return;
    detail::keep_blocks_whole(w);
    w.cut(part, parts);
    if (w.where.shards()) w.slice(where);
  });
}

/// A hash of all words, so that ranks can compare them.
template <class Net> [[nodiscard]] std::uint64_t placements_hash(Net const& net) {
  std::string all;
  nn::for_each_parameter(net, [&](nn::parameter const& w) {
    if (w.where.shards() || w.leaves.shards())
      all += w.name + " " + w.where.to_string() + " " + w.leaves.to_string() + "\n";
  });
  return all.empty() ? 0 : random::hash(all);
}

}  // namespace pleat::parallel
