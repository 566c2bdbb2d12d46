// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compute/sort.hpp>

#include <catch2/catch_template_test_macros.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <numeric>
#include <type_traits>
#include <vector>

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

// What is compared is bits: a stable sort is one permutation, whoever finds it. Below 2048 elements keys are compared,
// from there on their digits looked at.
TEMPLATE_TEST_CASE("keys of every kind come in the order of a stable sort, bit for bit", "[compute][sort]", float,
                   double, std::int8_t, std::uint16_t, std::int32_t, std::uint32_t, std::int64_t) {
  using T = TestType;
  for (index_t const n : {2047, 2048, 5001})
    for (auto const o : {order::ascending, order::descending}) {
      auto keys = numbers<T>(n, 3, std::is_unsigned_v<T> ? 0 : -100, 100);
      if constexpr (std::is_floating_point_v<T>) {
        T const special[] = {T(0),
                             -T(0),
                             std::numeric_limits<T>::infinity(),
                             -std::numeric_limits<T>::infinity(),
                             std::numeric_limits<T>::quiet_NaN(),
                             -std::numeric_limits<T>::quiet_NaN(),
                             std::numeric_limits<T>::denorm_min(),
                             -std::numeric_limits<T>::denorm_min(),
                             std::numeric_limits<T>::max(),
                             std::numeric_limits<T>::lowest()};
        for (index_t i = 0; i < n; i += 3) keys[i] = special[i % 10];
      } else {
        for (index_t i = 0; i < n; i += 5)
          keys[i] = i % 2 == 0 ? std::numeric_limits<T>::lowest() : std::numeric_limits<T>::max();
      }
      std::vector<index_t> expected(static_cast<std::size_t>(n));
      std::iota(expected.begin(), expected.end(), index_t{0});
      std::stable_sort(expected.begin(), expected.end(), [&](index_t a, index_t b) {
        return o == order::ascending ? compute::detail::number_less<T>{}(keys[a], keys[b])
                                     : compute::detail::number_greater<T>{}(keys[a], keys[b]);
      });
      auto alone = keys, paired = keys;
      guarded<index_t> values(n);
      std::iota(values.data(), values.data() + n, index_t{0});
      compute::sort(instance(1), n, alone.data(), o);
      compute::sort_pairs(instance(1), n, paired.data(), values.data(), o);
      index_t wrong = 0;
      for (index_t i = 0; i < n; ++i) {
        T const key = keys[expected[static_cast<std::size_t>(i)]];
        wrong += std::memcmp(&key, alone.data() + i, sizeof(T)) != 0 ||
                 std::memcmp(&key, paired.data() + i, sizeof(T)) != 0 ||
                 values[i] != expected[static_cast<std::size_t>(i)];
      }
      INFO(n << (o == order::ascending ? " ascending" : " descending"));
      CHECK(wrong == 0);
      CHECK((alone.intact() && paired.intact() && values.intact()));
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
