// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/plan/schedule_passes.hpp>
#include <pleat/plan/schedules.hpp>

#include <catch2/catch_test_macros.hpp>

#include <random>
#include <string>
#include <vector>

namespace plan = pleat::plan;
using pleat::index_t;
using kind = plan::action_kind;
using which = plan::schedule_kind;

namespace {
std::string list(plan::schedule const& s, index_t rank) {
  std::string text;
  for (auto const& a : s.actions[static_cast<std::size_t>(rank)]) {
    if (!text.empty()) text += ' ';
    text += plan::to_string(a);
  }
  return text;
}

// Ranks that block in every message until the other side is there, in an order that chance decides; written apart from
// the library's check.
bool finishes(plan::schedule const& s, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::size_t> next(s.actions.size(), 0);
  for (;;) {
    std::vector<std::size_t> able;
    bool left = false;
    for (std::size_t r = 0; r < next.size(); ++r) {
      if (next[r] == s.actions[r].size()) continue;
      left = true;
      auto const& a = s.actions[r][next[r]];
      if (!plan::sends(a.kind) && !plan::receives(a.kind)) {
        able.push_back(r);
        continue;
      }
      auto const q = static_cast<std::size_t>(s.rank_of[static_cast<std::size_t>(a.peer)]);
      if (plan::sends(a.kind) && next[q] < s.actions[q].size() && s.actions[q][next[q]] == plan::counterpart(a))
        able.push_back(r);
    }
    if (!left) return true;
    if (able.empty()) return false;
    std::size_t const r = able[random() % able.size()];
    auto const& a = s.actions[r][next[r]];
    if (plan::sends(a.kind)) ++next[static_cast<std::size_t>(s.rank_of[static_cast<std::size_t>(a.peer)])];
    ++next[r];
  }
}
}  // namespace

TEST_CASE("messages stand where work ends on one side and before the work that needs them on the other") {
  auto const s = plan::with_messages(plan::one_f_one_b(2, 2));
  CHECK(list(s, 0) == "0F0 0SEND_F0 0F1 0SEND_F1 0RECV_B0 0B0 0RECV_B1 0B1");
  CHECK(list(s, 1) == "1RECV_F0 1F0 1RECV_F1 1B0 1SEND_B0 1F1 1B1 1SEND_B1");
  CHECK(plan::with_messages(plan::gpipe(1, 3)) == plan::gpipe(1, 3));
  // In a V the last rank hands over to itself: no message between its two stages.
  auto const v = plan::with_messages(plan::zb_v(2, 3));
  for (auto const& a : v.actions[1])
    if (a.peer >= 0) CHECK((a.stage == 1 ? a.peer == 0 : a.peer == 3));
}

TEST_CASE("no schedule can hang ranks whose sends block, whatever the stages' times were taken to be") {
  for (index_t p = 1; p <= 5; ++p)
    for (index_t m : {1, 2, 3, 5, 8})
      for (auto const k : {which::gpipe, which::one_f_one_b, which::interleaved, which::zb_h1, which::zb_h2,
                           which::zb_v, which::dualpipe_v}) {
        auto const s = plan::make_schedule(k, p, m);
        plan::stage_ticks uneven;
        uneven.forward.clear();
        uneven.backward_input.clear();
        // 0 counts as 1
        for (index_t i = 0; i < s.stages(); ++i)
          uneven.forward.push_back(1 + (i * 7) % 5), uneven.backward_input.push_back(i % 3);
        INFO(plan::name(k) << " p = " << p << " m = " << m);
        for (unsigned seed = 0; seed < 3; ++seed) {
          REQUIRE(finishes(plan::with_messages(s), seed));
          REQUIRE(finishes(plan::with_messages(s, uneven), seed));
          REQUIRE(finishes(plan::with_reduction(plan::with_parameters(plan::with_messages(s, uneven))), seed));
        }
      }
}

TEST_CASE("gradients are reduced once per stage, after the messages that others wait for") {
  auto const s = plan::with_reduction(plan::with_messages(plan::one_f_one_b(2, 2)));
  CHECK(list(s, 1).ends_with("1B1 1SEND_B1 1REDUCE_GRAD"));
  // Of two stages on a rank each is reduced as soon as it is done.
  CHECK(list(plan::with_reduction(plan::interleaved(2, 2, 2)), 0).ends_with("2B1 2REDUCE_GRAD 0B0 0B1 0REDUCE_GRAD"));
}

TEST_CASE("sharded parameters are gathered once by a rank with one stage, and in turns by a rank with several") {
  CHECK(list(plan::with_parameters(plan::gpipe(1, 2)), 0) == "0UNSHARD 0F0 0F1 0B0 0B1 0RESHARD");
  // the weight half needs none
  CHECK(list(plan::with_parameters(plan::zb_h1(1, 1)), 0) == "0UNSHARD 0F0 0I0 0RESHARD 0W0");
  auto const none = list(plan::with_parameters(plan::interleaved(1, 2, 2), {.prefetch = 0}), 0);
  CHECK(none.starts_with("0UNSHARD 0F0 0RESHARD 1UNSHARD 1F0 1B0 1RESHARD 0UNSHARD"));
  auto const ahead = list(plan::with_parameters(plan::interleaved(1, 2, 3), {.prefetch = 1}), 0);
  CHECK(ahead.starts_with("0UNSHARD 1UNSHARD 0F0 0RESHARD 2UNSHARD 1F0"));
  CHECK_THROWS_AS(plan::with_parameters(plan::gpipe(1, 2), {.prefetch = -1}), pleat::error);
}

TEST_CASE("halves of backward come apart and together") {
  auto const s = plan::one_f_one_b(3, 5);
  auto const split = plan::with_split_backward(s);
  CHECK(list(split, 2).starts_with("2F0 2I0 2W0 2F1 2I1 2W1"));
  CHECK(plan::with_merged_backward(split) == s);
  CHECK(list(plan::with_merged_backward(plan::zb_h1(2, 3)), 0) == "0F0 0F1 0B0 0F2 0B1 0B2");
}

TEST_CASE("a list that cannot be carried out gets no messages") {
  auto s = plan::gpipe(2, 2);
  s.actions[0].erase(s.actions[0].begin());
  CHECK_THROWS_AS(plan::with_messages(s), pleat::error);
}

TEST_CASE("ticks are for one stage or for all of them") {
  auto const s = plan::one_f_one_b(4, 8);
  CHECK_THROWS_AS(plan::with_messages(s, plan::stage_ticks{.forward = {1, 2}}), pleat::error);
  CHECK_THROWS_AS(plan::with_messages(s, plan::stage_ticks{.backward_weight = {}}), pleat::error);
  CHECK(plan::with_messages(s, plan::stage_ticks{.forward = {1, 1, 1, 1}}) == plan::with_messages(s));
}
