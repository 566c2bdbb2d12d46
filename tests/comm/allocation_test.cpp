// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Law 11 for communication: after the first rounds neither a blocking call nor a request allocates.
#include <catch2/catch_test_macros.hpp>

#include <support/count_allocations.hpp>

#include <pleat/comm/local.hpp>
#include <pleat/comm/self.hpp>

#include <comm/steady_state.hpp>

using namespace pleat;

TEST_CASE("a communicator of one rank allocates nothing in the steady state") {
  comm::communicator c = comm::self();
  pleat_test::steady_round round(c);
  for (int i = 0; i < 2; ++i) round.blocking(), round.requests();
  CHECK(pleat_test::allocations_in([&] { round.blocking(); }) == 0);
  CHECK(pleat_test::allocations_in([&] { round.requests(); }) == 0);
  CHECK(pleat_test::allocations_in([] { ::operator delete(::operator new(1)); }) == 1);  // the counter counts
}

TEST_CASE("ranks as threads allocate nothing in the steady state") {
  long during = -1;
  comm::run_local(3, [&](comm::communicator c) {
    pleat_test::steady_round round(c);
    for (int i = 0; i < 8; ++i) round.blocking(), round.requests();
    c.barrier();  // everybody is warm
    auto const rounds = [&] {
      for (int i = 0; i < 4; ++i) round.blocking(), round.requests();
      c.barrier();  // nobody leaves while another still works
    };
    if (c.rank() == 0) during = pleat_test::allocations_in(rounds);
    else rounds();
  });
  CHECK(during == 0);
}
