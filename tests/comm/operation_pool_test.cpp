// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/comm/detail/operation_pool.hpp>

#include <catch2/catch_test_macros.hpp>

#include <set>
#include <vector>

TEST_CASE("operations are made in bulk, twice as many each time, prepared once, and used again") {
  struct operation {
    int prepared = 0;
  };
  pleat::comm::detail::operation_pool<operation> pool;
  int made = 0;
  std::vector<operation*> lent;
  auto const take = [&]() -> operation& {
    auto& o = pool.next(4, [&](operation& fresh) { ++fresh.prepared, ++made; });
    CHECK(&pool.next(4, [&](operation&) { ++made; }) == &o);  // until begin it stays with those that wait
    pool.begin();
    lent.push_back(&o);
    return o;
  };
  for (int i = 0; i < 4; ++i) CHECK(take().prepared == 1);
  CHECK(made == 4);
  take();
  CHECK(made == 8);
  for (int i = 0; i < 4; ++i) take();
  CHECK(made == 16);
  CHECK(std::set<operation*>(lent.begin(), lent.end()).size() == 9);
  CHECK(pool.active().size() == 9);

  auto* const third = lent[2];  // take() moves the list
  auto* const fourth = lent[3];
  pool.end(*third);
  CHECK(&take() == third);
  pool.end(*fourth, false);  // lost: never again
  CHECK(pool.active().size() == 8);
  for (int i = 0; i < 8; ++i) CHECK(&take() != fourth);
  CHECK(made == 32);
}
