// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Law 11 for the MPI transport: in the steady state pleat allocates nothing around MPI's calls (what MPI does inside is its own affair
// and does not go through operator new).
#include <support/collective.hpp>
#include <support/count_allocations.hpp>

#include <pleat/comm/mpi.hpp>

#include <comm/steady_state.hpp>

using namespace pleat;

TEST_CASE("mpi: the steady state allocates nothing, blocking and with requests") {
  comm::communicator c = comm::mpi::duplicate(MPI_COMM_WORLD);
  pleat_test::steady_round round(c);
  for (int i = 0; i < 3; ++i) round.blocking(), round.requests();
  long const blocking = pleat_test::allocations_in([&] { round.blocking(); });
  long const requests = pleat_test::allocations_in([&] { round.requests(); });
  INFO("blocking " << blocking << ", requests " << requests);
  COLLECTIVE_CHECK(blocking == 0 && requests == 0);
}
