// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compute/int8_convolution.hpp>
#include <pleat/compute/pooling.hpp>

#include <catch2/matchers/catch_matchers_string.hpp>

#include "vector_support.hpp"

namespace {
using namespace vector_support;
namespace compute = pleat::compute;

guarded<std::int8_t> codes(index_t n, std::uint64_t seed) {
  guarded<std::int8_t> x(n);
  pleat::random::stream const r(seed, 5);
  for (index_t i = 0; i < n; ++i)
    x[i] = static_cast<std::int8_t>(static_cast<int>(r.below(static_cast<std::uint64_t>(i), 256)) - 128);
  return x;
}

compute::conv2d_shape shape(index_t batch, index_t in, index_t h, index_t w, index_t out, index_t kh, index_t kw) {
  compute::conv2d_shape s{};
  s.batch = batch, s.in_channels = in, s.height = h, s.width = w, s.out_channels = out, s.kernel_h = kh,
  s.kernel_w = kw;
  return s;
}

void check(compute::conv2d_shape const& s) {
  CAPTURE(s.batch, s.in_channels, s.height, s.width, s.out_channels, s.kernel_h, s.stride_h, s.stride_w, s.padding_h,
          s.dilation_w, s.groups);
  auto const x = codes(s.batch * s.in_channels * s.height * s.width, 1),
             w = codes(s.out_channels * s.weights_per_output(), 2);
  auto const xs = numbers<float>(s.batch, 3, 0.01, 0.1), ws = numbers<float>(s.out_channels, 4, 0.01, 0.1),
             bias = numbers<float>(s.out_channels, 5);
  index_t const n = s.batch * s.out_channels * s.out_height() * s.out_width();
  for (bool const plain : {false, true}) {
    guarded<float> y(n), y2(n), z(n);
    float const* const b = plain ? nullptr : bias.data();
    auto const act = plain ? compute::activation::none : compute::activation::relu;
    compute::int8_conv2d(instance(1), s, x.data(), xs.data(), w.data(), ws.data(), b, y.data(), act);
    compute::int8_conv2d(instance(2), s, x.data(), xs.data(), w.data(), ws.data(), b, y2.data(), act);
    compute::detail::loop_portable(
        instance(1), n,
        compute::detail::int8_conv_body{{s, x.data(), xs.data(), w.data(), ws.data(), b, z.data(), act}});
    CHECK((y.same_bits(z) && y2.same_bits(z) && y.intact() && y2.intact()));
  }
}
}  // namespace

TEST_CASE("the int8 convolution gives the bits of the direct sum for every shape", "[compute][int8_convolution]") {
  check(shape(3, 1, 28, 28, 20, 5, 5));
  check(shape(2, 20, 12, 12, 50, 5, 5));
  check(shape(1, 3, 1, 1, 2, 1, 1));
  check(shape(1, 64, 9, 7, 70, 1, 1));
  auto same = shape(2, 16, 32, 32, 16, 3, 3);
  same.padding_h = same.padding_w = 1;
  check(same);
  auto strided = shape(2, 4, 17, 23, 6, 3, 5);
  strided.stride_h = 2, strided.stride_w = 3, strided.padding_h = 2, strided.padding_w = 1, strided.dilation_h = 2,
  strided.dilation_w = 3;
  check(strided);
  auto grouped = shape(2, 6, 10, 11, 9, 3, 3);
  grouped.groups = 3, grouped.padding_h = 1;
  check(grouped);
  auto depthwise = shape(1, 5, 8, 8, 5, 3, 3);
  depthwise.groups = 5, depthwise.padding_h = depthwise.padding_w = 1;
  check(depthwise);
  auto wide = shape(1, 1, 2, 200, 1, 2, 2);
  check(wide);
}

// Eight blocks of 64 pixels or more, without groups: where the tiles of detail/int8_conv_tile.hpp work, if the machine
// has them.
TEST_CASE("the tiles of the int8 convolution give the bits of the direct sum", "[compute][int8_convolution]") {
  check(shape(9, 1, 28, 28, 20, 5, 5));   // products grouped along the kernel's rows, and many pixels a row
  check(shape(9, 20, 12, 12, 50, 5, 5));  // by channels, eight pixels a row
  check(shape(8, 3, 9, 7, 7, 3, 3));      // a channel that is not there, a block that is not full
  check(shape(8, 7, 6, 6, 13, 1, 1));     // 36 and fewer pixels in a block
  check(shape(9, 2, 6, 40, 5, 2, 3));     // rows of more than two blocks' width
  auto far = shape(8, 8, 19, 21, 6, 3, 5);
  far.stride_h = 2, far.stride_w = 3, far.padding_h = 2, far.padding_w = 4, far.dilation_h = 2, far.dilation_w = 3;
  check(far);
  far.in_channels = 1, far.stride_w = 1;
  check(far);
  far.padding_w = 0, far.out_channels = 1, far.kernel_w = 7;
  far.dilation_w = 1;
  check(far);
  pleat::random::stream const draw(12, 3);
  for (std::uint64_t t = 0; t < 40; ++t) {
    auto const pick = [&](std::uint64_t i, index_t from, index_t to) {
      return from + index_t{draw.below(16 * t + i, static_cast<std::uint64_t>(to - from + 1))};
    };
    auto s = shape(8, pick(0, 1, 9), pick(1, 5, 14), pick(2, 5, 30), pick(3, 1, 14), pick(4, 1, 4), pick(5, 1, 5));
    s.stride_h = pick(6, 1, 2), s.stride_w = pick(7, 1, 2), s.padding_h = pick(8, 0, 3), s.padding_w = pick(9, 0, 3);
    if (s.height + 2 * s.padding_h > 2 * (s.kernel_h - 1)) s.dilation_h = pick(10, 1, 2);
    if (s.width + 2 * s.padding_w > 2 * (s.kernel_w - 1)) s.dilation_w = pick(11, 1, 2);
    check(s);
  }
}

TEST_CASE("random int8 convolutions", "[compute][int8_convolution]") {
  pleat::random::stream const draw(11, 3);
  for (std::uint64_t t = 0; t < 60; ++t) {
    auto const pick = [&](std::uint64_t i, index_t from, index_t to) {
      return from + index_t{draw.below(16 * t + i, static_cast<std::uint64_t>(to - from + 1))};
    };
    index_t const groups = pick(0, 1, 3);
    auto s = shape(pick(1, 1, 3), groups * pick(2, 1, 4), pick(3, 5, 20), pick(4, 5, 20), groups * pick(5, 1, 20),
                   pick(6, 1, 4), pick(7, 1, 4));
    s.stride_h = pick(8, 1, 3), s.stride_w = pick(9, 1, 3), s.padding_h = pick(10, 0, 3), s.padding_w = pick(11, 0, 3);
    s.groups = groups;
    if (s.height + 2 * s.padding_h > 2 * (s.kernel_h - 1)) s.dilation_h = pick(12, 1, 2);
    if (s.width + 2 * s.padding_w > 2 * (s.kernel_w - 1)) s.dilation_w = pick(13, 1, 2);
    check(s);
  }
}

namespace {
/// The pooled convolution beside the convolution and the pooling; whether there was a kernel for it.
bool check_pooled(compute::conv2d_shape const& s) {
  if (s.out_height() < 2 || s.out_width() < 2 || !compute::int8_conv2d_pools(instance(1), s)) return false;
  CAPTURE(s.batch, s.in_channels, s.height, s.width, s.out_channels, s.kernel_h, s.kernel_w, s.padding_h, s.padding_w,
          s.dilation_h, s.dilation_w);
  auto const x = codes(s.batch * s.in_channels * s.height * s.width, 1),
             w = codes(s.out_channels * s.weights_per_output(), 2);
  auto const xs = numbers<float>(s.batch, 3, 0.01, 0.1), ws = numbers<float>(s.out_channels, 4, 0.01, 0.1),
             bias = numbers<float>(s.out_channels, 5);
  compute::pool2d_shape const pool{.batch = s.batch,
                                   .channels = s.out_channels,
                                   .height = s.out_height(),
                                   .width = s.out_width(),
                                   .kernel_h = 2,
                                   .kernel_w = 2,
                                   .stride_h = 2,
                                   .stride_w = 2};
  for (bool const plain : {false, true}) {
    guarded<float> whole(s.batch * s.out_channels * s.out_height() * s.out_width());
    index_t const n = s.batch * s.out_channels * pool.out_height() * pool.out_width();
    guarded<float> y(n), y2(n), z(n);
    float const* const b = plain ? nullptr : bias.data();
    auto const act = plain ? compute::activation::none : compute::activation::relu;
    compute::int8_conv2d(instance(1), s, x.data(), xs.data(), w.data(), ws.data(), b, whole.data(), act);
    compute::max_pool2d_forward(instance(1), pool, static_cast<float const*>(whole.data()), z.data(), nullptr);
    compute::int8_conv2d_pooled(instance(1), s, x.data(), xs.data(), w.data(), ws.data(), b, y.data(), act);
    compute::int8_conv2d_pooled(instance(2), s, x.data(), xs.data(), w.data(), ws.data(), b, y2.data(), act);
    CHECK((y.same_bits(z) && y2.same_bits(z) && y.intact() && y2.intact()));
  }
  return true;
}
}  // namespace

TEST_CASE("an int8 convolution that pools while it stores gives the bits of the two one after the other",
          "[compute][int8_convolution]") {
  bool const kernel = compute::detail::has_int8_conv_tiles();
  CHECK(check_pooled(shape(9, 1, 28, 28, 20, 5, 5)) == kernel);   // twelve windows a row
  CHECK(check_pooled(shape(9, 20, 12, 12, 50, 5, 5)) == kernel);  // sixteen windows an image
  CHECK(check_pooled(shape(8, 8, 9, 7, 7, 3, 3)) == kernel);      // odd columns, a row that no window has
  CHECK(check_pooled(shape(8, 8, 40, 60, 5, 3, 3)) == kernel);    // rows of more windows than a vector has
  CHECK_FALSE(check_pooled(shape(9, 5, 12, 1, 3, 1, 1)));
  auto strided = shape(9, 8, 12, 12, 5, 3, 3);
  strided.stride_w = 2;
  CHECK_FALSE(check_pooled(strided));
  auto const f = numbers<float>(9, 3);
  auto const q = codes(9 * 8 * 12 * 12, 1);
  guarded<float> y(9 * 5 * 12 * 12);
  CHECK_THROWS_WITH(compute::int8_conv2d_pooled(instance(1), strided, q.data(), f.data(), q.data(), f.data(), nullptr,
                                                y.data(), compute::activation::none),
                    Catch::Matchers::ContainsSubstring("int8_conv2d_pools"));
  pleat::random::stream const draw(13, 3);
  int found = 0;
  for (std::uint64_t t = 0; t < 40; ++t) {
    auto const pick = [&](std::uint64_t i, index_t from, index_t to) {
      return from + index_t{draw.below(16 * t + i, static_cast<std::uint64_t>(to - from + 1))};
    };
    auto s = shape(8, pick(0, 1, 9), pick(1, 5, 14), pick(2, 5, 30), pick(3, 1, 14), pick(4, 1, 4), pick(5, 1, 5));
    s.padding_h = pick(8, 0, 3), s.padding_w = pick(9, 0, 3);
    found += check_pooled(s) ? 1 : 0;
  }
  CHECK((found > 10) == kernel);
}

TEST_CASE("an int8 convolution whose sum cannot fit is refused", "[compute][int8_convolution]") {
  auto const s = shape(1, 14794, 3, 3, 1, 3, 3);  // 133146 products
  std::int8_t const x = 0;
  float const f = 0;
  float y;
  CHECK_THROWS_WITH(compute::int8_conv2d(instance(1), s, &x, &f, &x, &f, nullptr, &y),
                    Catch::Matchers::ContainsSubstring("133146"));
  CHECK_THROWS_WITH(compute::int8_conv2d(instance(1), shape(1, 1, 2, 2, 1, 3, 3), &x, &f, &x, &f, nullptr, &y),
                    Catch::Matchers::ContainsSubstring("taller"));
}
