// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compute/instances.hpp>  // first: kernels and forms are those of pleat::kernels

#include <pleat/codec/reduced.hpp>
#include <pleat/codec/scalar_quantized.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <codec/codec_support.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

namespace {

using namespace codec_test;
namespace codec = pleat::codec;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

/// A quantizer of one's own: steps of 1/32, and a code that stands for NaN, as floats of eight bits have one.
struct mine {
  static constexpr std::string_view name = "mine";
  using code = std::int8_t;
  static code encode(float w) { return static_cast<code>(std::lround(std::clamp(w * 32, -128.0f, 127.0f))); }
  PLEAT_INLINE static float decode(code c) {
    return c == 127 ? std::numeric_limits<float>::quiet_NaN() : static_cast<float>(c) / 32;
  }
  static double bound(float w) { return std::max(1.0 / 64, std::fabs(static_cast<double>(w)) - 126.0 / 32); }
};
using scalar = codec::scalar_quantized<float, mine>;

TEMPLATE_TEST_CASE("sixteen bits: errors stay within the unit roundoff; a second encoding changes nothing", "",
                   codec::bf16<float>, codec::f16<float>) {
  auto c = make_context();
  extents const shape{7, 33};
  for (float scale : {1.0f, 1e-4f, 1e-7f, 1e-20f, 1e-39f, 1e4f}) {
    auto values = numbers(shape.size(), 1);
    for (float& v : values) v *= scale;
    encoded<TestType> const w(c, shape, values);
    auto const decoded = w.decode(c);
    auto const measured = codec::measure_error(values, decoded);
    auto const predicted = TestType::bits::predict(shape, values, {});
    CHECK(measured.max <= predicted.max);
    CHECK(measured.frobenius <= predicted.frobenius);
    encoded<TestType> const again(c, shape, decoded);
    CHECK(again.decode(c) == decoded);
    CHECK(TestType::bytes(shape, w.storage) == 2 * shape.size());
  }
}

TEMPLATE_TEST_CASE("sixteen bits: the bound holds for all zeros, for constants, and up to the largest number there is",
                   "", codec::bf16<float>, codec::f16<float>) {
  auto c = make_context();
  extents const shape{5, 19};
  bool const half = TestType::name == "f16";
  // The largest number, and the largest float that is rounded to it: the one before the middle to the next, which is
  // not there.
  float const largest = half ? 65504.0f : 0x1.fep127f, last = std::nextafter(half ? 65520.0f : 0x1.ffp127f, 0.0f);
  float const least = half ? 0x1p-24f : 0x1p-133f;  // below it are halves of the spacing only
  for (float const v : {0.0f, -0.0f, 1.0f, -0.37f, 0.1f, 1.00390625f, largest, -largest, last, -last, least,
                        0.5f * least, 1.5f * least, 0x1p-149f}) {
    INFO(v);
    std::vector<float> const values(static_cast<std::size_t>(shape.size()), v);
    encoded<TestType> const w(c, shape, values);
    auto const decoded = w.decode(c);
    auto const measured = codec::measure_error(values, decoded);
    auto const predicted = TestType::bits::predict(shape, values, {});
    CHECK(measured.max <= predicted.max);
    CHECK(measured.frobenius <= predicted.frobenius);
    CHECK(decoded == std::vector<float>(values.size(), decoded[0]));
    if (v == 0) CHECK((decoded[0] == 0 && std::signbit(decoded[0]) == std::signbit(v) && predicted.max == 0));
    if (std::fabs(v) >= largest) CHECK(std::fabs(decoded[0]) == largest);
    // The bound says something: a unit of the last place of what is there, or half the least one.
    CHECK(predicted.max <=
          std::max(std::fabs(static_cast<double>(v)) * (half ? 0x1p-11 : 0x1p-8), 0.5 * static_cast<double>(least)));
  }
  std::vector<float> values(static_cast<std::size_t>(shape.size()), 1.0f);
  for (float const v : {std::nextafter(last, HUGE_VALF), std::numeric_limits<float>::max()}) {
    values[21] = -v;
    encoded<TestType> none(shape);
    CHECK_THROWS_MATCHES(TestType::encode(c, shape, values.data(), none.storage), pleat::error,
                         MessageMatches(ContainsSubstring("row 1, column 2 is -") &&
                                        ContainsSubstring("above the largest number of this type")));
  }
}

TEMPLATE_TEST_CASE("products are those of the dense form with the rounded numbers, bit for bit", "", codec::bf16<float>,
                   codec::f16<float>, scalar) {
  auto c = make_context();
  extents const shape{70, 133};
  encoded<TestType> const w(c, shape, numbers(shape.size(), 2));
  encoded<codec::dense<float>> const d(c, shape, w.decode(c));
  auto const bias = numbers(70, 4);
  pleat::compute::epilogue<float> const after{.bias = bias.data(), .act = pleat::compute::activation::relu};
  for (index_t m : {1, 3, 4, 5, 40}) {
    auto const x = numbers(m * 133, 3), dy = numbers(m * 70, 5);
    std::vector<float> y(static_cast<std::size_t>(m * 70)), z(y.size()), dx(static_cast<std::size_t>(m * 133)),
        dz(dx.size());
    TestType::apply(c, shape, w.storage, m, x.data(), y.data(), after);
    codec::dense<float>::apply(c, shape, d.storage, m, x.data(), z.data(), after);
    CHECK(y == z);
    TestType::apply_transposed(c, shape, w.storage, m, dy.data(), dx.data(), x.data());
    codec::dense<float>::apply_transposed(c, shape, d.storage, m, dy.data(), dz.data(), x.data());
    CHECK(dx == dz);
  }
  // The portable functor: what a device runs.
  auto const x = numbers(133, 3);
  std::vector<float> y(70);
  TestType::apply(c, shape, w.storage, 1, x.data(), y.data(), after);
  std::vector<float> z(70);
  codec::detail::decoded_dot_body<typename TestType::view> const dot{w.storage.view, 70,       133,
                                                                     x.data(),       z.data(), after};
  for (index_t j = 0; j < 70; ++j) dot(j);
  CHECK(y == z);
}

TEST_CASE("a quantizer of one's own: codes in a file of their type, cut anywhere, never believed unseen") {
  auto c = make_context();
  extents const shape{9, 14};
  auto const values = numbers(126, 6);
  encoded<scalar> const w(c, shape, values);
  check_files_and_slices<scalar>(c, w);
  auto parts = scalar::to_file(c, shape, w.storage);
  REQUIRE(parts.size() == 1);
  CHECK(parts[0].type == pleat::dtype::i8);
  CHECK(parts[0].shape == shape);
  auto const decoded = w.decode(c);
  for (std::size_t i = 0; i < 126; ++i) REQUIRE(decoded[i] == static_cast<float>(std::lround(32 * values[i])) / 32);
  auto const measured = codec::measure_error(values, decoded);
  auto const predicted = scalar::predict(c, shape, std::span<float const>(values), w.storage);
  CHECK(measured.max <= predicted.max);
  CHECK(measured.frobenius <= predicted.frobenius);
  CHECK(predicted.max == 1.0 / 64);
  pleat::index_box columns(shape);
  columns[1] = {3, 8};
  auto const part = scalar::slice(c, shape, w.storage, columns);
  std::vector<float> some(45);
  scalar::decode(c, extents{9, 5}, part, some.data());
  for (std::size_t i = 0; i < 45; ++i) REQUIRE(some[i] == decoded[i / 5 * 14 + 3 + i % 5]);

  parts[0].bytes[20] = std::byte{127};
  encoded<scalar> back(shape);
  CHECK_THROWS_MATCHES(
      scalar::from_file(c, shape, parts, back.storage), pleat::error,
      MessageMatches(ContainsSubstring("codec::mine::from_file") && ContainsSubstring("NaN or infinite")));
  auto large = values;
  large[18] = 5;
  CHECK_THROWS_MATCHES(scalar::encode(c, shape, large.data(), back.storage), pleat::error,
                       MessageMatches(ContainsSubstring("row 1, column 4 is 5, above the largest number") &&
                                      ContainsSubstring("choose a wider code")));
}

TEST_CASE("sixteen bits: files and refusals") {
  auto c = make_context();
  extents const shape{4, 3, 5};
  encoded<codec::bf16<float>> w(c, shape, numbers(60, 1));
  auto parts = codec::bf16<float>::to_file(c, shape, w.storage);
  REQUIRE(parts.size() == 1);
  CHECK(parts[0].suffix.empty());
  CHECK(parts[0].type == pleat::dtype::bf16);
  CHECK(parts[0].shape == shape);
  encoded<codec::bf16<float>> back(shape);
  codec::bf16<float>::from_file(c, shape, parts, back.storage);
  CHECK(back.decode(c) == w.decode(c));
  encoded<codec::bf16<float>> part(extents{2, 3, 5});
  codec::bf16<float>::slice(c, shape, w.storage, 1, 3, part.storage);
  auto const all = w.decode(c), some = part.decode(c);
  CHECK(std::equal(some.begin(), some.end(), all.begin() + 15));

  parts[0].bytes[1] = std::byte{0x7f}, parts[0].bytes[0] = std::byte{0xc0};
  CHECK_THROWS_MATCHES(codec::bf16<float>::from_file(c, shape, parts, back.storage), pleat::error,
                       MessageMatches(ContainsSubstring("NaN or infinite")));
  auto values = numbers(60, 1);
  values[17] = 70000;
  encoded<codec::f16<float>> h(shape);
  CHECK_THROWS_MATCHES(codec::f16<float>::encode(c, shape, values.data(), h.storage), pleat::error,
                       MessageMatches(ContainsSubstring("row 1, column 2 is 70000")));
  values[17] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_MATCHES(codec::bf16<float>::encode(c, shape, values.data(), w.storage), pleat::error,
                       MessageMatches(ContainsSubstring("row 1, column 2 is nan")));
}

}  // namespace
