// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Sharded state on 1 to 4 MPI ranks: the bits of one rank in deterministic mode, the derived bound in fast mode.
#include <support/collective.hpp>

#include <algorithm>
#include <cmath>
#include <utility>

#include <parallel/sharded_training.hpp>
#include <parallel/shuffled_ready.hpp>
#include <pleat/comm/mpi.hpp>

using namespace pleat_test;

TEST_CASE("mpi: deterministic training gives the same bits under every stage and group") {
  training o;
  o.plan.deterministic = true;
  o.optimizer = 1;
  auto const reference = train(network(), pleat::comm::communicator(pleat::comm::self{}), o);
  for (int stage : {0, 1, 2, 3})
    for (auto const& [group, stride] : {std::pair<pleat::index_t, pleat::index_t>{0, 1}, {2, 1}, {2, 2}}) {
      if (group > 0 && (stage == 0 || world_size() % (group * stride) != 0)) continue;
      auto q = o;
      q.plan.state_stage = stage;
      q.plan.state_ranks = group;
      q.plan.state_stride = stride;
      auto const r = train(network(), pleat::comm::mpi::duplicate(MPI_COMM_WORLD), q);
      INFO("stage " << stage << ", groups of " << group << ", " << stride << " apart");
      COLLECTIVE_CHECK(r.values == reference.values);
      COLLECTIVE_CHECK(r.norms == reference.norms);
      COLLECTIVE_CHECK(r.losses == reference.losses);
      COLLECTIVE_CHECK(r.states == reference.states);
      COLLECTIVE_CHECK(r.found == r.said);
    }
}

TEST_CASE("mpi: where nobody looks between two steps, gradients and parameters travel on, to the same bits") {
  training o;
  o.plan.deterministic = true;
  o.optimizer = 1;
  o.quiet = true;
  o.steps = 5;
  auto const reference = train(deep_network(), pleat::comm::communicator(pleat::comm::self{}), o);
  for (int stage : {0, 1, 2, 3}) {
    auto q = o;
    q.plan.state_stage = stage;
    auto const r = train(deep_network(), pleat::comm::mpi::duplicate(MPI_COMM_WORLD), q);
    INFO("stage " << stage);
    COLLECTIVE_CHECK(r.values == reference.values);
    COLLECTIVE_CHECK(r.states == reference.states);
    COLLECTIVE_CHECK(r.found == r.said);
  }
}

TEST_CASE("mpi: a step that is left after backward leaves nothing in the next one") {
  training o;
  o.plan.deterministic = true;
  o.optimizer = 1;
  auto const reference = train(network(), pleat::comm::communicator(pleat::comm::self{}), o);
  o.leaves_steps = true;
  for (int stage : {0, 1, 2, 3}) {
    o.plan.state_stage = stage;
    auto const r = train(network(), pleat::comm::mpi::duplicate(MPI_COMM_WORLD), o);
    INFO("stage " << stage);
    COLLECTIVE_CHECK(r.values == reference.values);
    COLLECTIVE_CHECK(r.states == reference.states);
    COLLECTIVE_CHECK(r.losses == reference.losses);
  }
}

TEST_CASE("mpi: a 16-bit wire rounds gradients by no more than its bound, and nothing else") {
  for (int stage : {0, 1, 2, 3})
    for (pleat::index_t group : {0, 1, 2}) {
      if (group > 0 && (stage == 0 || world_size() % group != 0)) continue;
      auto const said = narrow_gradient_findings(pleat::comm::mpi::duplicate(MPI_COMM_WORLD), stage, group);
      INFO("stage " << stage << ", groups of " << group << ": " << said);
      COLLECTIVE_CHECK(said.empty());
    }
}

TEST_CASE("mpi: fast training and hybrid groups stay within the rounding of the sums") {
  training o;
  o.norm = 0;
  auto const reference = train(network(), pleat::comm::communicator(pleat::comm::self{}), o);
  for (int stage : {0, 1, 2, 3})
    for (pleat::index_t group : {0, 1}) {
      if (group > 0 && stage == 0) continue;
      auto q = o;
      q.plan.state_stage = stage;
      q.plan.state_ranks = group;
      q.plan.micro_batches = stage == 2 ? 3 : 1;
      auto const r = train(network(), pleat::comm::mpi::duplicate(MPI_COMM_WORLD), q);
      double worst = 0;
      for (std::size_t i = 0; i < r.values.size(); ++i)
        worst = std::max(worst, std::abs(static_cast<double>(r.values[i]) - static_cast<double>(reference.values[i])));
      double const bound = 37 * 0x1p-24 * 4 * 3 * 0.1 * 10 * 4;  // tests/parallel/state_shards_test.cpp
      INFO("stage " << stage << ", groups of " << group << ": " << worst);
      COLLECTIVE_CHECK(worst < bound);
    }
}

TEST_CASE(
    "mpi: gradients that are ready in another order on every process are summed alike, and nobody waits in a circle") {
  for (int const stage : {0, 1, 2, 3})
    for (bool const deterministic : {false, true}) {
      pleat::plan::plan const p{.global_batch = 24,
                                .data_ranks = world_size(),
                                .state_stage = stage,
                                .deterministic = deterministic,
                                .bucket_bytes = 20000};
      int const wrong = wrong_sums_of_shuffled(deep_network(), p, pleat::comm::mpi::duplicate(MPI_COMM_WORLD), 4);
      INFO("stage " << stage << ", deterministic " << deterministic << ": " << wrong << " wrong");
      COLLECTIVE_CHECK(wrong == 0);
    }
  if (world_size() % 2 != 0) return;
  pleat::plan::plan const p{.global_batch = 24,
                            .data_ranks = world_size() / 2,
                            .pipeline_ranks = 2,
                            .micro_batches = 2,
                            .state_stage = world_size() > 2 ? 3 : 0,
                            .bucket_bytes = 20000};
  int const wrong = wrong_sums_of_shuffled(deep_network(), p, pleat::comm::mpi::duplicate(MPI_COMM_WORLD), 4);
  COLLECTIVE_CHECK(wrong == 0);
}
