// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The convolutions on any execution space, one output element a work item, each the same chain as on the host: the
/// device path, and the oracle of the host path.
#pragma once

#include <Kokkos_Core.hpp>

#include <pleat/compute/activation.hpp>
#include <pleat/compute/detail/conv_shape.hpp>
#include <pleat/compute/detail/conv_tile.hpp>
#include <pleat/compute/lanes.hpp>

namespace pleat::compute::detail {

template <class T> struct conv_forward_functor {
  conv2d_shape s;
  T const *x, *w, *bias;
  T* y;
  bool relu;
  PLEAT_FUNCTION void operator()(index_t const at) const {
    index_t const ow = s.out_width(), oh = s.out_height();
    index_t const j = at % ow, i = at / ow % oh, o = at / (ow * oh) % s.out_channels,
                  n = at / (ow * oh * s.out_channels);
    T const* image = x + (n * s.in_channels + o / s.group_out() * s.group_in()) * s.height * s.width;
    T const* weight = w + o * s.weights_per_output();
    T sum = bias ? bias[o] : T(0);
    for (index_t c = 0; c < s.group_in(); ++c)
      for (index_t u = 0; u < s.kernel_h; ++u)
        for (index_t v = 0; v < s.kernel_w; ++v) {
          index_t const row = i * s.stride_h - s.padding_h + u * s.dilation_h,
                        col = j * s.stride_w - s.padding_w + v * s.dilation_w;
          bool const inside = row >= 0 && row < s.height && col >= 0 && col < s.width;
          sum = Kokkos::fma(*weight++, inside ? image[(c * s.height + row) * s.width + col] : T(0), sum);
        }
    y[at] = relu && T(0) > sum ? T(0) : sum;
  }
};

template <class T> struct conv_input_functor {
  conv2d_shape s;
  T const *dy, *w;
  T* dx;
  PLEAT_FUNCTION void operator()(index_t const at) const {
    index_t const ow = s.out_width(), oh = s.out_height(), outs = s.group_out();
    index_t const x = at % s.width, y = at / s.width % s.height, c = at / (s.width * s.height) % s.in_channels;
    index_t const n = at / (s.width * s.height * s.in_channels), g = c / s.group_in();
    T sum = 0;
    if (s.taps_apart()) {
      for (index_t u = 0; u < s.kernel_h; ++u)
        for (index_t v = 0; v < s.kernel_w; ++v) {
          index_t const i = y - u * s.dilation_h, j = x - v * s.dilation_w;
          if (i < 0 || i >= oh || j < 0 || j >= ow) continue;
          T chain = 0;
          for (index_t o = g * outs; o < (g + 1) * outs; ++o)
            chain = Kokkos::fma(w[((o * s.group_in() + c % s.group_in()) * s.kernel_h + u) * s.kernel_w + v],
                                dy[((n * s.out_channels + o) * oh + i) * ow + j], chain);
          sum += chain;
        }
      dx[at] = sum;
      return;
    }
    for (index_t o = g * outs; o < (g + 1) * outs; ++o)
      for (index_t u = 0; u < s.kernel_h; ++u)
        for (index_t v = 0; v < s.kernel_w; ++v) {
          index_t const row = y + s.padding_h - u * s.dilation_h, col = x + s.padding_w - v * s.dilation_w;
          if (row % s.stride_h != 0 || col % s.stride_w != 0) continue;  // no output meets this pixel under this tap
          index_t const i = row / s.stride_h, j = col / s.stride_w;
          bool const inside = row >= 0 && i < oh && col >= 0 && j < ow;
          T const weight = w[((o * s.group_in() + c % s.group_in()) * s.kernel_h + u) * s.kernel_w + v];
          sum = Kokkos::fma(weight, inside ? dy[((n * s.out_channels + o) * oh + i) * ow + j] : T(0), sum);
        }
    dx[at] = sum;
  }
};

/// Sums of lanes over their tree, as they become ready: lane l meets the finished neighbours of its size.
template <class T> struct lane_tree {
  T top[8] = {};
  int depth = 0;
  PLEAT_FUNCTION void push(int lane, T sum) {
    for (; lane & 1; lane >>= 1) sum = top[--depth] + sum;
    top[depth++] = sum;
  }
};

template <class T> struct conv_weight_functor {
  conv2d_shape s;
  T const *dy, *x;
  T* dw;
  lanes l;
  PLEAT_FUNCTION void operator()(index_t const at) const {
    index_t const v = at % s.kernel_w, u = at / s.kernel_w % s.kernel_h,
                  c = at / (s.kernel_w * s.kernel_h) % s.group_in();
    index_t const o = at / s.weights_per_output(), ow = s.out_width(), oh = s.out_height();
    lane_tree<T> tree;
    for (int lane = 0; lane < l.count; ++lane) {
      T sum = l.count == 1 && l.accumulate ? dw[at] : T(0);
      for (index_t n = l.row[lane]; n < l.row[lane + 1]; ++n) {
        T const* image = x + (n * s.in_channels + o / s.group_out() * s.group_in() + c) * s.height * s.width;
        T const* d = dy + (n * s.out_channels + o) * oh * ow;
        for (index_t i = 0; i < oh; ++i)
          for (index_t j = 0; j < ow; ++j) {
            index_t const row = i * s.stride_h - s.padding_h + u * s.dilation_h,
                          col = j * s.stride_w - s.padding_w + v * s.dilation_w;
            bool const inside = row >= 0 && row < s.height && col >= 0 && col < s.width;
            sum = Kokkos::fma(inside ? image[row * s.width + col] : T(0), *d++, sum);
          }
      }
      tree.push(lane, sum);
    }
    dw[at] = tree.top[0];
  }
};

template <class T> struct conv_bias_functor {
  index_t channels, plane;
  T const* dy;
  T* db;
  lanes l;
  PLEAT_FUNCTION void operator()(index_t const o) const {
    lane_tree<T> tree;
    for (int lane = 0; lane < l.count; ++lane) {
      T sum = l.count == 1 && l.accumulate ? db[o] : T(0);
      for (index_t n = l.row[lane]; n < l.row[lane + 1]; ++n) {
        T stripe[conv_sum_stripes] = {};
        T const* d = dy + (n * channels + o) * plane;
        for (index_t p = 0; p < plane; ++p) stripe[p % conv_sum_stripes] += d[p];
        for (int half = conv_sum_stripes / 2; half > 0; half /= 2)
          for (int i = 0; i < half; ++i) stripe[i] += stripe[i + half];
        sum += stripe[0];
      }
      tree.push(lane, sum);
    }
    db[o] = tree.top[0];
  }
};

template <class Space, class Functor>
void conv_launch(Space const& space, char const* label, index_t items, Functor const& f) {
  Kokkos::parallel_for(label, Kokkos::RangePolicy<Space, Kokkos::IndexType<index_t>>(space, 0, items), f);
}

template <class Space, class T>
void conv2d_forward_portable(Space const& space, conv2d_shape const& s, T const* x, T const* w, T const* bias, T* y,
                             activation a) {
  conv_launch(space, "conv", s.batch * s.out_channels * s.out_height() * s.out_width(),
              conv_forward_functor<T>{s, x, w, bias, y, a == activation::relu});
}

template <class Space, class T>
void conv2d_backward_input_portable(Space const& space, conv2d_shape const& s, T const* dy, T const* w, T* dx) {
  conv_launch(space, "conv_dx", s.batch * s.in_channels * s.height * s.width, conv_input_functor<T>{s, dy, w, dx});
}

template <class Space, class T>
void conv2d_backward_weight_portable(Space const& space, conv2d_shape const& s, T const* dy, T const* x, T* dw,
                                     lanes const& l) {
  conv_launch(space, "conv_dw", s.out_channels * s.weights_per_output(), conv_weight_functor<T>{s, dy, x, dw, l});
}

template <class Space, class T>
void conv2d_backward_bias_portable(Space const& space, conv2d_shape const& s, T const* dy, T* db, lanes const& l) {
  conv_launch(space, "conv_db", s.out_channels,
              conv_bias_functor<T>{s.out_channels, s.out_height() * s.out_width(), dy, db, l});
}

}  // namespace pleat::compute::detail
