// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// How large the language model is. Needs no Kokkos.
#pragma once

#include <cstdlib>
#include <string>

#include <pleat/base/error.hpp>
#include <pleat/tensor/extents.hpp>

namespace gpt {

namespace pl = pleat;

struct sizes {
  pl::index_t vocabulary = 65;
  pl::index_t context = 256;  ///< longest sequence
  pl::index_t layers = 6;
  pl::index_t width = 384;
  pl::index_t heads = 6;
  pl::index_t key_value_heads = 0;  ///< 0: as many as heads

  friend bool operator==(sizes const&, sizes const&) = default;
};

/// The divisor of n that is nearest to `wish`.
inline pl::index_t nearest_divisor(pl::index_t n, pl::index_t wish) {
  pl::index_t best = 1;
  for (pl::index_t d = 1; d <= n; ++d)
    if (n % d == 0 && std::abs(d - wish) < std::abs(best - wish)) best = d;
  return best;
}

/// Says what does not fit before any layer does.
inline void check(sizes const& s) {
  if (s.layers < 1 || s.heads < 1 || s.width < 1 || s.width % s.heads != 0)
    throw pl::error{"gpt",
                    "a width of " + std::to_string(s.width) + " cannot be cut into " + std::to_string(s.heads) +
                        " heads in " + std::to_string(s.layers) + " layers",
                    "The nearest width is " +
                        std::to_string((s.width + s.heads / 2) / (s.heads > 0 ? s.heads : 1) * s.heads) +
                        ", the nearest number of heads " + std::to_string(nearest_divisor(s.width, s.heads))};
}

}  // namespace gpt
