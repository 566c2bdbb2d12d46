// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// 2-D max and average pooling of NCHW planes, forward and backward. Results do not depend on threads or device, bit
/// for bit: a window is read (row, column) ascending, a pixel's gradient collects its outputs ascending. 16-bit
/// elements are read as float and rounded once.
#pragma once

#include <pleat/compute/detail/pool_host.hpp>
#include <pleat/compute/detail/pool_portable.hpp>

namespace pleat::compute {

/// y [batch, channels, out_height, out_width] = the largest value of each window. Padding never wins (it is −∞, outside
/// of the image). Among equal values the first wins; a window with a NaN gives NaN, the first one.
/// \param argmax where it was found, as row · width + column in its plane (what backward needs); null in inference
/// \throws pleat::error where the shape does not fit
template <class Space, class T>
void max_pool2d_forward(Space const& space, pool2d_shape const& s, T const* x, T* y, std::int32_t* argmax) {
  s.check("compute::max_pool2d_forward");
  if (s.batch == 0) return;
  if constexpr (is_host_space_v<Space>) {
    int const tasks = detail::pool_tasks(space, s);
    for_tasks(space, tasks, detail::max_pool_task<T>{s, isa::best(), tasks, x, y, argmax});
  } else {
    detail::max_pool2d_forward_portable(space, s, x, y, argmax);
  }
}

/// dx [batch, channels, height, width]: each output's gradient goes to the pixel that won. Overwrites dx.
template <class Space, class T>
void max_pool2d_backward(Space const& space, pool2d_shape const& s, T const* dy, std::int32_t const* argmax, T* dx) {
  s.check("compute::max_pool2d_backward");
  if (s.batch == 0) return;
  if constexpr (is_host_space_v<Space>) {
    int const tasks = detail::pool_tasks(space, s);
    for_tasks(space, tasks, detail::max_pool_backward_task<T>{s, tasks, dy, argmax, dx});
  } else {
    detail::max_pool2d_backward_portable(space, s, dy, argmax, dx);
  }
}

/// y = the sum of each window divided by the window's size, or by the part of it in the image without
/// `count_include_pad`.
template <class Space, class T> void avg_pool2d_forward(Space const& space, pool2d_shape const& s, T const* x, T* y) {
  s.check("compute::avg_pool2d_forward");
  if (s.batch == 0) return;
  if constexpr (is_host_space_v<Space>) {
    int const tasks = detail::pool_tasks(space, s);
    for_tasks(space, tasks, detail::avg_pool_task<T>{s, tasks, x, y});
  } else {
    detail::avg_pool2d_forward_portable(space, s, x, y);
  }
}

/// dx: each output's gradient, divided like the forward sum, to every pixel of its window. Overwrites dx.
template <class Space, class T>
void avg_pool2d_backward(Space const& space, pool2d_shape const& s, T const* dy, T* dx) {
  s.check("compute::avg_pool2d_backward");
  if (s.batch == 0) return;
  if constexpr (is_host_space_v<Space>) {
    int const tasks = detail::pool_tasks(space, s);
    for_tasks(space, tasks, detail::avg_pool_backward_task<T>{s, tasks, dy, dx});
  } else {
    detail::avg_pool2d_backward_portable(space, s, dy, dx);
  }
}

}  // namespace pleat::compute
