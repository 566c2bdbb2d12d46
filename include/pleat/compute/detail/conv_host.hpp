// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The convolutions on host spaces: geometry of each pass, work per thread, scratch. The loops are in
/// conv_correlate.hpp and conv_gradient.hpp. Task functors are not templates over the space, so every space shares one
/// instantiation.
#pragma once

#include <algorithm>
#include <cstring>

#include <pleat/compute/activation.hpp>
#include <pleat/compute/detail/conv_correlate.hpp>
#include <pleat/compute/detail/conv_gradient.hpp>
#include <pleat/compute/detail/conv_gradient_strips.hpp>
#include <pleat/compute/detail/conv_pixels.hpp>
#include <pleat/compute/detail/conv_shape.hpp>
#include <pleat/compute/detail/host.hpp>

namespace pleat::compute::detail {

struct conv_scratch;        // names this family's scratch block
struct conv_pixel_scratch;  // of what calls that family

/// The forward pass's geometry; the weight gradient's too.
[[nodiscard]] inline conv_geometry conv_forward_geometry(conv2d_shape const& s) {
  return {s.height,   s.width,    s.out_height(), s.out_width(), s.kernel_h,   s.kernel_w,
          s.stride_h, s.stride_w, -s.padding_h,   -s.padding_w,  s.dilation_h, s.dilation_w};
}

/// Correlations of `count` images with the weights of each group.
template <class T> struct conv_correlation {
  conv_kernels<T> const& kernels;
  conv_geometry g;
  index_t groups, rows, channels;  ///< the latter of a group
  conv_weights<T> w;               ///< of group 0
  index_t w_group;
  T const *images, *bias;
  bool relu;
  T* out;
  index_t count;

  void operator()() const {
    if (pixel_correlator<T>::suits(kernels, g, rows, channels)) by_pixels();
    else whole(0, groups, 0, count);
  }

 private:
  [[nodiscard]] index_t in_image() const { return groups * channels * g.in_h * g.in_w; }
  [[nodiscard]] index_t out_image() const { return groups * rows * g.out_h * g.out_w; }
  [[nodiscard]] T const* in_at(index_t group, index_t n) const {
    return images + n * in_image() + group * channels * g.in_h * g.in_w;
  }
  [[nodiscard]] T* out_at(index_t group, index_t n) const {
    return out + n * out_image() + group * rows * g.out_h * g.out_w;
  }
  [[nodiscard]] T const* bias_at(index_t group) const { return bias ? bias + group * rows : nullptr; }
  [[nodiscard]] conv_weights<T> weights_at(index_t group) const {
    auto of_group = w;
    of_group.data += group * w_group;
    return of_group;
  }

  void whole(index_t group, index_t last_group, index_t n, index_t last) const {
    correlator<T> c(kernels, g, rows, channels);
    conv_carver count_only(nullptr);
    c.carve(count_only);
    conv_carver carver(scratch<conv_scratch>(count_only.used()));
    c.carve(carver);
    for (; group < last_group; ++group) {
      c.pack(weights_at(group));
      c.run_all(last - n, in_at(group, n), in_image(), bias_at(group), relu, out_at(group, n), out_image());
    }
  }

  void by_pixels() const {
    pixel_correlator<T> c(kernels, g, rows, channels);
    conv_carver count_only(nullptr);
    c.carve(count_only);
    conv_carver carver(scratch<conv_pixel_scratch>(count_only.used()));
    c.carve(carver);
    for (index_t group = 0; group < groups; ++group) {
      bool const finite = c.pack(weights_at(group));
      for (index_t n = 0; n < count;) {
        index_t const next = finite ? std::min(count, n + c.images()) : count;
        if (!finite ||
            !c.run(next - n, in_at(group, n), in_image(), bias_at(group), relu, out_at(group, n), out_image()))
          whole(group, group + 1, n, next);
        n = next;
      }
    }
  }
};

template <class T> struct conv_forward_task {
  conv2d_shape s;
  isa::level level;
  int tasks;
  T const *x, *w, *bias;
  T* y;
  bool relu;

  void operator()(int const task) const {
    index_t const first = s.batch * task / tasks, last = s.batch * (task + 1) / tasks;
    if (first == last) return;
    index_t const ins = s.group_in(), outs = s.group_out(), taps = s.kernel_h * s.kernel_w;
    index_t const image = s.height * s.width, plane = s.out_height() * s.out_width();
    conv_correlation<T>{conv_kernels_of<T>(level),
                        conv_forward_geometry(s),
                        s.groups,
                        outs,
                        ins,
                        {w, ins * taps, taps, s.kernel_w, 1},
                        outs * ins * taps,
                        x + first * s.in_channels * image,
                        bias,
                        relu,
                        y + first * s.out_channels * plane,
                        last - first}();
  }
};

/// dx as correlations of dy: the pixels of each residue class modulo the strides meet the same taps, and are one
/// correlation of stride 1.
template <class T> struct conv_input_task {
  conv2d_shape s;
  isa::level level;
  int tasks;
  T const *dy, *w;
  T* dx;

  /// Taps u in first, first + step, … (count of them) meet pixels y ≡ residue; the first reads dy row y' + shift.
  struct axis {
    index_t first = 0, step = 1, count = 0, shift = 0, next = 0, pixels = 0;
    axis(index_t residue, index_t extent, index_t kernel, index_t stride, index_t padding, index_t dilation) {
      pixels = residue < extent ? (extent - residue + stride - 1) / stride : 0;
      step = stride / std::gcd(stride, dilation);
      while (first < kernel && (residue + padding - first * dilation) % stride != 0) ++first;
      count = first < kernel ? (kernel - first + step - 1) / step : 0;
      shift = (residue + padding - first * dilation) / stride;
      next = -step * dilation / stride;
    }
  };

  void operator()(int const task) const {
    index_t const first = s.batch * task / tasks, last = s.batch * (task + 1) / tasks;
    if (first == last) return;
    if (s.taps_apart()) {
      apart(first, last);
      return;
    }
    index_t const image = s.height * s.width;
    bool const strided = s.stride_h > 1 || s.stride_w > 1;
    if (strided)  // some residues may meet no tap at all
      std::memset(dx + first * s.in_channels * image, 0,
                  static_cast<std::size_t>((last - first) * s.in_channels * image) * sizeof(T));
    for (index_t ry = 0; ry < s.stride_h; ++ry)
      for (index_t rx = 0; rx < s.stride_w; ++rx)
        residue(axis(ry, s.height, s.kernel_h, s.stride_h, s.padding_h, s.dilation_h),
                axis(rx, s.width, s.kernel_w, s.stride_w, s.padding_w, s.dilation_w), ry, rx, first, last, strided);
  }

 private:
  /// A product of all taps at once, row (channel, tap), whose shifted planes are then added up.
  void apart(index_t first, index_t last) const {
    index_t const ins = s.group_in(), outs = s.group_out(), taps = s.kernel_h * s.kernel_w;
    index_t const image = s.height * s.width, oh = s.out_height(), ow = s.out_width();
    auto const& kernels = conv_kernels_of<T>(level);
    correlator<T> c(kernels, {oh, ow, oh, ow, 1, 1, 1, 1, 0, 0, 0, 0}, ins * taps, outs);
    conv_carver count(nullptr);
    c.carve(count);
    (void)count.take<T>(ins * taps * oh * ow);
    conv_carver carver(scratch<conv_scratch>(count.used()));
    c.carve(carver);
    T* const products = carver.take<T>(ins * taps * oh * ow);
    for (index_t g = 0; g < s.groups; ++g) {
      c.pack({w + g * outs * ins * taps, 1, ins * taps, 0, 0});
      for (index_t n = first; n < last; ++n) {
        c.run(dy + (n * s.out_channels + g * outs) * oh * ow, nullptr, false, products);
        kernels.collect({products, ins, s.kernel_h, s.kernel_w, s.dilation_h, s.dilation_w, oh, ow,
                         dx + (n * s.in_channels + g * ins) * image, s.height, s.width});
      }
    }
  }

  void residue(axis const& v, axis const& h, index_t ry, index_t rx, index_t first, index_t last, bool strided) const {
    if (v.count == 0 || h.count == 0 || v.pixels == 0 || h.pixels == 0) return;
    index_t const ins = s.group_in(), outs = s.group_out(), taps = s.kernel_h * s.kernel_w;
    index_t const image = s.height * s.width, plane = s.out_height() * s.out_width(), part = v.pixels * h.pixels;
    auto const& kernels = conv_kernels_of<T>(level);
    conv_geometry const g{s.out_height(), s.out_width(), v.pixels, h.pixels, v.count, h.count, 1, 1,
                          v.shift,        h.shift,       v.next,   h.next};
    conv_weights<T> const weights{w + v.first * s.kernel_w + h.first, taps, ins * taps, v.step * s.kernel_w, h.step};
    index_t const w_group = outs * ins * taps;
    if (!strided) {
      conv_correlation<T>{kernels,
                          g,
                          s.groups,
                          ins,
                          outs,
                          weights,
                          w_group,
                          dy + first * s.out_channels * plane,
                          nullptr,
                          false,
                          dx + first * s.in_channels * image,
                          last - first}();
      return;
    }
    correlator<T> c(kernels, g, ins, outs);
    conv_carver count(nullptr);
    c.carve(count);
    (void)count.take<T>(ins * part);
    conv_carver carver(scratch<conv_scratch>(count.used()));
    c.carve(carver);
    T* const apart = carver.take<T>(ins * part);
    for (index_t group = 0; group < s.groups; ++group) {
      auto of_group = weights;
      of_group.data += group * w_group;
      c.pack(of_group);
      for (index_t n = first; n < last; ++n) {
        T* const to = dx + (n * s.in_channels + group * ins) * image;
        c.run(dy + (n * s.out_channels + group * outs) * plane, nullptr, false, apart);
        for (index_t i = 0; i < ins; ++i)
          for (index_t y = 0; y < v.pixels; ++y) {
            T const* from = apart + i * part + y * h.pixels;
            T* row = to + (i * s.height + ry + y * s.stride_h) * s.width + rx;
            for (index_t x = 0; x < h.pixels; ++x) row[x * s.stride_w] = from[x];
          }
      }
    }
  }
};

template <class T> struct conv_weight_task {
  conv2d_shape s;
  isa::level level;
  int tasks;
  T const *dy, *x;
  T* dw;
  lanes l;

  void operator()(int const task) const {
    if (by_outputs(s, level)) outputs(task);
    else if (vectors() % tasks == 0) whole_vectors(task);
    else rows(task);
  }

  [[nodiscard]] static bool depthwise(conv2d_shape const& s) {
    return s.groups > 1 && s.group_in() == 1 && s.group_out() == 1;
  }

  /// Whether tasks share the output channels, or else vectors of them or the rows (channel, kernel row, kernel column)
  /// of each group.
  [[nodiscard]] static bool by_outputs(conv2d_shape const& s, isa::level level) {
    return depthwise(s) ||
           strip_collector<T>::suits(conv_kernels_of<T>(level), conv_forward_geometry(s), s.group_in(), s.group_out());
  }

 private:
  void outputs(int const task) const {
    index_t const rows = s.weights_per_output(), outs = s.group_out();
    index_t const image = s.height * s.width, plane = s.out_height() * s.out_width();
    for (index_t o = s.out_channels * task / tasks, end = s.out_channels * (task + 1) / tasks; o < end;) {
      index_t const g = o / outs, next = depthwise(s) ? end : std::min(end, (g + 1) * outs);
      strip_collector<T> c(conv_kernels_of<T>(level), conv_forward_geometry(s), depthwise(s) ? next - o : s.group_in(),
                           next - o, depthwise(s));
      conv_carver count(nullptr);
      c.carve(count, l);
      conv_carver carver(scratch<conv_scratch>(count.used()));
      c.carve(carver, l);
      c.run(l, x + g * s.group_in() * image, s.in_channels * image, dy + o * plane, s.out_channels * plane,
            dw + o * rows);
      o = next;
    }
  }

  /// Vectors of output channels, of all groups.
  [[nodiscard]] index_t vectors() const {
    index_t const width = conv_kernels_of<T>(level).width;
    return s.groups * ((s.group_out() + width - 1) / width);
  }

  /// All rows of some vectors of output channels: dy is turned once, where tasks that share rows turn all of it each;
  /// but each lowers all channels of x.
  void whole_vectors(int const task) const {
    index_t const outs = s.group_out(), all = vectors(), of_group = all / s.groups;
    index_t const width = conv_kernels_of<T>(level).width;
    for (index_t v = all * task / tasks, end = all * (task + 1) / tasks; v < end;) {
      index_t const g = v / of_group, next = std::min(end, (g + 1) * of_group), first = g * of_group;
      collect(g, 0, s.weights_per_output(), (v - first) * width, std::min(outs, (next - first) * width));
      v = next;
    }
  }

  void rows(int const task) const {
    index_t const rows = s.weights_per_output(), all = s.groups * rows;
    for (index_t k = all * task / tasks, end = all * (task + 1) / tasks; k < end;) {
      index_t const g = k / rows, next = std::min(end, (g + 1) * rows);
      collect(g, k - g * rows, next - g * rows, 0, s.group_out());
      k = next;
    }
  }

  /// Rows [k0, k1) of the output channels [o0, o1) of a group.
  void collect(index_t g, index_t k0, index_t k1, index_t o0, index_t o1) const {
    index_t const rows = s.weights_per_output(), out = g * s.group_out() + o0;
    index_t const image = s.height * s.width, plane = s.out_height() * s.out_width();
    gradient_collector<T> c(conv_kernels_of<T>(level), conv_forward_geometry(s), k0, k1, o1 - o0);
    conv_carver count(nullptr);
    c.carve(count, l);
    conv_carver carver(scratch<conv_scratch>(count.used()));
    c.carve(carver, l);
    c.run(l, x + g * s.group_in() * image, s.in_channels * image, dy + out * plane, s.out_channels * plane,
          dw + out * rows, rows);
  }
};

template <class T> struct conv_bias_task {
  index_t channels, plane;
  isa::level level;
  int tasks;
  T const* dy;
  T* db;
  lanes l;

  void operator()(int const task) const {
    auto const& kernels = conv_kernels_of<T>(level);
    for (index_t o = channels * task / tasks; o < channels * (task + 1) / tasks; ++o) {
      T top[8] = {};
      int depth = 0;
      for (int lane = 0; lane < l.count; ++lane) {
        T total = l.count == 1 && l.accumulate ? db[o] : T(0);
        for (index_t n = l.begin(lane); n < l.end(lane); ++n)
          total += kernels.sum(dy + (n * channels + o) * plane, plane);
        for (int left = lane; left & 1; left >>= 1) total = top[--depth] + total;
        top[depth++] = total;
      }
      db[o] = top[0];
    }
  }
};

template <class Space> [[nodiscard]] int conv_tasks(Space const& space, double work, index_t parts) {
  return static_cast<int>(std::min<index_t>(tasks_for(space, work), std::max<index_t>(1, parts)));
}

template <class Space, class T>
void conv2d_forward_host(Space const& space, isa::level level, conv2d_shape const& s, T const* x, T const* w,
                         T const* bias, T* y, activation a) {
  int const tasks = conv_tasks(space, s.flops(), s.batch);
  for_tasks(space, tasks, conv_forward_task<T>{s, level, tasks, x, w, bias, y, a == activation::relu});
}

template <class Space, class T>
void conv2d_backward_input_host(Space const& space, isa::level level, conv2d_shape const& s, T const* dy, T const* w,
                                T* dx) {
  int const tasks = conv_tasks(space, s.flops(), s.batch);
  for_tasks(space, tasks, conv_input_task<T>{s, level, tasks, dy, w, dx});
}

template <class Space, class T>
void conv2d_backward_weight_host(Space const& space, isa::level level, conv2d_shape const& s, T const* dy, T const* x,
                                 T* dw, lanes const& l) {
  int const tasks = conv_tasks(
      space, s.flops(), conv_weight_task<T>::by_outputs(s, level) ? s.out_channels : s.groups * s.weights_per_output());
  for_tasks(space, tasks, conv_weight_task<T>{s, level, tasks, dy, x, dw, l});
}

template <class Space, class T>
void conv2d_backward_bias_host(Space const& space, isa::level level, conv2d_shape const& s, T const* dy, T* db,
                               lanes const& l) {
  index_t const plane = s.out_height() * s.out_width();
  int const tasks = conv_tasks(space, static_cast<double>(s.batch * s.out_channels * plane), s.out_channels);
  for_tasks(space, tasks, conv_bias_task<T>{s.out_channels, plane, level, tasks, dy, db, l});
}

}  // namespace pleat::compute::detail
