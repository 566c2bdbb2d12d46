// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Pooling on host spaces: planes are shared among the threads; gradients scatter, output by output in ascending order,
/// which gives each pixel the same order of additions as the gathering functors of pool_portable.hpp.
#pragma once

#include <algorithm>

#include <pleat/compute/detail/host.hpp>
#include <pleat/compute/detail/pool_portable.hpp>
#include <pleat/compute/detail/pool_tile.hpp>

namespace pleat::compute::detail {

template <class T> struct max_pool_task {
  pool2d_shape s;
  isa::level level;
  int tasks;
  T const* x;
  T* y;
  std::int32_t* argmax;

  void operator()(int const task) const {
    index_t const first = s.planes() * task / tasks, last = s.planes() * (task + 1) / tasks;
    index_t const oh = s.out_height(), ow = s.out_width();
    auto* const by_vectors = max_plane_of<T>(level);
    bool const suits = s.stride_w <= 2 && s.kernel_h * s.width < (index_t{1} << 24);
    max_pool_functor<T> const one{s, x, y, argmax};
    for (index_t p = first; p < last; ++p) {
      if (suits)
        by_vectors({s, x + p * s.height * s.width, y + p * oh * ow, argmax ? argmax + p * oh * ow : nullptr});
      else
        for (index_t o = p * oh * ow; o < (p + 1) * oh * ow; ++o) one(o);
    }
  }
};

template <class T> struct max_pool_backward_task {
  pool2d_shape s;
  int tasks;
  T const* dy;
  std::int32_t const* argmax;
  T* dx;

  void operator()(int const task) const {
    index_t const first = s.planes() * task / tasks, last = s.planes() * (task + 1) / tasks;
    index_t const outs = s.out_height() * s.out_width(), pixels = s.height * s.width;
    for (index_t p = first; p < last; ++p) {
      T* plane = dx + p * pixels;
      std::fill(plane, plane + pixels, T(0));
      for (index_t o = p * outs; o < (p + 1) * outs; ++o) plane[argmax[o]] += dy[o];
    }
  }
};

template <class T> struct avg_pool_task {
  pool2d_shape s;
  int tasks;
  T const* x;
  T* y;

  void operator()(int const task) const {
    index_t const first = s.planes() * task / tasks, last = s.planes() * (task + 1) / tasks;
    index_t const outs = s.out_height() * s.out_width();
    avg_pool_functor<T> const one{s, x, y};
    for (index_t at = first * outs; at < last * outs; ++at) one(at);
  }
};

template <class T> struct avg_pool_backward_task {
  pool2d_shape s;
  int tasks;
  T const* dy;
  T* dx;

  void operator()(int const task) const {
    index_t const first = s.planes() * task / tasks, last = s.planes() * (task + 1) / tasks;
    index_t const oh = s.out_height(), ow = s.out_width(), pixels = s.height * s.width;
    for (index_t p = first; p < last; ++p) {
      T* plane = dx + p * pixels;
      std::fill(plane, plane + pixels, T(0));
      for (index_t i = 0; i < oh; ++i) {
        pool_window const v(i, s.kernel_h, s.stride_h, s.padding_h, s.height);
        for (index_t j = 0; j < ow; ++j) {
          pool_window const h(j, s.kernel_w, s.stride_w, s.padding_w, s.width);
          T const share = dy[(p * oh + i) * ow + j] / pool_count<T>(s, v, h);
          for (index_t a = v.begin; a < v.end; ++a)
            for (index_t b = h.begin; b < h.end; ++b) plane[a * s.width + b] += share;
        }
      }
    }
  }
};

template <class Space> [[nodiscard]] int pool_tasks(Space const& space, pool2d_shape const& s) {
  double const work = static_cast<double>(s.planes()) * static_cast<double>(s.height * s.width + s.out_height() * s.out_width() * s.kernel_h * s.kernel_w);
  return static_cast<int>(std::min<index_t>(tasks_for(space, work), std::max<index_t>(1, s.planes())));
}

}  // namespace pleat::compute::detail
