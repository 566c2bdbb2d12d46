// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compute/instances.hpp>  // first: kernels and forms are those of pleat::kernels

#include <pleat/codec/int8_integer.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <codec/codec_support.hpp>

#include <limits>

namespace {

using namespace codec_test;
namespace codec = pleat::codec;
using form = codec::int8<float>;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

TEST_CASE("a layer in integers alone: within one code of the float result of the same codes") {
  auto c = make_context();
  extents const shape{19, 65};
  auto values = numbers(shape.size(), 1);
  for (index_t k = 0; k < 65; ++k) values[static_cast<std::size_t>(7 * 65 + k)] = 0;  // a row that pruning left empty
  encoded<form> const w(c, shape, values);
  auto const decoded = w.decode(c);
  auto const bias = numbers(19, 2);
  index_t const m = 6;
  std::vector<std::int8_t> x(static_cast<std::size_t>(m * 65)), y(static_cast<std::size_t>(m * 19));
  auto const u = numbers(m * 65, 3);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<std::int8_t>(u[i] * 127);
  float const x_scale = 1 / 127.0f, y_scale = 6 / 127.0f;
  for (auto act : {pleat::compute::activation::none, pleat::compute::activation::relu}) {
    auto const r = codec::requantizer<space>::make(c, shape, w.storage, x_scale, y_scale, bias.data(), act);
    codec::apply_integer(c, shape, w.storage, r, m, x.data(), y.data());
    for (index_t i = 0; i < m; ++i)
      for (index_t j = 0; j < 19; ++j) {
        double sum = static_cast<double>(bias[static_cast<std::size_t>(j)]);
        for (index_t k = 0; k < 65; ++k)
          sum += static_cast<double>(x[static_cast<std::size_t>(i * 65 + k)]) * static_cast<double>(x_scale) *
                 static_cast<double>(decoded[static_cast<std::size_t>(j * 65 + k)]);
        double exact = std::clamp(sum / static_cast<double>(y_scale), -127.0, 127.0);
        if (act == pleat::compute::activation::relu) exact = std::max(0.0, exact);
        // two roundings; the bias is rounded to the sum's unit
        CHECK(std::abs(static_cast<double>(y[static_cast<std::size_t>(i * 19 + j)]) - exact) <= 1.01);
      }
  }
  CHECK_THROWS_AS(codec::requantizer<space>::make(c, shape, w.storage, 0, 1, nullptr, pleat::compute::activation::none),
                  pleat::error);
}

TEST_CASE("biases of any size beside sums of any size: within one code of the float result") {
  auto c = make_context();
  index_t const n = 12, k = 300, m = 4;
  // Rows whose largest weight is 10^-j: the bias is 2^21 to 2^60 and more units of the sum, and what the sum adds is
  // anything from most of the result to nothing.
  std::vector<float> values = numbers(n * k, 1), bias(static_cast<std::size_t>(n), 0.5f);
  for (index_t j = 0; j < n; ++j)
    for (index_t l = 0; l < k; ++l)
      values[static_cast<std::size_t>(j * k + l)] *= std::pow(10.0f, -static_cast<float>(j));
  bias[1] = -0.5f, bias[3] = 1e-3f, bias[5] = -2.0f, bias[7] = 0;
  extents const shape{n, k};
  encoded<form> const w(c, shape, values);
  auto const decoded = w.decode(c);
  std::vector<std::int8_t> x(static_cast<std::size_t>(m * k)), y(static_cast<std::size_t>(m * n));
  for (index_t i = 0; i < m; ++i)
    for (index_t l = 0; l < k; ++l)  // sums as large as 300 terms give: x has the weights' signs in the first two rows
      x[static_cast<std::size_t>(i * k + l)] =
          static_cast<std::int8_t>((i < 2 ? (values[static_cast<std::size_t>(6 * k + l)] < 0 ? -127 : 127)
                                          : static_cast<int>(l * 37 % 255) - 127) *
                                   (i % 2 ? -1 : 1));
  for (float const y_scale : {6 / 127.0f, 1e-3f}) {
    float const x_scale = 1 / 127.0f;
    auto const r = codec::requantizer<space>::make(c, shape, w.storage, x_scale, y_scale, bias.data(),
                                                   pleat::compute::activation::none);
    codec::apply_integer(c, shape, w.storage, r, m, x.data(), y.data());
    for (index_t i = 0; i < m; ++i)
      for (index_t j = 0; j < n; ++j) {
        INFO("row " << j << ", y_scale " << y_scale);
        double sum = static_cast<double>(bias[static_cast<std::size_t>(j)]);
        for (index_t l = 0; l < k; ++l)
          sum += static_cast<double>(x[static_cast<std::size_t>(i * k + l)]) * static_cast<double>(x_scale) *
                 static_cast<double>(decoded[static_cast<std::size_t>(j * k + l)]);
        // Two roundings of the product with the multiplier; those of sum and bias to their unit, at most 2^-30 of the
        // bias each, are far below 0.01 codes.
        CHECK(std::abs(static_cast<double>(y[static_cast<std::size_t>(i * n + j)]) -
                       std::clamp(sum / static_cast<double>(y_scale), -127.0, 127.0)) <= 1.01);
      }
  }
  bias[4] = std::numeric_limits<float>::infinity();
  CHECK_THROWS_MATCHES(
      codec::requantizer<space>::make(c, shape, w.storage, 1, 1, bias.data(), pleat::compute::activation::none),
      pleat::error, MessageMatches(ContainsSubstring("the bias of row 4 is inf")));
}

/// The definition, in 64 bits: sum, drop, bias, saturation, and the fixed-point product with both of its roundings.
std::int64_t code_of_sum(std::int64_t sum, std::int64_t drop, std::int64_t bias, codec::fixed_multiplier m,
                         std::int64_t low) {
  std::int64_t const most = 0x7fffffff, away = drop > 0 ? std::int64_t{1} << (drop - 1) : 0;
  std::int64_t a = std::clamp(((sum + away) >> drop) + bias, -most, most);
  if (m.shift > 0)
    a = static_cast<std::int64_t>(std::clamp<double>(std::ldexp(static_cast<double>(a), m.shift), -0x1p31, 0x1p31 - 1));
  auto const divided = [](std::int64_t v, int e) {  // round(v / 2^e), halves away from zero
    std::int64_t const half = e > 0 ? std::int64_t{1} << (e - 1) : 0;
    return v < 0 ? -((-v + half) >> e) : (v + half) >> e;
  };
  std::int64_t const product = a * m.mantissa, high = product >= 0 ? (product + (std::int64_t{1} << 30)) >> 31
                                                                   : -((-product + (std::int64_t{1} << 30) - 1) >> 31);
  return std::clamp<std::int64_t>(divided(high, m.shift < 0 ? -m.shift : 0), low, 127);
}

TEST_CASE("a convolution in integers alone: the codes of the definition in 64 bits, exactly") {
  auto c = make_context();
  using pleat::compute::conv2d_shape;
  // batch, in, height, width, out, kernel, stride, padding, dilation, groups
  for (conv2d_shape const& g : {conv2d_shape{2, 3, 9, 7, 5, 3, 3, 1, 1, 1, 1},
                                {1, 1, 12, 12, 7, 5, 5},
                                {3, 4, 8, 10, 6, 3, 2, 2, 1, 2, 0, 1, 2, 2},
                                {2, 16, 6, 6, 33, 1, 1},
                                {1, 6, 11, 5, 6, 3, 3, 1, 2, 1, 1, 2, 1, 3},
                                {0, 2, 4, 4, 2, 3, 3}})
    for (auto const act : {pleat::compute::activation::none, pleat::compute::activation::relu}) {
      extents const shape{g.out_channels, g.group_in(), g.kernel_h, g.kernel_w};
      index_t const k = g.weights_per_output(), pixels = g.out_height() * g.out_width();
      auto values = numbers(shape.size(), 1), bias = numbers(g.out_channels, 2);
      // its bias is many units of its sum
      for (index_t l = 0; l < k; ++l) values[static_cast<std::size_t>(k + l)] *= 1e-9f;
      encoded<form> const w(c, shape, values);
      auto const r = codec::requantizer<space>::make(c, shape, w.storage, 1 / 127.0f, 0.03f, bias.data(), act);
      std::vector<std::int8_t> x(static_cast<std::size_t>(g.batch * g.in_channels * g.height * g.width)),
          y(static_cast<std::size_t>(g.batch * g.out_channels * pixels), 99), expected(y.size());
      for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<std::int8_t>(static_cast<int>(i * 71 % 255) - 127);
      int cut = 0, zeros = 0;
      for (std::size_t e = 0; e < y.size(); ++e) {
        auto const at = static_cast<index_t>(e), p = at % pixels, o = at / pixels % g.out_channels,
                   image = at / pixels / g.out_channels;
        std::int64_t sum = 0;
        for (index_t l = 0; l < k; ++l) {
          index_t const channel = o / g.group_out() * g.group_in() + l / (g.kernel_h * g.kernel_w),
                        row = p / g.out_width() * g.stride_h - g.padding_h + l / g.kernel_w % g.kernel_h * g.dilation_h,
                        column = p % g.out_width() * g.stride_w - g.padding_w + l % g.kernel_w * g.dilation_w;
          if (row < 0 || row >= g.height || column < 0 || column >= g.width) continue;
          sum += static_cast<std::int64_t>(x[static_cast<std::size_t>(
                     ((image * g.in_channels + channel) * g.height + row) * g.width + column)]) *
                 w.storage.codes[static_cast<std::size_t>(o * k + l)];
        }
        auto const j = static_cast<std::size_t>(o);
        expected[e] = static_cast<std::int8_t>(code_of_sum(sum, r.drop[j], r.bias[j], r.multiplier[j], r.low));
        cut += std::abs(expected[e]) == 127, zeros += expected[e] == 0;
      }
      codec::convolve_integer(c, g, w.storage, r, x.data(), y.data());
      CHECK(y == expected);
      if (!y.empty()) CHECK(cut + zeros < static_cast<int>(y.size()) * 9 / 10);  // most codes say something
    }
  encoded<form> const w(c, {2, 2, 5, 5}, numbers(100, 1));
  auto const r =
      codec::requantizer<space>::make(c, {2, 2, 5, 5}, w.storage, 1, 1, nullptr, pleat::compute::activation::none);
  std::int8_t none = 0;
  CHECK_THROWS_MATCHES(codec::convolve_integer(c, {1, 2, 4, 4, 2, 5, 5}, w.storage, r, &none, &none), pleat::error,
                       MessageMatches(ContainsSubstring("the kernel is taller than the padded image")));
}

}  // namespace
