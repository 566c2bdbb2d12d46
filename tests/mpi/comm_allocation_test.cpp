// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Law 11 for the MPI transport: in the steady state pleat allocates nothing around MPI's calls (what MPI does inside is
// its own affair and does not go through operator new).
#include <support/collective.hpp>
#include <support/count_allocations.hpp>

#include <span>

#include <pleat/comm/mpi.hpp>

#include <comm/steady_state.hpp>
#include <parallel/steady_steps.hpp>

using namespace pleat;

TEST_CASE("mpi: the steady state allocates nothing, blocking and with requests") {
  comm::communicator c = comm::mpi::duplicate(MPI_COMM_WORLD);
  pleat_test::steady_round round(c);
  for (int i = 0; i < 3; ++i) round.blocking(), round.requests();
  long const blocking = pleat_test::allocations_in([&] { round.blocking(); });
  long const requests = pleat_test::allocations_in([&] { round.requests(); });
  std::span<float> const none;
  // the first of its kind: every operation has the byte
  long const empty = pleat_test::allocations_in([&] { c.ireduce_scatter(none, none).wait(); });
  INFO("blocking " << blocking << ", requests " << requests << ", an empty reduce-scatter in place " << empty);
  COLLECTIVE_CHECK((blocking == 0 && requests == 0 && empty == 0));
}

TEST_CASE("mpi: a whole step in the steady state takes no block, no View and nothing from the heap") {
  int const ranks = pleat_test::world_size();
  for (int stage : {0, 1, 2, 3})
    for (bool deterministic : {false, true})
      for (index_t tensor : {1, 2}) {
        if (ranks % tensor != 0) continue;
        auto const said = pleat_test::taken_by_steps(comm::mpi::duplicate(MPI_COMM_WORLD),
                                                     {.data_ranks = ranks / tensor,
                                                      .tensor_ranks = tensor,
                                                      .state_stage = stage,
                                                      .deterministic = deterministic,
                                                      .bucket_bytes = 300},
                                                     true, ranks > 1 ? 10 : 1);
        INFO("stage " << stage << ", deterministic " << deterministic << ", " << tensor << " tensor ranks: " << said);
        COLLECTIVE_CHECK(said.empty());
      }
}
