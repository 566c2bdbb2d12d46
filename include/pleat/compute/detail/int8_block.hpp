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

/// Rows of A as the tiles read them.
struct int8_operand {
  void const* data;  ///< quads: int8, pairs: int16
  index_t ld;        ///< elements
};

/// What int8_operand_of wants of memory, on a 64-byte border.
[[nodiscard]] constexpr index_t int8_operand_bytes(int8_layout layout, index_t rows, index_t k) noexcept {
  return layout == int8_layout::quads ? 0 : rows * (k + k % 2) * 2;
}
/// Quads are read in place; for pairs rows are widened, once for all blocks of columns.
PLEAT_LAZY [[nodiscard]] inline int8_operand int8_operand_of(int8_layout layout, std::int8_t const* a, index_t lda,
                                                             index_t rows, index_t k, void* memory) {
  if (layout == int8_layout::quads) return {a, lda};
  auto* const wide = static_cast<std::int16_t*>(memory);
  index_t const even = k + k % 2;
  for (index_t r = 0; r < rows; ++r) {
    widen_int8(a + r * lda, k, wide + r * even);
    if (even > k) wide[r * even + k] = 0;
  }
  return {wide, even};
}

/// sums[rows][64] for `rows` ≤ 48 rows of A, from `row` on, and `panels` ≤ 4 panels of B, over all of k. row_sums[r] =
/// Σ_k of row r (quads only). Six rows meet all panels while a slab of both is in the first cache.
PLEAT_LAZY inline void int8_block(int8_kernels const& kernels, int8_operand const& a, index_t row, index_t rows,
                                  index_t k, unsigned char const* b, index_t panel_stride, index_t panels,
                                  std::int32_t const* row_sums, std::int32_t* sums) {
  bool const quads = kernels.layout == int8_layout::quads;
  for (index_t r = 0; r < rows; ++r) {
    std::int32_t const start = quads ? static_cast<std::int32_t>(-128 * static_cast<std::int64_t>(row_sums[r])) : 0;
    for (index_t c = 0; c < sums_stride; ++c) sums[r * sums_stride + c] = start;
  }
  for (index_t k0 = 0; k0 < k; k0 += int8_slab) {
    index_t const slab_offset = int8_groups(kernels.layout, k0) * int8_group_bytes(kernels.layout);
    for (index_t r = 0; r < rows;) {
      int height = 0;
      while (int8_heights[height] > rows - r) ++height;
      int8_tile t;
      t.a = static_cast<char const*>(a.data) + ((row + r) * a.ld + k0) * (quads ? 1 : 2);
      t.lda = a.ld;
      t.k = std::min(int8_slab, k - k0);
      t.panel_stride = panel_stride;
      for (index_t p = 0; p < panels;) {
        int width = 0;
        while (int8_widths[width] > panels - p || kernels.tile[0][width] == nullptr) ++width;
        t.b = b + p * panel_stride + slab_offset;
        t.sums = sums + r * sums_stride + p * panel_width;
        kernels.tile[height][width](t);
        p += int8_widths[width];
      }
      r += int8_heights[height];
    }
  }
}

}  // namespace pleat::compute::detail
