// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Passes over a range of units: what a pipeline stage runs. Units are numbered in forward order; a range is half open
/// and may reach beyond the ends, where there is nothing.
///
/// A composite with more than one unit has
///
///     tensor forward_units(pass, begin, end, x, saved&) const;      // fills the parts of `saved` that the range needs
///     tensor backward_units(pass, begin, end, saved&, dy);
///     tensor backward_input_units(pass, begin, end, saved&, dy);
///     void   backward_weight_units(pass, begin, end, saved&);
///     extents shape_units(in, begin, end) const;
///     void   for_each_parameter_units(begin, end, f);
#pragma once

#include <utility>

#include <pleat/nn/describe.hpp>
#include <pleat/nn/layer.hpp>

namespace pleat::nn {

/// True for composites whose units can be run apart.
template <class L>
concept has_units = requires(L const& l, extents e, index_t u) {
  { l.shape_units(e, u, u) } -> std::same_as<extents>;
};

/// True if something in `l` learns: a parameter that is not frozen, or a statistic. Below the first such layer nobody
/// needs dx.
template <class L> [[nodiscard]] bool learns(L const& l) {
  bool any = false;
  for_each_parameter(l, [&](parameter const& w) { any = any || w.requires_grad; });
  return any;
}

template <class L> [[nodiscard]] extents shape_units(L const& l, extents const& in, index_t begin, index_t end) {
  if constexpr (has_units<L>) return l.shape_units(in, begin, end);
  else return begin <= 0 && end > 0 ? l.shape(in) : in;
}

template <class L, class Space, class T, class S>
[[nodiscard]] tensor<T, Space> forward_units(pass<Space> const& p, L const& l, index_t begin, index_t end,
                                             tensor<T, Space> x, S& s) {
  if constexpr (has_units<L>) {
    return l.forward_units(p, begin, end, std::move(x), s);
  } else {
    if (begin > 0 || end <= 0) return x;
    auto out = call(p, l, std::move(x));
    s = std::move(out.saved);
    return std::move(out.y);
  }
}

template <class L, class Space, class S, class T>
[[nodiscard]] tensor<T, Space> backward_units(pass<Space> const& p, L& l, index_t begin, index_t end, S& s,
                                              tensor<T, Space> dy) {
  if constexpr (has_units<L>) return l.backward_units(p, begin, end, s, std::move(dy));
  else return begin <= 0 && end > 0 ? call_backward(p, l, s, std::move(dy)) : dy;
}

template <class L, class Space, class S, class T>
[[nodiscard]] tensor<T, Space> backward_input_units(pass<Space> const& p, L& l, index_t begin, index_t end, S& s,
                                                    tensor<T, Space> dy) {
  if constexpr (has_units<L>) return l.backward_input_units(p, begin, end, s, std::move(dy));
  else return begin <= 0 && end > 0 ? call_backward_input(p, l, s, std::move(dy)) : dy;
}

template <class L, class Space, class S>
void backward_weight_units(pass<Space> const& p, L& l, index_t begin, index_t end, S& s) {
  if constexpr (has_units<L>) l.backward_weight_units(p, begin, end, s);
  else if (begin <= 0 && end > 0) call_backward_weight(p, l, s);
}

/// Visits the parameters of a range of units: what a stage holds.
template <class L, class F> void for_each_parameter_units(L& l, index_t begin, index_t end, F&& f) {
  if constexpr (has_units<L>) l.for_each_parameter_units(begin, end, f);
  else if (begin <= 0 && end > 0) l.for_each_parameter(f);
}

/// True if something in a range of units learns.
template <class L> [[nodiscard]] bool learns_units(L const& l, index_t begin, index_t end) {
  bool any = false;
  // only read
  for_each_parameter_units(const_cast<L&>(l), begin, end, [&](parameter const& w) { any = any || w.requires_grad; });
  return any;
}

}  // namespace pleat::nn
