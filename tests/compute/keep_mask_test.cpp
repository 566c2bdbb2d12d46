// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compute/keep_mask.hpp>

#include <catch2/catch_test_macros.hpp>

using pleat::index_t;

TEST_CASE("a part of a block keeps what the whole block keeps, and all or nothing at the ends") {
  pleat::random::stream const numbers(3, 4);
  constexpr index_t rows = 7, stride = 12;
  constexpr std::uint64_t first = 1000;
  pleat::compute::keep_mask const whole{numbers, first, std::uint64_t{1} << 31};
  int kept = 0;
  for (index_t begin : {0, 5, 9})
    for (index_t columns : {1, 3}) {
      pleat::compute::keep_mask_part const part{numbers, first + static_cast<std::uint64_t>(begin), whole.threshold,
                                                columns, stride};
      for (index_t r = 0; r < rows; ++r)
        for (index_t c = 0; c < columns; ++c) {
          CHECK(part(r * columns + c) == whole(r * stride + begin + c));
          kept += part(r * columns + c) ? 1 : 0;
        }
    }
  CHECK((kept > 0 && kept < rows * 12));  // of 84
  for (index_t i = 0; i < 100; ++i) {
    CHECK(pleat::compute::keep_mask{numbers, first, std::uint64_t{1} << 32}(i));
    CHECK_FALSE(pleat::compute::keep_mask{numbers, first, 0}(i));
  }
}
