// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/codec/fake_quantized.hpp>

#include <pleat/codec/blocks.hpp>
#include <pleat/codec/int8.hpp>
#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <codec/codec_support.hpp>

#include <limits>

namespace {

using namespace codec_test;
namespace codec = pleat::codec;
using fake = codec::fake_quantized<float>;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

template <class F> std::vector<float> decoded(pleat::context<space>& c, extents const& shape, typename F::template storage<space> const& s) {
  std::vector<float> out(static_cast<std::size_t>(shape.size()));
  F::decode(c, shape, s, out.data());
  return out;
}

TEST_CASE("with the largest magnitude as range it multiplies with int8's numbers, bit for bit") {
  auto c = make_context();
  extents const shape = GENERATE(extents{5, 7}, extents{40, 300}, extents{6, 3, 5, 5});
  auto const values = numbers(shape.size(), 3);
  encoded<fake> const w(c, shape, values);
  encoded<codec::int8<float>> const stored(c, shape, values);
  CHECK(w.decode(c) == stored.decode(c));
  CHECK(std::equal(values.begin(), values.end(), w.arena.begin()));  // the floats underneath stay
  index_t const k = shape.size_from(1), n = shape[0], m = 3;
  auto const x = numbers(m * k, 4), dy = numbers(m * n, 5);
  auto const hat = w.decode(c);
  std::vector<float> y(static_cast<std::size_t>(m * n)), expected(y), dx(static_cast<std::size_t>(m * k)), expected_dx(dx);
  fake::apply(c, shape, w.storage, m, x.data(), y.data(), {});
  codec::detail::apply_dense(c, shape, hat.data(), m, x.data(), expected.data(), {});
  fake::apply_transposed(c, shape, w.storage, m, dy.data(), dx.data(), nullptr);
  codec::detail::apply_dense_transposed<space, float>(c, shape, hat.data(), m, dy.data(), expected_dx.data(), nullptr);
  CHECK(y == expected);
  CHECK(dx == expected_dx);
}

TEMPLATE_TEST_CASE("what is converted decodes to exactly what was trained with", "", codec::int8<float>, (codec::int4<float, 32>), (codec::int4<float, 128>), codec::q8_0<float>, codec::q4_0<float>, codec::q5_0<float>) {
  auto c = make_context();
  extents const shape{6, 256};
  auto values = numbers(shape.size(), 8);
  std::fill(values.begin(), values.begin() + 256, 0.0f);  // a row of zeros
  encoded<fake> w(c, shape, values);
  w.storage.grid = codec::grid_of<TestType>();
  for (bool const learned : {false, true}) {
    if (learned) {
      std::vector<float> steps;
      for (index_t i = 0; i < w.storage.grid.steps(shape); ++i) {
        float const s = 0.6f / static_cast<float>(w.storage.grid.high) * (1 + 0.01f * static_cast<float>(i % 9));
        steps.push_back(w.storage.grid.half_steps ? static_cast<float>(pleat::half(s)) : s);
      }
      fake::set_steps(c, shape, steps, w.storage);
    }
    typename TestType::template storage<space> stored;
    REQUIRE(fake::convert<TestType>(c, shape, w.storage, stored));
    auto const there = decoded<TestType>(c, shape, stored), here = w.decode(c);
    CHECK(there == here);
    float most = 0;
    for (float const v : here) most = std::max(most, std::abs(v));
    CHECK((learned ? most < 0.8f : most > 0.9f));  // learned steps clip here
    typename codec::q6_k<float>::template storage<space> other;
    CHECK_FALSE(fake::convert<codec::q6_k<float>>(c, shape, w.storage, other));
  }
}

TEST_CASE("gradients of steps: finite differences with the rounding frozen, low and high where it clips; clipped weights get none") {
  auto c = make_context();
  extents const shape{4, 64};
  auto const values = numbers(shape.size(), 12), upstream = numbers(shape.size(), 13);
  encoded<fake> w(c, shape, values);
  w.storage.grid = {-8, 7, 32, false};
  std::vector<float> const steps(8, 0.09f);  // ±1 is cut at −0.72 and 0.63
  fake::set_steps(c, shape, steps, w.storage);
  auto gradient = upstream;
  std::vector<float> out(8);
  fake::step_gradients(c, shape, w.storage, gradient.data(), out.data());
  int clipped = 0;
  for (std::size_t g = 0; g < 8; ++g) {
    // f(s) = Σ upstream·ŵ(s), where rounding adds a constant to w/s: the straight-through estimate differentiates just that.
    auto const f = [&](double s) {
      double sum = 0;
      for (std::size_t j = 32 * g; j < 32 * g + 32; ++j) {
        double const v = static_cast<double>(values[j]) / static_cast<double>(0.09f), q = std::nearbyint(v), frozen = q - v;
        double const hat = v <= -8 ? -8 * s : v >= 7 ? 7 * s : s * (static_cast<double>(values[j]) / s + frozen);
        sum += static_cast<double>(upstream[j]) * hat;
      }
      return sum;
    };
    double const h = 1e-4, slope = (f(0.09 + h) - f(0.09 - h)) / (2 * h) / std::sqrt(32.0 * 7.0);
    CHECK(std::abs(static_cast<double>(out[g]) - slope) <= 1e-5 * (1 + std::abs(slope)));  // f is linear in s: rounding of float sums only
    for (std::size_t j = 32 * g; j < 32 * g + 32; ++j) {
      double const v = static_cast<double>(values[j]) / static_cast<double>(0.09f);
      bool const cut = v <= -8 || v >= 7;
      clipped += cut;
      CHECK(gradient[j] == (cut ? 0.0f : upstream[j]));
    }
  }
  CHECK(clipped > 20);
}

// Equation 3 of the paper: round(v) - v inside (low, high), low or high from there on, where the weight gets nothing.
TEST_CASE("the borders are the paper's: what is above the last code is clipped even if it rounds to it") {
  auto c = make_context();
  extents const shape{1, 6};
  encoded<fake> w(c, shape, {7.25f, -8.25f, 6.75f, -7.75f, 7.0f, -8.0f});
  w.storage.grid = {-8, 7, 0, false};
  fake::set_steps(c, shape, {1.0f}, w.storage);
  double const scale = 1 / std::sqrt(6.0 * 7.0);
  std::vector<double> const expected{7, -8, 0.25, -0.25, 7, -8};
  for (std::size_t j = 0; j < 6; ++j) {
    std::vector<float> gradient(6, 0.0f), out(1);
    gradient[j] = 1;
    fake::step_gradients(c, shape, w.storage, gradient.data(), out.data());
    CHECK(out[0] == static_cast<float>(expected[j] * scale));
    CHECK(gradient[j] == (j == 2 || j == 3 ? 1.0f : 0.0f));
  }
}

TEST_CASE("the gradient of a step is one chain of fused multiply-adds on every instruction set") {
  namespace compute = pleat::compute;
  float const w[2] = {1.0f / 3, 1.0f / 3}, steps[1] = {0.1f}, upstream = 0.7f;
  for (auto level : {compute::isa::level::scalar, compute::isa::level::avx2, compute::isa::level::avx512}) {
    if (level > compute::isa::best()) continue;
    float gradient[2] = {upstream, -upstream}, out[1] = {};
    compute::detail::loop_at<true>(level, 0, 1, codec::detail::step_gradient_body{2, w, steps, -8, 7, 1.0, gradient, out});
    double const v = static_cast<double>(w[0]) / static_cast<double>(steps[0]), off = std::nearbyint(v) - v, g = static_cast<double>(upstream);
    CHECK(out[0] == static_cast<float>(std::fma(-g, off, std::fma(g, off, 0.0))));
    CHECK(out[0] != 0);  // rounding the first product is what an unfused sum would cancel
  }
}

TEST_CASE("the file holds floats, grid, steps and mask; nonsense is refused") {
  auto c = make_context();
  extents const shape{3, 64};
  auto const values = numbers(shape.size(), 20);
  encoded<fake> w(c, shape, values), back(shape);
  w.storage.grid = codec::grid_of<codec::int4<float, 64>>();
  fake::set_steps(c, shape, {0.125f, 0.25f, 0.5f}, w.storage);
  auto parts = fake::to_file(c, shape, w.storage);
  CHECK(bytes_of_parts(parts) == fake::bytes(shape, w.storage));
  fake::from_file(c, shape, parts, back.storage);
  CHECK(back.storage.grid == w.storage.grid);
  CHECK(back.decode(c) == w.decode(c));
  CHECK(back.arena[5] == values[5]);
  auto const spoil = [&](std::size_t part, std::size_t at, std::int32_t value) {
    auto bad = parts;
    std::memcpy(bad[part].bytes.data() + 4 * at, &value, 4);
    encoded<fake> victim(shape);
    fake::from_file(c, shape, bad, victim.storage);
  };
  CHECK_THROWS_MATCHES(spoil(1, 0, 5), pleat::error, MessageMatches(ContainsSubstring("the grid says codes from 5 to 7")));
  CHECK_THROWS_MATCHES(spoil(1, 2, 48), pleat::error, MessageMatches(ContainsSubstring("by groups of 48 columns")));
  CHECK_THROWS_MATCHES(spoil(2, 1, 0x7fc00000), pleat::error, MessageMatches(ContainsSubstring("step 1 is")));
  CHECK_THROWS_MATCHES(fake::set_steps(c, shape, {1.0f}, w.storage), pleat::error, MessageMatches(ContainsSubstring("expected 3 steps, found 1")));
  std::vector<float> nan(values);
  nan[70] = std::numeric_limits<float>::quiet_NaN();
  encoded<fake> broken(c, shape, nan);
  typename codec::int8<float>::template storage<space> to;
  CHECK_THROWS_MATCHES(fake::convert<codec::int8<float>>(c, shape, broken.storage, to), pleat::error, MessageMatches(ContainsSubstring("row 1, column 6 is")));
}

}  // namespace
