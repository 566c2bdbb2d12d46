// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compute/sort.hpp>

#include <catch2/catch_template_test_macros.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "vector_support.hpp"

namespace {
using namespace vector_support;
namespace compute = pleat::compute;
using compute::order;
}  // namespace

TEMPLATE_TEST_CASE("keys are sorted both ways on any number of threads", "[compute][sort]", float, double,
                   std::int32_t) {
  using T = TestType;
  for (index_t const n : {0, 1, 2, 1000, 60001})
    for (int const threads : {1, 2}) {
      auto x = numbers<T>(n, 1, -1000, 1000);
      std::vector<T> expected(x.data(), x.data() + n);
      std::sort(expected.begin(), expected.end());
      compute::sort(instance(threads), n, x.data());
      CHECK((std::equal(expected.begin(), expected.end(), x.data()) && x.intact()));
      compute::sort(instance(threads), n, x.data(), order::descending);
      CHECK((std::equal(expected.rbegin(), expected.rend(), x.data()) && x.intact()));
    }
}

TEST_CASE("values travel with their keys and equal keys keep their order", "[compute][sort]") {
  for (index_t const n : {0, 1, 5, 60001})
    for (int const threads : {1, 2})
      for (auto const o : {order::ascending, order::descending}) {
        auto keys = numbers<std::int32_t>(n, 2, -20, 20);
        auto const before = keys;
        guarded<index_t> values(n);
        std::iota(values.data(), values.data() + n, index_t{0});
        compute::sort_pairs(instance(threads), n, keys.data(), values.data(), o);
        bool good = keys.intact() && values.intact();
        for (index_t i = 0; i < n; ++i) {
          good = good && keys[i] == before[values[i]];
          if (i > 0) {
            good = good && (o == order::ascending ? keys[i - 1] <= keys[i] : keys[i - 1] >= keys[i]);
            good = good && (keys[i - 1] != keys[i] || values[i - 1] < values[i]);
          }
        }
        CHECK(good);
      }
}

TEST_CASE("NaN is larger than every number", "[compute][sort]") {
  float const nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  for (int const threads : {1, 2}) {
    guarded<float> x(50000);
    for (index_t i = 0; i < x.size(); ++i) x[i] = i % 5 == 0 ? nan : i % 7 == 0 ? inf : static_cast<float>(i % 11);
    auto const count = [&](index_t from, index_t to) {
      index_t c = 0;
      for (index_t i = from; i < to; ++i) c += std::isnan(x[i]);
      return c;
    };
    compute::sort(instance(threads), x.size(), x.data());
    CHECK(count(40000, 50000) == 10000);
    CHECK(std::is_sorted(x.data(), x.data() + 40000));
    compute::sort(instance(threads), x.size(), x.data(), order::descending);
    CHECK(count(0, 10000) == 10000);
    CHECK(std::is_sorted(x.data() + 10000, x.data() + 50000, std::greater<float>()));
  }
}

TEST_CASE("runs of equal keys are counted", "[compute][sort]") {
  for (index_t const n : {0, 1, 300000})
    for (int const threads : {1, 2}) {
      auto keys = numbers<std::int32_t>(n, 3, -50, 50);
      std::map<std::int32_t, index_t> expected;
      for (index_t i = 0; i < n; ++i) ++expected[keys[i]];
      compute::sort(instance(threads), n, keys.data());
      guarded<std::int32_t> unique(n);
      guarded<index_t> counts(n);
      index_t const runs = compute::count_runs(instance(threads), n, keys.data(), unique.data(), counts.data());
      REQUIRE(runs == static_cast<index_t>(expected.size()));
      index_t r = 0;
      for (auto const& [key, c] : expected) {
        CHECK((unique[r] == key && counts[r] == c));
        ++r;
      }
    }
}
