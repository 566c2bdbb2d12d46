// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A linear layer's product and a convolution in integers alone, building blocks that no layer of nn uses yet: 8-bit
/// codes in, int32 sums, fixed-point requantization, 8-bit codes out.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <pleat/base/error.hpp>
#include <pleat/base/math.hpp>
#include <pleat/base/number_text.hpp>
#include <pleat/codec/int8.hpp>
#include <pleat/codec/requantize.hpp>
#include <pleat/compute/detail/conv_shape.hpp>
#include <pleat/compute/for_each.hpp>
#include <pleat/compute/int8_gemm.hpp>

namespace pleat::codec {

/// What turns a layer's integer sums into its output's codes: bias in units of x_scale·w_scale·2^drop, one multiplier
/// per row of the weight.
template <class Space> struct requantizer {
  Kokkos::View<fixed_multiplier*, typename Space::memory_space> multiplier;
  Kokkos::View<std::int32_t*, typename Space::memory_space> bias;
  /// bits that a sum loses before the bias is added; 0 unless the bias is above 2^30 units
  Kokkos::View<std::int32_t*, typename Space::memory_space> drop;
  std::int32_t low = -127, high = 127;  ///< low = 0: a ReLU

  /// Static scales: x ≈ x_scale·code, y ≈ y_scale·code (an observer's ranges / 127).
  /// \param bias host, one per row, or null   \throws error unless the scales are positive and finite, and the biases finite (the row)
  static requantizer make(context<Space>& c, extents const& shape,
                          typename int8<float>::template storage<Space> const& w, float x_scale, float y_scale,
                          float const* bias, compute::activation act) {
    if (!(x_scale > 0) || !std::isfinite(x_scale) || !(y_scale > 0) || !std::isfinite(y_scale))
      throw error{"codec::requantizer::make",
                  "the scales are " + pleat::detail::number_text(x_scale) + " and " +
                      pleat::detail::number_text(y_scale) + ", expected positive finite numbers",
                  "Calibrate with data that is not all zero"};
    int8<float>::demand_encoded("codec::requantizer::make", rows_of(shape), w);
    auto const n = static_cast<std::size_t>(rows_of(shape));
    std::vector<float> scale(n);
    copy_to_host(c, tensor<float, Space>::wrap(w.scales.data(), {rows_of(shape)}), scale.data());
    std::vector<fixed_multiplier> m(n);
    std::vector<std::int32_t> b(n, 0), drop(n, 0);
    for (std::size_t j = 0; j < n; ++j) {
      double const add = bias ? static_cast<double>(bias[j]) : 0.0;
      if (!std::isfinite(add))
        throw error{"codec::requantizer::make",
                    "the bias of row " + std::to_string(j) + " is " + pleat::detail::number_text(add),
                    "Train again with a lower learning rate"};
      double unit = static_cast<double>(x_scale) * static_cast<double>(scale[j]);
      // A bias of many units: sums are rounded to larger ones, until it fits. Nothing is left of a sum that lost 32
      // bits: then, and in a row of zeros, the bias is its own unit.
      while (drop[j] < 32 && std::fabs(add) > unit * 0x1p30) unit *= 2, ++drop[j];
      if (std::fabs(add) > unit * 0x1p30) unit = std::fabs(add);
      if (unit > 0)
        m[j] = to_fixed(unit / static_cast<double>(y_scale)),
        b[j] = static_cast<std::int32_t>(std::nearbyint(add / unit));
    }
    requantizer r;
    r.multiplier = decltype(r.multiplier)("pleat::multiplier", n);
    r.bias = decltype(r.bias)("pleat::bias", n);
    using host_multipliers = Kokkos::View<fixed_multiplier const*, Kokkos::HostSpace, Kokkos::MemoryUnmanaged>;
    Kokkos::deep_copy(c.space(), r.multiplier, host_multipliers(m.data(), n));
    copy_from_host(c, b.data(), tensor<std::int32_t, Space>::wrap(r.bias.data(), {rows_of(shape)}));
    r.drop = decltype(r.drop)("pleat::drop", n);
    copy_from_host(c, drop.data(), tensor<std::int32_t, Space>::wrap(r.drop.data(), {rows_of(shape)}));
    c.fence();
    r.low = act == compute::activation::relu ? 0 : -127;
    return r;
  }
};

namespace detail {
struct requantize_body {
  index_t n;
  std::int32_t const* sums;
  std::int32_t const* bias;
  std::int32_t const* drop;
  fixed_multiplier const* multiplier;
  std::int32_t low, high;
  std::int8_t* y;
  PLEAT_INLINE std::int8_t code(std::int32_t of, index_t j) const {
    std::int64_t const rounding = (std::int64_t{1} << drop[j]) >> 1, sum = ((of + rounding) >> drop[j]) + bias[j];
    constexpr std::int64_t most = 0x7fffffff;
    return static_cast<std::int8_t>(requantized(static_cast<std::int32_t>(sum > most    ? most
                                                                          : sum < -most ? -most
                                                                                        : sum),
                                                multiplier[j], 0, low, high));
  }
  PLEAT_INLINE void operator()(index_t e) const { y[e] = code(sums[e], e % n); }
};
/// The same by rows: on a host the division would take longer than the rest.
struct requantize_row_body {
  requantize_body r;
  PLEAT_INLINE void operator()(index_t i) const {
    for (index_t j = 0; j < r.n; ++j) r.y[i * r.n + j] = r.code(r.sums[i * r.n + j], j);
  }
};
/// From sums [pixels, n] to planes [n, pixels]; and by planes.
struct requantize_planes_body {
  requantize_body r;
  index_t pixels;
  PLEAT_INLINE void operator()(index_t e) const {
    index_t const j = e / pixels;
    r.y[e] = r.code(r.sums[e % pixels * r.n + j], j);
  }
};
struct requantize_plane_body {
  requantize_body r;
  index_t pixels;
  PLEAT_INLINE void operator()(index_t j) const {
    for (index_t p = 0; p < pixels; ++p) r.y[j * pixels + p] = r.code(r.sums[p * r.n + j], j);
  }
};
/// Row p: what output p sees of the first channels of an image `x`; what lies in the padding is 0, which stands for
/// exactly zero.
struct patches_body {
  compute::conv2d_shape g;
  std::int8_t const* x;
  std::int8_t* patches;
  PLEAT_INLINE void operator()(index_t p) const {
    index_t const i = p / g.out_width() * g.stride_h - g.padding_h, j = p % g.out_width() * g.stride_w - g.padding_w;
    std::int8_t* to = patches + p * g.weights_per_output();
    for (index_t channel = 0; channel < g.group_in(); ++channel)
      for (index_t u = 0; u < g.kernel_h; ++u)
        for (index_t v = 0; v < g.kernel_w; ++v) {
          index_t const row = i + u * g.dilation_h, column = j + v * g.dilation_w;
          bool const inside = row >= 0 && row < g.height && column >= 0 && column < g.width;
          *to++ = inside ? x[(channel * g.height + row) * g.width + column] : std::int8_t{0};
        }
  }
};
}  // namespace detail

/// y[m, rows] = codes of x[m, columns] · Wᵀ + bias, in integers from end to end: the same codes on every machine,
/// device and number of threads. Against the float result of the same codes: at most one unit beside the rounding to a
/// code (to_fixed's 2⁻³¹ and a second rounding).
template <class Space>
void apply_integer(context<Space>& c, extents const& shape, typename int8<float>::template storage<Space> const& w,
                   requantizer<Space> const& r, index_t m, std::int8_t const* x, std::int8_t* y) {
  index_t const n = rows_of(shape), k = columns_of(shape);
  auto const sums = tensor<std::int32_t, Space>::allocate(c, {m, n});
  if constexpr (compute::is_host_space_v<Space>)
    compute::int8_gemm_packed(c.space(), m, n, k, x, k, static_cast<void const*>(w.packed.data()), sums.data(), n);
  else compute::int8_gemm(c.space(), m, n, k, x, k, static_cast<std::int8_t const*>(w.codes.data()), k, sums.data(), n);
  detail::requantize_body const to_codes{
      n, sums.data(), r.bias.data(), r.drop.data(), r.multiplier.data(), r.low, r.high, y};
  if constexpr (compute::is_host_space_v<Space>)
    compute::for_each_row(c.space(), m, detail::requantize_row_body{to_codes}, 8.0 * static_cast<double>(n));
  else compute::for_each(c.space(), m * n, to_codes, 8.0);
}

/// y[batch, out_channels, out_height, out_width] = codes of the convolution of x [batch, in_channels, height, width]
/// with a kernel of `shape` [out_channels, in_channels / groups, kernel_h, kernel_w], + bias; in integers as
/// apply_integer, and with its error. An image after the other becomes the matrix of what its outputs see
/// (out_height·out_width · weights of an output, bytes of pooled memory), which is multiplied.
/// \param r requantizer::make(c, shape, w, …)   \throws error if the extents do not fit together, or an output sums more than int8_max_k products
template <class Space>
void convolve_integer(context<Space>& c, compute::conv2d_shape const& g,
                      typename int8<float>::template storage<Space> const& w, requantizer<Space> const& r,
                      std::int8_t const* x, std::int8_t* y) {
  g.check("codec::convolve_integer");
  index_t const n = g.out_channels, k = g.weights_per_output(), pixels = g.out_height() * g.out_width(),
                outs = g.group_out();
  auto const patches = tensor<std::int8_t, Space>::allocate(c, {pixels, k});
  auto const sums = tensor<std::int32_t, Space>::allocate(c, {pixels, n});
  for (index_t image = 0; image < g.batch; ++image) {
    for (index_t group = 0; group < g.groups; ++group) {
      std::int8_t const* const from = x + (image * g.in_channels + group * g.group_in()) * g.height * g.width;
      compute::for_each_row(c.space(), pixels, detail::patches_body{g, from, patches.data()},
                            2.0 * static_cast<double>(k));
      if (compute::is_host_space_v<Space> && g.groups == 1)
        compute::int8_gemm_packed(c.space(), pixels, n, k, static_cast<std::int8_t const*>(patches.data()), k,
                                  static_cast<void const*>(w.packed.data()), sums.data(), n);
      else
        compute::int8_gemm(c.space(), pixels, outs, k, static_cast<std::int8_t const*>(patches.data()), k,
                           static_cast<std::int8_t const*>(w.codes.data()) + group * outs * k, k,
                           sums.data() + group * outs, n);
    }
    detail::requantize_body const to_codes{
        n, sums.data(), r.bias.data(), r.drop.data(), r.multiplier.data(), r.low, r.high, y + image * n * pixels};
    if constexpr (compute::is_host_space_v<Space>)
      compute::for_each_row(c.space(), n, detail::requantize_plane_body{to_codes, pixels},
                            8.0 * static_cast<double>(pixels));
    else compute::for_each(c.space(), n * pixels, detail::requantize_planes_body{to_codes, pixels}, 8.0);
  }
}

}  // namespace pleat::codec
