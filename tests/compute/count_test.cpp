// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compute/count.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cstdint>
#include <limits>
#include <vector>

namespace pc = pleat::compute;
using pleat::index_t;

namespace {
using host = Kokkos::DefaultHostExecutionSpace;

index_t first_bad(std::vector<std::int32_t> const& labels, index_t classes, bool skip_negative) {
  index_t at = -1;
  pc::first_bad_label(host{}, static_cast<index_t>(labels.size()), labels.data(), classes, skip_negative, &at);
  return at;
}
}  // namespace

TEST_CASE("the first label that does not fit, wherever it stands") {
  CHECK(first_bad({}, 3, false) == pc::no_bad_label);
  CHECK(first_bad({0, 1, 2}, 3, false) == pc::no_bad_label);
  CHECK(first_bad({0, 3, 5}, 3, false) == 1);
  CHECK(first_bad({0, -1, 3}, 3, false) == 1);
  CHECK(first_bad({0, -1, 3}, 3, true) == 2);
  CHECK(first_bad({-1, -1}, 3, true) == pc::no_bad_label);
  std::vector<std::int32_t> many(20000, 1);  // several chunks
  many[19999] = 3, many[9000] = 7;
  CHECK(first_bad(many, 3, false) == 9000);
}

TEST_CASE("answers and confusions: the first of equal scores counts, NaN is largest, labels outside count nowhere") {
  float const nan = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> const scores{1,  2,   3,   //  2
                                  5,  5,   0,   //  0, of two
                                  1,  nan, 9,   //  1
                                  -3, -2,  -1,  //  2
                                  0,  0,   0};  //  0
  std::vector<std::int32_t> const labels{2, 1, 1, -1, 3};
  index_t right = -1;
  pc::count_correct(host{}, 5, 3, scores.data(), labels.data(), &right);
  CHECK(right == 2);
  pc::count_correct(host{}, 0, 3, scores.data(), labels.data(), &right);
  CHECK(right == 0);
  std::vector<index_t> counts(9, 0);
  counts[0] = 10;  // is added to
  pc::count_confusions(host{}, 5, 3, scores.data(), labels.data(), counts.data());
  CHECK(counts == std::vector<index_t>{10, 0, 0, 1, 1, 0, 0, 0, 1});
}
