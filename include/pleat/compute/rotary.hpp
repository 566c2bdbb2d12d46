// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Rotary positions (Su et al., arXiv:2104.09864): queries and keys are turned by angles that grow with the position.
///
/// Element d < D/2 of a head is paired with element d + D/2 (the layout of GPT-NeoX and of Hugging Face's Llama).
/// Angles are taken in double by our own sine and cosine, so the bits are the same on every instruction set and device.
#pragma once

#include <string>

#include <pleat/base/config.hpp>
#include <pleat/base/math.hpp>
#include <pleat/compute/attention_shape.hpp>
#include <pleat/compute/element.hpp>
#include <pleat/compute/for_each.hpp>

namespace pleat::compute {

/// Turns per position of a head's pairs: base^(−2d/D). A plain value that travels into kernels.
struct rotary_frequencies {
  static constexpr index_t max_pairs = 128;
  double of[max_pairs] = {};

  rotary_frequencies() = default;
  /// \throws error if the head size is odd or above 256, or the base is not above 1
  PLEAT_LAZY explicit rotary_frequencies(index_t head_size, double base = 10000) {
    if (head_size < 2 || head_size % 2 != 0 || head_size / 2 > max_pairs)
      throw error{"compute::rotary_frequencies",
                  "a head of " + std::to_string(head_size) + " elements, expected an even number up to " +
                      std::to_string(2 * max_pairs),
                  "Choose an even head size, or attention without rotary positions"};
    if (!(base > 1))
      throw error{"compute::rotary_frequencies", "the base must be above 1, found " + std::to_string(base),
                  "Leave it at 10000"};
    for (index_t d = 0; d < head_size / 2; ++d)
      of[d] = std::pow(base, -2.0 * static_cast<double>(d) / static_cast<double>(head_size));
  }
};

namespace detail {

/// sin and cos of an angle of moderate size (|a| < 2^20), absolute error below 1e-10 at its largest: series on
/// |r| ≤ π/4 after taking away n·π/2.
PLEAT_INLINE void sine_cosine(double a, double& sine, double& cosine) {
  double const shifted = fma(a, 0.63661977236758134308, 0x1.8p52), n = shifted - 0x1.8p52;
  double r = fma(n, -0x1.921fb54442d18p+0, a);
  r = fma(n, -0x1.1a62633145c07p-54, r);
  double const z = r * r;
  double s = -1.0 / 39916800.0;
  s = fma(s, z, 1.0 / 362880.0);
  s = fma(s, z, -1.0 / 5040.0);
  s = fma(s, z, 1.0 / 120.0);
  s = fma(s, z, -1.0 / 6.0);
  s = fma(r * z, s, r);
  double c = 1.0 / 479001600.0;
  c = fma(c, z, -1.0 / 3628800.0);
  c = fma(c, z, 1.0 / 40320.0);
  c = fma(c, z, -1.0 / 720.0);
  c = fma(c, z, 1.0 / 24.0);
  c = fma(c, z, -0.5);
  c = fma(c, z, 1.0);
  auto const quarter = __builtin_bit_cast(std::uint64_t, shifted) & 3u;
  double const first = (quarter & 1u) != 0 ? c : s, second = (quarter & 1u) != 0 ? s : c;
  sine = (quarter & 2u) != 0 ? -first : first;
  cosine = ((quarter + 1u) & 2u) != 0 ? -second : second;
}

template <class T> struct rotary_body {
  attention_shape shape;
  rotary_frequencies frequencies;
  bool back;
  source_t<T> x;
  target_t<T> y;
  PLEAT_INLINE void operator()(index_t row) const {
    using W = wide_t<T>;
    constexpr index_t block = 16;
    index_t const half = shape.head_size / 2, width = shape.width(), group = (shape.group_heads + 2) * shape.head_size;
    double const position = static_cast<double>(row % shape.positions);
    auto const from = x + row * width;
    auto const to = y + row * width;
    for (index_t d0 = 0; d0 < half; d0 += block) {
      W sine[block], cosine[block];
      for (index_t d = 0; d < block; ++d) {
        double s, c;
        sine_cosine(position * frequencies.of[d0 + d < half ? d0 + d : 0], s, c);
        sine[d] = static_cast<W>(back ? -s : s);
        cosine[d] = static_cast<W>(c);
      }
      index_t const count = half - d0 < block ? half - d0 : block;
      for (index_t g = 0; g < shape.groups; ++g)
        for (index_t h = 0; h < shape.group_heads + 1; ++h) {
          auto const a = from + g * group + h * shape.head_size + d0;
          auto const b = to + g * group + h * shape.head_size + d0;
          for (index_t d = 0; d < count; ++d) {
            W const low = a[d], high = a[d + half];
            b[d] = fma(low, cosine[d], -(high * sine[d]));
            b[d + half] = fma(high, cosine[d], low * sine[d]);
          }
        }
    }
    if (address_of(x) != address_of(y))
      for (index_t g = 0; g < shape.groups; ++g)
        for (index_t d = 0; d < shape.head_size; ++d) {
          index_t const at = g * group + (shape.group_heads + 1) * shape.head_size + d;
          to[at] = from[at];
        }
  }
};

}  // namespace detail

/// Turns the queries and keys of packed rows (attention_shape.hpp) by their positions, values stay; `back` turns the
/// other way, which is also the gradient. y may be x.
template <class Space, class T>
void rotary(Space const& space, attention_shape const& shape, rotary_frequencies const& frequencies, bool back,
            T const* x, T* y) {
  for_each_row(space, shape.batch * shape.positions, detail::rotary_body<T>{shape, frequencies, back, x, y},
               4.0 * static_cast<double>(shape.width()));
}

}  // namespace pleat::compute
