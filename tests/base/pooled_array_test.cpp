// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/base/context.hpp>
#include <pleat/base/pooled_array.hpp>

#include <catch2/catch_test_macros.hpp>

#include <memory>
#include <utility>

using host = Kokkos::DefaultHostExecutionSpace;

namespace {
struct counted {
  static inline int alive = 0;
  int value = 7;
  counted() { ++alive; }
  counted(counted const&) = delete;
  counted& operator=(counted const&) = delete;
  ~counted() { --alive; }
};
}  // namespace

TEST_CASE("a pooled array makes and destroys its objects, once, wherever it is moved to") {
  pleat::pool<host> pool;
  {
    pleat::pooled_array<counted> a(pool, 5);
    CHECK(counted::alive == 5);
    for (auto const& c : a) CHECK(c.value == 7);
    pleat::pooled_array<counted> b(std::move(a));
    CHECK(a.empty());
    CHECK(b.size() == 5);
    CHECK(counted::alive == 5);
    pleat::pooled_array<counted> c(pool, 3);
    c = std::move(b);
    CHECK(c.size() == 5);
    CHECK(counted::alive == 5);
    c.clear();
    CHECK(counted::alive == 0);
    CHECK(c.begin() == c.end());
  }
  CHECK(counted::alive == 0);
  CHECK(pool.statistics().bytes_in_use == 0);
}

TEST_CASE("an array of the length that went before allocates nothing") {
  pleat::pool<host> pool;
  { pleat::pooled_array<double> const first(pool, 1000); }
  auto const allocations = pool.statistics().allocations;
  for (int i = 0; i < 10; ++i) {
    pleat::pooled_array<double> const again(pool, 1000);
    for (double const x : again) REQUIRE(x == 0);  // value-initialised, whatever the block held
    again[0] = 1;
  }
  CHECK(pool.statistics().allocations == allocations);
  pleat::pooled_array<double> const none(pool, 0);
  CHECK(none.empty());
}
