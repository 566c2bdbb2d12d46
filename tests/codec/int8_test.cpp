// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compute/instances.hpp>  // first: kernels and forms are those of pleat::kernels

#include <pleat/codec/int8.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <codec/codec_support.hpp>

#include <limits>

namespace {

using namespace codec_test;
using int8 = pleat::codec::int8<float>;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

float scale_of(encoded<int8> const& w, index_t r) { return w.storage.scales[static_cast<std::size_t>(r)]; }
int code_of(encoded<int8> const& w, index_t i) { return w.storage.codes[static_cast<std::size_t>(i)]; }

/// |x − scale·code| ≤ scale/2 in exact arithmetic. scale·code has at most 31 bits, so it is exact in double; the difference of two floats
/// that are within a factor of 2⁸ of scale or equal to zero is exact too.
void check_bound(encoded<int8> const& w, std::vector<float> const& values) {
  index_t const columns = w.shape.size_from(1);
  for (index_t i = 0; i < w.shape.size(); ++i) {
    double const s = scale_of(w, i / columns), x = values[static_cast<std::size_t>(i)];
    if (std::abs(x - s * code_of(w, i)) > s / 2) {
      FAIL_CHECK("element " << i << ": " << x << " became " << s << " * " << code_of(w, i));
      return;
    }
    if (std::abs(code_of(w, i)) > 127) FAIL_CHECK("code " << code_of(w, i));
  }
  SUCCEED();
}

TEST_CASE("int8 keeps every element within half a step: random rows of very different sizes") {
  auto c = make_context();
  extents const shape = GENERATE(extents{1, 1}, extents{5, 7}, extents{40, 300}, extents{6, 3, 5, 5});
  auto values = numbers(shape.size(), 31);
  index_t const columns = shape.size_from(1);
  for (index_t i = 0; i < shape.size(); ++i)
    values[static_cast<std::size_t>(i)] *= std::ldexp(1.0f, static_cast<int>(i / columns % 5) * 30 - 60);
  encoded<int8> const w(c, shape, values);
  check_bound(w, values);
  for (index_t r = 0; r < shape[0]; ++r) {
    float amax = 0;
    for (index_t j = 0; j < columns; ++j)
      amax = std::max(amax, std::abs(values[static_cast<std::size_t>(r * columns + j)]));
    CHECK(scale_of(w, r) == amax / 127.0f);  // symmetric, restricted
  }
}

TEST_CASE("int8 at the ends of the number line") {
  auto c = make_context();
  float const tiny = std::numeric_limits<float>::denorm_min(), huge = std::numeric_limits<float>::max(),
              least = std::numeric_limits<float>::min();
  std::vector<std::vector<float>> const rows{
      {0, 0, 0, 0},                                // zero
      {-0.0f, 0, -0.0f, 0},                        // negative zero
      {0.25f, 0.25f, 0.25f, 0.25f},                // constant
      {tiny, 0, -tiny, tiny},                      // smaller than 127 steps of anything
      {100 * tiny, 3 * tiny, -50 * tiny, 0},       // subnormal
      {150 * tiny, 75 * tiny, -149 * tiny, tiny},  // the quotient by 127 rounds down to one step
      {190 * tiny, 190 * tiny, -189 * tiny, tiny},
      {least, -least, least / 2, tiny},
      {huge, -huge, huge / 2, 1},  // 127·scale must not overflow
      {huge, tiny, -tiny, 0},
      {1, -1, 1e-30f, 0.5f / 127},
  };
  for (auto const& row : rows) {
    encoded<int8> const w(c, {1, 4}, row);
    check_bound(w, row);
    for (float x : w.decode(c)) CHECK(std::isfinite(x));
    for (std::size_t i = 0; i < 4; ++i)
      if (row[i] == 0) CHECK(code_of(w, static_cast<index_t>(i)) == 0);
  }
}

TEST_CASE("all subnormal maxima up to 64 steps of 127: no value clips by more than half a step") {
  auto c = make_context();
  float const tiny = std::numeric_limits<float>::denorm_min();
  std::vector<float> values;
  for (int a = 1; a <= 64 * 127; a += 13) {
    values.push_back(static_cast<float>(a) * tiny);
    values.push_back(-static_cast<float>(a / 3) * tiny);
  }
  encoded<int8> const w(c, {static_cast<index_t>(values.size() / 2), 2}, values);
  check_bound(w, values);
}

TEST_CASE("ties go to even, and what was zero stays exactly zero") {
  auto c = make_context();
  // scale = 1: codes are the rounded values.
  encoded<int8> const w(c, {1, 6}, {127, 0.5f, 1.5f, -2.5f, 0, 126.5f});
  CHECK(scale_of(w, 0) == 1.0f);
  CHECK(
      (code_of(w, 1) == 0 && code_of(w, 2) == 2 && code_of(w, 3) == -2 && code_of(w, 4) == 0 && code_of(w, 5) == 126));
  auto const values = sparse_numbers(4000, 0.9, 33);
  encoded<int8> const sparse(c, {10, 400}, values);
  auto const back = sparse.decode(c);
  for (std::size_t i = 0; i < values.size(); ++i)
    if (values[i] == 0) REQUIRE((back[i] == 0 && !std::signbit(back[i])));
}

TEST_CASE("a weight that was never encoded is refused, not multiplied with") {
  auto c = make_context();
  extents const shape{4, 8};
  int8::storage<space> const none;
  std::vector<float> x(32, 1.0f), y(32);
  pleat::compute::conv2d_shape const g{1, 8, 1, 1, 4, 1, 1};
  auto const refused = [&](auto&& f) {
    CHECK_THROWS_MATCHES(f(), pleat::error, MessageMatches(ContainsSubstring("this weight was never encoded")));
  };
  refused([&] { int8::decode(c, shape, none, y.data()); });
  refused([&] { int8::apply(c, shape, none, 1, x.data(), y.data(), {}); });
  refused([&] { int8::apply_transposed(c, shape, none, 1, x.data(), y.data(), nullptr); });
  refused([&] { int8::convolve(c, g, none, x.data(), nullptr, y.data(), pleat::compute::activation::none); });
  refused([&] { (void)int8::predict(c, shape, x, none); });
  refused([&] { (void)int8::to_file(c, shape, none); });
  refused([&] { int8::apply(c, {4, 0}, none, 1, x.data(), y.data(), {}); });  // rows have scales
}

TEST_CASE("NaN and infinity are refused by row and column") {
  auto c = make_context();
  for (float const bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()}) {
    auto values = numbers(12, 35);
    values[7] = bad;
    encoded<int8> w(extents{3, 4});
    CHECK_THROWS_MATCHES(int8::encode(c, w.shape, values.data(), w.storage), pleat::error,
                         MessageMatches(ContainsSubstring("row 1, column 3")));
    CHECK(w.storage.codes.size() == 0);  // nothing half done
  }
}

TEST_CASE("a given range clips what lies outside and refines the rest") {
  auto c = make_context();
  extents const shape{1, 4};
  std::vector<float> const values{10, 0.5f, -0.25f, -20};
  encoded<int8> w(shape);
  float const one = 1;
  int8::encode_with_range(c, shape, values.data(), std::span<float const>(&one, 1), w.storage);
  CHECK(scale_of(w, 0) == 1.0f / 127);
  CHECK((code_of(w, 0) == 127 && code_of(w, 1) == 64 && code_of(w, 2) == -32 && code_of(w, 3) == -127));
  for (float const bad : {-1.0f, std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()})
    CHECK_THROWS_MATCHES(int8::encode_with_range(c, shape, values.data(), std::span<float const>(&bad, 1), w.storage),
                         pleat::error, MessageMatches(ContainsSubstring("range")));
  float const small = -1e-9f;  // is no "-0.000000"
  CHECK_THROWS_MATCHES(int8::encode_with_range(c, shape, values.data(), std::span<float const>(&small, 1), w.storage),
                       pleat::error, MessageMatches(ContainsSubstring("a range is -1e-09,")));
  CHECK_THROWS_MATCHES(int8::encode_with_range(c, shape, values.data(), std::span<float const>{}, w.storage),
                       pleat::error, MessageMatches(ContainsSubstring("one range per row, 1, found 0")));
}

TEST_CASE("the promised error holds for all magnitudes, clipped elements included, and is about half a step") {
  auto c = make_context();
  extents const shape{6, 50};
  for (float scale : {1.0f, 1e-44f, 1e-39f, 1e-20f, 1e38f})
    for (double clip : {1.0, 0.25}) {
      auto values = numbers(shape.size(), 9);
      for (auto& v : values) v *= scale;
      std::vector<float> range(6, 0.0f);
      for (std::size_t i = 0; i < values.size(); ++i) range[i / 50] = std::max(range[i / 50], std::abs(values[i]));
      for (auto& r : range) r = static_cast<float>(clip * static_cast<double>(r));
      encoded<int8> w(shape);
      int8::encode_with_range(c, shape, values.data(), range, w.storage);
      auto const measured = pleat::codec::measure_error(values, w.decode(c)),
                 promised = int8::predict(c, shape, std::span<float const>(values), w.storage);
      CHECK(measured.max <= promised.max);
      CHECK(measured.frobenius <= promised.frobenius);
      if (clip == 1.0 && scale == 1.0f) CHECK(promised.max <= 0.5001 / 127);
    }
}

TEST_CASE("a product is the integer sum, exactly, and then two float operations in the documented order") {
  auto c = make_context();
  extents const shape =
      GENERATE(extents{1, 1}, extents{10, 100}, extents{33, 65}, extents{64, 784}, extents{4, 3, 2, 2});
  index_t const m = GENERATE(1, 2, 7, 64);
  index_t const n = shape[0], k = shape.size_from(1);
  auto const x = numbers(m * k, 41), bias = numbers(n, 42);
  bool const relu = GENERATE(false, true);
  encoded<int8> const w(c, shape, sparse_numbers(shape.size(), 0.3, 43));
  std::vector<std::int8_t> codes(static_cast<std::size_t>(m * k));
  std::vector<float> x_scale(static_cast<std::size_t>(m));
  pleat::compute::quantize_rows(c.space(), m, k, x.data(), k, codes.data(), k, x_scale.data(), nullptr);

  std::vector<float> y(static_cast<std::size_t>(m * n), -99);
  int8::apply(c, shape, w.storage, m, x.data(), y.data(),
              {.bias = bias.data(), .act = relu ? pleat::compute::activation::relu : pleat::compute::activation::none});
  index_t wrong = 0;
  for (index_t i = 0; i < m; ++i)
    for (index_t j = 0; j < n; ++j) {
      std::int64_t sum = 0;
      for (index_t l = 0; l < k; ++l)
        sum += static_cast<std::int64_t>(codes[static_cast<std::size_t>(i * k + l)]) * code_of(w, j * k + l);
      float expected = std::fma(static_cast<float>(sum) * x_scale[static_cast<std::size_t>(i)], scale_of(w, j),
                                bias[static_cast<std::size_t>(j)]);
      if (relu && expected < 0) expected = 0;
      wrong += y[static_cast<std::size_t>(i * n + j)] != expected;
    }
  CHECK(wrong == 0);
}

TEST_CASE("a product is as close to the float product as the two steps allow") {
  auto c = make_context();
  extents const shape{20, 300};
  index_t const m = 9;
  auto const x = numbers(m * 300, 44), values = numbers(shape.size(), 45);
  encoded<int8> const w(c, shape, values);
  std::vector<float> y(180);
  int8::apply(c, shape, w.storage, m, x.data(), y.data(), {});
  auto const exact = product(shape, values, m, x);
  for (index_t i = 0; i < m; ++i) {
    float x_amax = 0;
    for (index_t l = 0; l < 300; ++l) x_amax = std::max(x_amax, std::abs(x[static_cast<std::size_t>(i * 300 + l)]));
    double const x_step = x_amax / 127.0;
    for (index_t j = 0; j < 20; ++j) {
      // Σ|x·w − x̂·ŵ| ≤ Σ(|x|·s_w/2 + |ŵ|·s_x/2) with |x| ≤ x_amax and |ŵ| ≤ 127·s_w; 1 % more for codes that floats
      // round across a tie.
      double const bound = 1.01 * 300 * (x_amax * scale_of(w, j) / 2 + 127.0 * scale_of(w, j) * x_step / 2);
      CHECK(std::abs(y[static_cast<std::size_t>(i * 20 + j)] - exact[static_cast<std::size_t>(i * 20 + j)]) <= bound);
    }
  }
}

TEST_CASE(
    "a convolution is the integer sum too, one scale per image; its input gradient is the float one of the decoded "
    "kernel") {
  auto c = make_context();
  pleat::compute::conv2d_shape const g{.batch = 3,
                                       .in_channels = 4,
                                       .height = 7,
                                       .width = 6,
                                       .out_channels = 6,
                                       .kernel_h = 3,
                                       .kernel_w = 2,
                                       .padding_h = 1,
                                       .groups = 2};
  extents const shape{6, 2, 3, 2};
  index_t const image = 4 * 7 * 6, outputs = 6 * g.out_height() * g.out_width();
  auto const x = numbers(3 * image, 81), bias = numbers(6, 82), dy = numbers(3 * outputs, 83);
  encoded<int8> const w(c, shape, numbers(shape.size(), 84));
  std::vector<std::int8_t> codes(x.size());
  std::vector<float> x_scale(3), y(static_cast<std::size_t>(3 * outputs));
  pleat::compute::quantize_rows(c.space(), 3, image, x.data(), image, codes.data(), image, x_scale.data(), nullptr);
  int8::convolve(c, g, w.storage, x.data(), bias.data(), y.data(), pleat::compute::activation::relu);
  index_t at = 0, wrong = 0;
  for (index_t n = 0; n < 3; ++n)
    for (index_t o = 0; o < 6; ++o)
      for (index_t i = 0; i < g.out_height(); ++i)
        for (index_t j = 0; j < g.out_width(); ++j, ++at) {
          std::int64_t sum = 0;
          for (index_t ch = 0; ch < 2; ++ch)
            for (index_t u = 0; u < 3; ++u)
              for (index_t v = 0; v < 2; ++v) {
                index_t const row = i - 1 + u, column = j + v;
                if (row < 0 || row >= 7) continue;
                sum += static_cast<std::int64_t>(
                           codes[static_cast<std::size_t>(((n * 4 + o / 3 * 2 + ch) * 7 + row) * 6 + column)]) *
                       code_of(w, ((o * 2 + ch) * 3 + u) * 2 + v);
              }
          float const v = std::fma(static_cast<float>(sum) * x_scale[static_cast<std::size_t>(n)], scale_of(w, o),
                                   bias[static_cast<std::size_t>(o)]);
          wrong += y[static_cast<std::size_t>(at)] != (v < 0 ? 0 : v);
        }
  CHECK(wrong == 0);

  encoded<pleat::codec::dense<float>> const d(c, shape, w.decode(c));
  std::vector<float> dx(x.size()), expected(x.size());
  int8::convolve_transposed(c, g, w.storage, dy.data(), dx.data());
  pleat::codec::dense<float>::convolve_transposed(c, g, d.storage, dy.data(), expected.data());
  CHECK(dx == expected);
}

TEST_CASE("an activation that is NaN or infinite makes its row of the result NaN, ReLU or not, and no other row") {
  auto c = make_context();
  extents const shape{7, 40};
  encoded<int8> const w(c, shape, numbers(shape.size(), 85));
  auto const bias = numbers(7, 86);
  for (float const bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()}) {
    auto x = numbers(3 * 40, 87);
    x[40 + 13] = bad;
    std::vector<float> y(21);
    int8::apply(c, shape, w.storage, 3, x.data(), y.data(),
                {.bias = bias.data(), .act = pleat::compute::activation::relu});
    for (std::size_t i = 0; i < 21; ++i) CHECK(std::isnan(y[i]) == (i / 7 == 1));
  }
}

TEST_CASE(
    "gradients flow through: apply_transposed is the float product with the decoded weight, ReLU's mask included") {
  auto c = make_context();
  extents const shape{9, 21};
  index_t const m = 5;
  encoded<int8> const w(c, shape, numbers(shape.size(), 46));
  encoded<pleat::codec::dense<float>> const d(c, shape, w.decode(c));
  auto const dy = numbers(m * 9, 47), x = numbers(m * 21, 48);
  for (float const* mask : {static_cast<float const*>(nullptr), x.data()}) {
    std::vector<float> dx(105), expected(105);
    int8::apply_transposed(c, shape, w.storage, m, dy.data(), dx.data(), mask);
    pleat::codec::dense<float>::apply_transposed(c, shape, d.storage, m, dy.data(), expected.data(), mask);
    CHECK(dx == expected);
  }
}

TEST_CASE("the file image is bit-exact, canonical, and the smaller of two") {
  auto c = make_context();
  auto const shape = GENERATE(extents{1, 1}, extents{3, 5}, extents{16, 64}, extents{4, 3, 3, 3}, extents{7, 129});
  double const zeros = GENERATE(0.0, 0.1, 0.13, 0.5, 0.95, 1.0);
  encoded<int8> const w(c, shape, sparse_numbers(shape.size(), zeros, 51));
  auto const parts = int8::to_file(c, shape, w.storage);
  CHECK(bytes_of_parts(parts) == int8::bytes(shape, w.storage));
  index_t const plain = shape.size() + 4 * shape[0], sparse = (shape.size() + 7) / 8 + w.storage.nonzero + 4 * shape[0];
  CHECK(int8::bytes(shape, w.storage) == std::min(plain, sparse));
  encoded<int8> back(shape);
  int8::from_file(c, shape, parts, back.storage);
  CHECK(back.decode(c) == w.decode(c));
  auto const again = int8::to_file(c, shape, back.storage);
  REQUIRE(again.size() == parts.size());
  for (std::size_t i = 0; i < parts.size(); ++i)
    CHECK((again[i].bytes == parts[i].bytes && again[i].suffix == parts[i].suffix && again[i].shape == parts[i].shape));

  auto const x = numbers(2 * shape.size_from(1), 52);  // what was read multiplies as what was written
  std::vector<float> y(static_cast<std::size_t>(2 * shape[0])), y_back(y);
  int8::apply(c, shape, w.storage, 2, x.data(), y.data(), {});
  int8::apply(c, shape, back.storage, 2, x.data(), y_back.data(), {});
  CHECK(y == y_back);
}

TEST_CASE("a file's claims are checked: ranges of codes and scales, masks, strangers") {
  auto c = make_context();
  extents const shape{4, 8};
  encoded<int8> const dense(c, shape, numbers(32, 61)), sparse(c, shape, sparse_numbers(32, 0.7, 62));
  auto const plain = int8::to_file(c, shape, dense.storage), masked = int8::to_file(c, shape, sparse.storage);
  REQUIRE(plain.size() == 2);
  REQUIRE(masked.size() == 3);
  encoded<int8> back(shape);
  auto const refused = [&](auto const& parts, char const* words) {
    CHECK_THROWS_MATCHES(int8::from_file(c, shape, parts, back.storage), pleat::error,
                         MessageMatches(ContainsSubstring(words)));
    CHECK(back.storage.codes.size() == 0);
  };
  std::vector<pleat::codec::file_tensor> bad;
  refused(bad, "'.mask'");
  bad = {plain[0]};
  refused(bad, "'.scale'");
  bad = plain, bad[0].shape = {8, 4};
  refused(bad, "found [8, 4] I8");
  bad = plain, bad[0].bytes[3] = std::byte{0x80};
  refused(bad, "-128");
  bad = plain, bad[0].bytes.resize(31);
  refused(bad, "31 bytes");
  for (float const scale : {-1.0f, std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                            std::numeric_limits<float>::max()}) {
    bad = plain;
    std::memcpy(bad[1].bytes.data() + 4, &scale, 4);
    refused(bad, "the scale of row 1");
  }
  bad = plain, bad.push_back(masked[0]);
  refused(bad, "'.mask'");
  bad = masked, bad[1].bytes[0] = std::byte{0};
  refused(bad, "is zero");
  bad = masked, bad[0].bytes[0] ^= std::byte{1};
  refused(bad, "values are stored");
  bad = masked, bad[1].shape = {1'000'000'000'000'000};
  refused(bad, "'.nonzero'");
}

TEST_CASE("copies share the codes, and a steady state allocates nothing") {
  auto c = make_context();
  extents const shape{16, 32};
  encoded<int8> const w(c, shape, numbers(512, 71));
  auto const copy = w.storage;
  CHECK(copy.codes.data() == w.storage.codes.data());
  auto const x = numbers(3 * 32, 72), dy = numbers(3 * 16, 73);
  std::vector<float> y(48), dx(96);
  auto const round = [&] {
    int8::apply(c, shape, copy, 3, x.data(), y.data(), {});
    int8::apply_transposed(c, shape, copy, 3, dy.data(), dx.data(), nullptr);
  };
  round();
  auto const before = c.pool().statistics().allocations;
  round();
  CHECK(c.pool().statistics().allocations == before);
}

}  // namespace
