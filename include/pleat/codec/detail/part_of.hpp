// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Walking over a part of a weight, element by element. Needs no Kokkos.
#pragma once

#include <pleat/tensor/index_set.hpp>

namespace pleat::codec::detail {

/// f(position in the whole) for every element of the box, row-major.
template <class F> void for_each_of_part(extents const& whole, index_box const& part, F&& f) {
  index_t const n = part.size();
  extents const shape = part.shape();
  for (index_t k = 0; k < n; ++k) {
    index_t rest = k, at = 0, stride = 1;
    for (int d = whole.rank(); d-- > 0;) {
      at += (part[d].begin + rest % shape[d]) * stride;
      rest /= shape[d];
      stride *= whole[d];
    }
    f(at);
  }
}

}  // namespace pleat::codec::detail
