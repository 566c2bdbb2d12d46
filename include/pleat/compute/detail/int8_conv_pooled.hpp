// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Packing for an int8 convolution whose outputs are pooled by windows of 2 × 2 side by side before they are stored:
/// the four outputs of 16 windows are computed together, a vector each, so that a window's largest sum is found between
/// vectors. Needs no Kokkos.
///
/// A row of the image holds its even columns first, then its odd ones: windows are two columns apart, and so their
/// pixels are neighbours. A vector is packed for every row and column that a window's outputs look at, kernel_h + 1
/// rows: neighbouring outputs share most of them.
#pragma once

#include <algorithm>

#include <pleat/base/config.hpp>
#include <pleat/compute/detail/int8_conv_layout.hpp>

namespace pleat::compute::detail {

/// Whether windows are packed for this shape: nothing is skipped.
PLEAT_LAZY [[nodiscard]] inline bool int8_conv_pools(conv2d_shape const& s) {
  return s.stride_h == 1 && s.stride_w == 1 && s.dilation_h == 1 && s.dilation_w == 1 && s.out_height() > 1 &&
         s.out_width() > 1 && int8_conv_layout(s).suits;
}

/// Up to 16 windows from `first` on, in pieces of one row of windows.
struct window_pieces {
  struct piece {
    index_t from;  ///< bytes from the first window's pixel
    index_t to;    ///< window, 0 … 15
  };
  piece at[16];
  int count = 0;
  index_t longest = 0;

  PLEAT_LAZY window_pieces(conv2d_shape const& s, int8_conv_layout const& l, index_t first) {
    index_t const width = s.out_width() / 2, total = width * (s.out_height() / 2),
                  last = first + 16 < total ? first + 16 : total;
    for (index_t p = first; p < last;) {
      index_t const i = p / width, j = p % width, run = std::min(width - j, last - p);
      at[count++] = {2 * i * l.row + j * l.pixel, p - first};
      longest = std::max(longest, run);
      p += run;
    }
  }
};

/// The vectors of a plane: [kernel_h + 1][columns], where a group of the kernel's row begins at every `step`-th column.
struct window_vectors {
  index_t step, columns, bytes;
  PLEAT_LAZY window_vectors(conv2d_shape const& s, int8_conv_layout const& l)
      : step(l.by_channels ? 1 : 2), columns(l.by_channels ? s.kernel_w + 1 : 2 * l.steps), bytes(16 * l.pixel) {}
  [[nodiscard]] index_t row() const { return columns * bytes; }
  PLEAT_LAZY [[nodiscard]] index_t all(conv2d_shape const& s, int8_conv_layout const& l) const {
    return l.planes * (s.kernel_h + 1) * row();
  }
  /// Where group g's first vector lies.
  PLEAT_LAZY [[nodiscard]] index_t offset(conv2d_shape const& s, int8_conv_layout const& l, index_t g) const {
    index_t const v = g % l.steps, u = g / l.steps % s.kernel_h, p = g / l.steps / s.kernel_h;
    return (p * (s.kernel_h + 1) + u) * row() + v * step * bytes;
  }
};

struct int8_conv_windows {
  conv2d_shape const& s;
  int8_conv_layout const& l;
  window_vectors const& vectors;
  window_pieces const& pieces;
  unsigned char const* image;
};
/// Packs all vectors; what a copy writes too much the next one overwrites.
template <int Bytes> PLEAT_INLINE void pack_whole_windows(int8_conv_windows const& t, unsigned char* to) {
  index_t const vector = t.vectors.bytes, columns = t.vectors.columns, rows = t.s.kernel_h + 1, half = t.l.row / 2;
  index_t const step = (t.l.by_channels ? 1 : t.l.depth / 2) * t.l.pixel;  // two columns on
  int const count = t.pieces.count;
  index_t from[16], place[16];
  for (int q = 0; q < count; ++q) from[q] = t.pieces.at[q].from, place[q] = t.pieces.at[q].to * t.l.pixel;
  auto const pack = [&](unsigned char const* at) {
    for (int q = 0; q < count; ++q) __builtin_memcpy(to + place[q], at + from[q], Bytes);
    to += vector;
  };
  for (index_t p = 0; p < t.l.planes; ++p)
    for (index_t u = 0; u < rows; ++u) {
      unsigned char const* at = t.image + p * t.l.plane + u * t.l.row;
      for (index_t c = 0; c + 2 <= columns; c += 2, at += step) pack(at), pack(at + half);
      if (columns % 2 != 0) pack(at);
    }
}
#if defined(__x86_64__)
PLEAT_LAZY PLEAT_TARGET_AVX2 inline void pack_windows_avx2(int8_conv_windows const& t, unsigned char* to) {
  if (t.pieces.longest > 8) pack_whole_windows<64>(t, to);
  else t.pieces.longest > 4 ? pack_whole_windows<32>(t, to) : pack_whole_windows<16>(t, to);
}
PLEAT_LAZY PLEAT_TARGET_AVX512 inline void pack_windows_avx512(int8_conv_windows const& t, unsigned char* to) {
  if (t.pieces.longest > 8) pack_whole_windows<64>(t, to);
  else t.pieces.longest > 4 ? pack_whole_windows<32>(t, to) : pack_whole_windows<16>(t, to);
}
#endif
PLEAT_LAZY inline void pack_windows(int8_conv_windows const& t, unsigned char* to) {
#if defined(__x86_64__)
  t.l.depth == 4 ? pack_windows_avx512(t, to) : pack_windows_avx2(t, to);
#else
  static_cast<void>(t), static_cast<void>(to);  // has_int8_conv_tiles says no
#endif
}

}  // namespace pleat::compute::detail
