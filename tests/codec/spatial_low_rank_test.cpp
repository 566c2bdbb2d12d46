// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compute/instances.hpp>  // first: kernels and forms are those of pleat::kernels

#include <pleat/codec/spatial_low_rank.hpp>

#include <pleat/codec/detail/part_of.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <codec/codec_support.hpp>

#include <limits>

namespace {

using namespace codec_test;
namespace codec = pleat::codec;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using spatial = codec::spatial_low_rank<float>;

/// The convolution of decoded numbers in double, straight from its definition.
std::vector<double> convolved(pleat::compute::conv2d_shape const& g, std::vector<float> const& w,
                              std::vector<float> const& x, std::vector<float> const& bias) {
  std::vector<double> y;
  for (index_t b = 0; b < g.batch; ++b)
    for (index_t o = 0; o < g.out_channels; ++o)
      for (index_t i = 0; i < g.out_height(); ++i)
        for (index_t j = 0; j < g.out_width(); ++j) {
          double sum = bias[static_cast<std::size_t>(o)];
          for (index_t c = 0; c < g.in_channels; ++c)
            for (index_t u = 0; u < g.kernel_h; ++u)
              for (index_t v = 0; v < g.kernel_w; ++v) {
                index_t const r = i * g.stride_h + u * g.dilation_h - g.padding_h,
                              s = j * g.stride_w + v * g.dilation_w - g.padding_w;
                if (r < 0 || r >= g.height || s < 0 || s >= g.width) continue;
                sum += static_cast<double>(
                           w[static_cast<std::size_t>(((o * g.in_channels + c) * g.kernel_h + u) * g.kernel_w + v)]) *
                       static_cast<double>(
                           x[static_cast<std::size_t>(((b * g.in_channels + c) * g.height + r) * g.width + s)]);
              }
          y.push_back(sum);
        }
  return y;
}

TEST_CASE(
    "two thin kernels answer as the decoded one does: strides, paddings, dilations, kernels that are not square") {
  auto c = make_context();
  for (auto const& g :
       {pleat::compute::conv2d_shape{
            .batch = 3, .in_channels = 4, .height = 11, .width = 9, .out_channels = 6, .kernel_h = 5, .kernel_w = 5},
        {.batch = 2,
        .in_channels = 3,
        .height = 12,
        .width = 10,
        .out_channels = 5,
        .kernel_h = 3,
        .kernel_w = 5,
        .stride_h = 2,
        .stride_w = 1,
        .padding_h = 1,
        .padding_w = 2},
        {.batch = 1,
        .in_channels = 2,
        .height = 13,
        .width = 14,
        .out_channels = 4,
        .kernel_h = 4,
        .kernel_w = 3,
        .stride_h = 1,
        .stride_w = 3,
        .padding_h = 3,
        .padding_w = 1,
        .dilation_h = 1,
        .dilation_w = 2},
        {.batch = 2, .in_channels = 5, .height = 6, .width = 6, .out_channels = 3, .kernel_h = 1, .kernel_w = 1}}) {
    extents const shape{g.out_channels, g.in_channels, g.kernel_h, g.kernel_w};
    auto const values = numbers(shape.size(), 1), x = numbers(g.batch * g.in_channels * g.height * g.width, 2),
               bias = numbers(g.out_channels, 3);
    for (index_t rank : {1, 2, 3}) {
      encoded<spatial> w(shape);
      spatial::encode_with(c, shape, values.data(), {.rank = rank}, w.storage);
      CHECK(spatial::bytes(shape, w.storage) == 4 * rank * (g.in_channels * g.kernel_h + g.out_channels * g.kernel_w));
      auto const exact = convolved(g, w.decode(c), x, bias);
      std::vector<float> y(exact.size());
      spatial::convolve(c, g, w.storage, x.data(), bias.data(), y.data(), pleat::compute::activation::none);
      // Chains of at most in·h and rank·w products of numbers whose factors' squares sum to at most ‖W‖·rank: some 60
      // terms below 4.
      for (std::size_t i = 0; i < y.size(); ++i)
        CHECK(std::abs(static_cast<double>(y[i]) - exact[i]) <= 200 * 0x1p-24 * 60);
      check_files_and_slices(c, w);
    }
  }
}

TEST_CASE(
    "the error is what the dropped singular values of the unfolded kernel hold, and within the promise; a separable "
    "kernel has rank 1") {
  auto c = make_context();
  extents const shape{6, 4, 5, 3};
  auto const values = numbers(shape.size(), 4);
  auto const f = codec::detail::jacobi_svd(20, 18, codec::detail::spatial_logic::unfolded(shape, values));
  double norm = 0;
  for (double const s : f.s) norm += s * s;
  for (index_t rank : {1, 4, 9, 18}) {
    encoded<spatial> w(shape);
    spatial::encode_with(c, shape, values.data(), {.rank = rank}, w.storage);
    double dropped = 0;
    for (index_t p = rank; p < 18; ++p) dropped += f.s[static_cast<std::size_t>(p)] * f.s[static_cast<std::size_t>(p)];
    auto const measured = codec::measure_error(values, w.decode(c)),
               promised = spatial::predict(c, shape, std::span<float const>(values), w.storage);
    // Factors and products round: (rank + 3) units of 2⁻²⁴ of numbers whose squares sum to no more than rank·‖W‖².
    CHECK(std::abs(measured.frobenius - std::sqrt(dropped)) <= 21 * 0x1p-24 * 5 * std::sqrt(norm));
    CHECK((measured.max <= promised.max && measured.frobenius <= promised.frobenius));
    CHECK(promised.frobenius <= 1.01 * measured.frobenius + 0.02 * std::sqrt(norm));
  }
  std::vector<float> separable;
  for (int o = 0; o < 6; ++o)
    for (int cy = 0; cy < 20; ++cy)
      for (int x = 0; x < 3; ++x)
        separable.push_back(static_cast<float>(cy % 7 - 3) * static_cast<float>((o * 3 + x) % 5 - 2));
  encoded<spatial> one(shape);
  spatial::encode_with(c, shape, separable.data(), {.relative_error = 1e-6}, one.storage);
  CHECK(one.storage.view.rank == 1);
  encoded<spatial> least(shape);
  spatial::encode(c, shape, values.data(), least.storage);
  CHECK(spatial::bytes(shape, least.storage) < 4 * shape.size());
  CHECK(spatial::bytes(shape, least.storage) + 4 * 38 >= 4 * shape.size());  // one rank more would not save
}

TEST_CASE(
    "gradients go through the decoded kernel; parts of inputs and outputs are those of the whole, and join again") {
  auto c = make_context();
  extents const shape{6, 4, 5, 3};
  auto const values = numbers(shape.size(), 5);
  encoded<spatial> w(shape);
  spatial::encode_with(c, shape, values.data(), {.rank = 3}, w.storage);
  auto const decoded = w.decode(c);
  for (int const dim : {0, 1}) {
    std::vector<codec::weight_piece> pieces;
    for (auto const& range : {pleat::index_range{0, 1}, pleat::index_range{1, shape[dim]}}) {
      pleat::index_box box(shape);
      box[dim] = range;
      auto const part = spatial::slice(c, shape, w.storage, box);
      std::vector<float> is(static_cast<std::size_t>(box.size())), was;
      spatial::decode(c, box.shape(), part, is.data());
      codec::detail::for_each_of_part(shape, box,
                                      [&](index_t i) { was.push_back(decoded[static_cast<std::size_t>(i)]); });
      CHECK(is == was);
      pieces.push_back({box.shape(), spatial::to_file(c, box.shape(), part)});
    }
    auto const joined = spatial::join(shape, dim, pieces), whole = spatial::to_file(c, shape, w.storage);
    for (std::size_t i = 0; i < whole.size(); ++i)
      CHECK((joined[i].bytes == whole[i].bytes && joined[i].shape == whole[i].shape));
  }
  auto const dy = numbers(2 * 6, 6);
  std::vector<float> dx(2 * 60), plain(2 * 60);
  spatial::apply_transposed(c, shape, w.storage, 2, dy.data(), dx.data(), nullptr);
  encoded<codec::dense<float>> const d(c, shape, decoded);
  codec::dense<float>::apply_transposed(c, shape, d.storage, 2, dy.data(), plain.data(), nullptr);
  CHECK(dx == plain);
}

TEST_CASE("odd kernels; what is no kernel, no rank or no number is refused; a file's claims are checked") {
  auto c = make_context();
  extents const shape{3, 2, 3, 3};
  for (float const scale : {0.0f, 1e-41f, 1e-20f, 1e30f}) {
    auto values = numbers(shape.size(), 7);
    for (auto& v : values) v *= scale;
    encoded<spatial> w(shape);
    spatial::encode_with(c, shape, values.data(), {.rank = 2}, w.storage);
    auto const measured = codec::measure_error(values, w.decode(c)),
               promised = spatial::predict(c, shape, std::span<float const>(values), w.storage);
    CHECK((measured.max <= promised.max && measured.frobenius <= promised.frobenius));
  }
  auto values = numbers(shape.size(), 8);
  encoded<spatial> w(shape);
  CHECK_THROWS_MATCHES(spatial::encode_with(c, shape, values.data(), {.rank = 7}, w.storage), pleat::error,
                       MessageMatches(ContainsSubstring("rank 7 of a matrix of 6 × 9")));
  CHECK_THROWS_MATCHES(spatial::encode(c, extents{6, 9}, values.data(), w.storage), pleat::error,
                       MessageMatches(ContainsSubstring("expected the kernel of a convolution")));
  values[10] = std::numeric_limits<float>::infinity();
  CHECK_THROWS_MATCHES(spatial::encode(c, shape, values.data(), w.storage), pleat::error,
                       MessageMatches(ContainsSubstring("row 0, column 10")));
  values[10] = 1;
  spatial::encode_with(c, shape, values.data(), {.rank = 2}, w.storage);
  auto const good = spatial::to_file(c, shape, w.storage);
  auto const refused = [&](auto&& change) {
    auto parts = good;
    change(parts);
    encoded<spatial> back(shape);
    CHECK_THROWS_AS(spatial::from_file(c, shape, parts, back.storage), pleat::error);
  };
  refused([](auto& p) { p.pop_back(); });
  refused([](auto& p) { p[0].suffix = ".left"; });
  refused([](auto& p) { p[0].shape = {3, 2, 3}; });
  refused([](auto& p) { p[0].bytes.pop_back(); });
  refused([](auto& p) { std::fill(p[1].bytes.begin(), p[1].bytes.end(), std::byte{0xff}); });
  refused([](auto& p) { p.push_back(p[0]); });
}

}  // namespace
