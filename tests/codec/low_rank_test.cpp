// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compute/instances.hpp>  // first: kernels and forms are those of pleat::kernels

#include <pleat/codec/factors.hpp>
#include <pleat/codec/low_rank.hpp>
#include <pleat/codec/detail/spatial_bits.hpp>
#include <pleat/codec/detail/part_of.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <codec/codec_support.hpp>

#include <cmath>
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
  refused({.energy = 1.5},
          "expected an energy in (0, 1] or a relative error above 0, found energy = 1.5, relative_error = 0");
  refused({.energy = std::nan("")}, "found energy = nan, relative_error = 0");
  refused({.relative_error = std::nan("")}, "found energy = 0, relative_error = nan");
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

using factors = codec::factors<float>;

/// Numbers of every kind: random, all alike, zero, large, tiny, one that towers above the others.
std::vector<std::pair<char const*, std::vector<float>>> kinds(index_t n) {
  std::vector<std::pair<char const*, std::vector<float>>> all{
      {"random", numbers(n, 2)},
      {"constant", std::vector<float>(numbers(n, 2).size(), 0.3f)},
      {"zero", std::vector<float>(numbers(n, 2).size(), 0.0f)},
      {"huge", numbers(n, 3)},
      {"tiny", numbers(n, 4)},
      {"tower", numbers(n, 5)}};
  for (auto& v : all[3].second) v *= 1e30f;
  for (auto& v : all[4].second) v *= 1e-41f;
  all[5].second[1] = 1e5f;
  return all;
}

TEST_CASE(
    "factors in forms of their own: bounds hold, of what was factored and of what the factors lost, whatever comes "
    "in") {
  auto c = make_context();
  extents const shape{64, 96};
  std::vector<std::pair<std::string, std::string>> const stored{
      {"int8", "int8"}, {"dense", "int8"}, {"int8", "dense"},        {"bf16", "bf16"},    {"q8_0", "q8_0"},
      {"q4_0", "q4_1"}, {"q5_0", "q5_1"},  {"int4_g32", "int4_g32"}, {"bf16", "int4_g32"}};
  for (auto const& [kind, values] : kinds(shape.size()))
    for (auto const& [left, right] : stored)
      for (double const share : {0.0, 0.02}) {
        INFO(kind << ": " << left << ", " << right << (share > 0 ? ", numbers apart" : ""));
        codec::low_rank_options const o{.rank = 32, .sparse_share = share};
        encoded<low_rank> plain(shape);
        encoded<both> beside(shape);
        encoded<factors> w(shape);
        std::vector<float> factored;
        if (share > 0) both::encode_with(c, shape, values.data(), o, beside.storage), factored = beside.decode(c);
        else low_rank::encode_with(c, shape, values.data(), o, plain.storage), factored = plain.decode(c);
        bool const sixteen = left.starts_with("q") || right.starts_with("int4") || right.starts_with("q");
        try {
          factors::encode_with(c, shape, values.data(), {o, left, right}, w.storage);
        } catch (pleat::error const& e) {  // √1e30 is above what a scale of 16 bits can hold
          REQUIRE((std::string(kind) == "huge" && sixteen));
          CHECK_THAT(e.what(), ContainsSubstring("too large"));
          continue;
        }
        auto const now = w.decode(c);
        auto const promised = factors::predict(c, shape, std::span<float const>(values), w.storage);
        REQUIRE(promised);
        auto const measured = codec::measure_error(values, now);
        CHECK(measured.max <= promised->max);
        CHECK(measured.frobenius <= promised->frobenius);
        // what the factors alone lost, against what they were: the bound adds up
        auto const start = share > 0 ? factors::of(c, shape, beside.storage) : factors::of(c, shape, plain.storage);
        encoded<factors> as_it_was(shape);
        as_it_was.storage = start;
        CHECK((as_it_was.decode(c) == factored));
        auto const again =
            factors::recoded(c, shape, start, {factors::factor_form(left), {}}, {factors::factor_form(right), {}});
        auto const lost = codec::measure_error(factored, now);
        REQUIRE(again.promise);
        CHECK(lost.max <= again.promise->max);
        CHECK(lost.frobenius <= again.promise->frobenius);
        CHECK(again.promise->frobenius < promised->frobenius + 1e-300);
        // and it says something
        if (std::string(kind) == "random" && left != "dense" && right != "dense")
          CHECK(again.promise->frobenius < 8 * lost.frobenius);
        if (std::string(kind) == "zero") CHECK((lost.max == 0 && again.promise->max < 1e-40));
      }
}

TEST_CASE("products of stored factors: within what the forms round activations by; transposed, in files, in parts") {
  auto c = make_context();
  for (extents const& shape : {extents{48, 64}, extents{48, 4, 4, 4}})
    for (auto const& [left, right] :
         {std::pair{"int8", "int8"}, {"bf16", "q8_0"}, {"q8_0", "int4_g64"}, {"dense", "q4_0"}})
      for (double const share : {0.0, 0.03}) {
        INFO(shape.to_string() << " " << left << " " << right << " " << share);
        encoded<factors> w(shape);
        factors::encode_with(c, shape, numbers(shape.size(), 1).data(),
                             {{.rank = 32, .sparse_share = share}, left, right}, w.storage);
        auto const decoded = w.decode(c);
        auto const l = w.storage.numbers(c, shape, true), r = w.storage.numbers(c, shape, false);
        index_t const n = 48, k = 64, rank = 32;
        for (index_t m : {1, 5, 18}) {
          auto const x = numbers(m * k, 3), bias = numbers(n, 4);
          std::vector<float> y(static_cast<std::size_t>(m * n)), dx(static_cast<std::size_t>(m * k));
          factors::apply(c, shape, w.storage, m, x.data(), y.data(),
                         {.bias = bias.data(), .act = pleat::compute::activation::relu});
          auto const exact = product(shape, decoded, m, x);
          auto const between = product({rank, k}, r, m, x);
          // |x − x̂| ≤ 1/254, as |x| < 1; what is between the factors is off by that times Σ|r̂|, and is rounded itself
          double const step = right == std::string("dense") ? 0 : 1.0 / 254,
                       again = left == std::string("dense") || left == std::string("bf16") ? 0 : 1.0 / 254;
          for (index_t i = 0; i < m; ++i) {
            std::vector<double> off(static_cast<std::size_t>(rank));
            double most = 0;
            for (index_t q = 0; q < rank; ++q) {
              double sum = 0;
              for (index_t j = 0; j < k; ++j)
                sum += std::fabs(static_cast<double>(r[static_cast<std::size_t>(q * k + j)]));
              off[static_cast<std::size_t>(q)] = (step + 70 * 0x1p-24) * sum;
              most = std::max(
                  most, std::fabs(between[static_cast<std::size_t>(i * rank + q)]) + off[static_cast<std::size_t>(q)]);
            }
            for (index_t o = 0; o < n; ++o) {
              double bound = 200 * 0x1p-24 * 64;
              for (index_t q = 0; q < rank; ++q)
                bound += std::fabs(static_cast<double>(l[static_cast<std::size_t>(o * rank + q)])) *
                         (off[static_cast<std::size_t>(q)] + most * again);
              double const e = std::max(0.0, exact[static_cast<std::size_t>(i * n + o)] +
                                                 static_cast<double>(bias[static_cast<std::size_t>(o)]));
              CHECK(std::abs(static_cast<double>(y[static_cast<std::size_t>(i * n + o)]) - e) <= bound);
            }
          }
          auto const dy = numbers(m * n, 6);
          factors::apply_transposed(c, shape, w.storage, m, dy.data(), dx.data(), nullptr);
          for (index_t i = 0; i < m; ++i)
            for (index_t j = 0; j < k; ++j) {
              double sum = 0;
              for (index_t o = 0; o < n; ++o)
                sum += static_cast<double>(dy[static_cast<std::size_t>(i * n + o)]) *
                       decoded[static_cast<std::size_t>(o * k + j)];
              CHECK(std::abs(static_cast<double>(dx[static_cast<std::size_t>(i * k + j)]) - sum) <= 200 * 0x1p-24 * 64);
            }
        }
        auto const parts = factors::to_file(c, shape, w.storage);
        CHECK(bytes_of_parts(parts) == factors::bytes(shape, w.storage));
        encoded<factors> back(shape);
        factors::from_file(c, shape, parts, back.storage);
        CHECK(back.decode(c) == decoded);
        CHECK(!factors::predict(c, shape, std::span<float const>(decoded), back.storage));
        auto const twice = factors::to_file(c, shape, back.storage);
        REQUIRE(twice.size() == parts.size());
        for (std::size_t i = 0; i < parts.size(); ++i)
          CHECK((twice[i].suffix == parts[i].suffix && twice[i].bytes == parts[i].bytes));
      }
}

TEST_CASE("a convolution of stored factors is one to the rank's channels and a 1 x 1 one") {
  auto c = make_context();
  extents const shape{16, 8, 3, 3};
  encoded<factors> w(shape);
  factors::encode_with(c, shape, numbers(shape.size(), 1).data(), {{.rank = 6}, "bf16", "bf16"}, w.storage);
  pleat::compute::conv2d_shape g;
  g.batch = 2, g.in_channels = 8, g.height = g.width = 7, g.out_channels = 16, g.kernel_h = g.kernel_w = 3;
  auto const x = numbers(2 * 8 * 49, 2), bias = numbers(16, 3);
  std::vector<float> y(2 * 16 * 25), expected(y.size());
  factors::convolve(c, g, w.storage, x.data(), bias.data(), y.data(), pleat::compute::activation::none);
  auto const decoded = w.decode(c);
  pleat::compute::conv2d_forward(c.space(), g, x.data(), decoded.data(), bias.data(), expected.data(),
                                 pleat::compute::activation::none);
  for (std::size_t i = 0; i < y.size(); ++i)  // 72 products and 6 of them, partial sums below 32
    CHECK(std::abs(static_cast<double>(y[i]) - static_cast<double>(expected[i])) <= 2 * 80 * 32 * 0x1p-24);
  CHECK(factors::multiply_adds(shape, w.storage, {.outputs = 25}) == 25.0 * 6 * (16 + 72));
}

TEST_CASE("what factors cannot be is refused: forms, blocks that do not divide, files that contradict themselves") {
  auto c = make_context();
  extents const shape{24, 64};
  auto const values = numbers(shape.size(), 1);
  encoded<factors> w(shape);
  auto const refused = [&](auto&& f, char const* words, char const* instead) {
    CHECK_THROWS_MATCHES(f(), pleat::error, MessageMatches(ContainsSubstring(words) && ContainsSubstring(instead)));
  };
  auto const encode = [&](char const* left, char const* right, index_t rank = 12) {
    return [&, left, right, rank] {
      factors::encode_with(c, shape, values.data(), {{.rank = rank}, left, right}, w.storage);
    };
  };
  refused(encode("csr", "int8"), "a factor cannot be stored as 'csr'", "'int8', 'bf16'");
  refused(encode("q8_0", "int8"), "has 12 columns, expected a multiple of 32", "int8");
  refused(encode("int8", "int8", 25), "rank 25", "");
  CHECK_NOTHROW(encode("int8", "q8_0")());
  auto const good = factors::to_file(c, shape, w.storage);
  REQUIRE(good.size() == 3);
  CHECK((good[0].suffix == ".left.int8.codes" && good[1].suffix == ".left.int8.scale" &&
         good[2].suffix == ".right.q8_0.blocks"));
  auto const read = [&](std::vector<codec::file_tensor> parts) {
    return [&, parts = std::move(parts)] { factors::from_file(c, shape, parts, w.storage); };
  };
  auto bad = good;
  bad.pop_back();
  refused(read(bad), "there is no right factor", "");
  bad = good;
  bad[1].suffix = ".left.bf16.scale";
  refused(read(bad), "a factor is stored as 'int8' and as 'bf16'", "");
  bad = good;
  bad[2].suffix = ".right.q9_0.blocks";
  refused(read(bad), "a factor cannot be stored as 'q9_0'", "'q8_0'");
  bad = good;
  bad[2].shape = {1000000000, 68};
  refused(read(bad), "factors of rank 1000000000", "");
  bad = good;
  bad[0].suffix = ".lefty";
  refused(read(bad), "", "");
  bad = good;
  bad[0].bytes.pop_back();
  refused(read(bad), "'.codes'", "");
  bad = good;
  for (auto& b : bad[2].bytes) b = std::byte{0xff};  // scales are NaN
  refused(read(bad), "NaN or infinite", "");
  auto pruned = numbers(shape.size(), 2);
  pruned[5] = std::numeric_limits<float>::quiet_NaN();
  refused([&] { factors::encode(c, shape, pruned.data(), w.storage); }, "row 0, column 5 is nan", "");
  // codes of factors may reach further than the factors did
  extents const two{2, 2};
  auto const edge = low_rank::bits::from_factors(two, 1, {0x1.fp63f, 1.0f}, {0x1p64f, 1.0f});
  encoded<low_rank> e(two);
  low_rank::set(c, two, edge, e.storage);
  CHECK_NOTHROW(factors::recoded(c, two, factors::of(c, two, e.storage), {factors::factor_form("int8"), {}}, {}));
  refused(
      [&] {
        (void)factors::recoded(c, two, factors::of(c, two, e.storage), {factors::factor_form("f16"), {}}, {});
      },
      "above the largest number of this type", "bf16");
}

}  // namespace
