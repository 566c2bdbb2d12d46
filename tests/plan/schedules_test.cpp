// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/plan/schedule_check.hpp>
#include <pleat/plan/schedule_passes.hpp>
#include <pleat/plan/schedules.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <string>

namespace plan = pleat::plan;
using pleat::index_t;
using kind = plan::action_kind;
using which = plan::schedule_kind;

// Static schedules are values of the compiler, checked by it.
static_assert(!plan::find_fault(plan::with_reduction(plan::with_messages(plan::gpipe(4, 8)))));
static_assert(!plan::find_fault(plan::with_reduction(plan::with_messages(plan::one_f_one_b(4, 8)))));
static_assert(!plan::find_fault(plan::with_reduction(plan::with_messages(plan::interleaved(3, 7, 2)))));
static_assert(!plan::find_fault(plan::with_reduction(plan::with_messages(plan::zb_h1(4, 8)))));
static_assert(!plan::find_fault(plan::with_reduction(plan::with_messages(plan::zb_v(4, 8)))));
static_assert(!plan::find_fault(plan::with_reduction(plan::with_messages(plan::dualpipe_v(4, 8)))));

namespace {
std::string list(plan::schedule const& s, index_t rank) {
  std::string text;
  for (auto const& a : s.actions[static_cast<std::size_t>(rank)]) {
    if (!text.empty()) text += ' ';
    text += plan::to_string(a);
  }
  return text;
}
std::string said(auto&& f) {
  try {
    f();
  } catch (pleat::error const& e) {
    return e.what();
  }
  return "nothing";
}
}  // namespace

TEST_CASE("the schedules of the papers, by hand") {
  CHECK(list(plan::gpipe(2, 3), 0) == "0F0 0F1 0F2 0B0 0B1 0B2");
  CHECK(list(plan::one_f_one_b(3, 4), 0) == "0F0 0F1 0F2 0B0 0F3 0B1 0B2 0B3");
  CHECK(list(plan::one_f_one_b(3, 4), 2) == "2F0 2B0 2F1 2B1 2F2 2B2 2F3 2B3");
  CHECK(list(plan::interleaved(2, 4, 2), 0) == "0F0 0F1 2F0 2F1 0F2 2B0 0F3 2B1 2F2 0B0 2F3 0B1 2B2 2B3 0B2 0B3");
  CHECK(list(plan::interleaved(2, 4, 2), 1) == "1F0 1F1 3F0 3B0 3F1 3B1 1F2 1B0 1F3 1B1 3F2 3B2 3F3 3B3 1B2 1B3");
  CHECK(list(plan::zb_h1(2, 3), 0) == "0F0 0F1 0I0 0W0 0F2 0I1 0W1 0I2 0W2");
  CHECK(list(plan::zb_h1(2, 3), 1) == "1F0 1I0 1F1 1I1 1W0 1F2 1I2 1W1 1W2");
  CHECK(list(plan::zb_v(2, 3), 0) == "0F0 0F1 0F2 3F0 3I0 3W0 3F1 3I1 3W1 0I0 0W0 3F2 3I2 3W2 0I1 0W1 0I2 0W2");
}

TEST_CASE(
    "every schedule is complete, in order and free of deadlock for any number of ranks, micro-batches and chunks") {
  int schedules = 0;
  for (index_t p = 1; p <= 8; ++p)
    for (index_t m = 1; m <= 16; ++m)
      for (index_t chunks = 1; chunks <= 4; ++chunks)
        for (auto const k : {which::gpipe, which::one_f_one_b, which::interleaved, which::zb_h1, which::zb_h2,
                             which::zb_v, which::dualpipe_v}) {
          if (chunks > 1 && k != which::interleaved) continue;
          INFO(plan::name(k) << " p = " << p << " m = " << m << " chunks = " << chunks);
          auto const s = plan::make_schedule(k, p, m, k == which::interleaved ? chunks : 0);
          auto const full = plan::with_reduction(plan::with_parameters(plan::with_messages(s)));
          REQUIRE(plan::in_words(plan::find_fault(s)) == "nothing is wrong");
          REQUIRE(plan::in_words(plan::find_fault(full)) == "nothing is wrong");
          REQUIRE(plan::make_schedule(k, p, m, k == which::interleaved ? chunks : 0) == s);  // the same every time
          REQUIRE(plan::computing_only(full) == s);
          ++schedules;
        }
  CHECK(schedules == 8 * 16 * (6 + 4));
}

TEST_CASE("micro-batches that the group does not divide keep the order of the next multiple") {
  auto const eight = plan::interleaved(4, 8, 2), five = plan::interleaved(4, 5, 2);
  for (std::size_t r = 0; r < 4; ++r) {
    auto kept = eight.actions[r];
    std::erase_if(kept, [](plan::action const& a) { return a.micro_batch >= 5; });
    CHECK(kept == five.actions[r]);
  }
}

TEST_CASE("numbers that make no pipeline are refused with the number") {
  CHECK(said([] { (void)plan::gpipe(0, 4); }).find("at least one rank, found 0") != std::string::npos);
  CHECK(said([] { (void)plan::zb_v(2, 0); }).find("at least one micro-batch, found 0") != std::string::npos);
  CHECK(said([] { (void)plan::interleaved(2, 4, -1); }).find("at least one chunk, found -1") != std::string::npos);
  CHECK(said([] { (void)plan::one_f_one_b(index_t{1} << 40, 4); }).find("larger than any step") != std::string::npos);
  CHECK(said([] {
          (void)plan::make_schedule(which::zb_h1, 2, 4, 2);
        }).find("zb-h1 has 1 chunk per rank, found 2. Only interleaved") != std::string::npos);
  CHECK(said([] {
          (void)plan::parse_schedule_kind("gpip");
        }).find("Known are gpipe, 1f1b, interleaved, zb-h1, zb-h2, zb-v, dualpipe-v") != std::string::npos);
  CHECK(plan::parse_schedule_kind("zb-v") == which::zb_v);
}
