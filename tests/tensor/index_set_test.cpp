// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/tensor/extents.hpp>
#include <pleat/tensor/index_set.hpp>

#include <catch2/catch_test_macros.hpp>

#include <array>
#include <limits>

using pleat::block_owner;
using pleat::block_range;
using pleat::extents;
using pleat::index_t;

TEST_CASE("blocks cover every index exactly once, in order, as evenly as can be") {
  for (index_t n : {0, 1, 2, 7, 8, 100, 1437})
    for (index_t parts = 1; parts <= 13; ++parts) {
      index_t at = 0, smallest = n, largest = 0;
      for (index_t p = 0; p < parts; ++p) {
        auto const r = block_range(n, parts, p);
        REQUIRE(r.begin == at);
        at = r.end;
        smallest = std::min(smallest, r.size());
        largest = std::max(largest, r.size());
        for (index_t i = r.begin; i < r.end; ++i) REQUIRE(block_owner(n, parts, i) == p);
      }
      REQUIRE(at == n);
      REQUIRE(largest - smallest <= 1);
    }
}

// A unit that a text names may be as large as a number can be: one part has everything. (An overflow would not compile.)
constexpr index_t vast = std::numeric_limits<index_t>::max();
static_assert(block_range(5, 2, 0, vast) == pleat::index_range{0, 5});
static_assert(block_range(5, 2, 1, vast) == pleat::index_range{5, 5});
static_assert(block_range(0, 2, 1, vast) == pleat::index_range{0, 0});
static_assert(block_owner(5, 2, 4, vast) == 0);
static_assert(block_range(vast, 2, 1, vast - 1) == pleat::index_range{vast - 1, vast});

TEST_CASE("extents refuse what is no shape") {
  CHECK_THROWS_AS((extents{1, 2, 3, 4, 5, 6, 7}), pleat::error);
  CHECK_THROWS_AS((extents{2, -1}), pleat::error);
  CHECK(extents{}.size() == 1);
  CHECK(extents{0, 5}.size() == 0);
  CHECK(extents{4, 3, 2}.size_from(1) == 6);
  CHECK(extents{4, 3}.with_batch(9) == extents{9, 3});
  CHECK(extents{64, 784}.to_string() == "[64, 784]");
  STATIC_CHECK(extents{2, 3}.size() == 6);
}

TEST_CASE("boxes intersect per dimension") {
  pleat::index_box a(extents{4, 6}), b(extents{4, 6});
  a[0] = {1, 3};
  b[1] = {2, 5};
  auto const c = intersect(a, b);
  CHECK(c.shape() == extents{2, 3});
  b[0] = {3, 4};
  CHECK(intersect(a, b).empty());
  std::array<index_t, 2> const at{2, 5};
  CHECK(pleat::linear_index(extents{4, 6}, at) == 17);
}
