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
#include <pleat/compute/detail/int8_conv_arguments.hpp>
#include <pleat/compute/detail/int8_conv_pooled.hpp>
#include <pleat/compute/int8_gemm.hpp>

namespace pleat::compute {

namespace detail {

/// Task t takes its share of the (image, 64 pixels) pairs in order; pooled, of the (image, 16 windows) pairs.
template <class = void> struct int8_conv_task {
  int8_conv_arguments g;
  int tasks;

  void operator()(int t) const;  // in detail/int8_conv_vectors.hpp
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

#if defined(PLEAT_HAS_VECTORS)
#include <pleat/compute/detail/int8_conv_vectors.hpp>
#endif
