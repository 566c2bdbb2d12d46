// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The most that a schedule holds, from bytes by hand. That the bytes of a stage are those of a live one:
// tests/parallel/stage_work_test.cpp.
#include <pleat/plan/stage_memory.hpp>

#include <pleat/plan/schedules.hpp>

#include <catch2/catch_test_macros.hpp>

#include <vector>

namespace pp = pleat::plan;
using pleat::index_t;

TEST_CASE("the peak of a rank follows from its list") {
  std::vector<pp::stage_memory> const stages{{.held = 100, .between = 30, .again = 7},
                                             {.held = 10, .between = 4, .again = 7}};
  // GPipe holds every micro-batch; 1F1B as many as stages lie ahead.
  CHECK(pp::peak_activations(pp::gpipe(2, 4), 0, stages) == 400);
  CHECK(pp::peak_activations(pp::gpipe(2, 4), 1, stages) == 40);
  CHECK(pp::peak_activations(pp::one_f_one_b(2, 4), 0, stages) == 200);
  CHECK(pp::peak_activations(pp::one_f_one_b(2, 4), 1, stages) == 10);
  // By hand: one micro-batch waits for its weight half while the next is forward.
  pp::schedule s;
  s.micro_batches = 2;
  s.rank_of = {0};
  using enum pp::action_kind;
  s.actions = {{{.kind = forward, .stage = 0, .micro_batch = 0},
                {.kind = backward_input, .stage = 0, .micro_batch = 0},
                {.kind = forward, .stage = 0, .micro_batch = 1},
                {.kind = backward_input, .stage = 0, .micro_batch = 1},
                {.kind = backward_weight, .stage = 0, .micro_batch = 0},
                {.kind = backward_weight, .stage = 0, .micro_batch = 1}}};
  CHECK(pp::peak_activations(s, 0, stages) == 130);
  // Full recompute holds little after forward, and much between the halves.
  CHECK(pp::peak_activations(s, 0, std::vector<pp::stage_memory>{{.held = 5, .between = 30}}) == 60);
}
