// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The weight gradient on host spaces where input channels fill vectors: images are turned into strips of one vector of
/// channels per pixel, so that every tap of a pixel is one whole vector; dy, turned as well, is broadcast. The chains
/// are those of conv_gradient.hpp. Depthwise convolutions (groups of one channel) work on strips too, channel by
/// channel.
#pragma once

#include <algorithm>

#include <pleat/compute/detail/conv_correlate.hpp>
#include <pleat/compute/lanes.hpp>

namespace pleat::compute::detail {

/// The weight gradient of some output channels of one group, or of some channels of a depthwise convolution.
template <class T> class strip_collector {
 public:
  /// \param channels input channels of the group; for a depthwise convolution as many as outs
  strip_collector(conv_kernels<T> const& kernels, conv_geometry const& g, index_t channels, index_t outs,
                  bool depthwise)
      : kernels_(kernels),
        g_(g),
        channels_(channels),
        outs_(outs),
        taps_(g.taps_h * g.taps_w),
        in_strips_((channels + kernels.width - 1) / kernels.width),
        out_strips_((outs + kernels.width - 1) / kernels.width),
        left_(std::min<index_t>(0, g.first_w)),
        pitch_(std::max(g.in_w, g.first_w + (g.taps_w - 1) * g.next_w + (g.out_w - 1) * g.step_w + 1) - left_),
        line_parts_(g.out_h, std::max<index_t>(1, most_pixels / g.out_w)),
        images_(line_parts_.parts > 1 ? 1 : std::max<index_t>(1, most_pixels / (g.out_h * g.out_w))),
        strip_size_(rows(line_parts_.largest()) * pitch_ * kernels.width),
        columns_(in_strips_ * taps_ * kernels.width),
        size_(depthwise ? columns_ : outs * columns_),
        depthwise_(depthwise) {}

  /// Worth it: vectors of input channels are fuller than those of output channels, and each turned pixel is used often.
  static bool suits(conv_kernels<T> const& kernels, conv_geometry const& g, index_t channels, index_t outs) {
    auto const whole = [w = static_cast<index_t>(kernels.width)](index_t n) { return (n + w - 1) / w * w; };
    return g.taps_h * g.taps_w >= 4 && channels * whole(outs) >= outs * whole(channels);
  }

  void carve(conv_carver& c, lanes const& l) {
    index_t const pixels = images_ * line_parts_.largest() * g_.out_w, width = kernels_.width;
    offset_ = c.take<index_t>(pixels);
    at_ = c.take<index_t>(in_strips_ * taps_);
    image_size_ = in_strips_ * strip_size_;
    x_ = c.take<T>(images_ * image_size_ + width * width);
    dy_ = c.take<T>(out_strips_ * (pixels + width) * width);
    sums_ = c.take<T>(size_ * lane_levels(l));
  }

  /// \param x,dy image 0; first channel of the group, first output channel wanted
  /// \param dw   row of the first output channel wanted; [outs][channels * taps], or [outs][taps] for a depthwise convolution
  void run(lanes const& l, T const* x, index_t x_image, T const* dy, index_t dy_image, T* dw) {
    index_t const width = kernels_.width, size = size_;
    std::fill(x_, x_ + images_ * image_size_ + width * width, T(0));  // margins stay zero from here on
    for (index_t s = 0; s < in_strips_; ++s)
      for (index_t t = 0; t < g_.taps_h; ++t)
        for (index_t u = 0; u < g_.taps_w; ++u)
          at_[(s * g_.taps_h + t) * g_.taps_w + u] =
              s * strip_size_ + (t * g_.next_h * pitch_ + g_.first_w - left_ + u * g_.next_w) * width;
    int depth = 0;
    for (int lane = 0; lane < l.count; ++lane) {
      T* sum = sums_ + depth * size;
      if (l.count == 1 && l.accumulate) exchange<true>(sum, dw);
      else std::fill(sum, sum + size, T(0));
      for (index_t i = l.begin(lane); i < l.end(lane); i += images_)
        add_images(x + i * x_image, x_image, dy + i * dy_image, dy_image, std::min(images_, l.end(lane) - i), sum);
      for (int left = lane; left & 1; left >>= 1, --depth) {  // meets every finished left neighbour of its size
        T* a = sums_ + (depth - 1) * size;
        T const* b = sums_ + depth * size;
        for (index_t i = 0; i < size; ++i) a[i] += b[i];
      }
      ++depth;
    }
    exchange<false>(sums_, dw);
  }

 private:
  static constexpr index_t most_pixels = 256;  ///< of a block: its strips and its dy share the first-level cache

  /// Image rows under `lines` output lines.
  [[nodiscard]] index_t rows(index_t lines) const { return (lines - 1) * g_.step_h + (g_.taps_h - 1) * g_.next_h + 1; }

  /// Between dw's order (output, channel, tap) and the sums' (output, strip, tap, channel in the strip).
  template <bool Load> void exchange(T* sum, T* dw) const {
    index_t const width = kernels_.width;
    index_t const rows = depthwise_ ? 1 : outs_;
    for (index_t o = 0; o < rows; ++o)
      for (index_t c = 0; c < channels_; ++c)
        for (index_t t = 0; t < taps_; ++t) {
          T& inner = sum[o * columns_ + (c / width * taps_ + t) * width + c % width];
          T& outer = dw[(o * channels_ + c) * taps_ + t];
          Load ? inner = outer : outer = inner;
        }
  }

  void add_images(T const* x, index_t x_image, T const* dy, index_t dy_image, index_t images, T* sum) {
    index_t const width = kernels_.width, plane = g_.out_h * g_.out_w;
    for (index_t lp = 0; lp < line_parts_.parts; ++lp) {
      index_t const line = line_parts_.begin(lp), lines = line_parts_.size(lp), part = lines * g_.out_w,
                    pixels = images * part;
      index_t const dy_strip = (pixels + width) * width;
      index_t* offset = offset_;
      for (index_t n = 0; n < images; ++n) {
        turn_image(x + n * x_image, line * g_.step_h + g_.first_h, rows(lines), x_ + n * image_size_);
        for (index_t i = 0; i < lines; ++i)
          for (index_t j = 0; j < g_.out_w; ++j)
            *offset++ = n * image_size_ + (i * g_.step_h * pitch_ + j * g_.step_w) * width;
        // what spills behind an image's pixels is written over by the next image
        for (index_t s = 0; s < out_strips_; ++s)
          kernels_.transpose({dy + n * dy_image + s * width * plane + line * g_.out_w, plane,
                              std::min(width, outs_ - s * width), part, dy_ + s * dy_strip + n * part * width, width});
      }
      if (depthwise_) {
        for (index_t s = 0; s < in_strips_; ++s)
          for (index_t t = 0; t < taps_;) {
            int const kind = taps_ - t >= 9 ? 0 : taps_ - t >= 3 ? 1 : 2;
            kernels_.depthwise[kind](
                {x_, at_ + s * taps_ + t, offset_, dy_ + s * dy_strip, pixels, sum + (s * taps_ + t) * width});
            t += kind == 0 ? 9 : kind == 1 ? 3 : 1;
          }
        continue;
      }
      conv_parts const vectors(in_strips_ * taps_, kernels_.vectors);
      for (index_t s = 0; s < out_strips_; ++s) {
        conv_parts const tiles(std::min(width, outs_ - s * width), kernels_.rows);
        for (index_t r = 0; r < tiles.parts; ++r)
          for (index_t v = 0; v < vectors.parts; ++v)
            kernels_.tile[tiles.size(r) - 1][vectors.size(v) - 1](
                {dy_ + s * dy_strip + tiles.begin(r), width, x_, at_ + vectors.begin(v), offset_, pixels,
                 sum + (s * width + tiles.begin(r)) * columns_ + vectors.begin(v) * width, columns_,
                 vectors.size(v) * width, nullptr, true, false});
      }
    }
  }

  /// Rows [first, first + count) of an image, zeros outside of it. Turning spills zeros only, and rows ascend.
  void turn_image(T const* x, index_t first, index_t count, T* to) const {
    index_t const width = kernels_.width, plane = g_.in_h * g_.in_w;
    for (index_t s = 0; s < in_strips_; ++s)
      for (index_t j = 0; j < count; ++j) {
        T* row = to + s * strip_size_ + j * pitch_ * width;
        index_t const y = first + j;
        if (y < 0 || y >= g_.in_h) std::fill(row, row + pitch_ * width, T(0));
        else
          kernels_.transpose({x + s * width * plane + y * g_.in_w, plane, std::min(width, channels_ - s * width),
                              g_.in_w, row - left_ * width, width});
      }
  }

  conv_kernels<T> const& kernels_;
  conv_geometry g_;
  index_t channels_, outs_, taps_, in_strips_, out_strips_;
  index_t left_, pitch_;
  conv_parts line_parts_;
  index_t images_, strip_size_, columns_, size_, image_size_ = 0;
  bool depthwise_;
  index_t* offset_ = nullptr;
  index_t* at_ = nullptr;
  T* x_ = nullptr;
  T* dy_ = nullptr;
  T* sums_ = nullptr;
};

}  // namespace pleat::compute::detail
