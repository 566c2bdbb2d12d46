// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// 16-bit training over MPI: every rank compares with its own run alone; a step is skipped by all processes or by none.
#include <pleat/comm/mpi.hpp>

#include "parallel/precision_training.hpp"

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>

using namespace precision_training;

TEMPLATE_TEST_CASE("a GPT of 16-bit numbers has the bits of one rank on MPI ranks", "", pl::bfloat16, pl::half) {
  pl::comm::communicator world = pl::comm::mpi::duplicate(MPI_COMM_WORLD);
  auto const reference = train<TestType>(pl::comm::communicator(pl::comm::self{}), {.plan = layout<TestType>(1)});
  for (bool const pipeline : {false, true}) {
    auto const mine = train<TestType>(
        world.duplicate(),
        {.plan = pipeline ? layout<TestType>(1, 1, world.size(), 4, "zb-h1") : layout<TestType>(world.size())});
    CHECK(mine.losses == reference.losses);
    CHECK(mine.norms == reference.norms);
    for (auto const& [name, v] : mine.values) {
      INFO(name);
      CHECK((v == reference.values.at(name)));
    }
  }
}

TEST_CASE("half: an overflow on one process makes all of them skip") {
  pl::comm::communicator world = pl::comm::mpi::duplicate(MPI_COMM_WORLD);
  for (bool const pipeline : {false, true}) {
    auto const r = train<pl::half>(
        world.duplicate(), {.plan = pipeline ? layout<pl::half>(1, 1, world.size(), 2) : layout<pl::half>(world.size()),
                            .steps = 4,
                            .scale = {.initial = 1024, .interval = 2},
                            .poisoned_step = 1,
                            .poisoned_rank = world.size() - 1});
    CHECK(r.moved == std::vector<bool>{true, false, true, true});
    CHECK(r.scales == std::vector<double>{1024, 512, 512, 1024});
    CHECK(r.skipped == 1);
  }
}
