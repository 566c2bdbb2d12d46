// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The shape of a 2-D convolution. Needs no Kokkos.
#pragma once

#include <pleat/base/config.hpp>
#include <pleat/compute/detail/demand_extent.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::compute {

/// Images [batch, in_channels, height, width] (x), weights [out_channels, in_channels / groups, kernel_h, kernel_w]
/// (w), results [batch, out_channels, out_height(), out_width()] (y), all row-major and contiguous.
///
/// y[n, o, i, j] = bias[o] + Σ over (c, u, v) of w[o, c, u, v] · x[n, g·C + c, i·stride_h − padding_h + u·dilation_h,
/// …], where C = in_channels / groups, g is the group of o, and x is zero outside of the image.
struct conv2d_shape {
  index_t batch, in_channels, height, width, out_channels, kernel_h, kernel_w;
  index_t stride_h = 1, stride_w = 1, padding_h = 0, padding_w = 0, dilation_h = 1, dilation_w = 1, groups = 1;

  [[nodiscard]] PLEAT_FUNCTION constexpr index_t out_height() const noexcept {
    return (height + 2 * padding_h - dilation_h * (kernel_h - 1) - 1) / stride_h + 1;
  }
  [[nodiscard]] PLEAT_FUNCTION constexpr index_t out_width() const noexcept {
    return (width + 2 * padding_w - dilation_w * (kernel_w - 1) - 1) / stride_w + 1;
  }
  /// Channels of one group.
  [[nodiscard]] PLEAT_FUNCTION constexpr index_t group_in() const noexcept { return in_channels / groups; }
  [[nodiscard]] PLEAT_FUNCTION constexpr index_t group_out() const noexcept { return out_channels / groups; }
  /// Weights of one output channel.
  [[nodiscard]] PLEAT_FUNCTION constexpr index_t weights_per_output() const noexcept {
    return group_in() * kernel_h * kernel_w;
  }
  /// Floating-point operations of the forward pass; each gradient has as many.
  [[nodiscard]] constexpr double flops() const noexcept {
    return 2.0 * static_cast<double>(batch * out_channels * out_height() * out_width()) *
           static_cast<double>(weights_per_output());
  }

  /// Whether the input gradient sums each kernel element's chain over output channels apart (see
  /// compute/convolution.hpp): without stride and padding, where most of the other order's terms would be zeros.
  [[nodiscard]] PLEAT_FUNCTION constexpr bool taps_apart() const noexcept {
    return stride_h == 1 && stride_w == 1 && padding_h == 0 && padding_w == 0 &&
           2 * out_height() * out_width() <= height * width;
  }

  /// \throws pleat::error where the extents do not fit together
  PLEAT_LAZY void check(char const* call) const {
    constexpr char const *one = "Set it to 1 or more", *zero = "Set it to 0 or more",
                         *divide = "Choose channels that groups divides, or leave groups at 1",
                         *fit = "Choose a smaller kernel or dilation, larger images or more padding";
    detail::demand_extent const demand{call};
    demand(batch >= 0, "batch must not be negative", batch, zero);
    demand(in_channels > 0, "in_channels must be positive", in_channels, one);
    demand(out_channels > 0, "out_channels must be positive", out_channels, one);
    demand(groups > 0, "groups must be positive", groups, one);
    demand(in_channels % groups == 0, "in_channels must be a multiple of groups", in_channels, divide);
    demand(out_channels % groups == 0, "out_channels must be a multiple of groups", out_channels, divide);
    demand(kernel_h > 0 && kernel_w > 0, "kernel extents must be positive", kernel_h < kernel_w ? kernel_h : kernel_w,
           one);
    demand(stride_h > 0 && stride_w > 0, "strides must be positive", stride_h < stride_w ? stride_h : stride_w, one);
    demand(dilation_h > 0 && dilation_w > 0, "dilations must be positive",
           dilation_h < dilation_w ? dilation_h : dilation_w, one);
    demand(padding_h >= 0 && padding_w >= 0, "padding must not be negative",
           padding_h < padding_w ? padding_h : padding_w, zero);
    demand(height > 0 && width > 0, "image extents must be positive", height < width ? height : width, one);
    demand.room(dilation_h * (kernel_h - 1) + 1, height + 2 * padding_h, "the kernel is taller", fit);
    demand.room(dilation_w * (kernel_w - 1) + 1, width + 2 * padding_w, "the kernel is wider", fit);
  }
};

}  // namespace pleat::compute
