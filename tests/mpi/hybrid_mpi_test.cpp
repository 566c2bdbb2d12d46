// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Every mesh of data × tensor × pipeline ranks over MPI processes: the gradients of one process, layer by layer; where
// no weight is cut, every bit if asked for. Each process compares with a run of its own, alone.
#include <support/collective.hpp>

#include <exception>
#include <string>
#include <vector>

#include <parallel/transformer_training.hpp>
#include <pleat/comm/mpi.hpp>

using namespace transformer_training;
using layout = pleat::plan::plan;

namespace {

/// A step over all processes, or what was thrown here: what one process throws after the last message the others do not
/// hear.
struct step {
  outcome made;
  std::string thrown;
  explicit step(layout const& p, bool sequence = false) {
    try {
      auto world = pl::comm::mpi::duplicate(MPI_COMM_WORLD);
      made = p.tensor_ranks > 1
                 ? train(par::megatron(gpt(), {.sequence = sequence}), p, std::move(world), one_large_step)
                 : train(gpt(), p, std::move(world), one_large_step);
    } catch (std::exception const& e) {
      thrown = e.what();
    }
  }
};

/// Every way to write the number of processes as data × tensor × pipeline, without a state stage and with all of it
/// sharded; and groups of two data ranks where there are two groups.
std::vector<layout> layouts() {
  std::vector<layout> all;
  pl::index_t const ranks = pleat_test::world_size();
  for (pl::index_t data = 1; data <= ranks; ++data)
    for (pl::index_t tensor = 1; data * tensor <= ranks; ++tensor) {
      if (ranks % (data * tensor) != 0) continue;
      pl::index_t const pipeline = ranks / (data * tensor);
      layout p{.global_batch = 8,
               .data_ranks = data,
               .tensor_ranks = tensor,
               .pipeline_ranks = pipeline,
               .micro_batches = pipeline > 1 ? 4 : 1};
      all.push_back(p);
      if (data == 1) continue;
      p.state_stage = 3;
      all.push_back(p);
      if (data != 4) continue;
      p.state_ranks = 2;
      all.push_back(p);
    }
  return all;
}

}  // namespace

TEST_CASE("mpi: every mesh of all processes has the gradients of one, without and with sharded state", "[ranks8]") {
  auto const serial = train_on(gpt(), {.global_batch = 8}, one_large_step);
  auto const exact = train_on(gpt(), {.global_batch = 8, .deterministic = true}, one_large_step);
  for (auto p : layouts()) {
    INFO(p.to_string());
    step const fast(p, (p.data_ranks + p.pipeline_ranks) % 2 == 0);
    INFO(fast.thrown);
    COLLECTIVE_REQUIRE(fast.thrown.empty());
    auto const layer = beyond(fast.made, serial, sums_of(p));
    INFO(layer);
    COLLECTIVE_CHECK(layer.empty());
    if (p.tensor_ranks > 1) continue;
    p.deterministic = true;
    step const bits(p);
    INFO(bits.thrown);
    COLLECTIVE_REQUIRE(bits.thrown.empty());
    auto const differs = other_bits(bits.made, exact);
    INFO(differs);
    COLLECTIVE_CHECK(differs.empty());
  }
}

TEST_CASE("mpi: every schedule over stages that share their weights out has the gradients of one process", "[ranks8]") {
  pl::index_t const ranks = pleat_test::world_size();
  if (ranks % 2 != 0) return;
  auto const serial = train_on(gpt(), {.global_batch = 8}, one_large_step);
  for (auto const schedule : pl::plan::schedule_names) {
    INFO(schedule);
    layout const p{.global_batch = 8,
                   .data_ranks = ranks == 8 ? 2 : 1,
                   .tensor_ranks = ranks > 2 ? 2 : 1,
                   .pipeline_ranks = 2,
                   .schedule = std::string(schedule),
                   .micro_batches = 4,
                   .state_stage = ranks == 8 ? 2 : 0};
    step const s(p);
    INFO(s.thrown);
    COLLECTIVE_REQUIRE(s.thrown.empty());
    auto const layer = beyond(s.made, serial, sums_of(p));
    INFO(layer);
    COLLECTIVE_CHECK(layer.empty());
  }
}
