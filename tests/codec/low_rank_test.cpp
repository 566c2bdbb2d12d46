// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/codec/low_rank.hpp>
#include <pleat/codec/detail/spatial_bits.hpp>
#include <pleat/codec/detail/part_of.hpp>
#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels

#include <catch2/catch_template_test_macros.hpp>
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
using low_rank = codec::low_rank<float>;
using both = codec::sparse_low_rank<float>;

TEST_CASE("singular values: orthogonal factors that give the matrix back, descending; the best error of every rank") {
  for (auto [m, n] : {std::pair<index_t, index_t>{7, 5}, {5, 7}, {1, 4}, {30, 30}}) {
    auto const values = numbers(m * n, 1);
    std::vector<double> const a(values.begin(), values.end());
    auto const f = codec::detail::jacobi_svd(m, n, a);
    REQUIRE(f.r == std::min(m, n));
    double norm = 0;
    for (double v : a) norm += v * v;
    double const tolerance = 1e-13 * std::sqrt(norm);  // Jacobi: some units in the last place of the largest value
    for (index_t p = 0; p < f.r; ++p) {
      if (p > 0) CHECK(f.s[static_cast<std::size_t>(p)] <= f.s[static_cast<std::size_t>(p - 1)]);
      for (index_t q = 0; q < f.r; ++q) {
        double u = 0, v = 0;
        for (index_t i = 0; i < m; ++i)
          u += f.u[static_cast<std::size_t>(p * m + i)] * f.u[static_cast<std::size_t>(q * m + i)];
        for (index_t j = 0; j < n; ++j)
          v += f.v[static_cast<std::size_t>(p * n + j)] * f.v[static_cast<std::size_t>(q * n + j)];
        CHECK(std::abs(u - (p == q)) <= 1e-13);
        CHECK(std::abs(v - (p == q)) <= 1e-13);
      }
    }
    for (index_t i = 0; i < m; ++i)
      for (index_t j = 0; j < n; ++j) {
        double sum = 0;
        for (index_t p = 0; p < f.r; ++p)
          sum += f.u[static_cast<std::size_t>(p * m + i)] * f.s[static_cast<std::size_t>(p)] *
                 f.v[static_cast<std::size_t>(p * n + j)];
        CHECK(std::abs(sum - a[static_cast<std::size_t>(i * n + j)]) <= tolerance);
      }
  }
}

TEST_CASE(
    "the error of a rank is what its dropped singular values hold; more rank is never worse; rules choose ranks") {
  auto c = make_context();
  extents const shape{20, 30};
  auto const values = numbers(600, 2);
  std::vector<double> const a(values.begin(), values.end());
  auto const f = codec::detail::jacobi_svd(20, 30, a);
  double norm = 0;
  for (double s : f.s) norm += s * s;
  double before = 1e9;
  for (index_t rank : {1, 3, 10, 20}) {
    encoded<low_rank> w(shape);
    low_rank::encode_with(c, shape, values.data(), {.rank = rank}, w.storage);
    double dropped = 0;
    for (index_t p = rank; p < 20; ++p) dropped += f.s[static_cast<std::size_t>(p)] * f.s[static_cast<std::size_t>(p)];
    double const error = codec::measure_error(values, w.decode(c)).frobenius;
    // Factors and products round: (rank + 3) units of 2^-24 of numbers whose squares sum to no more than rank·‖W‖².
    CHECK(std::abs(error - std::sqrt(dropped)) <= 24 * 0x1p-24 * 5 * std::sqrt(norm));
    CHECK(error < before);
    before = error;
    CHECK(low_rank::bytes(shape, w.storage) == 4 * rank * 50);
  }
  encoded<low_rank> w(shape);
  low_rank::encode(c, shape, values.data(), w.storage);
  CHECK(low_rank::bytes(shape, w.storage) < 4 * 20 * 30);
  CHECK(low_rank::bytes(shape, w.storage) + 4 * 50 >= 4 * 20 * 30);  // one rank more would not save
  low_rank::encode_with(c, shape, values.data(), {.relative_error = 0.3}, w.storage);
  CHECK(codec::measure_error(values, w.decode(c)).frobenius <= 0.3 * std::sqrt(norm) * (1 + 1e-5));
  index_t const rank = w.storage.view.rank;
  low_rank::encode_with(c, shape, values.data(), {.rank = rank - 1}, w.storage);
  CHECK(codec::measure_error(values, w.decode(c)).frobenius > 0.3 * std::sqrt(norm));  // it was the smallest
  low_rank::encode_with(c, shape, values.data(), {.energy = 0.91}, w.storage);
  CHECK(w.storage.view.rank == rank);
}

TEST_CASE("numbers apart that tower above the others: the promise knows what the chains that start from them lose") {
  auto c = make_context();
  for (float const large : {0x1p24f, 1e6f, -3e9f}) {
    extents const shape{8, 8};
    std::vector<float> values(64, 1.0f);
    values[0] = large;
    encoded<both> w(shape);
    both::encode_with(c, shape, values.data(), {.rank = 2, .sparse_share = 1.0 / 64}, w.storage);
    auto const measured = codec::measure_error(values, w.decode(c)),
               promised = both::predict(c, shape, std::span<float const>(values), w.storage);
    CHECK(measured.max <= promised.max);
    CHECK(measured.frobenius <= promised.frobenius);
    // (rank + 1) roundings of the large one, and the hole that the 63 ones leave
    CHECK(promised.max <= 4 * 0x1p-24 * std::abs(static_cast<double>(large)) + 8);
  }
}

TEST_CASE("factors whose product is beyond the largest float are refused with their place") {
  auto c = make_context();
  float const largest = std::numeric_limits<float>::max();
  encoded<low_rank> w({2, 3});
  std::vector<float> const values(6, largest);
  bool refused = false;
  try {
    low_rank::encode_with(c, {2, 3}, values.data(), {.rank = 1}, w.storage);
  } catch (pleat::error const& e) {
    refused = true;
    CHECK_THAT(e.what(), ContainsSubstring("beyond the largest float at row"));
  }
  if (!refused)  // rounding may also end just below
    for (float const v : w.decode(c)) CHECK(std::isfinite(v));
  std::vector<float> const left{0x1p64f, 1.0f}, right{1.0f, 0x1p64f};
  CHECK_THROWS_MATCHES(low_rank::bits::from_factors({2, 2}, 1, left, right), pleat::error,
                       MessageMatches(ContainsSubstring("beyond the largest float at row 0, column 1")));
  CHECK_THROWS_MATCHES(both::bits::from_factors({1, 1}, 1, {0x1p50f}, {0x1p54f}, {largest}), pleat::error,
                       MessageMatches(ContainsSubstring("row 0, column 0")));
  CHECK_NOTHROW(low_rank::bits::from_factors({2, 2}, 1, {0x1p63f, 1.0f}, {1.0f, 0x1p64f}));
  CHECK_THROWS_MATCHES(
      codec::detail::spatial_logic::from_factors({2, 1, 1, 2}, 1, {0x1p64f}, {1.0f, 1.0f, 0x1p64f, 1.0f}), pleat::error,
      MessageMatches(ContainsSubstring("row 0, column 2")));  // of the unfolded kernel: output 1, x 0
}

TEMPLATE_TEST_CASE("the promised error holds, of a whole weight and of its parts, and says something", "", low_rank,
                   both) {
  auto c = make_context();
  for (extents const& shape : {extents{20, 30}, extents{30, 20}, extents{12, 3, 9}, extents{1, 40}})
    for (float scale : {1.0f, 1e-30f, 1e30f})
      for (index_t rank : {1, 5, 12}) {
        if (rank > std::min(shape[0], shape.size_from(1))) continue;
        auto values = numbers(shape.size(), 2);
        for (auto& v : values) v *= scale;
        encoded<TestType> w(shape);
        TestType::encode_with(c, shape, values.data(),
                              {.rank = rank, .sparse_share = std::is_same_v<TestType, both> ? 0.05 : 0.0}, w.storage);
        auto const measured = codec::measure_error(values, w.decode(c)),
                   promised = TestType::predict(c, shape, std::span<float const>(values), w.storage);
        CHECK(measured.max <= promised.max);
        CHECK(measured.frobenius <= promised.frobenius);
        double norm = 0;
        for (float const v : values) norm += static_cast<double>(v) * static_cast<double>(v);
        // Where nothing is left of W the difference of squares cancels: what rounding is worth then is √(2·(rank +
        // 3)·2⁻²⁴·rank)·‖W‖ at the most.
        CHECK(promised.frobenius <=
              1.01 * measured.frobenius + 2 * std::sqrt(static_cast<double>(rank * (rank + 3)) * 0x1p-23 * norm));
        for (int const dim : {0, 1}) {
          pleat::index_box box(shape);
          box[dim] = {shape[dim] / 3, shape[dim] - shape[dim] / 4};
          auto const part = TestType::slice(c, shape, w.storage, box);
          std::vector<float> was, is(static_cast<std::size_t>(box.size()));
          codec::detail::for_each_of_part(shape, box,
                                          [&](index_t i) { was.push_back(values[static_cast<std::size_t>(i)]); });
          TestType::decode(c, box.shape(), part, is.data());
          auto const of_part = TestType::predict(c, box.shape(), std::span<float const>(was), part);
          CHECK(codec::measure_error(was, is).frobenius <= of_part.frobenius);
          CHECK(codec::measure_error(was, is).max <= of_part.max);
        }
      }
}

/// The product against the decoded matrix in double: (k + rank + 2) roundings of sums of magnitudes below `scale`.
template <class F>
void check_form(pleat::context<space>& c, extents const& shape, std::vector<float> const& values,
                codec::low_rank_options const& o) {
  encoded<F> w(shape);
  F::encode_with(c, shape, values.data(), o, w.storage);
  auto const decoded = w.decode(c);
  index_t const n = shape[0], k = shape.size_from(1);
  for (index_t m : {1, 5, 18}) {
    auto const x = numbers(m * k, 3), bias = numbers(n, 4);
    std::vector<float> y(static_cast<std::size_t>(m * n));
    F::apply(c, shape, w.storage, m, x.data(), y.data(),
             {.bias = bias.data(), .act = pleat::compute::activation::relu});
    auto const exact = product(shape, decoded, m, x);
    for (std::size_t i = 0; i < y.size(); ++i) {
      double const e = std::max(0.0, exact[i] + static_cast<double>(bias[i % static_cast<std::size_t>(n)]));
      CHECK(std::abs(static_cast<double>(y[i]) - e) <=
            static_cast<double>(2 * k + 40) * 0x1p-24 * static_cast<double>(k) * 4);
    }
  }
  check_files_and_slices(c, w);
}

TEST_CASE("products of factors, files, slices") {
  auto c = make_context();
  check_form<low_rank>(c, {24, 40}, numbers(960, 1), {.rank = 6});
  check_form<low_rank>(c, {24, 5, 8}, numbers(960, 1), {});
  check_form<both>(c, {24, 40}, numbers(960, 1), {.rank = 6, .sparse_share = 0.05});
  check_form<both>(c, {24, 5, 8}, sparse_numbers(960, 0.9, 1), {.rank = 3, .sparse_share = 0.5});
}

TEST_CASE("by default a weight gets smaller, in squares too, where rows times columns divides by their sum") {
  auto c = make_context();
  for (extents const& shape : {extents{20, 20}, extents{24, 12}, extents{2, 3}}) {
    auto const values = numbers(shape.size(), 5);
    encoded<low_rank> w(shape);
    low_rank::encode(c, shape, values.data(), w.storage);
    CHECK(low_rank::bytes(shape, w.storage) < 4 * shape.size());
  }
  extents const shape{40, 60};
  auto const values = numbers(shape.size(), 6);
  encoded<both> w(shape);
  both::encode_with(c, shape, values.data(), {.sparse_share = 0.1}, w.storage);
  CHECK(both::bytes(shape, w.storage) < 4 * 2400);
  CHECK(both::bytes(shape, w.storage) + 4 * 100 >= 4 * 2400);
}

TEST_CASE("outliers that would cost rank stay as they are") {
  auto c = make_context();
  extents const shape{32, 32};
  std::vector<float> values(1024);
  // rank 1
  for (index_t i = 0; i < 1024; ++i)
    values[static_cast<std::size_t>(i)] = static_cast<float>((i / 32 % 5 - 2) * (i % 32 % 7 - 3)) * 0.01f;
  for (std::size_t i = 0; i < 10; ++i) values[i * 97] = 3;
  encoded<low_rank> alone(shape);
  encoded<both> apart(shape);
  low_rank::encode_with(c, shape, values.data(), {.rank = 4}, alone.storage);
  both::encode_with(c, shape, values.data(), {.rank = 4, .sparse_share = 10.0 / 1024}, apart.storage);
  CHECK(codec::measure_error(values, apart.decode(c)).frobenius * 3 <
        codec::measure_error(values, alone.decode(c)).frobenius);
  CHECK(apart.storage.view.apart.stored == 10);
}

TEST_CASE("odd weights: zero, constant, huge, denormal; what is no rank is refused") {
  auto c = make_context();
  extents const shape{6, 8};
  for (float v : {0.0f, 0.5f, 1e38f, 1e-44f}) {
    std::vector<float> const values(48, v);
    encoded<low_rank> w(shape);
    low_rank::encode_with(c, shape, values.data(), {.rank = 1}, w.storage);
    for (float got : w.decode(c))
      CHECK(std::abs(static_cast<double>(got) - static_cast<double>(v)) <=
            8 * 0x1p-24 * static_cast<double>(v) + 0x1p-149);
  }
  encoded<low_rank> w(shape);
  auto values = numbers(48, 1);
  auto const refused = [&](codec::low_rank_options const& o, char const* words) {
    CHECK_THROWS_MATCHES(low_rank::encode_with(c, shape, values.data(), o, w.storage), pleat::error,
                         MessageMatches(ContainsSubstring(words)));
  };
  refused({.rank = 7}, "rank 7 of a matrix of 6 × 8, expected 1 to 6");
  refused({.rank = -1}, "rank -1");
  encoded<low_rank> thin(extents{1, 48});
  CHECK_THROWS_MATCHES(low_rank::encode(c, thin.shape, values.data(), thin.storage), pleat::error,
                       MessageMatches(ContainsSubstring("no rank makes a matrix of 1 × 48 smaller")));
  low_rank::encode_with(c, thin.shape, values.data(), {.rank = 1}, thin.storage);  // it was asked for
  encoded<both> crowded(shape);
  CHECK_THROWS_MATCHES(both::encode_with(c, shape, values.data(), {.sparse_share = 0.6}, crowded.storage), pleat::error,
                       MessageMatches(ContainsSubstring("bytes of sparse rows")));
  refused({.energy = 1.5}, "an energy lies in (0, 1]");
  refused({.sparse_share = 1}, "expected a share in [0, 1)");
  values[9] = std::numeric_limits<float>::infinity();
  refused({}, "row 1, column 1 is inf");

  low_rank::encode_with(c, shape, numbers(48, 1).data(), {.rank = 2}, w.storage);
  auto bad = low_rank::to_file(c, shape, w.storage);
  bad[0].bytes.pop_back();
  CHECK_THROWS_MATCHES(low_rank::from_file(c, shape, bad, w.storage), pleat::error,
                       MessageMatches(ContainsSubstring("'.left'")));
  bad = low_rank::to_file(c, shape, w.storage);
  bad[1].shape = {1000000000, 8};
  CHECK_THROWS_AS(low_rank::from_file(c, shape, bad, w.storage), pleat::error);
}

}  // namespace
