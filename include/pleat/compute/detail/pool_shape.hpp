// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The shape of a 2-D pooling. Needs no Kokkos.
#pragma once

#include <cstdint>
#include <limits>

#include <pleat/base/config.hpp>
#include <pleat/compute/detail/demand_extent.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::compute {

/// Planes [batch, channels, height, width], row-major and contiguous; windows of kernel_h × kernel_w every stride_h,
/// stride_w.
struct pool2d_shape {
  index_t batch, channels, height, width, kernel_h, kernel_w, stride_h, stride_w, padding_h = 0, padding_w = 0;
  bool count_include_pad = true;  ///< an average divides by the whole window, or by what of it lies in the image

  [[nodiscard]] PLEAT_FUNCTION constexpr index_t out_height() const noexcept {
    return (height + 2 * padding_h - kernel_h) / stride_h + 1;
  }
  [[nodiscard]] PLEAT_FUNCTION constexpr index_t out_width() const noexcept {
    return (width + 2 * padding_w - kernel_w) / stride_w + 1;
  }
  [[nodiscard]] constexpr index_t planes() const noexcept { return batch * channels; }

  /// \throws pleat::error where the extents do not fit together
  PLEAT_LAZY void check(char const* call) const {
    constexpr char const *one = "Set it to 1 or more", *zero = "Set it to 0 or more",
                         *fit = "Choose a smaller window or larger images, and pad by half of the window at most";
    detail::demand_extent const demand{call};
    demand(batch >= 0, "batch must not be negative", batch, zero);
    demand(channels > 0, "channels must be positive", channels, one);
    demand(height > 0 && width > 0, "image extents must be positive", height < width ? height : width, one);
    demand(height * width <= std::numeric_limits<std::int32_t>::max(), "a plane must have less than 2^31 elements",
           height * width, "Cut the images into smaller ones");
    demand(kernel_h > 0 && kernel_w > 0, "kernel extents must be positive", kernel_h < kernel_w ? kernel_h : kernel_w,
           one);
    demand(stride_h > 0 && stride_w > 0, "strides must be positive", stride_h < stride_w ? stride_h : stride_w, one);
    demand(padding_h >= 0 && padding_w >= 0, "padding must not be negative",
           padding_h < padding_w ? padding_h : padding_w, zero);
    demand(2 * padding_h <= kernel_h, "padding_h must be at most half of kernel_h", padding_h, fit);
    demand(2 * padding_w <= kernel_w, "padding_w must be at most half of kernel_w", padding_w, fit);
    demand.room(kernel_h, height + 2 * padding_h, "the window is taller", fit);
    demand.room(kernel_w, width + 2 * padding_w, "the window is wider", fit);
  }
};

namespace detail {

/// The part of an output's window that lies in the image, along one axis.
struct pool_window {
  index_t begin, end;
  PLEAT_FUNCTION pool_window(index_t out, index_t kernel, index_t stride, index_t padding, index_t extent)
      : begin(out * stride - padding), end(begin + kernel) {
    if (begin < 0) begin = 0;
    if (end > extent) end = extent;
  }
};

}  // namespace detail
}  // namespace pleat::compute
