// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/tensor/extents.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <vector>

using pleat::extents;
using pleat::index_t;

TEST_CASE("extents count elements, samples and batches") {
  constexpr extents e{4, 3, 5};
  static_assert(e.rank() == 3 && e.size() == 60 && e.size_from(1) == 15 && e.size_from(3) == 1);
  CHECK(extents{}.size() == 1);
  CHECK(extents{}.rank() == 0);
  CHECK(extents{0, 7}.size() == 0);
  CHECK(e.with_batch(9) == extents{9, 3, 5});
  CHECK(extents{}.with_batch(2) == extents{2});
  CHECK(extents{index_t{1} << 40, 3}.size() == 3 * (index_t{1} << 40));
  CHECK(e.to_string() == "[4, 3, 5]");
  CHECK(extents{}.to_string() == "[]");
}

TEST_CASE("extents differ by rank and by every extent") {
  CHECK(extents{2, 3} != extents{3, 2});
  CHECK(extents{2, 3} != extents{2, 3, 1});
  CHECK(extents{2} == extents{2});
}

TEST_CASE("extents refuse a negative number and a rank above six, with the number") {
  using Catch::Matchers::ContainsSubstring;
  using Catch::Matchers::MessageMatches;
  CHECK_THROWS_MATCHES((extents{3, -1}), pleat::error, MessageMatches(ContainsSubstring("extent -1 is negative")));
  std::vector<index_t> const seven(7, 1);
  CHECK_THROWS_MATCHES(extents(seven), pleat::error,
                       MessageMatches(ContainsSubstring("rank 7 is above the largest, 6")));
}
