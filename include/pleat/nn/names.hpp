// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Paths: how the parts of a repeated block are told apart.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include <pleat/nn/layer.hpp>

namespace pleat::nn {

namespace detail {
/// The layers' own names (error messages, random numbers); a leaf with one has `void prefix_name(std::string_view)`.
template <class L> void prefix_layer_names(L& l, std::string_view prefix) {
  if constexpr (composite<L>) l.for_each_child([&](auto& child) { prefix_layer_names(child, prefix); });
  if constexpr (requires { l.prefix_name(prefix); }) l.prefix_name(prefix);
}
}  // namespace detail

/// Puts `prefix` before the name of every parameter and layer in `l`. A tie to a parameter inside of `l` stays inside.
template <class L> void prefix_names(L& l, std::string_view prefix) {
  std::vector<std::string> inside;
  l.for_each_parameter([&](parameter& w) { inside.push_back(w.name); });
  l.for_each_parameter([&](parameter& w) {
    w.name.insert(0, prefix);
    if (std::find(inside.begin(), inside.end(), w.tied_to) != inside.end()) w.tied_to.insert(0, prefix);
  });
  detail::prefix_layer_names(l, prefix);
}

}  // namespace pleat::nn
