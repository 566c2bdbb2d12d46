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
  auto const net = nn::sequential(nn::linear("a", 12, 600), nn::relu(), nn::linear("b", 600, 600), nn::relu(),
                                  nn::linear("c", 600, 600), nn::linear("d", 600, 5));
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

TEST_CASE("a mesh in any order over MPI ranks gives the bits of one rank") {
  pl::comm::communicator world = pl::comm::mpi::duplicate(MPI_COMM_WORLD);
  index_t const data = world.size() % 2 == 0 ? 2 : 1;
  options o;
  o.plan.deterministic = true;
  o.clip = true;
  outcome reference;
  train(network(), pl::comm::communicator(pl::comm::self{}), o, reference);
  for (auto const order :
       {"pipeline.data.tensor", "data.pipeline.tensor", "data.tensor.pipeline", "tensor.data.pipeline"})
    for (int const stage : {0, 3}) {
      auto q = o;
      q.plan = layout("1f1b", world.size() / data, data, 4);
      q.plan.order = order;
      q.plan.state_stage = stage;
      INFO(order << ", stage " << stage);
      outcome mine;
      if (stage == 0) {
        train(network(), world.duplicate(), q, mine);
        for (auto const& [name, v] : mine.values) {
          INFO(name);
          CHECK(v == reference.values.at(name));
        }
      } else {  // no rank has whole values to compare: losses and norms follow from all of them
        pl::world w(world.duplicate(), 1);
        auto m = pl::parallel::build(network(), q.plan, w, {.seed = 3});
        pl::nn::optimizer_state<float, space> optimizer(m.context(), m.arena(),
                                                        pl::nn::sgd{.learning_rate = 0.1, .momentum = 0.9});
        samples<decltype(network())> source{&m};
        for (int s = 0; s < q.steps; ++s) {
          source.step = s;
          m.zero_grad(q.batches[static_cast<std::size_t>(s) % q.batches.size()]);
          m.walk(source);
          m.reduce();
          mine.losses.push_back(m.loss());
          mine.norms.push_back(m.gradient_norm());
          m.step(optimizer, 1, m.clip_scale(0.5));
        }
        CHECK(m.all_ranks().rank() == world.rank());
      }
      CHECK(mine.losses == reference.losses);
      CHECK(mine.norms == reference.norms);
    }
}
