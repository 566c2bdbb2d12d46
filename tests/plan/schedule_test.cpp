// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/plan/schedule.hpp>

#include <catch2/catch_test_macros.hpp>

namespace plan = pleat::plan;
using plan::action;
using kind = plan::action_kind;

TEST_CASE("stages in loops and in a V live where their names say") {
  CHECK(plan::place_in_loops(3) == std::vector<std::int32_t>{0, 1, 2});
  CHECK(plan::place_in_loops(2, 3) == std::vector<std::int32_t>{0, 1, 0, 1, 0, 1});
  CHECK(plan::place_in_v(3) == std::vector<std::int32_t>{0, 1, 2, 2, 1, 0});
  plan::schedule s{4, plan::place_in_v(3), {{}, {}, {}}};
  CHECK(s.stages_of(1) == std::vector<std::int32_t>{1, 4});
  CHECK(s.chunk(1) == 0);
  CHECK(s.chunk(4) == 1);
  CHECK(s.ranks() == 3);
  CHECK(s.stages() == 6);
  CHECK_FALSE(s.communicates());
  s.actions[0].push_back({kind::send_activation, 0, 0, 1});
  CHECK(s.communicates());
}

TEST_CASE("an action says itself in a cell and in words") {
  CHECK(plan::to_string(action{kind::forward, 2, 0, -1}) == "2F0");
  CHECK(plan::to_string(action{kind::receive_gradient, 1, 13, 2}) == "1RECV_B13");
  CHECK(plan::to_string(action{kind::gather_parameters, 3, -1, -1}) == "3UNSHARD");
  CHECK(plan::in_words(action{kind::backward_weight, 2, 5, -1}) == "backward_weight of micro-batch 5 on stage 2");
  CHECK(plan::in_words(action{kind::send_gradient, 2, 5, 1}) ==
        "send_gradient of micro-batch 5 from stage 2 to stage 1");
  CHECK(plan::in_words(action{kind::receive_activation, 2, 5, 1}) ==
        "receive_activation of micro-batch 5 on stage 2 from stage 1");
  CHECK(plan::in_words(action{kind::reduce_gradients, 2, -1, -1}) == "reduce_gradients on stage 2");
}

TEST_CASE("the counterpart of a counterpart is the message itself") {
  for (auto const k : {kind::send_activation, kind::receive_activation, kind::send_gradient, kind::receive_gradient}) {
    action const a{k, 3, 7, 4};
    CHECK(plan::counterpart(a).stage == 4);
    CHECK(plan::sends(plan::counterpart(a).kind) == plan::receives(k));
    CHECK(plan::counterpart(plan::counterpart(a)) == a);
  }
}
