// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compute/threshold.hpp>

#include <catch2/catch_template_test_macros.hpp>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <functional>
#include <limits>

#include "vector_support.hpp"

namespace {
using namespace vector_support;
namespace compute = pleat::compute;

/// The key that threshold_of_top_k ranks by, and how many numbers were read to make it.
template <class T> struct counted_key : compute::detail::magnitude_key<T> {
  static inline std::atomic<index_t> reads{0};
  static compute::detail::key_of<T> key(T x) {
    reads.fetch_add(1, std::memory_order_relaxed);
    return compute::detail::magnitude_key<T>::key(x);
  }
};
}  // namespace

TEMPLATE_TEST_CASE("the k-th largest magnitude is that of a sort, over runs, ties and threads", "[compute][threshold]",
                   float, double) {
  using T = TestType;
  for (index_t const n : {1, 2, 100, 5000, 200003}) {
    auto x = numbers<T>(n, 1, -1, 1);
    for (index_t i = 0; i < n; i += 3) x[i] = static_cast<T>(std::round(x[i] * 8) / 8);  // ties, zeros of both signs
    std::vector<T> sorted(static_cast<std::size_t>(n));
    for (index_t i = 0; i < n; ++i) sorted[static_cast<std::size_t>(i)] = std::abs(x[i]);
    std::sort(sorted.begin(), sorted.end(), std::greater<T>());
    index_t const a = n / 3, b = n / 2;
    compute::number_run<T> const runs[4] = {
        {x.data(), a}, {x.data() + a, 0}, {x.data() + a, b - a}, {x.data() + b, n - b}};
    for (index_t const k : {index_t{1}, n / 10 + 1, n / 2 + 1, n - 1, n, n + 5}) {
      if (k < 1) continue;
      T const expected = sorted[static_cast<std::size_t>(std::min(k, n) - 1)];
      index_t above = 0, equal = 0;
      for (T const v : sorted) above += v > expected, equal += v == expected;
      for (int const threads : {1, 2}) {
        auto const one = compute::threshold_of_top_k(instance(threads), n, x.data(), k);
        auto const many =
            compute::threshold_of_top_k(instance(threads), std::span<compute::number_run<T> const>(runs), k);
        CHECK((one.value == expected && one.above == above && one.equal == equal));
        CHECK((many.value == expected && many.above == above && many.equal == equal));
      }
    }
  }
}

TEMPLATE_TEST_CASE("a threshold reads every float three times, every double six times, however many there are",
                   "[compute][threshold]", float, double) {
  using T = TestType;
  index_t const passes = sizeof(T) == 4 ? 3 : 6;
  for (index_t const n : {1, 1000, 200003, 2000000})
    for (bool const equal : {false, true}) {
      auto x = numbers<T>(n, 1, -1, 1);
      if (equal)
        for (index_t i = 0; i < n; ++i) x[i] = T(0.37);  // every digit has one bin
      index_t const a = n / 3;
      compute::number_run<T> const runs[2] = {{x.data(), a}, {x.data() + a, n - a}};
      for (index_t const k : {index_t{1}, n / 10 + 1, n}) {
        counted_key<T>::reads = 0;
        auto const found =
            compute::detail::select_kth<counted_key<T>>(instance(2), std::span<compute::number_run<T> const>(runs), k);
        CHECK(counted_key<T>::reads == passes * n);
        auto const expected = compute::threshold_of_top_k(instance(2), n, x.data(), k);
        CHECK((found.value == expected.value && found.above == expected.above && found.equal == expected.equal));
      }
    }
}

TEMPLATE_TEST_CASE("the k-th largest value knows signs, infinities and NaN", "[compute][threshold]", float, double) {
  using T = TestType;
  T const inf = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN(),
          tiny = std::numeric_limits<T>::denorm_min();
  T const x[10] = {T(-0.0), T(3), -inf, nan, tiny, T(0), -tiny, inf, T(-3), -nan};
  auto const at = [&](index_t k) { return compute::kth_largest(instance(1), 10, x, k); };
  CHECK(std::isnan(at(1).value));
  CHECK(at(2).equal == 2);
  CHECK(at(3).value == inf);
  CHECK(at(4).value == 3);
  CHECK(at(5).value == tiny);
  CHECK((at(6).value == 0 && at(6).above == 5 && at(6).equal == 2));
  CHECK(at(8).value == -tiny);
  CHECK(at(9).value == -3);
  CHECK(at(10).value == -inf);
  auto const magnitude = compute::threshold_of_top_k(instance(1), 10, x, 3);
  CHECK((magnitude.value == inf && magnitude.above == 2 && magnitude.equal == 2));
}

TEST_CASE("nothing to rank", "[compute][threshold]") {
  float const x = 1;
  for (auto const& t :
       {compute::threshold_of_top_k(instance(1), 1, &x, 0), compute::threshold_of_top_k(instance(1), 0, &x, 3),
        compute::kth_largest(instance(1), 0, &x, 1), compute::kth_largest(instance(1), 1, &x, -1)})
    CHECK((std::isinf(t.value) && t.above == 0 && t.equal == 0));
}
