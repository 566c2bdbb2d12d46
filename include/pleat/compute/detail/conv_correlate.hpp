// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The one loop nest behind the forward convolution and its input gradient on host spaces.
///
/// An image is never unrolled over both kernel extents: it is *lowered* over the kernel's columns only, a plane per tap
/// column whose rows are as wide as the output. In such a plane the outputs of consecutive rows are consecutive, so a
/// vector of outputs reads one vector of input whatever the width, stride, padding and dilation, and a tap row is an
/// offset.
#pragma once

#include <algorithm>
#include <numeric>

#include <pleat/base/config.hpp>
#include <pleat/compute/detail/conv_tile.hpp>
#include <pleat/base/isa.hpp>
#include <pleat/compute/detail/scratch.hpp>

namespace pleat::compute::detail {

/// The kernels of an instruction set, for float and double.
template <class T> [[nodiscard]] conv_kernels<T> const& conv_kernels_of(isa::level level) noexcept;

/// Which input element an output element meets under each tap: input row `y * step_h + first_h + t * next_h` for output
/// row y and tap row t, and the same across. Outside of the input there are zeros, which are multiplied like any value.
struct conv_geometry {
  index_t in_h, in_w;
  index_t out_h, out_w;
  index_t taps_h, taps_w;
  index_t step_h, step_w;
  index_t first_h, first_w;
  index_t next_h, next_w;
};

/// Where the lowered planes of `channels` channels and `rows` output rows lie: [tap
/// column][phase][channel][plane_rows][out_w]. Tap rows whose distance is a multiple of the row step share a plane; the
/// others have a phase of their own.
struct conv_lowering {
  conv_geometry g;
  index_t lowest;      ///< smallest tap-row shift
  index_t extra_rows;  ///< rows of a plane beyond the output rows
  index_t phases;      ///< row phases that occur
  index_t phase_gap;   ///< they are multiples of this

  PLEAT_LAZY explicit conv_lowering(conv_geometry const& geometry) : g(geometry) {
    index_t const span = (g.taps_h - 1) * g.next_h;
    lowest = g.first_h + std::min<index_t>(0, span);
    extra_rows = (span < 0 ? -span : span) / g.step_h;
    phase_gap = std::gcd(g.next_h < 0 ? -g.next_h : g.next_h, g.step_h);
    phases = std::min(g.taps_h, g.step_h / phase_gap);
  }

  [[nodiscard]] index_t plane_rows(index_t rows) const noexcept { return rows + extra_rows; }
  [[nodiscard]] index_t planes(index_t channels) const noexcept { return g.taps_w * phases * channels; }
  [[nodiscard]] index_t size(index_t channels, index_t rows) const noexcept {
    return planes(channels) * plane_rows(rows) * g.out_w;
  }

  /// The row phase of a tap row, and the index of that phase among those that occur (in order of first use).
  [[nodiscard]] index_t phase(index_t tap) const noexcept { return (g.first_h + tap * g.next_h - lowest) % g.step_h; }
  PLEAT_LAZY [[nodiscard]] index_t slot(index_t tap) const noexcept {
    index_t const wanted = phase(tap);
    for (index_t t = 0; t < phases; ++t)  // the phases repeat with this period, so each occurs among the first ones
      if (phase(t) == wanted) return t;
    return 0;
  }

  /// Offsets of the chain's elements in (channel, tap row, tap column) order.
  PLEAT_LAZY void offsets(index_t channels, index_t rows, index_t* out) const noexcept {
    index_t const plane = plane_rows(rows) * g.out_w;
    for (index_t t = 0; t < g.taps_h; ++t) {
      index_t const s = slot(t), q = (g.first_h + t * g.next_h - lowest) / g.step_h;
      for (index_t u = 0; u < g.taps_w; ++u)
        for (index_t c = 0; c < channels; ++c)
          out[(c * g.taps_h + t) * g.taps_w + u] = ((u * phases + s) * channels + c) * plane + q * g.out_w;
    }
  }

  /// Lowers `channels` planes of an image for the output rows [row, row + rows). Writes up to a vector beyond the end.
  template <class T>
  void lower(conv_kernels<T> const& kernels, T const* image, index_t channels, index_t row, index_t rows,
             T* out) const {
    index_t const plane = plane_rows(rows) * g.out_w;
    for (index_t u = 0; u < g.taps_w; ++u)
      for (index_t s = 0; s < phases; ++s)
        kernels.lower({image, g.in_h, g.in_w, channels, row * g.step_h + lowest + phase(s), g.step_h,
                       g.first_w + u * g.next_w, g.step_w, out + (u * phases + s) * channels * plane, plane_rows(rows),
                       g.out_w, g.out_w});
  }

  /// One tap that reads the image as it lies.
  [[nodiscard]] bool in_place() const noexcept {
    return g.taps_h == 1 && g.taps_w == 1 && g.step_h == 1 && g.step_w == 1 && g.first_h == 0 && g.first_w == 0 &&
           g.out_h == g.in_h && g.out_w == g.in_w;
  }
};

/// A plain copy of an image with room around it, for column step 1 and rows of whole vectors: no plane per tap column.
/// Rows lie `pitch` apart; the zeros behind a row serve its right margin and the next row's left one, and are written
/// once.
struct conv_frame {
  conv_geometry g;
  index_t lowest, span, margin, pitch;

  PLEAT_LAZY conv_frame(conv_geometry const& geometry, index_t width) : g(geometry) {
    lowest = g.first_h + std::min<index_t>(0, (g.taps_h - 1) * g.next_h);
    span = (g.taps_h - 1) * (g.next_h < 0 ? -g.next_h : g.next_h);
    index_t const left = g.first_w + std::min<index_t>(0, (g.taps_w - 1) * g.next_w);
    index_t const right = g.first_w + std::max<index_t>(0, (g.taps_w - 1) * g.next_w) + g.out_w - g.in_w;
    margin = (std::max<index_t>({0, -left, right}) + width - 1) / width * width;
    pitch = (g.in_w + width - 1) / width * width + margin;
  }
  [[nodiscard]] index_t plane_rows(index_t rows) const noexcept { return (rows - 1) * g.step_h + span + 1; }
  [[nodiscard]] index_t size(index_t channels, index_t rows) const noexcept {
    return margin + channels * plane_rows(rows) * pitch;
  }
  PLEAT_LAZY void offsets(index_t channels, index_t rows, index_t* out) const noexcept {
    for (index_t c = 0; c < channels; ++c)
      for (index_t t = 0; t < g.taps_h; ++t)
        for (index_t u = 0; u < g.taps_w; ++u)
          *out++ =
              margin + (c * plane_rows(rows) + g.first_h + t * g.next_h - lowest) * pitch + g.first_w + u * g.next_w;
  }
  template <class T>
  void copy(conv_kernels<T> const& kernels, T const* image, index_t channels, index_t row, index_t rows, T* out) const {
    kernels.lower({image, g.in_h, g.in_w, channels, row * g.step_h + lowest, 1, 0, 1, out + margin, plane_rows(rows),
                   g.in_w, pitch});
  }
};

/// Cuts `total` into near-equal parts of at most `most`.
struct conv_parts {
  index_t total, parts;
  PLEAT_LAZY conv_parts(index_t n, index_t most) : total(n), parts(std::max<index_t>(1, (n + most - 1) / most)) {}
  [[nodiscard]] index_t begin(index_t i) const noexcept { return total / parts * i + std::min(i, total % parts); }
  [[nodiscard]] index_t size(index_t i) const noexcept { return begin(i + 1) - begin(i); }
  [[nodiscard]] index_t largest() const noexcept { return (total + parts - 1) / parts; }
};

/// Hands out pieces of one block of scratch, each on a 64-byte border. With a null base it only counts.
class conv_carver {
 public:
  explicit conv_carver(void* base) noexcept : base_(static_cast<char*>(base)) {}
  template <class U> [[nodiscard]] U* take(index_t n) noexcept {
    std::size_t const at = used_;
    used_ += (static_cast<std::size_t>(n) * sizeof(U) + 63) / 64 * 64;
    return base_ ? reinterpret_cast<U*>(base_ + at) : nullptr;
  }
  [[nodiscard]] std::size_t used() const noexcept { return used_; }

 private:
  char* base_;
  std::size_t used_ = 0;
};

/// Element (row, channel, tap row, tap column) of a kernel at data[row * row_stride + …].
template <class T> struct conv_weights {
  T const* data;
  index_t row_stride, channel_stride, h_stride, w_stride;
};

/// Out[row][y][x] = activation(start + Σ over (channel, tap row, tap column), ascending, of weight · input).
/// `start` is bias[row], or zero where bias is null.
template <class T> class correlator {
 public:
  correlator(conv_kernels<T> const& kernels, conv_geometry const& g, index_t rows, index_t channels)
      : kernels_(kernels),
        lowering_(g),
        frame_(g, kernels.width),
        rows_(rows),
        channels_(channels),
        row_parts_(rows, rows <= 2 ? rows : kernels.rows),
        channel_parts_(channels, std::max<index_t>(1, most_depth / (g.taps_h * g.taps_w))),
        in_place_(lowering_.in_place() && g.out_h * g.out_w % kernels.width == 0),
        framed_(!in_place_ && g.step_w == 1 && g.out_w % kernels.width == 0),
        line_parts_(g.out_h, in_place_ ? g.out_h : lines(channel_parts_.largest())),
        frames_(framed_ && channels == 1 && line_parts_.parts == 1 ? most_frames : 1) {}

  /// Scratch for everything that one task needs.
  void carve(conv_carver& c) {
    index_t const taps = lowering_.g.taps_h * lowering_.g.taps_w, most = channel_parts_.largest();
    packed_ = c.take<T>(rows_ * channels_ * taps);
    offset_ = c.take<index_t>(most * taps);
    index_t const size = in_place_ ? 0
                         : framed_ ? frame_.size(most, line_parts_.largest())
                                   : lowering_.size(most, line_parts_.largest());
    lowered_ = c.take<T>(frames_ * size + kernels_.width * (conv_kernels<T>::max_vectors + 1));
  }

  /// Packs the weights: for each channel part, for each row part, [k][row].
  void pack(conv_weights<T> const& w) {
    auto const& g = lowering_.g;
    frame_lines_ = 0;
    T* out = packed_;
    for (index_t cp = 0; cp < channel_parts_.parts; ++cp)
      for (index_t rp = 0; rp < row_parts_.parts; ++rp) {
        index_t const r0 = row_parts_.begin(rp), rows = row_parts_.size(rp);
        for (index_t c = channel_parts_.begin(cp); c < channel_parts_.begin(cp + 1); ++c)
          for (index_t t = 0; t < g.taps_h; ++t)
            for (index_t u = 0; u < g.taps_w; ++u) {
              T const* from = w.data + r0 * w.row_stride + c * w.channel_stride + t * w.h_stride + u * w.w_stride;
              for (index_t r = 0; r < rows; ++r) *out++ = from[r * w.row_stride];
            }
      }
  }

  /// One image. Output plane r starts at out + r * out_h * out_w.
  void run(T const* image, T const* bias, bool relu, T* out) {
    auto const& g = lowering_.g;
    index_t const taps = g.taps_h * g.taps_w;
    for (index_t lp = 0; lp < line_parts_.parts; ++lp) {
      index_t const line = line_parts_.begin(lp), lines = line_parts_.size(lp);
      T const* packed = packed_;
      for (index_t cp = 0; cp < channel_parts_.parts; ++cp) {
        index_t const c0 = channel_parts_.begin(cp), channels = channel_parts_.size(cp);
        T const* input = image + c0 * g.in_h * g.in_w;
        if (in_place_) {
          for (index_t c = 0; c < channels; ++c) offset_[c] = c * g.in_h * g.in_w;
        } else if (framed_) {
          if (frame_lines_ != lines || frame_channels_ != channels) {  // where the margins lie has changed
            frame_lines_ = lines;
            frame_channels_ = channels;
            std::fill(lowered_, lowered_ + frame_.size(channels, lines), T(0));
          }
          frame_.offsets(channels, lines, offset_);
          frame_.copy(kernels_, input, channels, line, lines, lowered_);
          input = lowered_;
        } else {
          lowering_.offsets(channels, lines, offset_);
          lowering_.lower(kernels_, input, channels, line, lines, lowered_);
          input = lowered_;
        }
        bool const last = cp + 1 == channel_parts_.parts;
        multiply(packed, channels * taps, input, bias, cp > 0, relu && last, out + line * g.out_w, lines * g.out_w);
        packed += rows_ * channels * taps;
      }
    }
  }

  /// `count` images, `image_stride` apart, whose outputs are out_stride apart. Images of one channel are copied some at
  /// a time: what was just stored would be read too early by vectors that lie across two of those that were stored.
  void run_all(index_t count, T const* images, index_t image_stride, T const* bias, bool relu, T* out,
               index_t out_stride) {
    auto const& g = lowering_.g;
    index_t done = 0;
    if (frames_ > 1) {
      index_t const taps = g.taps_h * g.taps_w, size = frame_.size(1, g.out_h);
      if (!cleared_) std::fill(lowered_, lowered_ + frames_ * size, T(0));
      cleared_ = true;  // margins stay where they are
      frame_.offsets(1, g.out_h, offset_);
      for (; done < count; done += frames_) {
        index_t const some = std::min(frames_, count - done);
        for (index_t i = 0; i < some; ++i)
          frame_.copy(kernels_, images + (done + i) * image_stride, 1, 0, g.out_h, lowered_ + i * size);
        for (index_t i = 0; i < some; ++i)
          multiply(packed_, taps, lowered_ + i * size, bias, false, relu, out + (done + i) * out_stride,
                   g.out_h * g.out_w);
      }
      return;
    }
    for (; done < count; ++done) run(images + done * image_stride, bias, relu, out + done * out_stride);
  }

 private:
  static constexpr index_t most_frames = 4;   ///< images that are copied before they are multiplied
  static constexpr index_t most_depth = 576;  ///< of a chain between two visits of its outputs

  /// Output lines whose lowered rows fit into about a quarter of a second-level cache.
  [[nodiscard]] index_t lines(index_t channels) const {
    auto const& l = lowering_;
    index_t const room = (index_t{256} << 10) / static_cast<index_t>(sizeof(T));
    index_t const per_line = framed_ ? channels * l.g.step_h * frame_.pitch : l.planes(channels) * l.g.out_w;
    index_t const fitting =
        std::max(room / std::max<index_t>(1, per_line) - l.extra_rows, std::max<index_t>(1, l.extra_rows));
    // fewer lines than the kernel reaches over, where the image has no more
    return std::min(fitting, std::max<index_t>(1, l.g.out_h));
  }

  void multiply(T const* packed, index_t depth, T const* input, T const* bias, bool from_out, bool relu, T* out,
                index_t columns) const {
    index_t const plane = lowering_.g.out_h * lowering_.g.out_w, width = kernels_.width;
    index_t at[conv_kernels<T>::max_vectors];
    index_t line = 0, column = 0;  // of the next vector in the frame
    conv_parts const vectors((columns + width - 1) / width, rows_ <= 2 ? kernels_.wide_vectors : kernels_.vectors);
    for (index_t vp = 0; vp < vectors.parts; ++vp) {
      index_t const first = vectors.begin(vp) * width, nv = vectors.size(vp);
      for (index_t j = 0; j < nv; ++j) {
        if (!framed_) {
          at[j] = first + j * width;
          continue;
        }
        at[j] = line + column;
        column += width;
        if (column == lowering_.g.out_w) {
          column = 0;
          line += lowering_.g.step_h * frame_.pitch;
        }
      }
      T const* w = packed;
      for (index_t rp = 0; rp < row_parts_.parts; ++rp) {
        index_t const r0 = row_parts_.begin(rp), rows = row_parts_.size(rp);
        kernels_.tile[rows - 1][nv - 1]({w, rows, input, at, offset_, depth, out + r0 * plane + first, plane,
                                         std::min(columns - first, nv * width), bias ? bias + r0 : nullptr, from_out,
                                         relu});
        w += rows * depth;
      }
    }
  }

  conv_kernels<T> const& kernels_;
  conv_lowering lowering_;
  conv_frame frame_;
  index_t rows_, channels_;
  conv_parts row_parts_, channel_parts_;
  bool in_place_, framed_;
  conv_parts line_parts_;
  index_t frames_;
  T* packed_ = nullptr;
  index_t* offset_ = nullptr;
  T* lowered_ = nullptr;
  index_t frame_lines_ = 0, frame_channels_ = 0;
  bool cleared_ = false;  ///< run_all's frames
};

}  // namespace pleat::compute::detail

#if defined(PLEAT_HAS_VECTORS)
#include <pleat/compute/detail/conv_vectors.hpp>
#endif
