// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A task of the int8 convolution on the host; included where it is compiled (PLEAT_HAS_VECTORS).
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include <pleat/compute/detail/int8_block.hpp>
#include <pleat/compute/detail/int8_conv_tiled.hpp>
#include <pleat/compute/int8_convolution.hpp>

namespace pleat::compute::detail {

/// An image with its padding; rows have 16 bytes of slack, so that pixels may be fetched 16 at a time.
struct padded_image {
  index_t row, plane;  // bytes
  unsigned char* data;
};

PLEAT_LAZY inline void pad_image(conv2d_shape const& s, std::int8_t const* x, unsigned char zero,
                                 padded_image const& to) {
  std::memset(to.data, zero, static_cast<std::size_t>(to.plane * s.in_channels));
  for (index_t c = 0; c < s.in_channels; ++c)
    for (index_t i = 0; i < s.height; ++i) {
      std::int8_t const* const from = x + (c * s.height + i) * s.width;
      unsigned char* const row = to.data + c * to.plane + (i + s.padding_h) * to.row + s.padding_w;
      for (index_t j = 0; j < s.width; ++j)
        row[j] = static_cast<unsigned char>(static_cast<unsigned char>(from[j]) ^ zero);
    }
}

/// line[p] = the pixel of output p; beyond the last: anything. Pieces ascend, so what a copy writes too much is
/// overwritten.
PLEAT_LAZY inline void gather_pixels(pixel_pieces const& pieces, unsigned char const* at, index_t stride,
                                     unsigned char* line) {
  if (stride == 1)
    for (int q = 0; q < pieces.count; ++q) std::memcpy(line + pieces.at[q].to, at + pieces.at[q].from, 16);
  else
    for (int q = 0; q < pieces.count; ++q)
      for (index_t j = 0; j < pieces.at[q].count; ++j) line[pieces.at[q].to + j] = at[pieces.at[q].from + j * stride];
}

/// Four panels (64 pixels) of one group's channels.
PLEAT_LAZY inline void pack_pixels(conv2d_shape const& s, padded_image const& image, index_t group, index_t first,
                                   int8_layout layout, unsigned char* packed) {
  int const depth = layout == int8_layout::quads ? 4 : 2;
  index_t const k = s.weights_per_output(), panel = int8_panel_bytes(layout, k);
  pixel_pieces const pieces(s, image.row, first);
  unsigned char const* channel = image.data + group * s.group_in() * image.plane;
  index_t u = 0, v = 0;  // the kernel element
  unsigned char line[4][64 + 16] = {};
  for (index_t k0 = 0; k0 < k; k0 += depth, packed += int8_group_bytes(layout)) {
    for (int d = 0; d < depth && k0 + d < k; ++d) {  // lines beyond k are multiplied by zero, whatever they hold
      gather_pixels(pieces, channel + u * s.dilation_h * image.row + v * s.dilation_w, s.stride_w, line[d]);
      if (++v == s.kernel_w) {
        v = 0;
        if (++u == s.kernel_h) u = 0, channel += image.plane;
      }
    }
    for (int p = 0; p < 4; ++p) interleave_16(line[0] + 16 * p, sizeof line[0], depth, packed + p * panel);
  }
}

/// Rows of sums are output channels here.
struct int8_store_planes {
  std::int32_t const* sums;
  index_t columns, ldy;
  float* y;
  float x_scale;
  float const* w_scale;
  float const* bias;
  activation act;
  PLEAT_INLINE void operator()(index_t r) const {
    float const ws = w_scale[r], b = bias != nullptr ? bias[r] : 0.0f;
    for (index_t j = 0; j < columns; ++j) y[r * ldy + j] = int8_finish(sums[r * sums_stride + j], x_scale, ws, b, act);
  }
};

template <class Lazy> void int8_conv_task<Lazy>::operator()(int t) const {
  conv2d_shape const& s = g.s;
  int8_kernels const& kernels = int8_best_kernels();
  unsigned char const zero = kernels.layout == int8_layout::quads ? 0x80 : 0;
  index_t const pixels = g.outputs(), together = g.together(), blocks = (pixels + together - 1) / together,
                units = s.batch * blocks;
  index_t const k = s.weights_per_output(), panel = int8_panel_bytes(kernels.layout, k), outs = s.group_out();
  index_t const first = units * t / tasks, last = units * (t + 1) / tasks;
  if (first == last) return;
  if (int8_conv_layout const layout(s); layout.suits) return int8_conv_by_tiles(g, layout, first, last);

  padded_image image{s.width + 2 * s.padding_w + 16, 0, nullptr};
  image.plane = image.row * (s.height + 2 * s.padding_h);
  index_t const packed_bytes = 4 * panel + 64, sum_bytes = (s.out_channels * 4 + 63) / 64 * 64,
                wide_bytes = (int8_operand_bytes(kernels.layout, s.out_channels, k) + 63) / 64 * 64;
  auto* const memory = static_cast<unsigned char*>(scratch<int8_conv_task>(
      static_cast<std::size_t>(packed_bytes + sum_bytes + wide_bytes + image.plane * s.in_channels + 64)));
  auto* const weight_sums = reinterpret_cast<std::int32_t*>(memory + packed_bytes);
  image.data = memory + packed_bytes + sum_bytes + wide_bytes;
  int8_operand const weights =
      int8_operand_of(kernels.layout, g.w, k, s.out_channels, k, memory + packed_bytes + sum_bytes);
  if (kernels.layout == int8_layout::quads)
    for (index_t o = 0; o < s.out_channels; ++o) weight_sums[o] = int8_sum(g.w + o * k, k);

  alignas(64) std::int32_t sums[int8_block_rows * sums_stride];
  index_t loaded = -1;
  for (index_t unit = first; unit < last; ++unit) {
    index_t const n = unit / blocks, pixel = unit % blocks * 64, columns = std::min<index_t>(64, pixels - pixel);
    if (n != loaded) {
      pad_image(s, g.x + n * s.in_channels * s.height * s.width, zero, image);
      loaded = n;
    }
    for (index_t group = 0; group < s.groups; ++group) {
      pack_pixels(s, image, group, pixel, kernels.layout, memory);
      for (index_t o = group * outs; o < (group + 1) * outs; o += int8_block_rows) {
        index_t const rows = std::min(int8_block_rows, (group + 1) * outs - o);
        int8_block(kernels, weights, o, rows, k, memory, panel, (columns + panel_width - 1) / panel_width,
                   weight_sums + o, sums);
        loop_at<true>(isa::best(), 0, rows,
                      int8_store_planes{sums, columns, pixels, g.y + (n * s.out_channels + o) * pixels + pixel,
                                        g.x_scale[n], g.w_scale + o, g.bias != nullptr ? g.bias + o : nullptr, g.act});
      }
    }
  }
}

}  // namespace pleat::compute::detail
