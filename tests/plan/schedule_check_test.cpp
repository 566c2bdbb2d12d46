// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/plan/schedule_check.hpp>
#include <pleat/plan/schedule_passes.hpp>
#include <pleat/plan/schedules.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <functional>
#include <random>
#include <string>
#include <vector>

namespace plan = pleat::plan;
using plan::action;
using kind = plan::action_kind;
using which = plan::schedule_kind;

namespace {
std::string verdict(plan::schedule const& s, plan::check_options const& options = {}) {
  return plan::in_words(plan::find_fault(s, options));
}

/// 1F1B on two ranks with something done to it.
std::string verdict_after(std::function<void(plan::schedule&)> const& change, bool messages = true) {
  auto s = messages ? plan::with_messages(plan::one_f_one_b(2, 3)) : plan::one_f_one_b(2, 3);
  REQUIRE(verdict(s) == "nothing is wrong");
  change(s);
  return verdict(s);
}
std::vector<action>::iterator find(plan::schedule& s, std::size_t rank, std::string const& cell) {
  auto const it = std::find_if(s.actions[rank].begin(), s.actions[rank].end(),
                               [&](action const& a) { return plan::to_string(a) == cell; });
  REQUIRE(it != s.actions[rank].end());
  return it;
}
}  // namespace

TEST_CASE("any action taken out of any schedule is named as missing, any doubled one as doubled") {
  for (auto const k : {which::gpipe, which::one_f_one_b, which::interleaved, which::zb_h1, which::zb_h2, which::zb_v,
                       which::dualpipe_v}) {
    auto const s = plan::with_reduction(plan::with_messages(plan::make_schedule(k, 3, 4)));
    for (std::size_t r = 0; r < 3; ++r)
      for (std::size_t i = 0; i < s.actions[r].size(); ++i) {
        auto without = s, twice = s;
        without.actions[r].erase(without.actions[r].begin() + static_cast<std::ptrdiff_t>(i));
        twice.actions[r].insert(twice.actions[r].begin() + static_cast<std::ptrdiff_t>(i), s.actions[r][i]);
        auto const words = "rank " + std::to_string(r) + ": " + plan::in_words(s.actions[r][i]);
        REQUIRE(verdict(without) == words + " is missing");
        REQUIRE(verdict(twice) == words + " is there twice");
      }
  }
}

TEST_CASE("a whole backward beside a half is one too many") {
  CHECK(verdict_after([](auto& s) {
          s.actions[1].push_back({kind::backward_weight, 1, 2, -1});
        }) == "rank 1: backward_weight of micro-batch 2 on stage 1 is there twice");
}

TEST_CASE("an action before what it needs on its own rank is named with it") {
  auto const swap = [](std::size_t rank, char const* a, char const* b) {
    return [=](plan::schedule& s) { std::iter_swap(find(s, rank, a), find(s, rank, b)); };
  };
  CHECK(
      verdict_after(swap(1, "1F1", "1B1")) ==
      "rank 1: backward of micro-batch 1 on stage 1 comes before forward of micro-batch 1 on stage 1, which it needs");
  CHECK(verdict_after(swap(1, "1RECV_F0", "1F0")) ==
        "rank 1: forward of micro-batch 0 on stage 1 comes before receive_activation of micro-batch 0 on stage 1 from "
        "stage 0, which it needs");
  CHECK(verdict_after(swap(0, "0RECV_B0", "0B0")) ==
        "rank 0: backward of micro-batch 0 on stage 0 comes before receive_gradient of micro-batch 0 on stage 0 from "
        "stage 1, which it needs");
  CHECK(verdict_after(swap(0, "0SEND_F0", "0F0")) ==
        "rank 0: send_activation of micro-batch 0 from stage 0 to stage 1 comes before forward of micro-batch 0 on "
        "stage 0, which it needs");
  // The V's turn: stage 2 is on the same rank as stage 1, without a message between them.
  auto v = plan::zb_v(2, 3);
  std::iter_swap(find(v, 1, "1F0"), find(v, 1, "2F0"));
  CHECK(verdict(v) ==
        "rank 1: forward of micro-batch 0 on stage 2 comes before forward of micro-batch 0 on stage 1, which it needs");
  auto h = plan::zb_h1(2, 3);
  std::iter_swap(find(h, 0, "0I0"), find(h, 0, "0W0"));
  CHECK(verdict(h) ==
        "rank 0: backward_weight of micro-batch 0 on stage 0 comes before backward_input of micro-batch 0 on stage 0, "
        "which it needs");
  auto g = plan::with_reduction(plan::gpipe(1, 2));
  std::iter_swap(find(g, 0, "0B1"), find(g, 0, "0REDUCE_GRAD"));
  CHECK(verdict(g) == "rank 0: reduce_gradients on stage 0: the stage still has weight work after it");
}

TEST_CASE("sends that block: both ranks in a send is a deadlock, with the cycle in words") {
  // Two neighbours that each send first: buffered sends would hide it.
  auto const text = verdict_after([](plan::schedule& s) {
    // rank 0 sends its third activation before it takes the first gradient, rank 1 sends that gradient first
    auto& list = s.actions[0];
    auto const send = find(s, 0, "0SEND_F1");
    action const a = *send;
    list.erase(send);
    list.insert(find(s, 0, "0RECV_B0") + 1, a);
  });
  CHECK(text ==
        "these ranks wait for each other:\n"
        "  rank 0 is at receive_gradient of micro-batch 0 on stage 0 from stage 1 and waits for rank 1 to come to "
        "send_gradient of micro-batch 0 from stage 1 to stage 0\n"
        "  rank 1 is at receive_activation of micro-batch 1 on stage 1 from stage 0 and waits for rank 0 to come to "
        "send_activation of micro-batch 1 from stage 0 to stage 1");
  plan::schedule both{1, {0, 1, 0, 1}, {}};
  using enum plan::action_kind;
  both.actions = {{{forward, 0, 0, -1},
                   {send_activation, 0, 0, 1},
                   {receive_activation, 2, 0, 1},
                   {forward, 2, 0, -1},
                   {send_activation, 2, 0, 3},
                   {receive_gradient, 2, 0, 3},
                   {backward, 2, 0, -1},
                   {send_gradient, 2, 0, 1},
                   {receive_gradient, 0, 0, 1},
                   {backward, 0, 0, -1}},
                  {{receive_activation, 1, 0, 0},
                   {forward, 1, 0, -1},
                   {send_activation, 1, 0, 2},
                   {receive_activation, 3, 0, 2},
                   {forward, 3, 0, -1},
                   {backward, 3, 0, -1},
                   {send_gradient, 3, 0, 2},
                   {receive_gradient, 1, 0, 2},
                   {backward, 1, 0, -1},
                   {send_gradient, 1, 0, 0}}};
  CHECK(verdict(both) == "nothing is wrong");
}

TEST_CASE("a channel whose messages are received in another order than sent is a deadlock") {
  auto const text = verdict_after([](plan::schedule& s) {
    std::iter_swap(find(s, 0, "0SEND_F0"), find(s, 0, "0SEND_F1"));
    std::iter_swap(find(s, 0, "0F0"), find(s, 0, "0F1"));
  });
  CHECK(text.find("rank 0 is at send_activation of micro-batch 1 from stage 0 to stage 1 and waits for rank 1") !=
        std::string::npos);
  CHECK(text.find("rank 1 is at receive_activation of micro-batch 0 on stage 1 from stage 0 and waits for rank 0") !=
        std::string::npos);
}

TEST_CASE("lists that only compute: a cycle of three ranks is found through all of them") {
  // Rank 2 wants micro-batch 1 first, rank 1 micro-batch 0 backward before it goes on, rank 0 sends 1 after 0: rank 1
  // waits for 2, 2 waits for 1.
  plan::schedule s{2, {0, 1, 2}, {}};
  using enum plan::action_kind;
  s.actions = {{{forward, 0, 0, -1}, {backward, 0, 0, -1}, {forward, 0, 1, -1}, {backward, 0, 1, -1}},
               {{forward, 1, 0, -1}, {forward, 1, 1, -1}, {backward, 1, 0, -1}, {backward, 1, 1, -1}},
               {{forward, 2, 0, -1}, {backward, 2, 0, -1}, {forward, 2, 1, -1}, {backward, 2, 1, -1}}};
  CHECK(verdict(s) ==
        "these ranks wait for each other:\n"
        "  rank 0 is at backward of micro-batch 0 on stage 0 and waits for rank 1 to come to backward of micro-batch 0 "
        "on stage 1\n"
        "  rank 1 is at forward of micro-batch 1 on stage 1 and waits for rank 0 to come to forward of micro-batch 1 "
        "on stage 0");
}

TEST_CASE("weight work that descends is refused where gradients must add up in order, and allowed elsewhere") {
  auto s = plan::gpipe(2, 2);
  for (auto& list : s.actions) std::swap(list[2], list[3]);
  CHECK(verdict(s) ==
        "rank 0: backward of micro-batch 0 on stage 0 comes after that of micro-batch 1; deterministic sums need them "
        "ascending");
  CHECK(verdict(s, {.ascending_weights = false}) == "nothing is wrong");
}

TEST_CASE("memory in flight") {
  CHECK(verdict(plan::gpipe(2, 8), {.max_activations = 4}) ==
        "rank 0: forward of micro-batch 4 on stage 0 would be the 5. activation in flight, 4 are allowed");
  CHECK(verdict(plan::one_f_one_b(4, 8), {.max_activations = 4}) == "nothing is wrong");
  CHECK(verdict(plan::zb_h1(4, 8), {.max_activations = 4}) == "nothing is wrong");
  CHECK(verdict(plan::zb_h1(4, 8), {.max_activations = 3}).find("4. activation") != std::string::npos);
}

TEST_CASE("actions that make no sense are refused with the reason") {
  CHECK(verdict_after([](auto& s) { s.actions[0][0].stage = 1; }) ==
        "rank 0: forward of micro-batch 0 on stage 1: the stage lives on another rank");
  CHECK(verdict_after([](auto& s) { s.actions[0][0].stage = 7; }).ends_with("there is no such stage"));
  CHECK(verdict_after([](auto& s) { s.actions[0][0].stage = -1; }).ends_with("there is no such stage"));
  CHECK(verdict_after([](auto& s) { s.actions[0][0].micro_batch = 3; }).ends_with("there is no such micro-batch"));
  CHECK(verdict_after([](auto& s) {
          find(s, 0, "0SEND_F0")->peer = 0;
        }).ends_with("such a message goes between a stage and the next"));
  CHECK(verdict_after([](auto& s) { s.rank_of = {0, 5}; }).ends_with("a stage lives on a rank that has no list"));
  CHECK(verdict({}) == "the schedule has no micro-batch");
  CHECK(verdict({1, {}, {}}) == "the schedule has no stage");
  CHECK(verdict({1, {0, 0}, {{{kind::send_activation, 0, 0, 1}}}})
            .ends_with("both stages live on this rank, which needs no message"));
}

TEST_CASE("parameters must be whole where work needs them") {
  auto s = plan::with_parameters(plan::interleaved(1, 2, 2), {.prefetch = 0});
  REQUIRE(verdict(s) == "nothing is wrong");
  auto early = s;
  early.actions[0].erase(find(early, 0, "1UNSHARD"));
  CHECK(verdict(early) ==
        "rank 0: forward of micro-batch 0 on stage 1 comes before gather_parameters on stage 1, which it needs");
  s.actions[0].insert(s.actions[0].begin(), s.actions[0][0]);
  CHECK(verdict(s) == "rank 0: gather_parameters on stage 0 is there twice");
}

TEST_CASE("lists in random order: the verdict is deadlock exactly where ranks that block get stuck") {
  // Each rank's list shuffled by neighbour swaps; chance decides nothing in the trial itself, for a blocking walk has
  // one outcome.
  auto const stuck = [](plan::schedule const& s) {
    std::vector<std::size_t> next(s.actions.size(), 0);
    for (bool moved = true; moved;) {
      moved = false;
      for (std::size_t r = 0; r < next.size(); ++r)
        while (next[r] < s.actions[r].size()) {
          auto const& a = s.actions[r][next[r]];
          if (plan::sends(a.kind) || plan::receives(a.kind)) {
            auto const q = static_cast<std::size_t>(s.rank_of[static_cast<std::size_t>(a.peer)]);
            if (next[q] == s.actions[q].size() || s.actions[q][next[q]] != plan::counterpart(a)) break;
            ++next[q];
          }
          ++next[r], moved = true;
        }
    }
    for (std::size_t r = 0; r < next.size(); ++r)
      if (next[r] < s.actions[r].size()) return true;
    return false;
  };
  std::mt19937 random(11);
  int deadlocks = 0, fine = 0, other = 0;
  for (int round = 0; round < 4000; ++round) {
    auto s = plan::with_messages(plan::make_schedule(round % 2 ? which::zb_v : which::interleaved, 3, 3));
    for (unsigned swaps = 1 + random() % 6; swaps > 0; --swaps) {
      auto& list = s.actions[random() % 3];
      auto const i = random() % (list.size() - 1);
      std::swap(list[i], list[i + 1]);
    }
    auto const f = plan::find_fault(s, {.ascending_weights = false});
    if (f.kind == plan::fault_kind::deadlock) {
      REQUIRE(stuck(s));
      REQUIRE(f.cycle.size() >= 2);
      for (std::size_t i = 0; i < f.cycle.size(); ++i) REQUIRE(f.cycle[i].on == f.cycle[(i + 1) % f.cycle.size()].rank);
      ++deadlocks;
    } else if (f) {
      REQUIRE(f.kind == plan::fault_kind::out_of_order);
      ++other;
    } else {
      REQUIRE_FALSE(stuck(s));
      ++fine;
    }
  }
  CHECK(deadlocks > 100);
  CHECK(fine > 100);
  CHECK(other > 100);
}

TEST_CASE("check throws the words") {
  auto s = plan::gpipe(2, 2);
  CHECK_NOTHROW(plan::check(s));
  s.actions[0].pop_back();
  try {
    plan::check(s);
    FAIL("not refused");
  } catch (pleat::error const& e) {
    CHECK(std::string(e.what()) ==
          "pleat: plan::check: rank 0: backward of micro-batch 1 on stage 0 is missing. Add it to a rank's list, once");
  }
}
