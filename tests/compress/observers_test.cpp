// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compress/detail/cut_ranges.hpp>
#include <pleat/compress/observers.hpp>

#include <pleat/base/random.hpp>
#include <pleat/codec/detail/int8_codes.hpp>
#include <pleat/comm/local.hpp>
#include <pleat/tensor/index_set.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <limits>

namespace {

namespace compress = pleat::compress;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using pleat::codec::magnitude_histogram;
using pleat::index_t;

/// Nearly normal numbers (sums of uniform ones), the last `outliers` of them `size` large.
std::vector<float> bell(int n, int outliers, float size) {
  pleat::random::stream const s(11, 2);
  std::vector<float> v;
  for (int i = 0; i < n; ++i) {
    float x = -3;
    for (int k = 0; k < 6; ++k) x += static_cast<float>(s.uniform(static_cast<std::uint64_t>(6 * i + k)));
    v.push_back(i < n - outliers ? x : (i % 2 ? size : -size));
  }
  return v;
}
magnitude_histogram histogram_of(std::vector<float> const& v) {
  magnitude_histogram h;
  h.add(v);
  return h;
}
double summed_error(std::vector<float> const& v, float range, double exponent) {
  double sum = 0;
  for (float const x : v)
    sum += std::pow(std::fabs(x - range / 127.0 * std::clamp(std::nearbyint(x / (range / 127.0)), -127.0, 127.0)),
                    exponent);
  return sum;
}

TEST_CASE("a percentile is the nearest rank of the magnitudes") {
  std::vector<float> row;
  for (int i = 1; i <= 200; ++i) row.push_back(static_cast<float>(i % 2 ? i : -i));
  CHECK(compress::range_of(compress::min_max{}, row) == 200);
  CHECK(compress::range_of(compress::percentile{100}, row) == 200);
  CHECK(compress::range_of(compress::percentile{99.5}, row) == 199);
  CHECK(compress::range_of(compress::percentile{99.4}, row) == 199);
  CHECK(compress::range_of(compress::percentile{50}, row) == 100);
  CHECK(compress::range_of(compress::percentile{0.001}, row) == 1);
  CHECK(compress::range_of(compress::percentile{}, std::vector<float>{}) == 0);
  // Of a histogram it is the upper edge of that number's bin: here bins are 1/8 wide (2⁸/2048).
  auto const h = histogram_of(row);
  CHECK(compress::range_of(compress::min_max{}, h) == 200);
  CHECK(compress::range_of(compress::percentile{99.5}, h) == 199.125f);
  CHECK(compress::range_of(compress::percentile{50}, h) == 100.125f);
  CHECK(compress::range_of(compress::percentile{100}, h) == 200);
}

TEST_CASE("mean-square finds the best range of its grid") {
  for (double const exponent : {2.0, 2.4}) {
    auto const v = bell(20000, 3, 4.0f);
    compress::mean_square const o{.max_shrink = 0.8, .patience = 1000, .exponent = exponent};
    float const range = compress::range_of(o, v);
    double const best = summed_error(v, range, exponent);
    for (int i = 0; i <= 80; ++i)
      CHECK(summed_error(v, static_cast<float>((1 - i / 100.0) * 4.0), exponent) >= best * (1 - 1e-9));
    CHECK(range < 4);
    // a histogram knows its numbers to half a bin (2³/2048/2 at most), an eighth of a step: the ranges agree within a
    // few points of the grid
    CHECK(std::fabs(compress::range_of(o, histogram_of(v)) - range) <= 0.05f * 4);
  }
  // impatience stops at the first valley: it never gets worse than the largest magnitude's range
  auto const v = bell(500, 1, 9.0f);
  CHECK(summed_error(v, compress::range_of(compress::mean_square{}, v), 2.4) <= summed_error(v, 9.0f, 2.4));
}

TEST_CASE("the divergence decides for a range without the outliers, and keeps what has none") {
  auto const tail = histogram_of(bell(50000, 5, 60.0f));
  float const cut = compress::range_of(compress::kl_divergence{}, tail);
  CHECK(cut < 20);
  CHECK(cut > 1);
  std::vector<float> even;
  for (int i = 0; i < 40960; ++i) even.push_back(static_cast<float>(i) / 40960);
  CHECK(compress::range_of(compress::kl_divergence{}, histogram_of(even)) > 0.9f);
  // a crowd in one bin and a fifth of the numbers far beyond it: at most a hundredth is cut, unless one asks for more
  std::vector<float> crowd(40000, 0.42f);
  for (int i = 0; i < 10000; ++i) crowd.push_back(0.5f + 2.3f * static_cast<float>(i) / 10000);
  CHECK(compress::range_of(compress::kl_divergence{}, histogram_of(crowd)) > 2.6f);
  CHECK(compress::range_of(compress::kl_divergence{.most_cut = 1}, histogram_of(crowd)) < 0.5f);
  // fewer bins than the first that may be cut at: nothing to decide
  magnitude_histogram one;
  one.add(5.0f);
  one.add(0.001f);
  CHECK(compress::range_of(compress::kl_divergence{.first_bin = 2048}, one) == 5);
}

TEST_CASE("the divergence of a small histogram, counted by hand") {
  // Two levels, four bins 4 4 1 1, from bin 2 on. Cut at 2: P = (4 4+2)/10, groups (4) (4): Q = ½ ½, KL = .4 ln .8 + .6
  // ln 1.2 = 0.0201. Cut at 3: P = (4 4 1+1)/10; groups of bins [0,1) and [1,3): Q = 4/9, 2.5/9, 2.5/9, KL = .4 ln .9 +
  // .4 ln 1.44 + .2 ln .72 = 0.0380. Cut at 4: P = (4 4 1 1)/10, groups (4 4) (1 1): Q = P, KL = 0.
  std::vector<std::int64_t> const counts{4, 4, 1, 1};
  CHECK(compress::detail::kl_bin(counts, 2, 2) == 4);
  // 4 4 0 1: at 4, groups (4 4) (0 1), the empty bin gets nothing: Q = P again; a tail folded into an empty bin is
  // punished.
  CHECK(compress::detail::kl_bin(std::vector<std::int64_t>{4, 4, 0, 1}, 2, 2) == 4);
  // 9 1 1 9 with one level: Q spreads 20 evenly, and bin 0 has its neighbour's count: P = (1 1 1 9)/12 is far from even
  // at 4; cut at 2: P = (1 1+10)/12, Q = ½ ½, KL = 1/12 ln(1/6) + 11/12 ln(11/6) = 0.406; at 3: (1 1 10)/12, Q = ⅓:
  // 0.578; at 4: 0.545.
  CHECK(compress::detail::kl_bin(std::vector<std::int64_t>{9, 1, 1, 9}, 1, 2) == 2);
}

TEST_CASE("rows that are cut over ranks have the ranges of whole ones, bit by bit, from sums of counts") {
  constexpr index_t rows = 11, columns = 3000;
  std::vector<float> all;
  for (index_t r = 0; r < rows; ++r) {
    auto v = bell(static_cast<int>(columns), static_cast<int>(r), 2.0f + static_cast<float>(r));
    if (r == 3) std::fill(v.begin(), v.end(), 0.0f);
    if (r == 4) std::fill(v.begin(), v.end(), -0.75f);
    for (float& x : v) x *= std::ldexp(1.0f, static_cast<int>(9 * r) - 60);  // of very different sizes
    all.insert(all.end(), v.begin(), v.end());
  }
  for (compress::observer const& o :
       {compress::observer{compress::min_max{}}, compress::observer{compress::percentile{99.9}},
        compress::observer{compress::percentile{0.001}}, compress::observer{compress::mean_square{.max_shrink = 0.6}},
        compress::observer{compress::mean_square{.exponent = 2}}, compress::observer{compress::kl_divergence{}}}) {
    std::vector<float> whole, largest;
    for (index_t r = 0; r < rows; ++r) {
      auto const row = std::span<float const>(all).subspan(static_cast<std::size_t>(r * columns), columns);
      whole.push_back(compress::range_of(o, row));
      largest.push_back(compress::range_of(compress::min_max{}, row));
    }
    CHECK((whole != largest) == (o.index() != 0));
    for (int const ranks : {1, 2, 3, 4}) {
      INFO(compress::name_of(o) << " on " << ranks);
      std::vector<std::vector<float>> found(static_cast<std::size_t>(ranks));
      pleat::comm::run_local(ranks, [&](pleat::comm::communicator c) {
        // The last rank has nothing, if there are several.
        auto const mine =
            pleat::block_range(columns, std::max(1, ranks - 1), std::min(c.rank(), ranks - 2 + (ranks == 1)));
        std::vector<float> part;
        for (index_t r = 0; r < rows; ++r)
          for (index_t k = mine.begin; k < mine.end && (ranks == 1 || c.rank() < ranks - 1); ++k)
            part.push_back(all[static_cast<std::size_t>(r * columns + k)]);
        found[static_cast<std::size_t>(c.rank())] = compress::detail::ranges_of_parts(
            o, part, rows, columns,
            {[&](std::span<std::int64_t> counts) { c.all_reduce(counts); },
             [&](std::span<float> a) { c.all_reduce(a, pleat::comm::reduction::max); }});
      });
      for (auto const& f : found) CHECK(f == whole);
    }
  }
}

TEST_CASE("zeros and nothing at all have the range zero") {
  for (compress::observer const& o :
       {compress::observer{compress::min_max{}}, compress::observer{compress::percentile{99}},
        compress::observer{compress::mean_square{}}, compress::observer{compress::kl_divergence{}}}) {
    CHECK(compress::range_of(o, std::vector<float>(9, 0.0f)) == 0);
    CHECK(compress::range_of(o, magnitude_histogram{}) == 0);
    float const constant = compress::range_of(o, std::vector<float>(300, -0.75f));
    CHECK(constant <= 0.75f);
    CHECK(constant >= 0.75f * 0.8f);  // a constant clips by the grid's 20 % at most
  }
}

TEST_CASE("settings that mean nothing are refused in words") {
  std::vector<float> const row{1, 2};
  for (double const bad : {0.0, -1.0, 100.5, std::numeric_limits<double>::quiet_NaN()})
    CHECK_THROWS_MATCHES(compress::range_of(compress::percentile{bad}, row), pleat::error,
                         MessageMatches(ContainsSubstring("a percentile lies in (0, 100]")));
  CHECK_THROWS_MATCHES(compress::range_of(compress::mean_square{.max_shrink = 1}, row), pleat::error,
                       MessageMatches(ContainsSubstring("max_shrink in [0, 1)")));
  CHECK_THROWS_MATCHES(compress::range_of(compress::mean_square{.grid = 0}, row), pleat::error,
                       MessageMatches(ContainsSubstring("positive grid")));
  CHECK_THROWS_MATCHES(compress::range_of(compress::kl_divergence{.first_bin = 0}, row), pleat::error,
                       MessageMatches(ContainsSubstring("begins at a bin from 1")));
  CHECK_THROWS_MATCHES(compress::range_of(compress::kl_divergence{.most_cut = -0.1}, row), pleat::error,
                       MessageMatches(ContainsSubstring("a share of the numbers in [0, 1]")));
  CHECK(compress::name_of(compress::percentile{}) == "percentile 99.99");
  CHECK(compress::name_of(compress::percentile{100}) == "percentile 100");
  CHECK(compress::name_of(compress::kl_divergence{}) == "kl");
}

}  // namespace
