// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A network as plain data: what each layer computes, holds and moves. The planner reads nothing else. Needs no Kokkos.
#pragma once

#include <string>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::nn {

/// Costs of one layer for the batch in `in[0]`. A multiply-add counts as two floating-point operations.
struct layer_cost {
  std::string name;  ///< the layer's own, or its kind
  std::string kind;  ///< "linear", "conv2d", …
  extents in, out;
  index_t parameters = 0;       ///< elements (filled by nn::describe)
  index_t parameter_bytes = 0;  ///< in the forms in use (filled by nn::describe)
  double forward_flops = 0;
  double backward_input_flops = 0;
  double backward_weight_flops = 0;
  /// memory that forward takes from the pool and that stays until backward (filled by nn::describe)
  index_t activation_bytes = 0;
  /// memory that stays between the two halves of backward: input, statistics, gradient (filled by nn::describe)
  index_t between_bytes = 0;

  // What the layer does with memory when it trains; nn::describe follows the blocks and fills activation_bytes from
  // these.
  bool keeps_input = true;    ///< `saved` holds the input
  bool keeps_output = false;  ///< `saved` holds the output
  bool in_place = false;      ///< writes over its input where nobody else holds it
  bool view = false;          ///< the output is the input under another shape
  bool split = false;         ///< its backward has two halves (filled by nn::describe)
  index_t saved_bytes = 0;    ///< blocks of its own that `saved` holds: indices, statistics
};

/// A whole network, in forward order.
struct description {
  std::vector<layer_cost> layers;

  PLEAT_LAZY [[nodiscard]] index_t parameters() const noexcept { return total(&layer_cost::parameters); }
  PLEAT_LAZY [[nodiscard]] index_t parameter_bytes() const noexcept { return total(&layer_cost::parameter_bytes); }
  PLEAT_LAZY [[nodiscard]] index_t activation_bytes() const noexcept { return total(&layer_cost::activation_bytes); }
  PLEAT_LAZY [[nodiscard]] index_t between_bytes() const noexcept { return total(&layer_cost::between_bytes); }
  PLEAT_LAZY [[nodiscard]] double forward_flops() const noexcept { return total(&layer_cost::forward_flops); }
  /// Forward and both halves of backward; input gradients of the first layer with parameters, and of what comes before
  /// it, are not needed and not counted.
  PLEAT_LAZY [[nodiscard]] double training_flops() const noexcept {
    double f = 0;
    bool first = true;
    for (auto const& l : layers) {
      f += l.forward_flops + l.backward_weight_flops + (first ? 0 : l.backward_input_flops);
      if (l.parameters > 0 || l.backward_weight_flops > 0) first = false;
    }
    return f;
  }

 private:
  template <class M> [[nodiscard]] M total(M layer_cost::*member) const noexcept {
    M sum{};
    for (auto const& l : layers) sum += l.*member;
    return sum;
  }
};

}  // namespace pleat::nn
