// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compute/top_k.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "vector_support.hpp"

namespace {
using namespace vector_support;
namespace compute = pleat::compute;
}  // namespace

TEMPLATE_TEST_CASE("the k largest are those of a stable sort", "[compute][top_k]", float, double) {
  using T = TestType;
  for (index_t const n : {1, 10, 1000, 200001}) {
    auto x = numbers<T>(n, 1);
    for (index_t i = 0; i < n; i += 2) x[i] = static_cast<T>(std::round(x[i] * 4) / 4);  // many ties
    std::vector<index_t> rank(static_cast<std::size_t>(n));
    std::iota(rank.begin(), rank.end(), index_t{0});
    std::stable_sort(rank.begin(), rank.end(), [&](index_t a, index_t b) { return x[a] > x[b]; });
    for (index_t const k : {index_t{0}, index_t{1}, n / 7, n / 2, n})
      for (int const threads : {1, 2}) {
        guarded<T> values(k);
        guarded<index_t> index(k);
        compute::top_k(instance(threads), n, x.data(), k, values.data(), index.data());
        bool good = values.intact() && index.intact();
        for (index_t j = 0; j < k; ++j) {
          index_t const r = rank[static_cast<std::size_t>(j)];
          good = good && index[j] == r && values[j] == x[r];
        }
        CHECK(good);
      }
  }
}

TEST_CASE("NaN comes first, and more than there is is refused", "[compute][top_k]") {
  float const x[4] = {1, std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), -1};
  index_t index[4];
  compute::top_k(instance(1), 4, x, 3, static_cast<float*>(nullptr), index);
  CHECK((index[0] == 1 && index[1] == 2 && index[2] == 0));
  CHECK_THROWS_WITH(compute::top_k(instance(1), 4, x, 5, static_cast<float*>(nullptr), index),
                    Catch::Matchers::ContainsSubstring("k = 5"));
}
