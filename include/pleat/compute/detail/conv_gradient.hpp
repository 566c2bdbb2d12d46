// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The weight gradient on host spaces: rows are (channel, kernel row, kernel column), broadcast from the lowered image;
/// vectors are output channels of a transposed dy. The sums stay in one small buffer while images pass by.
#pragma once

#include <algorithm>

#include <pleat/compute/detail/conv_correlate.hpp>
#include <pleat/compute/lanes.hpp>

namespace pleat::compute::detail {

/// Rows [k0, k1) of the weight gradient of `outs` output channels of one group.
template <class T> class gradient_collector {
 public:
  gradient_collector(conv_kernels<T> const& kernels, conv_geometry const& g, index_t k0, index_t k1, index_t outs)
      : kernels_(kernels),
        lowering_(g),
        k0_(k0),
        k1_(k1),
        outs_(outs),
        taps_(g.taps_h * g.taps_w),
        channel0_(k0 / taps_),  // of the group; `channels_` of them are touched by the rows, and lowered
        channels_((k1 - 1) / taps_ - channel0_ + 1),
        strip_(2 * kernels.width),
        strips_((outs + strip_ - 1) / strip_),
        in_place_(lowering_.in_place()),
        line_parts_(g.out_h, std::max<index_t>(1, std::min(lines(), 288 / std::max<index_t>(1, g.out_w)))),
        sum_size_((k1 - k0) * strips_ * strip_) {}

  void carve(conv_carver& c, lanes const& l) {
    index_t const pixels = line_parts_.largest() * lowering_.g.out_w;
    offset_ = c.take<index_t>(channels_ * taps_);
    row_ = c.take<T const*>(k1_ - k0_ + kernels_.gradient_rows[0]);
    lowered_ = in_place_ ? nullptr : c.take<T>(lowering_.size(channels_, line_parts_.largest()) + 2 * kernels_.width);
    dy_ = c.take<T>(strip_ * (pixels + kernels_.width));
    sums_ = c.take<T>(sum_size_ * lane_levels(l));
  }

  /// \param x  image 0, first channel of the group
  /// \param dy image 0, first of the output channels
  /// \param dw row 0 of the first of the output channels; [outs][ld]
  void run(lanes const& l, T const* x, index_t x_image, T const* dy, index_t dy_image, T* dw, index_t ld) {
    int depth = 0;
    for (int lane = 0; lane < l.count; ++lane) {
      T* sum = sums_ + depth * sum_size_;
      std::fill(sum, sum + sum_size_, T(0));
      if (l.count == 1 && l.accumulate)
        for (index_t o = 0; o < outs_; ++o)
          for (index_t k = k0_; k < k1_; ++k) *at(sum, k, o) = dw[o * ld + k];
      for (index_t i = l.begin(lane); i < l.end(lane); ++i) add_image(x + i * x_image, dy + i * dy_image, sum);
      for (int left = lane; left & 1; left >>= 1) {  // meets every finished left neighbour of its size
        T* a = sums_ + (depth - 1) * sum_size_;
        T const* b = sums_ + depth * sum_size_;
        for (index_t i = 0; i < sum_size_; ++i) a[i] += b[i];
        --depth;
      }
      ++depth;
    }
    for (index_t o = 0; o < outs_; ++o)
      for (index_t k = k0_; k < k1_; ++k) dw[o * ld + k] = *at(sums_, k, o);
  }

 private:
  [[nodiscard]] index_t lines() const {
    index_t const room = (index_t{256} << 10) / static_cast<index_t>(sizeof(T));
    return std::max<index_t>(
        std::max<index_t>(1, lowering_.extra_rows),
        room / std::max<index_t>(1, lowering_.planes(channels_) * lowering_.g.out_w) - lowering_.extra_rows);
  }

  /// Sums are [strip][row][strip width]; the last strip is one vector wide where that is enough.
  [[nodiscard]] T* at(T* sum, index_t k, index_t o) const {
    index_t const s = o / strip_;
    return sum + (s * (k1_ - k0_)) * strip_ + (k - k0_) * strip_width(s) + o % strip_;
  }
  [[nodiscard]] index_t strip_width(index_t s) const {
    return outs_ - s * strip_ > kernels_.width ? strip_ : kernels_.width;
  }

  void add_image(T const* x, T const* dy, T* sum) {
    auto const& g = lowering_.g;
    index_t const plane = g.out_h * g.out_w, rows = k1_ - k0_, width = kernels_.width;
    for (index_t lp = 0; lp < line_parts_.parts; ++lp) {
      index_t const line = line_parts_.begin(lp), lines = line_parts_.size(lp), pixels = lines * g.out_w;
      T const* input = x + channel0_ * g.in_h * g.in_w;
      if (in_place_) {
        input += line * g.out_w;
        for (index_t c = 0; c < channels_; ++c) offset_[c] = c * plane;
      } else {
        lowering_.offsets(channels_, lines, offset_);
        lowering_.lower(kernels_, input, channels_, line, lines, lowered_);
        input = lowered_;
      }
      for (index_t k = 0; k < rows + kernels_.gradient_rows[0]; ++k)
        row_[k] = input + offset_[std::min(k, rows - 1) + k0_ - channel0_ * taps_];
      for (index_t s = 0; s < strips_; ++s) {
        index_t const o0 = s * strip_, stride = strip_width(s);
        T* turned = dy_;
        for (index_t v = 0; v < stride; v += width)
          kernels_.transpose({dy + (o0 + v) * plane + line * g.out_w, plane, std::min(width, outs_ - o0 - v), pixels,
                              turned + v, stride});
        T* strip_sum = sum + s * rows * strip_;
        for (index_t k = 0; k < rows;) {
          index_t const left = rows - k;
          int const* const sizes = kernels_.gradient_rows;
          index_t const tiles = (left + sizes[0] - 1) / sizes[0], wanted = (left + tiles - 1) / tiles;
          int kind = kernels_.gradients - 1;
          while (sizes[kind] < wanted) --kind;
          int const now = static_cast<int>(std::min<index_t>(left, sizes[kind]));
          kernels_.gradient[kind][stride / width - 1]({row_ + k, turned, pixels, strip_sum + k * stride, now});
          k += now;
        }
      }
    }
  }

  conv_kernels<T> const& kernels_;
  conv_lowering lowering_;
  index_t k0_, k1_, outs_, taps_, channel0_, channels_, strip_, strips_;
  bool in_place_;
  conv_parts line_parts_;
  index_t sum_size_;
  index_t* offset_ = nullptr;
  T const** row_ = nullptr;
  T* lowered_ = nullptr;
  T* dy_ = nullptr;
  T* sums_ = nullptr;
};

}  // namespace pleat::compute::detail
