// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compute/instances.hpp>  // first: kernels and forms are those of pleat::kernels

#include <pleat/codec/fake_quantized.hpp>

#include <pleat/codec/blocks.hpp>
#include <pleat/codec/int8.hpp>
#include <pleat/nn/conv2d.hpp>
#include <pleat/nn/linear.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <codec/codec_support.hpp>
#include <nn/nn_support.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <tuple>

namespace {

using namespace codec_test;
namespace codec = pleat::codec;
using fake = codec::fake_quantized<float>;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

template <class F>
std::vector<float> decoded(pleat::context<space>& c, extents const& shape,
                           typename F::template storage<space> const& s) {
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
  std::vector<float> y(static_cast<std::size_t>(m * n)), expected(y), dx(static_cast<std::size_t>(m * k)),
      expected_dx(dx);
  fake::apply(c, shape, w.storage, m, x.data(), y.data(), {});
  codec::detail::apply_dense(c, shape, hat.data(), m, x.data(), expected.data(), {});
  fake::apply_transposed(c, shape, w.storage, m, dy.data(), dx.data(), nullptr);
  codec::detail::apply_dense_transposed<space, float>(c, shape, hat.data(), m, dy.data(), expected_dx.data(), nullptr);
  CHECK(y == expected);
  CHECK(dx == expected_dx);
}

TEMPLATE_TEST_CASE("what is converted decodes to exactly what was trained with", "", codec::int8<float>,
                   (codec::int4<float, 32>), (codec::int4<float, 128>), codec::q8_0<float>, codec::q4_0<float>,
                   codec::q5_0<float>) {
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

TEST_CASE(
    "gradients of steps: finite differences with the rounding frozen, low and high where it clips; clipped weights get "
    "none") {
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
    // f(s) = Σ upstream·ŵ(s), where rounding adds a constant to w/s: the straight-through estimate differentiates just
    // that.
    auto const f = [&](double s) {
      double sum = 0;
      for (std::size_t j = 32 * g; j < 32 * g + 32; ++j) {
        double const v = static_cast<double>(values[j]) / static_cast<double>(0.09f), q = std::nearbyint(v),
                     frozen = q - v;
        double const hat = v <= -8 ? -8 * s : v >= 7 ? 7 * s : s * (static_cast<double>(values[j]) / s + frozen);
        sum += static_cast<double>(upstream[j]) * hat;
      }
      return sum;
    };
    double const h = 1e-4, slope = (f(0.09 + h) - f(0.09 - h)) / (2 * h) / std::sqrt(32.0 * 7.0);
    // f is linear in s. Its 32 terms are below 1 and are rounded, in double, 35 times on the way: two values of f are off
    // by 2·35·32·2⁻⁵³, and the difference of them over 2h·√224. What was learned is such a double too (32 shares of at
    // most 8, each rounded four times), and a float in the end.
    double const differences = 2 * 35 * 32 * 0x1p-53 / (2 * h) / std::sqrt(224.0),
                 shares = 32 * 8 * 4 * 0x1p-53 / std::sqrt(224.0);
    CHECK(std::abs(static_cast<double>(out[g]) - slope) <= differences + shares + 0x1p-24 * std::abs(slope));
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

TEST_CASE(
    "the gradient of a step is counted: the same bits on every instruction set, and however its elements are dealt "
    "out") {
  namespace compute = pleat::compute;
  auto c = make_context();
  extents const shape{3, 50};
  auto const values = numbers(shape.size(), 30), upstream = numbers(shape.size(), 31);
  encoded<fake> w(c, shape, values);
  w.storage.grid = {-8, 7, 0, false};
  fake::set_steps(c, shape, {0.09f, 0.1f, 0.11f}, w.storage);
  std::vector<double> most(3, 0.0);
  fake::largest_shares(c, shape, w.storage, {0, 150}, values.data(), upstream.data(), most);
  std::vector<double> exact(3, 0.0), magnitude(3, 0.0);
  for (std::size_t i = 0; i < 150; ++i) {
    double const step = static_cast<double>(std::vector<float>{0.09f, 0.1f, 0.11f}[i / 50]),
                 v = static_cast<double>(values[i]) / step, q = std::nearbyint(v);
    double const share = static_cast<double>(upstream[i]) * (v <= -8 ? -8.0 : v >= 7 ? 7.0 : q - v);
    exact[i / 50] += share, magnitude[i / 50] = std::max(magnitude[i / 50], std::abs(share));
  }
  CHECK(most == magnitude);
  std::vector<double> factors;
  for (double const x : most) factors.push_back(codec::detail::count_factor(x, 50));
  auto const sums_of = [&](std::vector<pleat::index_range> const& runs) {
    std::vector<std::int64_t> sums(3, 0);
    auto gradient = upstream;
    for (auto const& r : runs)
      fake::add_shares(c, shape, w.storage, r, values.data() + r.begin, gradient.data() + r.begin, factors, sums);
    for (std::size_t i = 0; i < 150; ++i) {
      double const v =
          static_cast<double>(values[i]) / static_cast<double>(std::vector<float>{0.09f, 0.1f, 0.11f}[i / 50]);
      CHECK(gradient[i] == (v <= -8 || v >= 7 ? 0.0f : upstream[i]));
    }
    return sums;
  };
  auto const whole = sums_of({{0, 150}});
  CHECK(sums_of({{70, 150}, {0, 3}, {3, 70}}) == whole);
  CHECK(sums_of({{0, 0}, {100, 150}, {50, 100}, {0, 50}, {150, 150}}) == whole);
  // 50 shares, each rounded to 2^(6 - 62) of the largest, and the chain of 50 in double that they are compared with
  for (std::size_t s = 0; s < 3; ++s)
    CHECK(std::abs(codec::detail::counted_total(whole[s], factors[s]) - exact[s]) <=
          most[s] * 50 * (0x1p-56 + 50 * 0x1p-53));
  for (auto level : {pleat::isa::level::scalar, pleat::isa::level::avx2, pleat::isa::level::avx512}) {
    if (level > pleat::isa::best()) continue;
    auto gradient = upstream;
    std::vector<std::int64_t> out(3);
    codec::detail::step_run const run{0, 150, 50, values.data(), gradient.data(), w.storage.steps.data(), -8, 7};
    compute::detail::loop_at<true>(level, 0, 3,
                                   codec::detail::share_sum_body{run, 0, factors.data(), gradient.data(), out.data()});
    CHECK(out == whole);
  }
}

TEST_CASE("gradients that are zero, or not finite, count as what they are") {
  CHECK(codec::detail::count_factor(0, 10) == 0);
  CHECK(codec::detail::counted_total(0, 0) == 0);
  CHECK(std::isnan(
      codec::detail::counted_total(0, codec::detail::count_factor(std::numeric_limits<double>::infinity(), 10))));
  // n of the largest do not overflow
  for (pleat::index_t const n : {1, 2, 3, 4096, 4097, 1 << 30})
    for (double const x : {1.0, 1.999999, 1e-300, 1e300, 3e-39}) {
      double const f = codec::detail::count_factor(x, n);
      CHECK(x * f * static_cast<double>(n) <= 0x1p62);
      if (x > 1e-200) CHECK(x * f * static_cast<double>(n) >= 0x1p59);
    }
  auto c = make_context();
  extents const shape{1, 4};
  encoded<fake> w(c, shape, {0.3f, 0.7f, 1.1f, 0});
  fake::set_steps(c, shape, {0.25f}, w.storage);
  for (float const bad : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    std::vector<float> gradient{1, bad, 1, 1}, out(1);
    fake::step_gradients(c, shape, w.storage, gradient.data(), out.data());
    CHECK(std::isnan(out[0]));
  }
}

TEST_CASE("steps of 16 bits: what they cannot hold is refused, subnormal ones are rounded as the form rounds them") {
  auto c = make_context();
  extents const shape{1, 32};
  encoded<fake> w(c, shape, std::vector<float>(32, 131000.0f));
  w.storage.grid = codec::grid_of<codec::q8_0<float>>();
  REQUIRE(w.storage.grid.half_steps);
  fake::set_steps(c, shape, {65519.0f}, w.storage);  // rounds to the largest
  CHECK(w.decode(c) == std::vector<float>(32, 131008.0f));
  for (float const step : {65520.0f, 1e30f})
    CHECK_THROWS_MATCHES(fake::set_steps(c, shape, {step}, w.storage), pleat::error,
                         MessageMatches(ContainsSubstring("step 0 is ") && ContainsSubstring("which end at 65504")));
  CHECK(w.decode(c) == std::vector<float>(32, 131008.0f));
  fake::set_steps(c, shape, {0x1.2p-24f}, w.storage);  // to 2^-24, the least
  CHECK(w.decode(c) == std::vector<float>(32, 127 * 0x1p-24f));
  fake::set_steps(c, shape, {0x1p-26f}, w.storage);  // to 0: the codes are, too
  CHECK(w.decode(c) == std::vector<float>(32, 0.0f));
}

TEST_CASE(
    "parts of a weight: steps, masks and what moves the steps are cut with it, and joined the file has the same "
    "bytes") {
  auto c = make_context();
  for (auto const& [shape, group, dim, cuts] :
       {std::tuple{extents{6, 64}, pleat::index_t{32}, 1, std::vector<pleat::index_t>{0, 32, 32, 64}},
        {extents{6, 64}, pleat::index_t{32}, 0, std::vector<pleat::index_t>{0, 1, 4, 6}},
        {extents{6, 4, 3, 3}, pleat::index_t{0}, 1, std::vector<pleat::index_t>{0, 1, 1, 4}},
        {extents{6, 4, 3, 3}, pleat::index_t{0}, 0, std::vector<pleat::index_t>{0, 5, 6}}}) {
    CAPTURE(shape.to_string(), group, dim);
    auto const values = numbers(shape.size(), 40);
    encoded<fake> w(c, shape, values);
    w.storage.grid = {-7, 7, group, false};
    codec::learned_steps all{group, {}};
    for (index_t i = 0; i < 4 * w.storage.grid.steps(shape); ++i)
      all.numbers.push_back(0.01 + 0.001 * static_cast<double>(i));
    fake::set_learned(c, shape, all, w.storage);
    std::vector<std::uint8_t> bits(static_cast<std::size_t>(codec::detail::bit_bytes(shape.size())), 0xa5);
    if (shape.size() % 8) bits.back() = static_cast<std::uint8_t>(bits.back() & ((1u << shape.size() % 8) - 1));
    w.storage.bits = decltype(w.storage.bits)("bits", bits.size());
    std::copy(bits.begin(), bits.end(), w.storage.bits.data());
    std::vector<codec::weight_piece> pieces;
    std::vector<double> back(all.numbers.size(), 0.0);
    for (std::size_t k = 0; k + 1 < cuts.size(); ++k) {
      pleat::index_box box(shape);
      box[dim] = {cuts[k], cuts[k + 1]};
      auto part = fake::slice(c, shape, w.storage, box);
      std::vector<float> mine;
      codec::detail::for_each_of_part(shape, box,
                                      [&](index_t i) { mine.push_back(values[static_cast<std::size_t>(i)]); });
      part.attach(mine.data());
      pieces.push_back({box.shape(), fake::to_file(c, box.shape(), part)});
      auto const at = codec::places_of_steps(shape, box, group);
      REQUIRE(at.here.size() == static_cast<index_t>(part.learned.numbers.size()));
      auto next = part.learned.numbers.begin();
      codec::detail::for_each_of_part(at.whole, at.here,
                                      [&](index_t i) { back[static_cast<std::size_t>(i)] = *next++; });
    }
    CHECK(back == all.numbers);
    auto const joined = fake::join(shape, dim, pieces), whole = fake::to_file(c, shape, w.storage);
    REQUIRE(joined.size() == whole.size());
    for (std::size_t i = 0; i < whole.size(); ++i)
      CHECK((joined[i].suffix == whole[i].suffix && joined[i].shape == whole[i].shape &&
             joined[i].bytes == whole[i].bytes));
  }
  extents const shape{2, 64};
  encoded<fake> w(c, shape, numbers(shape.size(), 41));
  w.storage.grid = {-7, 7, 32, false};
  pleat::index_box box(shape);
  box[1] = {0, 20};
  CHECK_THROWS_MATCHES(fake::slice(c, shape, w.storage, box), pleat::error,
                       MessageMatches(ContainsSubstring("columns 0 to 20 of 64 are no whole groups of 32")));
  w.storage.grid.group = 0;
  CHECK_THROWS_MATCHES(fake::slice(c, shape, w.storage, box), pleat::error,
                       MessageMatches(ContainsSubstring("no rank sees those of a whole row")));
  auto pieces = std::vector<codec::weight_piece>(2, codec::weight_piece{extents{2, 32}, {}});
  for (float const step : {0.5f, 0.25f}) {
    encoded<fake> half(c, {2, 32}, numbers(64, 42));
    fake::set_steps(c, {2, 32}, {step, step}, half.storage);
    pieces[step == 0.5f ? 0 : 1].parts = fake::to_file(c, {2, 32}, half.storage);
  }
  CHECK_THROWS_MATCHES(fake::join(shape, 1, pieces), pleat::error,
                       MessageMatches(ContainsSubstring("the parts have steps of their own")));
}

TEST_CASE("with a scale for its inputs a product is that of the int8 weight that it becomes, bit for bit") {
  auto c = make_context();
  using int8 = codec::int8<float>;
  index_t const m = 5;
  for (bool const learned : {false, true}) {
    for (extents const& shape : {extents{5, 7}, extents{40, 300}, extents{3, 4, 3, 3}}) {
      CAPTURE(learned, shape.to_string());
      encoded<fake> w(c, shape, numbers(shape.size(), 60));
      if (learned) fake::set_steps(c, shape, std::vector<float>(static_cast<std::size_t>(shape[0]), 0.006f), w.storage);
      fake::set_input_range(w.storage, 0.75f);  // a quarter of the inputs is cut
      int8::storage<space> stored;
      REQUIRE(fake::convert<int8>(c, shape, w.storage, stored));
      CHECK(stored.input_scale == w.storage.input_scale);
      index_t const inputs = shape.rank() == 2 ? shape[1] : 4 * 6 * 7,
                    outputs = shape.rank() == 2 ? shape[0] : 3 * 4 * 5;
      auto const x = numbers(m * inputs, 61), bias = numbers(shape[0], 62);
      std::vector<float> y(static_cast<std::size_t>(m * outputs)), expected(y);
      if (shape.rank() == 2) {
        pleat::compute::epilogue<float> const after{.bias = bias.data(), .act = pleat::compute::activation::relu};
        fake::apply(c, shape, w.storage, m, x.data(), y.data(), after);
        int8::apply(c, shape, stored, m, x.data(), expected.data(), after);
      } else {
        pleat::compute::conv2d_shape const g{
            .batch = m, .in_channels = 4, .height = 6, .width = 7, .out_channels = 3, .kernel_h = 3, .kernel_w = 3};
        fake::convolve(c, g, w.storage, x.data(), bias.data(), y.data(), pleat::compute::activation::none);
        int8::convolve(c, g, stored, x.data(), bias.data(), expected.data(), pleat::compute::activation::none);
      }
      CHECK(pleat::test::same_bits(y, expected));
      CHECK(std::any_of(y.begin(), y.end(), [](float v) { return v != 0; }));
    }
  }
}

// With rounding frozen, ŵ and x̂ are w and x and a constant each, so the gradients are those of a product of ŵ and x̂;
// and constants alone for what is cut.
TEST_CASE(
    "straight-through for inputs: gradients of layers are a dense layer's at the rounded numbers; cut inputs get "
    "none") {
  namespace nn = pleat::nn;
  using forms = codec::forms<codec::dense<float>, fake>;
  auto c = make_context();
  index_t const m = 6;
  auto const check = [&](auto layer, auto plain, extents const& in, bool relu_before) {
    pleat::test::trained a(c, std::move(layer));  // of two types: clang takes no two in one declaration
    pleat::test::trained b(c, std::move(plain));
    auto& w = const_cast<std::remove_cvref_t<decltype(a.net.weight())>&>(a.net.weight());
    auto& s = w.storage_of(codec::form_tag<fake>{});
    fake::set_steps(c, w.shape, std::vector<float>(static_cast<std::size_t>(w.shape[0]), 0.002f), s);
    fake::set_input_range(s, 0.75f);
    fake::learn_inputs(s);
    w.template use_form<fake>();
    std::vector<float> hat(static_cast<std::size_t>(w.size()));
    w.decode(c, hat.data());
    b.set("a.weight", hat);
    auto const x = numbers(in.size(), 70);
    float const scale = s.input_scale;
    std::vector<float> rounded, cut;
    for (float const v : x) {
      rounded.push_back(scale * std::nearbyint(std::clamp(v / scale, -127.0f, 127.0f)));
      cut.push_back(std::abs(v / scale) > 127 ? 1.0f : 0.0f);
    }
    auto const all = pleat::test::whole(m);
    auto const dy = numbers(a.net.shape(in).size(), 71);
    auto const walk = [&](auto& t, std::vector<float> const& input, bool mask, bool wanted = true) {
      auto p = t.pass({&all, 1}, m);
      p.input_gradient = wanted;
      t.begin();
      auto out = t.net.forward(p, pleat::test::from_host(c, input, in));
      auto const gradient = pleat::test::from_host(c, dy, out.y.shape());
      pleat::tensor<float, space> dx;
      if constexpr (requires { t.net.backward_input(p, out.saved, gradient, true); })
        dx = t.net.backward_input(p, out.saved, gradient, mask);
      else dx = t.net.backward_input(p, out.saved, gradient);
      t.net.backward_weight(p, out.saved);
      return wanted ? pleat::test::to_host(c, dx) : std::vector<float>(dx.data() ? 1 : 0);
    };
    auto const dx = walk(a, x, relu_before);
    auto expected = walk(b, rounded, false);
    int without = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      bool const none = cut[i] > 0 || (relu_before && !(x[i] > 0));
      without += cut[i] > 0;
      CHECK(dx[i] == (none ? 0.0f : expected[i]));
    }
    CHECK((without > 4 && without < static_cast<int>(x.size()) / 2));
    CHECK(pleat::test::same_bits(a.gradients(), b.gradients()));
    if (relu_before) return;
    // The scale's gradient. With rounding frozen, x̂ moves with the scale s as x + s·(round(x/s) − x/s), and as ±127·s
    // where it is cut: Σ dy·y is linear in s, and so are its differences, but for the floats' rounding of y. The same
    // sum of magnitudes bounds that.
    b.set("a.bias", std::vector<float>(static_cast<std::size_t>(w.shape[0]), 0.0f));
    auto const sum_at = [&](double step, bool magnitudes = false) {
      std::vector<float> hat(x);
      for (std::size_t i = 0; i < x.size(); ++i) {
        double const v = static_cast<double>(x[i] / scale);
        hat[i] = static_cast<float>(cut[i] > 0 ? std::copysign(127.0, v) * step
                                               : static_cast<double>(x[i]) + step * (std::nearbyint(v) - v));
        if (magnitudes) hat[i] = std::abs(hat[i]);
      }
      auto const y = pleat::test::to_host(c, b.net.forward(b.pass({&all, 1}, m), pleat::test::from_host(c, hat, in)).y);
      double sum = 0;
      for (std::size_t i = 0; i < y.size(); ++i) {
        double const p = static_cast<double>(dy[i]) * static_cast<double>(y[i]);
        sum += magnitudes ? std::abs(p) : p;
      }
      return sum;
    };
    // 64 steps apart: then what is cut counts for more than the inputs themselves, whose roundings say nothing
    double const at = static_cast<double>(scale), h = 64 * at, n = static_cast<double>(codec::columns_of(w.shape)),
                 slope = (sum_at(at + h) - sum_at(at - h)) / (2 * h), expected_step = slope / std::sqrt(n * 127),
                 learned = fake::input_gradient(w.shape, s.input_shares);
    for (auto& v : hat) v = std::abs(v);
    b.set("a.weight", hat);
    // An input is rounded to float once, and y is n products in a chain: n + 1 roundings of Σ|dy·w·x̂| at both ends. dx
    // is a chain of as many products as an input has uses (every output, and every place of a kernel), and a share is
    // rounded once: of at most the same magnitudes, since 2h·|∂x̂/∂s| is the difference of both ends' x̂. A hundredth for
    // products of roundings, and for those of the magnitudes themselves.
    double const uses = static_cast<double>(w.size()) / static_cast<double>(in[1]),
                 bound = 1.01 * (n + uses + 2) * 0x1p-24 * (sum_at(at + h, true) + sum_at(at - h, true)) / (2 * h) /
                         std::sqrt(n * 127);
    CAPTURE(expected_step, learned, bound);
    CHECK(std::abs(expected_step) > 100 * bound);
    CHECK(std::abs(learned - expected_step) <= bound);
    // A layer whose input is data has no dx to give, and learns all the same.
    auto const shares = s.input_shares.sum.limb;
    s.input_shares = {};
    CHECK(walk(a, x, false, false).empty());
    CHECK(s.input_shares.sum.limb == shares);
  };
  for (bool const relu : {false, true})
    check(nn::linear<forms, space>("a", 20, 7), nn::linear<codec::forms<codec::dense<float>>, space>("a", 20, 7),
          {m, 20}, relu);
  check(nn::conv2d<forms, space>("a", 3, 4, 3), nn::conv2d<codec::forms<codec::dense<float>>, space>("a", 3, 4, 3),
        {m, 3, 6, 5}, false);
  std::vector<float> const odd{0.5f, std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()};
  encoded<fake> w(c, {1, 3}, {1, 1, 1});
  fake::set_input_range(w.storage, 1);
  std::vector<float> out(3);
  fake::round_inputs(c, w.storage, 3, odd.data(), out.data());
  CHECK(out[0] == w.storage.input_scale * 64);
  CHECK((std::isnan(out[1]) && std::isnan(out[2])));
  w.storage.grid = codec::grid_of<codec::int4<float, 32>>();
  CHECK_THROWS_MATCHES(fake::set_input_range(w.storage, 1), pleat::error,
                       MessageMatches(ContainsSubstring("static activations are for those of int8")));
}

TEST_CASE(
    "the gradient of the inputs' scale is the paper's sum: the same bits in any order, NaN where a summand is not "
    "finite") {
  auto c = make_context();
  encoded<fake> w(c, {4, 50}, numbers(200, 40));
  auto& s = w.storage;
  fake::set_input_range(s, 1);
  auto x = numbers(3000, 41), dx = numbers(3000, 42);
  x[7] = 127 * s.input_scale;  // the last code itself is clipped, by the paper's border
  auto const grown = [&](index_t piece, bool counts = true) {
    s.input_shares = {};
    auto out = dx;
    for (index_t at = 0; at < 3000; at += piece)
      fake::mask_inputs(c, s, std::min(piece, 3000 - at), x.data() + at, out.data() + at, counts);
    return s.input_shares;
  };
  CHECK(grown(3000).sum.value() == 0);  // nobody learns it
  fake::learn_inputs(s);
  double sum = 0, size = 0;
  int clipped = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    float const v = x[i] / s.input_scale;
    double const slope = v >= 127    ? 127
                         : v <= -127 ? -127
                                     : static_cast<double>(std::nearbyint(v)) - static_cast<double>(v);
    sum += static_cast<double>(dx[i]) * slope, size += std::abs(static_cast<double>(dx[i]) * slope);
    clipped += std::abs(slope) == 127;
  }
  CHECK((clipped > 0 && clipped < 2900));
  double const all = fake::input_gradient({4, 50}, grown(3000));
  CHECK(std::abs(all - sum / std::sqrt(50.0 * 127)) <= 0x1p-23 * size / std::sqrt(50.0 * 127));
  for (index_t const piece : {1, 17, 512, 700}) CHECK(fake::input_gradient({4, 50}, grown(piece)) == all);
  CHECK(grown(3000, false).sum.value() == 0);
  auto const copy = s;
  s.learned_input.at(codec::learned_steps::value, 0) = 0.5;
  fake::use_learned_input(s);
  CHECK((s.input_scale == 0.5f && copy.input_scale == copy.learned_input.at(codec::learned_steps::value, 0)));
  dx[2999] = std::numeric_limits<float>::infinity();
  CHECK(std::isnan(fake::input_gradient({4, 50}, grown(700))));
  CHECK_THROWS_MATCHES(fake::set_learned_input(codec::learned_steps::begin({1, 2}, 0), s), pleat::error,
                       MessageMatches(ContainsSubstring("expected one scale of all inputs, found 2")));
}

TEST_CASE("a copy of a weight keeps its steps when the other's move") {
  auto c = make_context();
  extents const shape{2, 8};
  encoded<fake> w(c, shape, numbers(shape.size(), 50));
  fake::set_steps(c, shape, {0.5f, 0.25f}, w.storage);
  auto const copy = w.storage;
  fake::set_steps(c, shape, {1.0f, 1.0f}, w.storage);
  CHECK(fake::host_steps(c, copy) == std::vector<float>{0.5f, 0.25f});
  CHECK(fake::host_steps(c, w.storage) == std::vector<float>{1.0f, 1.0f});
}

TEST_CASE("the file holds floats, grid, steps and mask; nonsense is refused") {
  auto c = make_context();
  extents const shape{3, 64};
  auto const values = numbers(shape.size(), 20);
  encoded<fake> w(c, shape, values), back(shape);
  w.storage.grid = codec::grid_of<codec::int4<float, 64>>();
  fake::set_steps(c, shape, {0.125f, 0.25f, 0.5f}, w.storage);
  auto with_inputs = encoded<fake>(c, shape, values);
  fake::set_input_range(with_inputs.storage, 2);
  auto const said = fake::to_file(c, shape, with_inputs.storage);
  CHECK(bytes_of_parts(said) == fake::bytes(shape, with_inputs.storage));
  fake::from_file(c, shape, said, back.storage);
  CHECK(back.storage.input_scale == 2.0f / 127.0f);
  pleat::index_box box(shape);
  box[1] = {0, 32};
  fake::set_steps(c, shape, {0.125f, 0.25f, 0.5f}, with_inputs.storage);
  auto part = fake::slice(c, shape, with_inputs.storage, box);
  CHECK(part.input_scale == 2.0f / 127.0f);
  std::vector<float> some(96);
  part.attach(some.data());
  std::vector<codec::weight_piece> pieces(2, {box.shape(), fake::to_file(c, box.shape(), part)});
  CHECK(bytes_of_parts(fake::join(shape, 1, pieces)) == bytes_of_parts(fake::to_file(c, shape, with_inputs.storage)));
  fake::set_input_range(part, 3);
  pieces[1].parts = fake::to_file(c, box.shape(), part);
  CHECK_THROWS_MATCHES(fake::join(shape, 1, pieces), pleat::error,
                       MessageMatches(ContainsSubstring("the parts have scales of activations of their own")));
  auto parts = fake::to_file(c, shape, w.storage);
  parts.push_back({".input_scale", pleat::dtype::f32, {1}, said[2].bytes});
  CHECK_THROWS_MATCHES(fake::from_file(c, shape, parts, back.storage), pleat::error,
                       MessageMatches(ContainsSubstring("the scale of the activations is 0.01574") &&
                                      ContainsSubstring("beside the codes of int8")));
  parts.pop_back();
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
  CHECK_THROWS_MATCHES(spoil(1, 0, 5), pleat::error,
                       MessageMatches(ContainsSubstring("the grid says codes from 5 to 7")));
  CHECK_THROWS_MATCHES(spoil(1, 2, 48), pleat::error, MessageMatches(ContainsSubstring("by groups of 48 columns")));
  CHECK_THROWS_MATCHES(spoil(2, 1, 0x7fc00000), pleat::error, MessageMatches(ContainsSubstring("step 1 is")));
  CHECK_THROWS_MATCHES(fake::set_steps(c, shape, {1.0f}, w.storage), pleat::error,
                       MessageMatches(ContainsSubstring("expected 3 steps, found 1")));
  std::vector<float> nan(values);
  nan[70] = std::numeric_limits<float>::quiet_NaN();
  encoded<fake> broken(c, shape, nan);
  typename codec::int8<float>::template storage<space> to;
  CHECK_THROWS_MATCHES(fake::convert<codec::int8<float>>(c, shape, broken.storage, to), pleat::error,
                       MessageMatches(ContainsSubstring("row 1, column 6 is")));
  // Training that diverged shows in answers by codes, too.
  for (float const bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    nan[70] = bad;
    encoded<fake> diverged(c, shape, nan);
    std::vector<float> const x(64, 0.5f);
    std::vector<float> y(3);
    for (float const range : {0.0f, 1.0f}) {
      fake::set_input_range(diverged.storage, range);
      fake::apply(c, shape, diverged.storage, 1, x.data(), y.data(), {});
      for (std::size_t r = 0; r < 3; ++r) CHECK(std::isnan(y[r]) == (r == 1));
    }
  }
}

}  // namespace
