// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// How int8 tiles cover a block of the result: 48 × 64 sums on the stack, k in slabs that stay in the first cache.
#pragma once

#include <algorithm>
#include <cstdint>

#include <pleat/base/config.hpp>
#include <pleat/compute/detail/int8_tile.hpp>

namespace pleat::compute::detail {

inline constexpr index_t int8_block_rows = 48;
inline constexpr index_t int8_slab = 256;  // multiple of 4

/// sums[rows][64] for `rows` ≤ 48 rows of A and `panels` ≤ 4 panels of B, over all of k. row_sums[r] = Σ_k a[r, k]
/// (quads only).
PLEAT_LAZY inline void int8_block(int8_kernels const& kernels, std::int8_t const* a, index_t lda, index_t rows,
                                  index_t k, unsigned char const* b, index_t panel_stride, index_t panels,
                                  std::int32_t const* row_sums, std::int32_t* sums) {
  bool const quads = kernels.layout == int8_layout::quads;
  for (index_t r = 0; r < rows; ++r) {
    std::int32_t const start = quads ? static_cast<std::int32_t>(-128 * static_cast<std::int64_t>(row_sums[r])) : 0;
    for (index_t c = 0; c < sums_stride; ++c) sums[r * sums_stride + c] = start;
  }
  alignas(64) std::int16_t wide[int8_block_rows * int8_slab];
  for (index_t k0 = 0; k0 < k; k0 += int8_slab) {
    index_t const depth = std::min(int8_slab, k - k0);
    if (!quads)
      for (index_t r = 0; r < rows; ++r) {
        widen_int8(a + r * lda + k0, depth, wide + r * int8_slab);
        if (depth % 2 != 0) wide[r * int8_slab + depth] = 0;  // slab is even, so there is room
      }
    index_t const slab_offset = int8_groups(kernels.layout, k0) * int8_group_bytes(kernels.layout);
    for (index_t p = 0; p < panels;) {
      int width = 0;
      while (int8_widths[width] > panels - p || kernels.tile[0][width] == nullptr) ++width;
      for (index_t r = 0; r < rows;) {
        int height = 0;
        while (int8_heights[height] > rows - r) ++height;
        int8_tile t;
        t.a = quads ? static_cast<void const*>(a + r * lda + k0) : static_cast<void const*>(wide + r * int8_slab);
        t.lda = quads ? lda : int8_slab;
        t.k = depth;
        t.b = b + p * panel_stride + slab_offset;
        t.panel_stride = panel_stride;
        t.sums = sums + r * sums_stride + p * panel_width;
        kernels.tile[height][width](t);
        r += int8_heights[height];
      }
      p += int8_widths[width];
    }
  }
}

}  // namespace pleat::compute::detail
