// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/base/error.hpp>

#include <catch2/catch_test_macros.hpp>

#include <string>
#include <type_traits>

TEST_CASE("an error says who, where, what and what to do") {
  pleat::error const e("comm::all_reduce", "count is 3, rank 0 has 4", "Give every rank the same count", 2);
  CHECK(std::string(e.what()) ==
        "pleat: rank 2: comm::all_reduce: count is 3, rank 0 has 4. Give every rank the same count");
  CHECK(e.call() == "comm::all_reduce");
  CHECK(e.rank() == 2);
  CHECK(std::string(pleat::error("a", "b").what()) == "pleat: a: b");
  CHECK(std::string(pleat::error("a", "b.", "C").what()) == "pleat: a: b. C");
  CHECK(std::string(e.on_rank(1).what()).find("rank 1:") != std::string::npos);
  STATIC_CHECK(std::is_base_of_v<std::runtime_error, pleat::error>);
}
