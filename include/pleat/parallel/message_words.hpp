// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What a message between stages of a pipeline brings, in words: for errors.
#pragma once

#include <algorithm>
#include <string>

#include <pleat/nn/units.hpp>
#include <pleat/parallel/stages.hpp>
#include <pleat/plan/schedule.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::parallel {

/// The layer, or the block of layers, that a unit is: what the names of its parameters have in common. Empty where it
/// has none.
template <class Net> [[nodiscard]] std::string layer_of_unit(Net& net, index_t unit) {
  std::string first, common;
  nn::for_each_parameter_units(net, unit, unit + 1, [&](auto const& w) {
    if (first.empty()) first = common = w.name;
    auto const end = std::mismatch(common.begin(), common.end(), w.name.begin(), w.name.end()).first;
    common.erase(end, common.end());
  });
  if (auto const dot = common.rfind('.'); dot != std::string::npos) return common.substr(0, dot);
  return first.substr(0, first.rfind('.'));
}

/// Where a unit begins, by the layers with parameters around it: "between 'fc1' and 'fc2'".
template <class Net> [[nodiscard]] std::string place_before_unit(Net& net, index_t units, index_t unit) {
  std::string below, above;
  for (index_t u = unit; below.empty() && u-- > 0;) below = layer_of_unit(net, u);
  for (index_t u = unit; above.empty() && u < units; ++u) above = layer_of_unit(net, u);
  if (below.empty() && above.empty()) return "before unit " + std::to_string(unit);
  if (below.empty()) return "before '" + above + "'";
  return above.empty() ? "behind '" + below + "'" : "between '" + below + "' and '" + above + "'";
}

/// "the activation between 'fc1' and 'fc2' (micro-batch 3, [8, 10], stage 0 to stage 1)"
/// \param a that sends or receives it \param shape of what travels
template <class Net>
[[nodiscard]] std::string words_of_message(Net& net, stages const& layout, plan::action const& a,
                                           extents const& shape) {
  bool const gradient = a.kind == plan::action_kind::send_gradient || a.kind == plan::action_kind::receive_gradient,
             leaves = plan::sends(a.kind);
  return std::string(gradient ? "the gradient " : "the activation ") +
         place_before_unit(net, layout.units(), layout.begin(std::max(a.stage, a.peer))) + " (micro-batch " +
         std::to_string(a.micro_batch) + ", " + shape.to_string() + ", stage " +
         std::to_string(leaves ? a.stage : a.peer) + " to stage " + std::to_string(leaves ? a.peer : a.stage) + ")";
}

}  // namespace pleat::parallel
