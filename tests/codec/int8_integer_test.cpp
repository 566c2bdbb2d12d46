// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/codec/int8_integer.hpp>

#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <codec/codec_support.hpp>

namespace {

using namespace codec_test;
namespace codec = pleat::codec;
using form = codec::int8<float>;

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

}  // namespace
