// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Where a weight's products happen, for counting what they cost. Needs no Kokkos.
#pragma once

#include <pleat/tensor/extents.hpp>

namespace pleat::codec {

/// How often a weight is multiplied with while one sample passes: what the number of multiply-adds follows from.
struct product_places {
  /// products with the whole weight: 1; positions of a sequence; height · width of a convolution's output
  double outputs = 1;
  /// of a convolution whose kernels are pairs of h × 1 and 1 × w: pixels that the first of the pair makes, output's
  /// height · input's width
  double between = 1;
  index_t groups = 1;  ///< of a convolution
};

}  // namespace pleat::codec
