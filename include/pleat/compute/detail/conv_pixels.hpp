// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Correlations of small images, where many taps fall outside of the image or much would have to be lowered: vectors are
/// output channels, pixels are broadcast from the image as it lies, and each pixel's chain has the taps that lie in the
/// image alone.
///
/// A zero times a finite weight changes no sum but -0, and a sum that a left-out zero would have turned from -0 into +0
/// ends in -0 or is the same. So the bits are those of the whole chain (compute/convolution.hpp) where all weights are
/// finite and no chain ends in -0; everything else is left to the correlator.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <type_traits>

#include <pleat/compute/detail/conv_correlate.hpp>

namespace pleat::compute::detail {

/// Runs of output rows (or columns) that meet the same taps, and those taps.
struct conv_reach {
  index_t begin, end;   ///< of the outputs
  index_t first, last;  ///< of the taps

  /// The run that starts at output y.
  PLEAT_LAZY conv_reach(index_t y, index_t in, index_t out, index_t taps, index_t step, index_t offset, index_t next)
      : begin(y) {
    auto const inside = [&](index_t i, index_t t) {
      index_t const at = i * step + offset + t * next;
      return at >= 0 && at < in;
    };
    auto const reach = [&](index_t i, index_t& low, index_t& high) {
      for (low = 0; low < taps && !inside(i, low);) ++low;
      for (high = low; high < taps && inside(i, high);) ++high;
    };
    reach(y, first, last);
    for (end = y + 1; end < out; ++end) {
      index_t low, high;
      reach(end, low, high);
      if (low != first || high != last) break;
    }
  }
  PLEAT_LAZY static conv_reach rows(conv_geometry const& g, index_t y) {
    return {y, g.in_h, g.out_h, g.taps_h, g.step_h, g.first_h, g.next_h};
  }
  PLEAT_LAZY static conv_reach columns(conv_geometry const& g, index_t x) {
    return {x, g.in_w, g.out_w, g.taps_w, g.step_w, g.first_w, g.next_w};
  }
  [[nodiscard]] index_t outputs() const noexcept { return end - begin; }
  [[nodiscard]] index_t taps() const noexcept { return last - first; }
};

/// What the correlator gives, for images of few pixels.
template <class T> class pixel_correlator {
 public:
  pixel_correlator(conv_kernels<T> const& kernels, conv_geometry const& g, index_t rows, index_t channels)
      : kernels_(kernels),
        g_(g),
        rows_(rows),
        channels_(channels),
        plane_(g.out_h * g.out_w),
        images_(std::max<index_t>(1, most_pixels / plane_)),
        row_parts_(rows / kernels.width, kernels.vectors),
        channel_parts_(channels, std::max<index_t>(1, most_depth / (g.taps_h * g.taps_w))) {}

  /// Whether what is left out, and the lowering that is not needed, outweigh the turning of the outputs.
  static bool suits(conv_kernels<T> const& kernels, conv_geometry const& g, index_t rows, index_t channels) {
    index_t const plane = g.out_h * g.out_w;
    if (!kernels.pixels[0][0] || plane == 0 || plane > most_pixels || plane % kernels.width || rows % kernels.width)
      return false;
    index_t taps_h = 0, taps_w = 0;  // met by all output rows, by all output columns
    for (index_t y = 0; y < g.out_h;) {
      auto const r = conv_reach::rows(g, y);
      taps_h += r.outputs() * r.taps();
      y = r.end;
    }
    for (index_t x = 0; x < g.out_w;) {
      auto const r = conv_reach::columns(g, x);
      taps_w += r.outputs() * r.taps();
      x = r.end;
    }
    index_t const left_out = (plane * g.taps_h * g.taps_w - taps_h * taps_w) * channels / plane;
    bool const lowered = g.step_w > 1 || g.out_w % kernels.width != 0;
    return left_out + (lowered ? lowering * conv_lowering(g).planes(channels) / rows : 0) >= turning;
  }

  void carve(conv_carver& c) {
    index_t const taps = g_.taps_h * g_.taps_w;
    packed_ = c.take<T>(rows_ * channels_ * taps + row_parts_.largest() * kernels_.width * kernels_.width);
    steps_ = c.take<conv_pixel_step>(channel_parts_.largest() * taps);
    at_ = c.take<index_t>(images_ * plane_);
    to_ = c.take<index_t>(images_ * plane_);
    turned_ = c.take<T>(images_ * plane_ * row_parts_.largest() * kernels_.width);
  }

  /// Packs the weights: for each part of the rows, for each part of the channels, [k][row]. Taps of a (row, channel) are
  /// neighbours. False where a weight is not finite.
  bool pack(conv_weights<T> const& w) {
    index_t const taps = g_.taps_h * g_.taps_w, width = kernels_.width;
    // where channels are neighbours too, all of a row's weights are turned in one go
    index_t const together = w.channel_stride == taps ? channels_ : 1;
    T* out = packed_;
    for (index_t rp = 0; rp < row_parts_.parts; ++rp) {
      index_t const r0 = row_parts_.begin(rp) * width, wide = row_parts_.size(rp) * width;
      for (index_t c = 0; c < channels_; c += together, out += together * taps * wide)
        for (index_t r = 0; r < wide; r += width)  // what spills is written over by the next channel or part
          kernels_.transpose({w.data + (r0 + r) * w.row_stride + c * w.channel_stride, w.row_stride, width,
                              together * taps, out + r, wide});
    }
    using bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
    constexpr bits exponent = sizeof(T) == 4 ? bits{0x7F800000U} : static_cast<bits>(0x7FF0000000000000U);
    bits special = 0;
    for (T const* p = packed_; p != out; ++p) special |= (std::bit_cast<bits>(*p) & exponent) == exponent ? 1 : 0;
    return special == 0;
  }

  /// How many images run() takes at most.
  [[nodiscard]] index_t images() const noexcept { return images_; }

  /// `count` images. False where the bits of `out` may not be those of the whole chains.
  bool run(index_t count, T const* images, index_t image_stride, T const* bias, bool relu, T* out, index_t out_stride) {
    index_t const taps = g_.taps_h * g_.taps_w, width = kernels_.width;
    bool exact = true;
    T const* packed = packed_;
    for (index_t rp = 0; rp < row_parts_.parts; ++rp) {
      index_t const r0 = row_parts_.begin(rp) * width, wide = row_parts_.size(rp) * width;
      for (index_t cp = 0; cp < channel_parts_.parts; ++cp) {
        conv_pixel_arguments<T> t{};
        t.x = images + channel_parts_.begin(cp) * g_.in_h * g_.in_w;
        t.weights = packed;
        t.start = bias ? bias + r0 : nullptr;
        t.from_out = cp > 0;
        t.relu = relu && cp + 1 == channel_parts_.parts;
        for (index_t y = 0; y < g_.out_h;) {
          auto const v = conv_reach::rows(g_, y);
          for (index_t x = 0; x < g_.out_w;) {
            auto const h = conv_reach::columns(g_, x);
            exact &= alike(t, v, h, channel_parts_.size(cp), wide, count, image_stride);
            x = h.end;
          }
          y = v.end;
        }
        packed += channel_parts_.size(cp) * taps * wide;
      }
      for (index_t n = 0; n < count; ++n)
        for (index_t r = 0; r < wide; r += width)
          for (index_t p = 0; p < plane_; p += width)
            kernels_.transpose({turned_ + (n * plane_ + p) * wide + r, wide, width, width,
                                out + n * out_stride + (r0 + r) * plane_ + p, plane_});
    }
    return exact;
  }

 private:
  static constexpr index_t most_pixels = 512;  ///< of the images that are in work: a tile's pixels may be of several
  static constexpr index_t most_depth = 576;   ///< of a chain between two visits of its outputs
  static constexpr index_t turning = 8;        ///< what an output costs beside its chain, in steps of a chain
  static constexpr index_t lowering = 3;       ///< what a vector of a lowered plane costs, in the same

  /// The pixels of all images that meet the same taps.
  bool alike(conv_pixel_arguments<T> t, conv_reach const& v, conv_reach const& h, index_t channels, index_t wide,
             index_t count, index_t image_stride) const {
    conv_pixel_step* step = steps_;
    for (index_t c = 0; c < channels; ++c)
      for (index_t a = v.first; a < v.last; ++a)
        for (index_t b = h.first; b < h.last; ++b)
          *step++ = {(c * g_.in_h + g_.first_h + a * g_.next_h) * g_.in_w + g_.first_w + b * g_.next_w,
                     ((c * g_.taps_h + a) * g_.taps_w + b) * wide};
    t.steps = steps_;
    t.depth = step - steps_;
    index_t pixels = 0;
    for (index_t n = 0; n < count; ++n)
      for (index_t y = v.begin; y < v.end; ++y)
        for (index_t x = h.begin; x < h.end; ++x, ++pixels) {
          at_[pixels] = n * image_stride + y * g_.step_h * g_.in_w + x * g_.step_w;
          to_[pixels] = (n * plane_ + y * g_.out_w + x) * wide;
        }
    t.out = turned_;
    bool exact = true;
    conv_parts const tiles(pixels, kernels_.rows);
    for (index_t i = 0; i < tiles.parts; ++i) {
      t.at = at_ + tiles.begin(i);
      t.to = to_ + tiles.begin(i);
      exact &= !kernels_.pixels[tiles.size(i) - 1][wide / kernels_.width - 1](t);
    }
    return exact;
  }

  conv_kernels<T> const& kernels_;
  conv_geometry g_;
  index_t rows_, channels_, plane_, images_;
  conv_parts row_parts_, channel_parts_;
  T* packed_ = nullptr;
  conv_pixel_step* steps_ = nullptr;
  index_t* at_ = nullptr;
  index_t* to_ = nullptr;
  T* turned_ = nullptr;
};

}  // namespace pleat::compute::detail
