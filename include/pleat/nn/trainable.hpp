// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What learns: patterns of names, freezing, and the check that every weight could.
#pragma once

#include <string>
#include <string_view>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/nn/layer.hpp>

namespace pleat::nn {

/// True if `name` fits `pattern`, in which '*' stands for any characters (none too, dots too) and '?' for one.
PLEAT_LAZY [[nodiscard]] constexpr bool matches(std::string_view pattern, std::string_view name) noexcept {
  std::size_t p = 0, n = 0, star = std::string_view::npos, mark = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      mark = n;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == name[n])) {
      ++p, ++n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++mark;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

/// Freezes (or, with `learns`, thaws) every parameter whose name fits the pattern; gradients still flow through frozen
/// ones. To be called before the model is built, or followed by arena.attach(net). \throws error if no name fits
template <class Net> void freeze(Net& net, std::string_view pattern, bool learns = false) {
  bool any = false;
  net.for_each_parameter([&](parameter& w) {
    if (!matches(pattern, w.name)) return;
    w.requires_grad = learns;
    w.held_by_form = false;
    any = true;
  });
  if (!any)
    throw error{"nn::freeze", "no parameter's name fits '" + std::string(pattern) + "'",
                "Use a name of the network or a pattern: 'fc1.*' fits the parameters of the layer fc1"};
}

/// \throws error naming the first weight that is not frozen and whose form in use cannot be trained
template <class Net> void demand_every_weight_trainable(Net const& net) {
  for_each_parameter(net, [&](auto const& w) {
    if constexpr (requires { w.trainable(); }) {
      if (w.requires_grad && !w.trainable())
        throw error{
            "run::fit",
            "the weight '" + w.name + "' is stored as '" + std::string(w.form_name()) + "', which cannot be trained",
            "Freeze it (nn::freeze(net, \"" + w.name + "\")) or bring it back to a form that can, e.g. 'dense'"};
    }
  });
}

}  // namespace pleat::nn
