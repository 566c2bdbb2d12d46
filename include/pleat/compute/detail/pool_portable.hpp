// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Pooling on any execution space: one element a work item. Also the oracle of the host path.
#pragma once

#include <Kokkos_Core.hpp>

#include <cstdint>

#include <pleat/compute/detail/pool_shape.hpp>
#include <pleat/compute/element.hpp>

namespace pleat::compute {

namespace detail {

/// The divisor of an average.
template <class T> PLEAT_FUNCTION T pool_count(pool2d_shape const& s, pool_window const& v, pool_window const& h) {
  return static_cast<T>(s.count_include_pad ? s.kernel_h * s.kernel_w : (v.end - v.begin) * (h.end - h.begin));
}

/// A later value replaces the best one: greater, or the first NaN.
template <class T> PLEAT_FUNCTION bool pool_replaces(T value, T best) {
  return value > best || (value != value && best == best);
}

template <class T> struct max_pool_functor {
  pool2d_shape s;
  source_t<T> x;
  target_t<T> y;
  std::int32_t* argmax;
  PLEAT_FUNCTION void operator()(index_t const at) const {
    index_t const ow = s.out_width(), oh = s.out_height();
    pool_window const v(at / ow % oh, s.kernel_h, s.stride_h, s.padding_h, s.height),
        h(at % ow, s.kernel_w, s.stride_w, s.padding_w, s.width);
    source_t<T> const plane = x + at / (ow * oh) * s.height * s.width;
    index_t where = v.begin * s.width + h.begin;
    wide_t<T> best = plane[where];
    for (index_t i = v.begin; i < v.end; ++i)
      for (index_t j = h.begin; j < h.end; ++j)
        if (pool_replaces<wide_t<T>>(plane[i * s.width + j], best)) best = plane[where = i * s.width + j];
    y[at] = best;
    if (argmax) argmax[at] = static_cast<std::int32_t>(where);
  }
};

/// The outputs whose windows meet a pixel, along one axis.
struct pool_readers {
  index_t begin, end;
  PLEAT_FUNCTION pool_readers(index_t pixel, index_t kernel, index_t stride, index_t padding, index_t outs)
      : begin(pixel + padding < kernel ? 0 : (pixel + padding - kernel) / stride + 1),
        end((pixel + padding) / stride + 1) {
    if (end > outs) end = outs;
  }
};

template <class T> struct max_pool_backward_functor {
  pool2d_shape s;
  source_t<T> dy;
  std::int32_t const* argmax;
  target_t<T> dx;
  PLEAT_FUNCTION void operator()(index_t const at) const {
    index_t const ow = s.out_width(), oh = s.out_height(), plane = at / (s.height * s.width),
                  pixel = at % (s.height * s.width);
    pool_readers const v(pixel / s.width, s.kernel_h, s.stride_h, s.padding_h, oh),
        h(pixel % s.width, s.kernel_w, s.stride_w, s.padding_w, ow);
    wide_t<T> sum = 0;
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
  source_t<T> x;
  target_t<T> y;
  PLEAT_FUNCTION void operator()(index_t const at) const {
    index_t const ow = s.out_width(), oh = s.out_height();
    pool_window const v(at / ow % oh, s.kernel_h, s.stride_h, s.padding_h, s.height),
        h(at % ow, s.kernel_w, s.stride_w, s.padding_w, s.width);
    source_t<T> const plane = x + at / (ow * oh) * s.height * s.width;
    wide_t<T> sum = 0;
    for (index_t i = v.begin; i < v.end; ++i)
      for (index_t j = h.begin; j < h.end; ++j) sum += plane[i * s.width + j];
    y[at] = sum / pool_count<wide_t<T>>(s, v, h);
  }
};

template <class T> struct avg_pool_backward_functor {
  pool2d_shape s;
  source_t<T> dy;
  target_t<T> dx;
  PLEAT_FUNCTION void operator()(index_t const at) const {
    index_t const ow = s.out_width(), oh = s.out_height(), plane = at / (s.height * s.width),
                  pixel = at % (s.height * s.width);
    pool_readers const v(pixel / s.width, s.kernel_h, s.stride_h, s.padding_h, oh),
        h(pixel % s.width, s.kernel_w, s.stride_w, s.padding_w, ow);
    wide_t<T> sum = 0;
    for (index_t i = v.begin; i < v.end; ++i)
      for (index_t j = h.begin; j < h.end; ++j)
        sum += dy[(plane * oh + i) * ow + j] /
               pool_count<wide_t<T>>(s, pool_window(i, s.kernel_h, s.stride_h, s.padding_h, s.height),
                                     pool_window(j, s.kernel_w, s.stride_w, s.padding_w, s.width));
    dx[at] = sum;
  }
};

template <class Space, class Functor>
void pool_launch(Space const& space, char const* label, index_t items, Functor const& f) {
  Kokkos::parallel_for(label, Kokkos::RangePolicy<Space, Kokkos::IndexType<index_t>>(space, 0, items), f);
}

template <class Space, class T>
void max_pool2d_forward_portable(Space const& space, pool2d_shape const& s, T const* x, T* y, std::int32_t* argmax) {
  pool_launch(space, "max_pool", s.planes() * s.out_height() * s.out_width(), max_pool_functor<T>{s, x, y, argmax});
}
template <class Space, class T>
void max_pool2d_backward_portable(Space const& space, pool2d_shape const& s, T const* dy, std::int32_t const* argmax,
                                  T* dx) {
  pool_launch(space, "max_pool_dx", s.planes() * s.height * s.width, max_pool_backward_functor<T>{s, dy, argmax, dx});
}
template <class Space, class T>
void avg_pool2d_forward_portable(Space const& space, pool2d_shape const& s, T const* x, T* y) {
  pool_launch(space, "avg_pool", s.planes() * s.out_height() * s.out_width(), avg_pool_functor<T>{s, x, y});
}
template <class Space, class T>
void avg_pool2d_backward_portable(Space const& space, pool2d_shape const& s, T const* dy, T* dx) {
  pool_launch(space, "avg_pool_dx", s.planes() * s.height * s.width, avg_pool_backward_functor<T>{s, dy, dx});
}

}  // namespace detail
}  // namespace pleat::compute
