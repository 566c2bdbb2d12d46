// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Walks over a model that are not passes: its description as data, its units, the same model with other leaves.
#pragma once

#include <pleat/nn/description.hpp>
#include <pleat/nn/layer.hpp>

namespace pleat::nn {

/// Appends the costs of `l` for an input of shape `in`. A layer gives `layer_cost cost(extents in) const` (a composite
/// `void describe(extents in, description&) const`); for one that gives neither, shapes and parameters are all that is known.
template <class L> void describe(L const& l, extents const& in, description& out) {
  if constexpr (requires { l.describe(in, out); }) {
    l.describe(in, out);
  } else {
    layer_cost c;
    if constexpr (requires { { l.cost(in) } -> std::convertible_to<layer_cost>; }) {
      c = l.cost(in);
    } else {
      c.name = name_of(l);
      c.kind = "user";
      c.in = in;
      c.out = l.shape(in);
      c.activation_bytes = c.out.size() * static_cast<index_t>(sizeof(value_type_of<L>));
    }
    for_each_parameter(l, [&](auto const& w) {
      if (!w.tied_to.empty()) return;
      c.parameters += w.size();
      c.parameter_bytes += w.bytes();
    });
    out.layers.push_back(std::move(c));
  }
}

/// The network as data for inputs of shape `in` (with the batch as extent 0).
template <class L> [[nodiscard]] description describe(L const& net, extents const& in) {
  description d;
  describe(net, in, d);
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
