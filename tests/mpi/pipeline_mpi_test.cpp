// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The pipeline over MPI: every rank compares with its own run alone.
#include <pleat/comm/mpi.hpp>

#include "parallel/pipeline_training.hpp"

using namespace pipeline_training;

TEST_CASE("a pipeline over MPI ranks gives the bits of one rank") {
  pl::comm::communicator world = pl::comm::mpi::duplicate(MPI_COMM_WORLD);
  options o;
  o.plan.deterministic = true;
  outcome reference;
  train(network(), pl::comm::communicator(pl::comm::self{}), o, reference);
  for (auto const schedule : pl::plan::schedule_names)
    for (index_t micro : {1, 4})
      for (index_t data : {1, 2}) {
        if (world.size() % data != 0) continue;
        auto q = o;
        q.plan = layout(std::string(schedule), world.size() / data, data, micro);
        q.sleeps = micro == 4;
        outcome mine;
        train(network(), world.duplicate(), q, mine);
        INFO(schedule << ", " << data << " data ranks, " << micro << " micro-batches");
        CHECK(mine.losses == reference.losses);
        CHECK(mine.norms == reference.norms);
        for (auto const& [name, v] : mine.values) {
          INFO(name);
          CHECK(v == reference.values.at(name));
        }
      }
}

TEST_CASE("large messages pass both ways, more of them than MPI sends eagerly") {
  pl::comm::communicator world = pl::comm::mpi::duplicate(MPI_COMM_WORLD);
  if (world.size() == 1) return;
  namespace nn = pl::nn;
  // 512 rows of 600 floats in a micro-batch: 1.2 MB, beyond any eager limit.
  auto const net = nn::sequential(nn::linear("a", 12, 600), nn::relu(), nn::linear("b", 600, 600), nn::relu(), nn::linear("c", 600, 600), nn::linear("d", 600, 5));
  options o;
  o.plan.deterministic = true;
  o.steps = 1;
  o.batches = {2048};
  outcome reference;
  train(net, pl::comm::communicator(pl::comm::self{}), o, reference);
  for (auto const schedule : {"1f1b", "zb-h1", "zb-v"}) {
    auto q = o;
    q.plan = layout(schedule, world.size(), 1, 4);
    outcome mine;
    train(net, world.duplicate(), q, mine);
    CHECK(mine.losses == reference.losses);
    CHECK(mine.norms == reference.norms);
  }
}
