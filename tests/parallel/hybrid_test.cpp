// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Every mesh of data × tensor × pipeline ranks whose product is at most 8, with every state stage and every schedule:
// the gradients are the serial run's, layer by layer, and every rank holds the bytes that the ledger says.
#include "parallel/transformer_training.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace transformer_training;
using layout = pleat::plan::plan;

namespace {

/// A step under the plan; where ranks share weights, by the recipe for transformers.
outcome step_on(layout const& p, bool sequence = false) {
  return p.tensor_ranks > 1 ? train_on(par::megatron(gpt(), {.sequence = sequence}), p, one_large_step)
                            : train_on(gpt(), p, one_large_step);
}

}  // namespace

TEST_CASE(
    "every mesh of up to eight ranks has the serial run's gradients, in every state stage; where no weight is cut, "
    "every bit if asked for") {
  auto const serial = train_on(gpt(), {.global_batch = 8}, one_large_step);
  auto const exact = train_on(gpt(), {.global_batch = 8, .deterministic = true}, one_large_step);
  int meshes = 0;
  for (pl::index_t data = 1; data <= 8; ++data)
    for (pl::index_t tensor = 1; data * tensor <= 8; ++tensor)
      for (pl::index_t pipeline = 1; data * tensor * pipeline <= 8; ++pipeline)
        for (int stage = 0; stage <= (data > 1 ? 3 : 0); ++stage) {
          layout p{.global_batch = 8,
                   .data_ranks = data,
                   .tensor_ranks = tensor,
                   .pipeline_ranks = pipeline,
                   .micro_batches = pipeline > 1 ? 4 : 1,
                   .state_stage = stage};
          INFO("data " << data << ", tensor " << tensor << ", pipeline " << pipeline << ", stage " << stage);
          CHECK(beyond(step_on(p, (data + pipeline) % 2 == 0), serial, sums_of(p)) == "");
          ++meshes;
          if (tensor > 1) continue;
          p.deterministic = true;
          CHECK(other_bits(step_on(p), exact) == "");
        }
  // 38 ways to write a product of at most 8 as three factors, 20 of them with one data rank
  CHECK(meshes == 38 + 3 * 18);
}

TEST_CASE(
    "state in groups of data ranks, beside a tensor or a pipeline axis: the serial run's gradients in every stage") {
  auto const serial = train_on(gpt(), {.global_batch = 8}, one_large_step);
  auto const exact = train_on(gpt(), {.global_batch = 8, .deterministic = true}, one_large_step);
  for (layout p :
       {layout{.global_batch = 8, .data_ranks = 4, .tensor_ranks = 2, .state_ranks = 2},
        layout{.global_batch = 8, .data_ranks = 4, .pipeline_ranks = 2, .micro_batches = 2, .state_ranks = 2},
        layout{.global_batch = 8, .data_ranks = 6, .state_ranks = 3}})
    for (p.state_stage = 1; p.state_stage <= 3; ++p.state_stage) {
      INFO(p.to_string());
      CHECK(beyond(step_on(p), serial, sums_of(p)) == "");
      if (p.tensor_ranks > 1) continue;
      auto q = p;
      q.deterministic = true;
      CHECK(other_bits(step_on(q), exact) == "");
    }
}

TEST_CASE(
    "a 16-bit wire beside a tensor or a pipeline axis, and in hybrid groups: the serial run's gradients, to what it "
    "rounds") {
  auto const serial = train_on(gpt(), {.global_batch = 8}, one_large_step);
  constexpr auto wire = pl::plan::wire_format::bf16;
  for (auto const& p :
       {layout{.global_batch = 8, .data_ranks = 2, .tensor_ranks = 2, .state_stage = 1, .wire = wire},
        layout{.global_batch = 8, .data_ranks = 2, .pipeline_ranks = 2, .micro_batches = 2, .wire = wire},
        layout{.global_batch = 8,
        .data_ranks = 4,
        .pipeline_ranks = 2,
        .micro_batches = 2,
        .state_stage = 2,
        .state_ranks = 2,
        .wire = wire}}) {
    INFO(p.to_string());
    auto const a = step_on(p);
    // An addend of each rank is rounded to 8 bits, and the sum once more (comm/narrow_sum.hpp), in the group and
    // between groups: (2 + 2) · 2⁻⁸ of what the ranks' addends amount to, of which each is at most as large as the
    // gradient of its samples alone; they are of alike sentences, so their norms together are within twice the sum's.
    CHECK(beyond(a, serial, sums_of(p), 2 * 4 * 0x1p-8) == "");
    CHECK(beyond(a, serial, sums_of(p)) != "");  // or nothing was rounded
  }
}

TEST_CASE("every schedule on eight ranks has the serial run's gradients") {
  auto const serial = train_on(gpt(), {.global_batch = 8}, one_large_step);
  for (auto const schedule : pl::plan::schedule_names)
    for (auto const& [data, tensor, pipeline] : {std::tuple{2, 2, 2}, {1, 2, 4}, {2, 1, 4}, {1, 1, 8}, {4, 1, 2}}) {
      INFO(schedule << ", data " << data << ", tensor " << tensor << ", pipeline " << pipeline);
      layout const p{.global_batch = 8,
                     .data_ranks = data,
                     .tensor_ranks = tensor,
                     .pipeline_ranks = pipeline,
                     .schedule = std::string(schedule),
                     .micro_batches = 8,
                     .state_stage = data > 1 ? 1 : 0};
      CHECK(beyond(step_on(p), serial, sums_of(p)) == "");
    }
}
