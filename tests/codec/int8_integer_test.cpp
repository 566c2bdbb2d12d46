// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/codec/int8_integer.hpp>

#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels

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
        for (index_t k = 0; k < 65; ++k) sum += static_cast<double>(x[static_cast<std::size_t>(i * 65 + k)]) * static_cast<double>(x_scale) * static_cast<double>(decoded[static_cast<std::size_t>(j * 65 + k)]);
        double exact = std::clamp(sum / static_cast<double>(y_scale), -127.0, 127.0);
        if (act == pleat::compute::activation::relu) exact = std::max(0.0, exact);
        CHECK(std::abs(static_cast<double>(y[static_cast<std::size_t>(i * 19 + j)]) - exact) <= 1.01);  // two roundings; the bias is rounded to the sum's unit
      }
  }
  CHECK_THROWS_AS(codec::requantizer<space>::make(c, shape, w.storage, 0, 1, nullptr, pleat::compute::activation::none), pleat::error);
}

TEST_CASE("biases of any size beside sums of any size: within one code of the float result") {
  auto c = make_context();
  index_t const n = 12, k = 300, m = 4;
  // Rows whose largest weight is 10^-j: the bias is 2^21 to 2^60 and more units of the sum, and what the sum adds is anything from most of the result to nothing.
  std::vector<float> values = numbers(n * k, 1), bias(static_cast<std::size_t>(n), 0.5f);
  for (index_t j = 0; j < n; ++j)
    for (index_t l = 0; l < k; ++l) values[static_cast<std::size_t>(j * k + l)] *= std::pow(10.0f, -static_cast<float>(j));
  bias[1] = -0.5f, bias[3] = 1e-3f, bias[5] = -2.0f, bias[7] = 0;
  extents const shape{n, k};
  encoded<form> const w(c, shape, values);
  auto const decoded = w.decode(c);
  std::vector<std::int8_t> x(static_cast<std::size_t>(m * k)), y(static_cast<std::size_t>(m * n));
  for (index_t i = 0; i < m; ++i)
    for (index_t l = 0; l < k; ++l)  // sums as large as 300 terms give: x has the weights' signs in the first two rows
      x[static_cast<std::size_t>(i * k + l)] = static_cast<std::int8_t>((i < 2 ? (values[static_cast<std::size_t>(6 * k + l)] < 0 ? -127 : 127) : static_cast<int>(l * 37 % 255) - 127) * (i % 2 ? -1 : 1));
  for (float const y_scale : {6 / 127.0f, 1e-3f}) {
    float const x_scale = 1 / 127.0f;
    auto const r = codec::requantizer<space>::make(c, shape, w.storage, x_scale, y_scale, bias.data(), pleat::compute::activation::none);
    codec::apply_integer(c, shape, w.storage, r, m, x.data(), y.data());
    for (index_t i = 0; i < m; ++i)
      for (index_t j = 0; j < n; ++j) {
        INFO("row " << j << ", y_scale " << y_scale);
        double sum = static_cast<double>(bias[static_cast<std::size_t>(j)]);
        for (index_t l = 0; l < k; ++l) sum += static_cast<double>(x[static_cast<std::size_t>(i * k + l)]) * static_cast<double>(x_scale) * static_cast<double>(decoded[static_cast<std::size_t>(j * k + l)]);
        // Two roundings of the product with the multiplier; those of sum and bias to their unit, at most 2^-30 of the bias each, are far below 0.01 codes.
        CHECK(std::abs(static_cast<double>(y[static_cast<std::size_t>(i * n + j)]) - std::clamp(sum / static_cast<double>(y_scale), -127.0, 127.0)) <= 1.01);
      }
  }
  bias[4] = std::numeric_limits<float>::infinity();
  CHECK_THROWS_MATCHES(codec::requantizer<space>::make(c, shape, w.storage, 1, 1, bias.data(), pleat::compute::activation::none), pleat::error, MessageMatches(ContainsSubstring("the bias of row 4 is inf")));
}

}  // namespace
