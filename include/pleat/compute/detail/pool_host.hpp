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
#include <pleat/compute/detail/scratch.hpp>
#include <pleat/compute/detail/widen.hpp>

namespace pleat::compute::detail {

struct pool_scratch;  // names this family's scratch block

/// A plane that is read and one that is written, as floats of the thread's own where elements have 16 bits.
template <class T> class pool_planes {
 public:
  using W = wide_t<T>;
  pool_planes(isa::level level, index_t in, index_t out) : level_(level), in_(in), out_(out) {
    if constexpr (is_reduced_v<T>) {
      index_t const before = (in + 127) / 64 * 64;  // vectors may look a little behind a plane
      x_ = static_cast<float*>(scratch<pool_scratch>(static_cast<std::size_t>(before + out + 64) * sizeof(float)));
      y_ = x_ + before;
    }
  }
  [[nodiscard]] W const* source(T const* x) {
    if constexpr (is_reduced_v<T>) {
      widen(level_, in_, x, x_);
      return x_;
    } else {
      return x;
    }
  }
  [[nodiscard]] W* target(T* y) {
    if constexpr (is_reduced_v<T>) return y_;
    else return y;
  }
  /// What was written is complete.
  void done([[maybe_unused]] T* y) {
    if constexpr (is_reduced_v<T>) narrow(level_, out_, static_cast<float const*>(y_), y);
  }

 private:
  isa::level level_;
  index_t in_, out_;
  W *x_ = nullptr, *y_ = nullptr;
};

template <class T> struct max_pool_task {
  pool2d_shape s;
  isa::level level;
  int tasks;
  T const* x;
  T* y;
  std::int32_t* argmax;

  void operator()(int const task) const {
    using W = wide_t<T>;
    index_t const first = s.planes() * task / tasks, last = s.planes() * (task + 1) / tasks;
    index_t const pixels = s.height * s.width, outs = s.out_height() * s.out_width();
    auto* const by_vectors = max_plane_of<W>(level);
    bool const suits = s.stride_w <= 2 && s.kernel_h * s.width < (index_t{1} << 24);
    pool_planes<T> planes(level, pixels, outs);
    for (index_t p = first; p < last; ++p) {
      max_pool_functor<W> const one{s, planes.source(x + p * pixels), planes.target(y + p * outs),
                                    argmax ? argmax + p * outs : nullptr};
      if (suits) by_vectors({s, one.x, one.y, one.argmax});
      else
        for (index_t o = 0; o < outs; ++o) one(o);
      planes.done(y + p * outs);
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
    using W = wide_t<T>;
    index_t const first = s.planes() * task / tasks, last = s.planes() * (task + 1) / tasks;
    index_t const outs = s.out_height() * s.out_width(), pixels = s.height * s.width;
    pool_planes<T> planes(isa::best(), outs, pixels);
    for (index_t p = first; p < last; ++p) {
      W const* const from = planes.source(dy + p * outs);
      W* const plane = planes.target(dx + p * pixels);
      std::fill(plane, plane + pixels, W(0));
      for (index_t o = 0; o < outs; ++o) plane[argmax[p * outs + o]] += from[o];
      planes.done(dx + p * pixels);
    }
  }
};

template <class T> struct avg_pool_task {
  pool2d_shape s;
  int tasks;
  T const* x;
  T* y;

  void operator()(int const task) const {
    using W = wide_t<T>;
    index_t const first = s.planes() * task / tasks, last = s.planes() * (task + 1) / tasks;
    index_t const outs = s.out_height() * s.out_width(), pixels = s.height * s.width;
    pool_planes<T> planes(isa::best(), pixels, outs);
    for (index_t p = first; p < last; ++p) {
      avg_pool_functor<W> const one{s, planes.source(x + p * pixels), planes.target(y + p * outs)};
      for (index_t o = 0; o < outs; ++o) one(o);
      planes.done(y + p * outs);
    }
  }
};

template <class T> struct avg_pool_backward_task {
  pool2d_shape s;
  int tasks;
  T const* dy;
  T* dx;

  void operator()(int const task) const {
    using W = wide_t<T>;
    index_t const first = s.planes() * task / tasks, last = s.planes() * (task + 1) / tasks;
    index_t const oh = s.out_height(), ow = s.out_width(), pixels = s.height * s.width;
    pool_planes<T> planes(isa::best(), oh * ow, pixels);
    for (index_t p = first; p < last; ++p) {
      W const* const from = planes.source(dy + p * oh * ow);
      W* const plane = planes.target(dx + p * pixels);
      std::fill(plane, plane + pixels, W(0));
      for (index_t i = 0; i < oh; ++i) {
        pool_window const v(i, s.kernel_h, s.stride_h, s.padding_h, s.height);
        for (index_t j = 0; j < ow; ++j) {
          pool_window const h(j, s.kernel_w, s.stride_w, s.padding_w, s.width);
          W const share = from[i * ow + j] / pool_count<W>(s, v, h);
          for (index_t a = v.begin; a < v.end; ++a)
            for (index_t b = h.begin; b < h.end; ++b) plane[a * s.width + b] += share;
        }
      }
      planes.done(dx + p * pixels);
    }
  }
};

template <class Space> [[nodiscard]] int pool_tasks(Space const& space, pool2d_shape const& s) {
  double const work =
      static_cast<double>(s.planes()) *
      static_cast<double>(s.height * s.width + s.out_height() * s.out_width() * s.kernel_h * s.kernel_w);
  return static_cast<int>(std::min<index_t>(tasks_for(space, work), std::max<index_t>(1, s.planes())));
}

}  // namespace pleat::compute::detail
