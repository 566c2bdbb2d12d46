// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// 2-D convolution of int8 images with int8 weights, exact in int32, scaled to float while it stores.
///
/// No unrolled image: a thread keeps one padded image and the K × 64 pixels that it works on. The weights are the
/// product's rows and are read where they lie; the pixels are its packed operand (detail/int8_tile.hpp).
#pragma once

#include <cstdint>
#include <cstring>

#include <pleat/base/config.hpp>
#include <pleat/compute/detail/int8_conv_tiled.hpp>
#include <pleat/compute/int8_gemm.hpp>

namespace pleat::compute {

namespace detail {

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

/// Task t takes its share of the (image, 64 pixels) pairs in order; pooled, of the (image, 16 windows) pairs.
template <class = void> struct int8_conv_task {
  int8_conv_arguments g;
  int tasks;

  void operator()(int t) const {
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
          loop_at<true>(
              isa::best(), 0, rows,
              int8_store_planes{sums, columns, pixels, g.y + (n * s.out_channels + o) * pixels + pixel, g.x_scale[n],
                                g.w_scale + o, g.bias != nullptr ? g.bias + o : nullptr, g.act});
        }
      }
    }
  }
};

/// One output element (device path and oracle).
template <class = void> struct int8_conv_body {
  int8_conv_arguments g;
  PLEAT_FUNCTION void operator()(index_t i) const {
    conv2d_shape const& s = g.s;
    index_t const pixels = s.out_height() * s.out_width();
    index_t const p = i % pixels, o = i / pixels % s.out_channels, n = i / pixels / s.out_channels;
    index_t const channels = s.group_in(), first = o / s.group_out() * channels;
    std::int32_t sum = 0;
    for (index_t c = 0; c < channels; ++c)
      for (index_t u = 0; u < s.kernel_h; ++u)
        for (index_t v = 0; v < s.kernel_w; ++v) {
          index_t const row = p / s.out_width() * s.stride_h - s.padding_h + u * s.dilation_h;
          index_t const column = p % s.out_width() * s.stride_w - s.padding_w + v * s.dilation_w;
          if (row < 0 || row >= s.height || column < 0 || column >= s.width) continue;
          sum += static_cast<std::int32_t>(g.x[((n * s.in_channels + first + c) * s.height + row) * s.width + column]) *
                 g.w[((o * channels + c) * s.kernel_h + u) * s.kernel_w + v];
        }
    g.y[i] = int8_finish(sum, g.x_scale[n], g.w_scale[o], g.bias != nullptr ? g.bias[o] : 0.0f, g.act);
  }
};

}  // namespace detail

/// y[n, o, p] = act(float(Σ w·x)·x_scale[n]·w_scale[o] + bias[o]), the shapes as in conv2d_forward.
/// \param qx [batch, in_channels, height, width]; x_scale [batch] (quantize_rows of whole images)
/// \param qw [out_channels, in_channels / groups, kernel_h, kernel_w] as it is stored; w_scale [out_channels]
/// \param bias [out_channels], or null
/// \throws pleat::error if the shape does not fit or an output sums more than int8_max_k products
template <class Space>
void int8_conv2d(Space const& space, conv2d_shape const& s, std::int8_t const* qx, float const* x_scale,
                 std::int8_t const* qw, float const* w_scale, float const* bias, float* y,
                 activation act = activation::none) {
  s.check("compute::int8_conv2d");
  detail::int8_demand("compute::int8_conv2d", s.batch, s.out_channels, s.weights_per_output());
  if (s.batch == 0) return;
  detail::int8_conv_arguments const g{s, qx, x_scale, qw, w_scale, bias, y, act};
  index_t const pixels = g.outputs();
  if constexpr (is_host_space_v<Space>) {
    int const tasks =
        static_cast<int>(std::min<index_t>(tasks_for(space, 0.3 * s.flops()), s.batch * ((pixels + 63) / 64)));
    for_tasks(space, tasks, detail::int8_conv_task<>{g, tasks});
  } else {
    for_each(space, s.batch * s.out_channels * pixels, detail::int8_conv_body<>{g},
             static_cast<double>(s.weights_per_output()));
  }
}

/// Whether int8_conv2d_pooled has a kernel for this shape on this machine: it is worth having where the outputs need
/// not be stored.
template <class Space> [[nodiscard]] bool int8_conv2d_pools(Space const&, conv2d_shape const& s) {
  if constexpr (is_host_space_v<Space>) return detail::int8_conv_pools(s);
  else return false;
}

/// int8_conv2d and max pooling by windows of 2 × 2 side by side, without the convolution's outputs in memory: y[batch,
/// out_channels, out_height() / 2, out_width() / 2] with the values of the two one after the other (a zero may have the
/// other sign). Scales are not negative.
/// \throws pleat::error as int8_conv2d does, and where int8_conv2d_pools says no
template <class Space>
void int8_conv2d_pooled(Space const& space, conv2d_shape const& s, std::int8_t const* qx, float const* x_scale,
                        std::int8_t const* qw, float const* w_scale, float const* bias, float* y, activation act) {
  s.check("compute::int8_conv2d_pooled");
  detail::int8_demand("compute::int8_conv2d_pooled", s.batch, s.out_channels, s.weights_per_output());
  if (s.batch == 0) return;
  if (!int8_conv2d_pools(space, s))
    throw error{"compute::int8_conv2d_pooled", "there is no kernel for this shape on this machine",
                "Ask int8_conv2d_pools, and call int8_conv2d and max_pool2d_forward where it says no"};
  if constexpr (is_host_space_v<Space>) {
    detail::int8_conv_arguments const g{s, qx, x_scale, qw, w_scale, bias, y, act, true};
    int const tasks =
        static_cast<int>(std::min<index_t>(tasks_for(space, 0.3 * s.flops()), s.batch * ((g.outputs() + 15) / 16)));
    for_tasks(space, tasks, detail::int8_conv_task<>{g, tasks});
  }
}

}  // namespace pleat::compute
