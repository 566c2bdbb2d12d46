// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What the convolution kernels of every instruction set share: their arguments and the table through which the
/// blocking loops (conv_correlate.hpp, conv_gradient.hpp) call them. Needs no Kokkos.
#pragma once

#include <pleat/base/config.hpp>
#include <pleat/compute/detail/conv_unroll.hpp>
#include <pleat/compute/lanes.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::compute::detail {

/// rows × columns outputs; output (i, j) is a chain of fused multiply-adds over k of weights[k * weight_stride + i] ·
/// input[offset[k] + at[v] + l], where j = v · width + l, starting from bias[i], from what `out` holds, or from zero.
template <class T> struct conv_tile_arguments {
  T const* weights;
  index_t weight_stride;
  T const* input;         ///< whole vectors are readable
  index_t const* at;      ///< [vectors of the tile]
  index_t const* offset;  ///< [depth]
  index_t depth;
  T* out;  ///< output (i, j) at out[i * out_stride + j]
  index_t out_stride;
  index_t columns;  ///< columns that exist; the last vector may be partial
  T const* bias;    ///< [rows] or null; not read where from_out
  bool from_out;
  bool relu;
};

/// One element of a chain over taps that lie in the image: what to add to the pixel and to the weights.
struct conv_pixel_step {
  index_t x, w;
};

/// Pixels × whole vectors of channels; element (i, j) is a chain over the steps k of x[at[i] + step[k].x] ·
/// weights[step[k].w + j], starting from start[j], from what `out` holds, or from zero.
template <class T> struct conv_pixel_arguments {
  T const* x;
  index_t const* at;  ///< [pixels of the tile]
  T const* weights;
  conv_pixel_step const* steps;
  index_t depth;
  T const* start;  ///< [columns] or null; not read where from_out
  bool from_out;
  bool relu;
  T* out;
  index_t const* to;  ///< element (i, j) at out[to[i] + j]
};

/// Up to R rows of a weight gradient times whole vectors of output channels; element (i, j) is a chain over the pixels
/// p of row[i][p] · dy[p * columns + j], starting from what `sum` holds; `columns` is what the tile's vectors hold.
template <class T> struct conv_gradient_arguments {
  T const* const* row;  ///< R pointers; those beyond `rows` repeat an existing one
  T const* dy;
  index_t pixels;
  T* sum;  ///< element (i, j) at sum[i * columns + j]
  int rows;
};

/// One vector of channels whose taps are elements of their own: sum[t * width + l] is a chain over the pixels p of
/// x[offset[p] + at[t] + l] · dy[p * width + l], starting from what `sum` holds, for as many taps t as the tile has.
template <class T> struct conv_depthwise_arguments {
  T const* x;
  index_t const* at;
  index_t const* offset;  ///< [pixels]
  T const* dy;
  index_t pixels;
  T* sum;
};

/// Planes of shifted (and strided) image rows: out[c][j][x] = plane[c][first_y + j * step_y][first_x + x * step_x],
/// zero outside of the image. Rows of `out` lie out_pitch apart. May write less than a vector (of zeros, where step_x
/// is 1 and the row reaches the image's right edge) beyond each row's end.
template <class T> struct conv_lower_arguments {
  T const* plane;
  index_t height, width;
  index_t channels;
  index_t first_y, step_y, first_x, step_x;
  T* out;
  index_t out_rows, out_width, out_pitch;
};

/// Transposes `rows` (at most a vector's width) rows of n elements: to[p * to_stride + i] = from[i * from_stride + p].
/// Writes whole vectors (zeros for the rows that are missing) and p up to the next multiple of the width.
template <class T> struct conv_transpose_arguments {
  T const* from;
  index_t from_stride;
  index_t rows, n;
  T* to;
  index_t to_stride;
};

/// out[c][y][x] = the sum over taps (u, v), ascending, of products[c][u][v][y - u * dilation_h][x - v * dilation_w],
/// where that lies in rows × columns.
template <class T> struct conv_collect_arguments {
  T const* products;
  index_t channels, taps_h, taps_w, dilation_h, dilation_w;
  index_t rows, columns;
  T* out;
  index_t height, width;
};

/// How many sums a tree of lanes keeps at a time: the one in work and those that wait for their neighbour.
PLEAT_LAZY [[nodiscard]] inline int lane_levels(lanes const& l) noexcept {
  int n = 1;
  while ((1 << n) <= l.count) ++n;
  return n;
}

/// Kernels of one instruction set and type.
template <class T> struct conv_kernels {
  static constexpr int max_rows = 6, max_vectors = 8, max_gradients = 5, max_channels = 4;
  int width = 1;                           ///< elements of a vector
  int rows = 1;                            ///< largest tile
  int vectors = 1;                         ///< its vectors
  int wide_vectors = 1;                    ///< vectors where a tile has at most two rows
  int gradients = 1;                       ///< how many row counts gradient tiles come in
  int gradient_rows[max_gradients] = {1};  ///< from the most to the least
  void (*tile[max_rows][max_vectors])(conv_tile_arguments<T> const&) = {};
  /// Returns whether a chain ended in -0. [pixels - 1][vectors - 1], as many vectors as `tile` has. Null without vectors.
  bool (*pixels[max_rows][max_channels])(conv_pixel_arguments<T> const&) = {};
  void (*gradient[max_gradients][2])(conv_gradient_arguments<T> const&) = {};  ///< [as gradient_rows][vectors - 1]
  void (*depthwise[3])(conv_depthwise_arguments<T> const&) = {};               ///< of 9, 3 and 1 taps
  void (*lower)(conv_lower_arguments<T> const&) = nullptr;
  void (*transpose)(conv_transpose_arguments<T> const&) = nullptr;
  void (*collect)(conv_collect_arguments<T> const&) = nullptr;
  T (*sum)(T const*, index_t) = nullptr;  ///< see conv_sum_stripes
};

/// The sum of an image's plane: pixel p belongs to stripe p mod 32; stripes ascend, then fold in halves (16, 8, 4, 2,
/// 1).
inline constexpr int conv_sum_stripes = 32;

}  // namespace pleat::compute::detail
