// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compute/histogram.hpp>

#include <catch2/catch_template_test_macros.hpp>

#include <limits>

#include "vector_support.hpp"

namespace {
using namespace vector_support;
namespace compute = pleat::compute;
}  // namespace

TEMPLATE_TEST_CASE("every value falls into its bin, outsiders into none", "[compute][histogram]", float, double) {
  using T = TestType;
  for (index_t const n : {0, 1, 1000, 400001})
    for (int const threads : {1, 2}) {
      auto x = numbers<T>(n, 1, -2, 2);
      if (n > 10)
        x[3] = std::numeric_limits<T>::quiet_NaN(), x[4] = std::numeric_limits<T>::infinity(), x[5] = T(1),
        x[6] = T(-1);
      index_t const bins = 16;  // a power of two over [-1, 1]: the bin's borders are exact
      guarded<index_t> counts(bins, 100), magnitudes(bins, 0);
      compute::histogram(instance(threads), n, x.data(), T(-1), T(1), bins, counts.data());
      compute::magnitude_histogram(instance(threads), n, x.data(), T(1), bins, magnitudes.data());
      std::vector<index_t> expected(16, 100), expected_magnitudes(16, 0);
      for (index_t i = 0; i < n; ++i) {
        if (x[i] >= -1 && x[i] <= 1) {
          ++expected[static_cast<std::size_t>(std::min<index_t>(15, static_cast<index_t>((x[i] + T(1)) * T(8))))];
          T const a = x[i] < 0 ? -x[i] : x[i];
          ++expected_magnitudes[static_cast<std::size_t>(std::min<index_t>(15, static_cast<index_t>(a * T(16))))];
        }
      }
      bool good = counts.intact() && magnitudes.intact();
      for (index_t b = 0; b < bins; ++b)
        good = good && counts[b] == expected[static_cast<std::size_t>(b)] &&
               magnitudes[b] == expected_magnitudes[static_cast<std::size_t>(b)];
      CHECK(good);
    }
}

TEST_CASE("the atomic form counts the same", "[compute][histogram]") {
  auto const x = numbers<float>(5000, 2, -2, 2);
  guarded<index_t> a(7), b(7);
  compute::histogram(instance(1), 5000, x.data(), -1.0f, 1.0f, 7, a.data());
  using bin = compute::detail::equal_bins<float, false>;
  compute::detail::loop_portable(instance(2), 5000,
                                 compute::detail::count_body<bin>{bin{x.data(), -1.0f, 1.0f, 3.5f, 7}, b.data()});
  CHECK(a.same_bits(b));
}

TEST_CASE("ranges without an extent or with a denormal one lose no value", "[compute][histogram]") {
  auto const counts_of = [](std::vector<float> const& x, float low, float high, bool magnitudes) {
    guarded<index_t> counts(4, 0);
    auto const n = static_cast<index_t>(x.size());
    if (magnitudes) compute::magnitude_histogram(instance(1), n, x.data(), high, 4, counts.data());
    else compute::histogram(instance(1), n, x.data(), low, high, 4, counts.data());
    CHECK(counts.intact());
    return std::vector<index_t>{counts[0], counts[1], counts[2], counts[3]};
  };
  CHECK(counts_of({0, 0, 0}, 0, 0, true) == std::vector<index_t>{0, 0, 0, 3});
  CHECK(counts_of({5e-41f}, 0, 1e-40f, true) == std::vector<index_t>{0, 0, 0, 1});
  CHECK(counts_of({2, 2, 3}, 2, 2, false) == std::vector<index_t>{0, 0, 0, 2});
  CHECK(counts_of({0, 1, 2, 3, 4}, 0, 4, false) == std::vector<index_t>{1, 1, 1, 2});
}

TEMPLATE_TEST_CASE("a range wider than the largest number has equal bins", "[compute][histogram]", float, double) {
  using T = TestType;
  T const most = std::numeric_limits<T>::max(), q = most / 4;  // bins of 2q
  std::vector<T> const x{-most,
                         -3 * q,
                         -q,
                         0,
                         q,
                         3 * q,
                         most,
                         std::numeric_limits<T>::infinity(),
                         -std::numeric_limits<T>::infinity(),
                         std::numeric_limits<T>::quiet_NaN()};
  for (int const threads : {1, 2}) {
    guarded<index_t> counts(4, 0);
    compute::histogram(instance(threads), static_cast<index_t>(x.size()), x.data(), -most, most, 4, counts.data());
    CHECK(counts.intact());
    CHECK(std::vector<index_t>{counts[0], counts[1], counts[2], counts[3]} == std::vector<index_t>{2, 1, 2, 2});
  }
}
