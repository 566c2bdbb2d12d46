// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Register tiles of the int8 product and the two layouts of its packed operand.
///
/// The packed operand B is cut into panels of 16 rows of B (16 columns of the result). A panel holds, for each group of
/// G consecutive k, 16 × G values of one row after the other:
///   pairs (G = 2): int8, widened while loaded, for multiply-add of 16-bit pairs (AVX2, AVX-512BW, and the plain loop);
///   quads (G = 4): uint8 = value + 128, for AVX512-VNNI, whose product wants one unsigned side. What is too much,
///   128·Σ_k a[m, k], is taken off each row at the start.
/// All are exact: no step saturates, and int32 may wrap on the way only if it wraps back.
#pragma once

#include <cstdint>
#include <cstring>

#include <pleat/base/config.hpp>
#include <pleat/base/isa.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::compute::detail {

enum class int8_layout : char { plain, pairs, quads };

/// The layout that this machine's host kernels read.
PLEAT_LAZY [[nodiscard]] inline int8_layout int8_host_layout() noexcept {
  return isa::has_vnni() ? int8_layout::quads : int8_layout::pairs;
}

inline constexpr index_t panel_width = 16;

/// Groups of k in a panel.
[[nodiscard]] constexpr index_t int8_groups(int8_layout l, index_t k) noexcept {
  return l == int8_layout::quads ? (k + 3) / 4 : (k + 1) / 2;
}
[[nodiscard]] constexpr index_t int8_group_bytes(int8_layout l) noexcept {
  return panel_width * (l == int8_layout::quads ? 4 : 2);
}
[[nodiscard]] constexpr index_t int8_panel_bytes(int8_layout l, index_t k) noexcept {
  return int8_groups(l, k) * int8_group_bytes(l);
}

/// Stores 16 rows (or `rows` < 16, the rest zero) of B as a panel.
PLEAT_INLINE void pack_int8_panel(int8_layout layout, std::int8_t const* b, index_t ldb, index_t rows, index_t k,
                                  unsigned char* to) {
  for (index_t c = 0; c < panel_width; ++c) {
    std::int8_t const* const row = b + c * ldb;
    if (layout == int8_layout::quads) {
      std::uint8_t* const out = to + c * 4;
      index_t const whole = c < rows ? k / 4 : 0, groups = (k + 3) / 4;
      for (index_t g = 0; g < whole; ++g) {
        std::uint32_t four;
        std::memcpy(&four, row + 4 * g, 4);
        four ^= 0x80808080u;
        std::memcpy(out + g * 64, &four, 4);
      }
      for (index_t g = whole; g < groups; ++g)
        for (index_t j = 0; j < 4; ++j)
          out[g * 64 + j] = c < rows && 4 * g + j < k
                                ? static_cast<std::uint8_t>(static_cast<std::uint8_t>(row[4 * g + j]) ^ 0x80u)
                                : std::uint8_t{0x80};
    } else {
      auto* const out = reinterpret_cast<std::int8_t*>(to) + c * 2;
      index_t const whole = c < rows ? k / 2 : 0, groups = (k + 1) / 2;
      for (index_t g = 0; g < whole; ++g) std::memcpy(out + g * 32, row + 2 * g, 2);
      for (index_t g = whole; g < groups; ++g) {
        out[g * 32] = c < rows && 2 * g < k ? row[2 * g] : std::int8_t{0};
        out[g * 32 + 1] = std::int8_t{0};
      }
    }
  }
}

/// What a tile works on. `sums` holds rows × 64 results in the making.
struct int8_tile {
  void const* a;  ///< quads: int8 rows in place; pairs: int16 rows, padded with zero to an even count
  index_t lda;    ///< elements between rows of a
  index_t k;      ///< of this block
  unsigned char const* b;
  index_t panel_stride;  ///< bytes between neighbouring panels
  std::int32_t* sums;
};
inline constexpr index_t sums_stride = 64;

using int8_tile_function = void (*)(int8_tile const&);

/// The tiles of one instruction set (templates: who multiplies no int8 compiles none): heights 6, 4, 2, 1 and widths of
/// 4, 2, 1 panels (null: not offered).
struct int8_kernels {
  int8_layout layout;
  int8_tile_function tile[4][3];
};
inline constexpr int int8_heights[4] = {6, 4, 2, 1};
inline constexpr int int8_widths[3] = {4, 2, 1};

/// The tiles of this machine.
PLEAT_LAZY [[nodiscard]] int8_kernels const& int8_best_kernels() noexcept;

/// The sum of k codes.
PLEAT_LAZY [[nodiscard]] std::int32_t int8_sum(std::int8_t const* a, index_t k);

/// to[0 … k) = from, widened.
PLEAT_LAZY void widen_int8(std::int8_t const* from, index_t k, std::int16_t* to);

}  // namespace pleat::compute::detail

#if defined(PLEAT_HAS_VECTORS)
#include <pleat/compute/detail/int8_vectors.hpp>
#endif
