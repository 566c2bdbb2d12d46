// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The shape of a 2-D pooling, and pooling on any execution space: one element a work item. Also the oracle of the host path.
#pragma once

#include <Kokkos_Core.hpp>

#include <cstdint>
#include <limits>
#include <string>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::compute {

/// Planes [batch, channels, height, width], row-major and contiguous; windows of kernel_h × kernel_w every stride_h, stride_w.
struct pool2d_shape {
  index_t batch, channels, height, width, kernel_h, kernel_w, stride_h, stride_w, padding_h = 0, padding_w = 0;
  bool count_include_pad = true;  ///< an average divides by the whole window, or by what of it lies in the image

  [[nodiscard]] PLEAT_FUNCTION constexpr index_t out_height() const noexcept { return (height + 2 * padding_h - kernel_h) / stride_h + 1; }
  [[nodiscard]] PLEAT_FUNCTION constexpr index_t out_width() const noexcept { return (width + 2 * padding_w - kernel_w) / stride_w + 1; }
  [[nodiscard]] constexpr index_t planes() const noexcept { return batch * channels; }

  /// \throws pleat::error where the extents do not fit together
  void check(char const* call) const {
    auto const demand = [call](bool good, char const* what, index_t found) {
      if (!good) throw error{call, std::string(what) + "; found " + std::to_string(found)};
    };
    demand(batch >= 0, "batch must not be negative", batch);
    demand(channels > 0, "channels must be positive", channels);
    demand(height > 0 && width > 0, "image extents must be positive", height < width ? height : width);
    demand(height * width <= std::numeric_limits<std::int32_t>::max(), "a plane must have less than 2^31 elements", height * width);
    demand(kernel_h > 0 && kernel_w > 0, "kernel extents must be positive", kernel_h < kernel_w ? kernel_h : kernel_w);
    demand(stride_h > 0 && stride_w > 0, "strides must be positive", stride_h < stride_w ? stride_h : stride_w);
    demand(padding_h >= 0 && padding_w >= 0, "padding must not be negative", padding_h < padding_w ? padding_h : padding_w);
    demand(2 * padding_h <= kernel_h, "padding_h must be at most half of kernel_h", padding_h);
    demand(2 * padding_w <= kernel_w, "padding_w must be at most half of kernel_w", padding_w);
    demand(height + 2 * padding_h >= kernel_h, "the window is taller than the padded image", height);
    demand(width + 2 * padding_w >= kernel_w, "the window is wider than the padded image", width);
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

/// The divisor of an average.
template <class T> PLEAT_FUNCTION T pool_count(pool2d_shape const& s, pool_window const& v, pool_window const& h) {
  return static_cast<T>(s.count_include_pad ? s.kernel_h * s.kernel_w : (v.end - v.begin) * (h.end - h.begin));
}

/// A later value replaces the best one: greater, or the first NaN.
template <class T> PLEAT_FUNCTION bool pool_replaces(T value, T best) { return value > best || (value != value && best == best); }

template <class T> struct max_pool_functor {
  pool2d_shape s;
  T const* x;
  T* y;
  std::int32_t* argmax;
  PLEAT_FUNCTION void operator()(index_t const at) const {
    index_t const ow = s.out_width(), oh = s.out_height();
    pool_window const v(at / ow % oh, s.kernel_h, s.stride_h, s.padding_h, s.height), h(at % ow, s.kernel_w, s.stride_w, s.padding_w, s.width);
    T const* plane = x + at / (ow * oh) * s.height * s.width;
    index_t where = v.begin * s.width + h.begin;
    T best = plane[where];
    for (index_t i = v.begin; i < v.end; ++i)
      for (index_t j = h.begin; j < h.end; ++j)
        if (pool_replaces(plane[i * s.width + j], best)) best = plane[where = i * s.width + j];
    y[at] = best;
    if (argmax) argmax[at] = static_cast<std::int32_t>(where);
  }
};

/// The outputs whose windows meet a pixel, along one axis.
struct pool_readers {
  index_t begin, end;
  PLEAT_FUNCTION pool_readers(index_t pixel, index_t kernel, index_t stride, index_t padding, index_t outs)
      : begin(pixel + padding < kernel ? 0 : (pixel + padding - kernel) / stride + 1), end((pixel + padding) / stride + 1) {
    if (end > outs) end = outs;
  }
};

template <class T> struct max_pool_backward_functor {
  pool2d_shape s;
  T const* dy;
  std::int32_t const* argmax;
  T* dx;
  PLEAT_FUNCTION void operator()(index_t const at) const {
    index_t const ow = s.out_width(), oh = s.out_height(), plane = at / (s.height * s.width), pixel = at % (s.height * s.width);
    pool_readers const v(pixel / s.width, s.kernel_h, s.stride_h, s.padding_h, oh), h(pixel % s.width, s.kernel_w, s.stride_w, s.padding_w, ow);
    T sum = 0;
    for (index_t i = v.begin; i < v.end; ++i)
      for (index_t j = h.begin; j < h.end; ++j) {
        index_t const o = (plane * oh + i) * ow + j;
        if (argmax[o] == pixel) sum += dy[o];
      }
    dx[at] = sum;
  }
};

template <class T> struct avg_pool_functor {
  pool2d_shape s;
  T const* x;
  T* y;
  PLEAT_FUNCTION void operator()(index_t const at) const {
    index_t const ow = s.out_width(), oh = s.out_height();
    pool_window const v(at / ow % oh, s.kernel_h, s.stride_h, s.padding_h, s.height), h(at % ow, s.kernel_w, s.stride_w, s.padding_w, s.width);
    T const* plane = x + at / (ow * oh) * s.height * s.width;
    T sum = 0;
    for (index_t i = v.begin; i < v.end; ++i)
      for (index_t j = h.begin; j < h.end; ++j) sum += plane[i * s.width + j];
    y[at] = sum / pool_count<T>(s, v, h);
  }
};

template <class T> struct avg_pool_backward_functor {
  pool2d_shape s;
  T const* dy;
  T* dx;
  PLEAT_FUNCTION void operator()(index_t const at) const {
    index_t const ow = s.out_width(), oh = s.out_height(), plane = at / (s.height * s.width), pixel = at % (s.height * s.width);
    pool_readers const v(pixel / s.width, s.kernel_h, s.stride_h, s.padding_h, oh), h(pixel % s.width, s.kernel_w, s.stride_w, s.padding_w, ow);
    T sum = 0;
    for (index_t i = v.begin; i < v.end; ++i)
      for (index_t j = h.begin; j < h.end; ++j)
        sum += dy[(plane * oh + i) * ow + j] / pool_count<T>(s, pool_window(i, s.kernel_h, s.stride_h, s.padding_h, s.height),
                                                              pool_window(j, s.kernel_w, s.stride_w, s.padding_w, s.width));
    dx[at] = sum;
  }
};

template <class Space, class Functor> void pool_launch(Space const& space, char const* label, index_t items, Functor const& f) {
  Kokkos::parallel_for(label, Kokkos::RangePolicy<Space, Kokkos::IndexType<index_t>>(space, 0, items), f);
}

template <class Space, class T> void max_pool2d_forward_portable(Space const& space, pool2d_shape const& s, T const* x, T* y, std::int32_t* argmax) {
  pool_launch(space, "max_pool", s.planes() * s.out_height() * s.out_width(), max_pool_functor<T>{s, x, y, argmax});
}
template <class Space, class T>
void max_pool2d_backward_portable(Space const& space, pool2d_shape const& s, T const* dy, std::int32_t const* argmax, T* dx) {
  pool_launch(space, "max_pool_dx", s.planes() * s.height * s.width, max_pool_backward_functor<T>{s, dy, argmax, dx});
}
template <class Space, class T> void avg_pool2d_forward_portable(Space const& space, pool2d_shape const& s, T const* x, T* y) {
  pool_launch(space, "avg_pool", s.planes() * s.out_height() * s.out_width(), avg_pool_functor<T>{s, x, y});
}
template <class Space, class T> void avg_pool2d_backward_portable(Space const& space, pool2d_shape const& s, T const* dy, T* dx) {
  pool_launch(space, "avg_pool_dx", s.planes() * s.height * s.width, avg_pool_backward_functor<T>{s, dy, dx});
}

}  // namespace detail
}  // namespace pleat::compute
