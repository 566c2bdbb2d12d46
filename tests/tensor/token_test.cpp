// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/tensor/token.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>

namespace pl = pleat;

TEMPLATE_TEST_CASE(
    "a token's number goes into a network's input and comes out again, as far as the type can tell tokens apart", "",
    float, double, pl::bfloat16, pl::half) {
  pl::index_t const most = pl::most_tokens<TestType>();
  for (pl::index_t id : {pl::index_t{0}, pl::index_t{1}, pl::index_t{255}, pl::index_t{257}, pl::index_t{31744},
                         pl::index_t{65535}, most - 1})
    CHECK(pl::token_index(pl::token_value<TestType>(id)) == id);
  CHECK(most >= 65536);
}

TEST_CASE("float and double hold the number itself, 16-bit types its bits") {
  CHECK(pl::token_value<float>(65) == 65.0f);
  CHECK(pl::token_value<pl::half>(65).bits == 65);
  CHECK(pl::most_tokens<float>() == 16777216);
}
