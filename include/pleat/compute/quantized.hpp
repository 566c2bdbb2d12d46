// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Symmetric restricted 8-bit quantization (as TensorRT and oneDNN define it): scale = amax/127, code = round(x/scale),
/// ties to even, in [−127, 127]; and what computes with the codes.
///
/// A row of zeros has scale 0 and codes 0. A row with a NaN or an infinity has codes 0 and is counted, so that a caller
/// may look at the count and throw. Activations (quantize_rows) get the scale NaN then, so that every product with the
/// row is NaN and no plausible answer comes out of it; weights (quantize_channels) get the scale 0.
#pragma once

#include <cstdint>

#include <pleat/compute/for_each.hpp>
#include <pleat/compute/math.hpp>
#include <pleat/compute/reduce.hpp>

namespace pleat::compute {

namespace detail {

/// |x| as a sortable integer: NaN and infinity are the largest, and integer maxima vectorise without special cases.
PLEAT_INLINE std::int32_t magnitude_bits(float x) { return static_cast<std::int32_t>(math::bits(x) & 0x7fffffffu); }

PLEAT_INLINE float row_max_abs(float const* x, index_t n) {  // infinity or NaN if any entry is
  std::int32_t m[chains];
  for (int j = 0; j < chains; ++j) m[j] = 0;
  index_t i = 0;
  for (; i + chains <= n; i += chains)
    for (int j = 0; j < chains; ++j) {
      std::int32_t const v = magnitude_bits(x[i + j]);
      m[j] = v > m[j] ? v : m[j];
    }
  for (int j = 0; i + j < n; ++j) {
    std::int32_t const v = magnitude_bits(x[i + j]);
    m[j] = v > m[j] ? v : m[j];
  }
  for (int s = chains / 2; s > 0; s /= 2)
    for (int j = 0; j < s; ++j) m[j] = m[j + s] > m[j] ? m[j + s] : m[j];
  return math::from_bits(static_cast<std::uint32_t>(m[0]));
}

/// Rounded to nearest even; |v| is first cut to 127. Adding 1.5·2²³ leaves the integer in the low bits.
PLEAT_INLINE std::int8_t code_of(float v) {
  v = v > 127.0f ? 127.0f : v;
  v = v < -127.0f ? -127.0f : v;
  return static_cast<std::int8_t>(math::bits(v + 0x1.8p23f) & 0xffu);
}

inline constexpr index_t code_block = 32;

/// The codes of 32 neighbours. By stages, through arrays of its own: bytes may alias anything, which keeps compilers
/// from vectorising.
PLEAT_INLINE void codes_of_block(float const* from, float s, std::int8_t* to) {
  float v[code_block];
  std::int32_t q[code_block];
  for (int j = 0; j < code_block; ++j) v[j] = from[j] / s;
  for (int j = 0; j < code_block; ++j) v[j] = 127.0f < v[j] ? 127.0f : v[j];
  for (int j = 0; j < code_block; ++j) v[j] = -127.0f > v[j] ? -127.0f : v[j];
  for (int j = 0; j < code_block; ++j) q[j] = static_cast<std::int32_t>(math::bits(v[j] + 0x1.8p23f) & 0xffu);
  for (int j = 0; j < code_block; ++j) to[j] = static_cast<std::int8_t>(q[j]);
}

struct quantize_rows_body {
  index_t columns, ldx, ldq;
  float const* x;
  std::int8_t* q;
  float* scale;
  int* nonfinite;
  PLEAT_INLINE void operator()(index_t r) const {
    float const* const from = x + r * ldx;
    std::int8_t* const to = q + r * ldq;
    float const amax = row_max_abs(from, columns), s = amax / 127.0f;
    bool const good = math::is_finite(amax) && s > 0.0f;
    scale[r] = good ? s : amax - amax;  // 0, or NaN
    if (!good) {
      for (index_t j = 0; j < columns; ++j) to[j] = 0;
      if (!math::is_finite(amax) && nonfinite != nullptr) Kokkos::atomic_inc(nonfinite);
      return;
    }
    index_t i = 0;
    for (; i + code_block <= columns; i += code_block) codes_of_block(from + i, s, to + i);
    for (; i < columns; ++i) to[i] = code_of(from[i] / s);
  }
};

/// By one given scale.
struct quantize_rows_by_body {
  index_t columns, ldx, ldq;
  float const* x;
  float given;
  std::int8_t* q;
  float* scale;
  PLEAT_INLINE void operator()(index_t r) const {
    float const* const from = x + r * ldx;
    std::int8_t* const to = q + r * ldq;
    std::int32_t bad = 0;
    index_t i = 0;
    for (; i + code_block <= columns; i += code_block) {
      std::int32_t odd[code_block];
      for (int j = 0; j < code_block; ++j) odd[j] = magnitude_bits(from[i + j]) >= 0x7f800000 ? 1 : 0;
      for (int j = 0; j < code_block; ++j) bad |= odd[j];
      codes_of_block(from + i, given, to + i);
    }
    for (; i < columns; ++i) {
      bad |= magnitude_bits(from[i]) >= 0x7f800000 ? 1 : 0;
      to[i] = code_of(from[i] / given);
    }
    scale[r] = bad == 0 ? given : math::from_bits(0x7fc00000u);
  }
};

struct quantize_channels_body {
  index_t columns;
  float const* w;
  float const* amax;
  std::int8_t* q;
  float* scale;
  int* nonfinite;
  PLEAT_INLINE void operator()(index_t r) const {
    float const a = amax[r], s = a / 127.0f;
    bool good = math::is_finite(a) && a >= 0.0f;
    std::int32_t const largest = magnitude_bits(row_max_abs(w + r * columns, columns));
    good = good && largest < 0x7f800000;
    bool const zero = !good || s == 0.0f;
    scale[r] = zero ? 0.0f : s;
    for (index_t j = 0; j < columns; ++j) q[r * columns + j] = zero ? std::int8_t{0} : code_of(w[r * columns + j] / s);
    if (!good && nonfinite != nullptr) Kokkos::atomic_inc(nonfinite);
  }
};

struct row_max_abs_body {
  index_t columns, ldx;
  float const* x;
  float* out;
  PLEAT_INLINE void operator()(index_t r) const { out[r] = row_max_abs(x + r * ldx, columns); }
};

struct dequantize_rows_body {
  index_t columns, ldq, ldx;
  std::int8_t const* q;
  float const* scale;
  float* x;
  PLEAT_INLINE void operator()(index_t r) const {
    for (index_t j = 0; j < columns; ++j) x[r * ldx + j] = static_cast<float>(q[r * ldq + j]) * scale[r];
  }
};

}  // namespace detail

/// out[r] = the largest |x[r, j]|; infinite or NaN if an entry is. 0 for no columns.
template <class Space>
void max_abs_rows(Space const& space, index_t rows, index_t columns, float const* x, index_t ldx, float* out) {
  for_each_row(space, rows, detail::row_max_abs_body{columns, ldx, x, out}, static_cast<double>(columns));
}

/// Dynamic quantization of activations: each row by its own largest magnitude, in one pass over the row.
/// A scale below the smallest normal float loses accuracy (codes are cut at ±127 then), as the float itself does.
/// \param q [rows, columns], rows ldq apart   \param scale [rows]
/// \param nonfinite a count of rows with NaN or infinity, only ever added to; may be null; in the instance's memory
/// space
template <class Space>
void quantize_rows(Space const& space, index_t rows, index_t columns, float const* x, index_t ldx, std::int8_t* q,
                   index_t ldq, float* scale, int* nonfinite) {
  for_each_row(space, rows, detail::quantize_rows_body{columns, ldx, ldq, x, q, scale, nonfinite},
               3.0 * static_cast<double>(columns));
}

/// Static quantization of activations: every row by the same given scale, what lies beyond ±127 steps is cut. A row
/// with NaN or infinity gets the scale NaN.
/// \param given positive and finite   \param q [rows, columns], rows ldq apart   \param scale [rows]: `given`, or NaN
template <class Space>
void quantize_rows_by(Space const& space, index_t rows, index_t columns, float const* x, index_t ldx, float given,
                      std::int8_t* q, index_t ldq, float* scale) {
  for_each_row(space, rows, detail::quantize_rows_by_body{columns, ldx, ldq, x, given, q, scale},
               2.0 * static_cast<double>(columns));
}

/// Weights w[channels, per_channel] by a given range each (an observer's): scale = amax/127; what lies outside is cut.
/// \param nonfinite counts channels whose amax or values are NaN, infinite, or whose amax is negative; may be null
template <class Space>
void quantize_channels(Space const& space, index_t channels, index_t per_channel, float const* w, float const* amax,
                       std::int8_t* q, float* scale, int* nonfinite) {
  for_each_row(space, channels, detail::quantize_channels_body{per_channel, w, amax, q, scale, nonfinite},
               3.0 * static_cast<double>(per_channel));
}

/// x[r, j] = q[r, j]·scale[r].
template <class Space>
void dequantize_rows(Space const& space, index_t rows, index_t columns, std::int8_t const* q, index_t ldq,
                     float const* scale, float* x, index_t ldx) {
  for_each_row(space, rows, detail::dequantize_rows_body{columns, ldq, ldx, q, scale, x}, static_cast<double>(columns));
}

}  // namespace pleat::compute
