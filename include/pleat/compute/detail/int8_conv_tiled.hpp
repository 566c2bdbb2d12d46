// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The int8 convolution by the tiles of int8_conv_tile.hpp: the image is kept so that packing its pixels is copying.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <pleat/base/config.hpp>
#include <pleat/compute/detail/int8_conv_arguments.hpp>
#include <pleat/compute/detail/int8_conv_pooled.hpp>
#include <pleat/compute/detail/int8_conv_tile.hpp>
#include <pleat/compute/detail/int8_tile.hpp>
#include <pleat/compute/detail/scratch.hpp>

namespace pleat::compute::detail {

/// Where the pixels of 64 neighbouring outputs lie, as seen from a kernel element: pieces of up to 16 outputs of one
/// row.
struct pixel_pieces {
  struct piece {
    index_t from;  ///< bytes from the kernel element's first pixel
    index_t to;    ///< output, 0 … 63
    index_t count;
  };
  piece at[64 + 4];
  int count = 0;

  PLEAT_LAZY pixel_pieces(conv2d_shape const& s, index_t row, index_t first, index_t bytes = 1) {
    index_t const width = s.out_width(), total = width * s.out_height(), last = first + 64 < total ? first + 64 : total;
    for (index_t p = first; p < last;) {
      index_t const i = p / width, j = p % width;
      index_t const run = std::min<index_t>({16, width - j, last - p});
      at[count++] = {i * s.stride_h * row + j * s.stride_w * bytes, p - first, run};
      p += run;
    }
  }
};

/// Byte j of 16 bytes of `depth` lines side by side: to[depth·j + d] = lines[d·apart + j].
PLEAT_LAZY [[gnu::always_inline]] inline void interleave_16(unsigned char const* lines, index_t apart, int depth,
                                                            unsigned char* to) {
#if defined(__x86_64__)  // SSE2, which every such processor has
  auto const load = [&](int d) { return _mm_loadu_si128(reinterpret_cast<__m128i const*>(lines + d * apart)); };
  auto const store = [&](int q, __m128i v) { _mm_storeu_si128(reinterpret_cast<__m128i*>(to) + q, v); };
  __m128i const l0 = load(0), l1 = load(1), low = _mm_unpacklo_epi8(l0, l1), high = _mm_unpackhi_epi8(l0, l1);
  if (depth == 2) {
    store(0, low);
    store(1, high);
    return;
  }
  __m128i const l2 = load(2), l3 = load(3), low2 = _mm_unpacklo_epi8(l2, l3), high2 = _mm_unpackhi_epi8(l2, l3);
  store(0, _mm_unpacklo_epi16(low, low2));
  store(1, _mm_unpackhi_epi16(low, low2));
  store(2, _mm_unpacklo_epi16(high, high2));
  store(3, _mm_unpackhi_epi16(high, high2));
#else
  for (int j = 0; j < 16; ++j)
    for (int d = 0; d < depth; ++d) to[depth * j + d] = lines[d * apart + j];
#endif
}

/// One channel's weights in the layout's order: 4 bytes a group, zero beyond the last.
template <class W>
inline void order_int8_weights(conv2d_shape const& s, int8_conv_layout const& l, std::int8_t const* w, W* to) {
  constexpr int depth = 4 / sizeof(W);
  index_t const area = s.kernel_h * s.kernel_w, kernel_w = s.kernel_w;
  if (l.by_channels) {
    for (index_t p = 0; p < l.planes; ++p)
      for (int d = 0; d < depth; ++d) {
        W* const at = to + p * area * depth + d;
        index_t const c = p * depth + d;
        if (c < s.in_channels)
          for (index_t e = 0; e < area; ++e) at[e * depth] = w[c * area + e];
        else
          for (index_t e = 0; e < area; ++e) at[e * depth] = 0;
      }
  } else {
    for (index_t r = 0; r < s.in_channels * s.kernel_h; ++r, w += kernel_w)
      for (index_t v = 0; v < l.steps * depth; ++v, ++to) *to = v < kernel_w ? w[v] : std::int8_t{0};
  }
}

/// to[i] = from[i] ^ flip.
PLEAT_LAZY inline void copy_codes(std::int8_t const* from, index_t n, unsigned char flip, unsigned char* to) {
  index_t i = 0;
  for (; i + 16 <= n; i += 16) {
    unsigned char some[16];
    std::memcpy(some, from + i, 16);
    for (unsigned char& c : some) c = static_cast<unsigned char>(c ^ flip);
    std::memcpy(to + i, some, 16);
  }
  for (; i < n; ++i) to[i] = static_cast<unsigned char>(static_cast<unsigned char>(from[i]) ^ flip);
}

/// 16 pixels of 4 bytes, or the even ones of them and the odd ones: from 4 lines of bytes, or from 2, widened.
template <int Depth, bool Split>
[[gnu::always_inline]] inline void interleave_pixels(unsigned char const* lines, index_t apart, unsigned char* to,
                                                     unsigned char* odd) {
#if defined(__x86_64__)  // SSE2
  auto const load = [&](int d) { return _mm_loadu_si128(reinterpret_cast<__m128i const*>(lines + d * apart)); };
  __m128i const l0 = load(0), l1 = load(1), low = _mm_unpacklo_epi8(l0, l1), high = _mm_unpackhi_epi8(l0, l1);
  __m128i four[4];
  if constexpr (Depth == 2) {
    auto const wide = [](__m128i twice) { return _mm_srai_epi16(twice, 8); };
    four[0] = wide(_mm_unpacklo_epi8(low, low)), four[1] = wide(_mm_unpackhi_epi8(low, low));
    four[2] = wide(_mm_unpacklo_epi8(high, high)), four[3] = wide(_mm_unpackhi_epi8(high, high));
  } else {
    __m128i const l2 = load(2), l3 = load(3), low2 = _mm_unpacklo_epi8(l2, l3), high2 = _mm_unpackhi_epi8(l2, l3);
    four[0] = _mm_unpacklo_epi16(low, low2), four[1] = _mm_unpackhi_epi16(low, low2);
    four[2] = _mm_unpacklo_epi16(high, high2), four[3] = _mm_unpackhi_epi16(high, high2);
  }
  auto const store = [](unsigned char* at, __m128i v) { _mm_storeu_si128(reinterpret_cast<__m128i*>(at), v); };
  if constexpr (Split) {
    __m128 const a = _mm_castsi128_ps(four[0]), b = _mm_castsi128_ps(four[1]), c = _mm_castsi128_ps(four[2]),
                 d = _mm_castsi128_ps(four[3]);
    store(to, _mm_castps_si128(_mm_shuffle_ps(a, b, 0x88)));
    store(to + 16, _mm_castps_si128(_mm_shuffle_ps(c, d, 0x88)));
    store(odd, _mm_castps_si128(_mm_shuffle_ps(a, b, 0xdd)));
    store(odd + 16, _mm_castps_si128(_mm_shuffle_ps(c, d, 0xdd)));
  } else {
    for (int q = 0; q < 4; ++q) store(to + 16 * q, four[q]);
  }
#else
  static_cast<void>(lines), static_cast<void>(apart), static_cast<void>(to), static_cast<void>(odd);
#endif
}

/// An image in the layout; the rows above and below are there already. `flat` has room for the image with the padding
/// of its rows, which it holds already, and for what is read too much: pixels that nothing is multiplied with but zero.
/// `split`: pixels of even columns first, then those of odd columns.
template <int Depth>
void interleave_image(conv2d_shape const& s, int8_conv_layout const& l, std::int8_t const* x, unsigned char zero,
                      bool split, unsigned char* flat, unsigned char* to) {
  index_t const width = s.width + 2 * s.padding_w, padded = (width + 15) / 16 * 16, half = l.row / 2;
  if (s.padding_w == 0) copy_codes(x, s.in_channels * s.height * width, zero, flat);
  else
    for (index_t r = 0; r < s.in_channels * s.height; ++r)
      copy_codes(x + r * s.width, s.width, zero, flat + r * width + s.padding_w);
  index_t const apart = l.by_channels ? s.height * width : s.dilation_w, channels = l.by_channels ? Depth : 1;
  for (index_t p = 0; p < l.planes; ++p)
    for (index_t i = 0; i < s.height; ++i) {
      unsigned char const* const line = flat + (p * channels * s.height + i) * width;
      unsigned char* const row = to + p * l.plane + (i + s.padding_h) * l.row;
      if (split)
        for (index_t j = 0; j < padded; j += 16)
          interleave_pixels<Depth, true>(line + j, apart, row + j / 2 * l.pixel, row + half + j / 2 * l.pixel);
      else
        for (index_t j = 0; j < padded; j += 16)
          interleave_pixels<Depth, false>(line + j, apart, row + j * l.pixel, nullptr);
    }
}

/// Where a block's pixels lie, and what copies them: `wide` where a piece has more than 8.
struct int8_conv_block {
  conv2d_shape const& s;
  int8_conv_layout const& l;
  pixel_pieces const& pieces;
  unsigned char const* image;
  bool wide;
};
/// Packs all groups; what a copy writes too much the next one overwrites.
template <int Bytes> PLEAT_INLINE void pack_whole_pieces(int8_conv_block const& t, unsigned char* to) {
  index_t const step = t.s.dilation_w * t.l.pixel * (t.l.by_channels ? 1 : t.l.depth),
                group = int8_conv_pixels * t.l.pixel;
  for (index_t p = 0; p < t.l.planes; ++p)
    for (index_t u = 0; u < t.s.kernel_h; ++u) {
      unsigned char const* at = t.image + p * t.l.plane + u * t.s.dilation_h * t.l.row;
      for (index_t v = 0; v < t.l.steps; ++v, at += step, to += group)
        for (int q = 0; q < t.pieces.count; ++q)
          __builtin_memcpy(to + t.pieces.at[q].to * t.l.pixel, at + t.pieces.at[q].from, Bytes);
    }
}
PLEAT_LAZY inline void pack_single_pixels(int8_conv_block const& t, unsigned char* to) {
  index_t const step = t.s.dilation_w * t.l.pixel * (t.l.by_channels ? 1 : t.l.depth),
                group = int8_conv_pixels * t.l.pixel, stride = t.s.stride_w * t.l.pixel;
  for (index_t p = 0; p < t.l.planes; ++p)
    for (index_t u = 0; u < t.s.kernel_h; ++u) {
      unsigned char const* at = t.image + p * t.l.plane + u * t.s.dilation_h * t.l.row;
      for (index_t v = 0; v < t.l.steps; ++v, at += step, to += group)
        for (int q = 0; q < t.pieces.count; ++q)
          for (index_t j = 0; j < t.pieces.at[q].count; ++j)
            std::memcpy(to + (t.pieces.at[q].to + j) * t.l.pixel, at + t.pieces.at[q].from + j * stride, t.l.pixel);
    }
}
#if defined(__x86_64__)
PLEAT_LAZY PLEAT_TARGET_AVX2 inline void pack_pieces_avx2(int8_conv_block const& t, unsigned char* to) {
  t.wide ? pack_whole_pieces<64>(t, to) : pack_whole_pieces<32>(t, to);
}
PLEAT_LAZY PLEAT_TARGET_AVX512 inline void pack_pieces_avx512(int8_conv_block const& t, unsigned char* to) {
  t.wide ? pack_whole_pieces<64>(t, to) : pack_whole_pieces<32>(t, to);
}
#endif
PLEAT_LAZY inline void pack_pieces(int8_conv_block const& t, unsigned char* to) {
#if defined(__x86_64__)
  if (t.s.stride_w == 1) return t.l.depth == 4 ? pack_pieces_avx512(t, to) : pack_pieces_avx2(t, to);
#endif
  pack_single_pixels(t, to);
}

/// Units (image, 64 pixels) from `first` to `last`, in order.
PLEAT_LAZY inline void int8_conv_by_tiles(int8_conv_arguments const& g, int8_conv_layout const& l, index_t first,
                                          index_t last) {
  conv2d_shape const& s = g.s;
  bool const vnni = l.depth == 4;
  unsigned char const zero = vnni ? 0x80 : 0;
  index_t const outputs = g.outputs(), together = g.together(), blocks = (outputs + together - 1) / together,
                k = s.weights_per_output(), row_bytes = 4 * l.groups;
  auto const whole = [](index_t bytes) { return (bytes + 63) / 64 * 64; };
  window_vectors const vectors(s, l);
  index_t const group_bytes = int8_conv_pixels * l.pixel, offset_bytes = whole(4 * l.groups);
  index_t const packed_bytes = whole((g.pooled ? vectors.all(s, l) : l.groups * group_bytes) + 64),
                weight_bytes = whole(s.out_channels * row_bytes), sum_bytes = whole(4 * s.out_channels),
                flat_bytes = whole(l.flat(s)), image_bytes = whole(l.planes * l.plane + 128);
  struct tiles_scratch {};
  auto* const packed = static_cast<unsigned char*>(scratch<tiles_scratch>(
      static_cast<std::size_t>(packed_bytes + weight_bytes + sum_bytes + offset_bytes + flat_bytes + image_bytes)));
  unsigned char* const weights = packed + packed_bytes;
  auto* const weight_sums = reinterpret_cast<std::int32_t*>(weights + weight_bytes);
  auto* const offset = reinterpret_cast<std::int32_t*>(weights + weight_bytes + sum_bytes);
  unsigned char* const flat = weights + weight_bytes + sum_bytes + offset_bytes;
  for (index_t q = 0; q < l.groups; ++q)
    offset[q] = static_cast<std::int32_t>(g.pooled ? vectors.offset(s, l, q) : q * group_bytes);
  unsigned char* const image = flat + flat_bytes;
  std::memset(flat, zero, static_cast<std::size_t>(flat_bytes + image_bytes));
  for (index_t o = 0; o < s.out_channels; ++o) {
    weight_sums[o] = vnni ? int8_sum(g.w + o * k, k) : 0;
    if (vnni) order_int8_weights(s, l, g.w + o * k, reinterpret_cast<std::int8_t*>(weights + o * row_bytes));
    else order_int8_weights(s, l, g.w + o * k, reinterpret_cast<std::int16_t*>(weights + o * row_bytes));
  }
  index_t loaded = -1;
  for (index_t unit = first; unit < last; ++unit) {
    index_t const n = unit / blocks, at = unit % blocks * together;
    if (n != loaded) {
      auto* const interleave = vnni ? &interleave_image<4> : &interleave_image<2>;
      interleave(s, l, g.x + n * s.in_channels * s.height * s.width, zero, g.pooled, flat, image);
      loaded = n;
    }
    if (g.pooled) {
      window_pieces const pieces(s, l, at);
      pack_windows({s, l, vectors, pieces, image}, packed);
    } else {
      pixel_pieces const pieces(s, l.row, at, l.pixel);
      pack_pieces({s, l, pieces, image, s.out_width() > 8}, packed);
    }
    int8_conv_rows({weights, row_bytes, l.groups, packed, offset, g.pooled ? vectors.row() : group_bytes / 2,
                    std::min<index_t>(together, outputs - at), weight_sums, g.x_scale[n], g.w_scale, g.bias,
                    g.y + n * s.out_channels * outputs + at, outputs, g.act == activation::relu, g.pooled},
                   s.out_channels);
  }
}

}  // namespace pleat::compute::detail
