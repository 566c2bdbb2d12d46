// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Tests that fail on purpose, on one rank only; tests/support/CMakeLists.txt demands that this is reported.
#include <support/collective.hpp>

TEST_CASE("the last rank alone fails", "[plain]") {
  int const rank = pleat_test::world_rank();
  if (rank == pleat_test::world_size() - 1) CHECK(rank == -1);
}

TEST_CASE("rank 1 alone fails, and the others do not wait for it", "[collective]") {
  COLLECTIVE_REQUIRE(pleat_test::world_rank() != 1);
  MPI_Barrier(MPI_COMM_WORLD);
}
