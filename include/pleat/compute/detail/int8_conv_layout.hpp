// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// How the int8 convolution's tiles want an image: which bytes lie side by side. Needs no Kokkos.
#pragma once

#include <pleat/base/config.hpp>
#include <pleat/base/isa.hpp>
#include <pleat/compute/detail/conv_shape.hpp>

namespace pleat::compute::detail {

/// Whether this machine has the tiles of int8_conv_tile.hpp; others convolve by int8_block.
PLEAT_LAZY [[nodiscard]] inline bool has_int8_conv_tiles() noexcept {
#if defined(__x86_64__)
  return isa::has_vnni() || isa::best() == isa::level::avx2;
#else
  return false;
#endif
}

/// Products are grouped by `depth`, and a pixel of the image holds in 4 bytes what a group multiplies: `depth` channels
/// at one place, or, where there are few channels, `depth` neighbours in the kernel's row; int8 for VNNI, widened to 16
/// bits for AVX2. The sums are exact, so their order changes no bit.
struct int8_conv_layout {
  static constexpr index_t pixel = 4;  ///< bytes
  bool suits = false, by_channels = false;
  int depth = 0;
  index_t planes = 0, steps = 0, row = 0, plane = 0;  ///< of the image; groups in a kernel row; bytes
  index_t groups = 0;

  PLEAT_LAZY explicit int8_conv_layout(conv2d_shape const& s) : depth(isa::has_vnni() ? 4 : 2) {
    index_t const channel_groups = (s.in_channels + depth - 1) / depth, row_groups = (s.kernel_w + depth - 1) / depth;
    by_channels = 4 * depth * channel_groups <= 5 * s.in_channels;  // at most a quarter of the products in vain
    bool const by_rows = 5 * depth * row_groups <= 8 * s.kernel_w;  // at most 3 of 5
    // The weights are put into that order each time: not for a few pixels.
    index_t const blocks = s.batch * ((s.out_height() * s.out_width() + 63) / 64);
    suits = has_int8_conv_tiles() && s.groups == 1 && blocks >= 8 && (by_channels || by_rows);
    planes = by_channels ? channel_groups : s.in_channels;
    steps = by_channels ? s.kernel_w : row_groups;
    groups = planes * s.kernel_h * steps;
    row = padded_width(s) * pixel;
    plane = row * (s.height + 2 * s.padding_h);
  }
  /// With room for what is copied too much.
  [[nodiscard]] static index_t padded_width(conv2d_shape const& s) {
    return (s.width + 2 * s.padding_w + 15) / 16 * 16 + 16;
  }
  /// Bytes of an image as it lies, its rows padded, and room for what is read too much.
  [[nodiscard]] index_t flat(conv2d_shape const& s) const {
    return planes * (by_channels ? depth : 1) * s.height * (s.width + 2 * s.padding_w) + (depth - 1) * s.dilation_w +
           64;
  }
};

}  // namespace pleat::compute::detail
