// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The harness itself: ranks see each other, and a verdict is the same on all of them.
#include <support/collective.hpp>

TEST_CASE("ranks number themselves without a gap") {
  int const rank = pleat_test::world_rank();
  int sum = -1;
  MPI_Allreduce(&rank, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
  int const size = pleat_test::world_size();
  COLLECTIVE_REQUIRE(sum == size * (size - 1) / 2);
}

TEST_CASE("one rank's false is everybody's false") {
  int const last = pleat_test::world_size() - 1;
  CHECK_FALSE(pleat_test::on_all_ranks(pleat_test::world_rank() != last));
  CHECK(pleat_test::on_all_ranks(true));
}
