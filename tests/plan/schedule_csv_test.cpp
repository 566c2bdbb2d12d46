// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/plan/schedule_check.hpp>
#include <pleat/plan/schedule_csv.hpp>
#include <pleat/plan/schedule_passes.hpp>
#include <pleat/plan/schedules.hpp>
#include <pleat/plan/simulate.hpp>

#include <catch2/catch_test_macros.hpp>

#include <random>
#include <string>

namespace plan = pleat::plan;
using which = plan::schedule_kind;

namespace {
std::string said(std::string const& text) {
  try {
    (void)plan::parse_schedule(text);
  } catch (pleat::error const& e) {
    return e.problem();
  }
  return "nothing";
}
}  // namespace

TEST_CASE("every schedule with everything that passes add survives its table") {
  for (auto const k : {which::gpipe, which::one_f_one_b, which::interleaved, which::zb_h1, which::zb_h2, which::zb_v,
                       which::dualpipe_v})
    for (int p = 1; p <= 4; ++p) {
      auto const s = plan::with_reduction(plan::with_parameters(plan::with_messages(plan::make_schedule(k, p, 5))));
      CHECK(plan::parse_schedule(plan::to_csv(s)) == s);
    }
  CHECK(plan::to_csv(plan::gpipe(2, 1)) == "0F0,0B0\n1F0,1B0\n");
}

TEST_CASE("tables of other hands: blanks, quotes, comments, empty cells, line ends of every kind") {
  auto const s = plan::gpipe(2, 1);
  CHECK(plan::parse_schedule("0F0,,,0B0\r\n,1F0,1B0,\r\n") == s);
  CHECK(plan::parse_schedule("# mine\n 0F0 , \"0B0\"\n1F0,1B0\n\n\n") == s);
  CHECK(plan::parse_schedule("0F0,0B0\n1F0,1B0") == s);
  // Rows name the ranks, cells the stages: here stage 0 lives on rank 1.
  CHECK(plan::parse_schedule("1F0,1B0\n0F0,0B0\n").rank_of == std::vector<std::int32_t>{1, 0});
}

TEST_CASE("hostile tables are refused with line and cell") {
  CHECK(said("") == "the table has no action");
  CHECK(said("\n\n,,,\n") == "the table has no action");
  CHECK(said("0F0,0B0\n0F1") == "line 2, cell 1: stage 0 belongs to the rank of line 1 already");
  CHECK(said("0F0,0X0").starts_with("line 1, cell 2: '0X0' names no action"));
  CHECK(said("0F0,F0").find("does not begin with the number of a stage") != std::string::npos);
  CHECK(said("-1F0").find("does not begin with the number of a stage") != std::string::npos);
  CHECK(said("0F-1").find("does not end with the number of a micro-batch") != std::string::npos);
  CHECK(said("0F").find("does not end with the number of a micro-batch") != std::string::npos);
  CHECK(said("0F0x").find("does not end with the number of a micro-batch") != std::string::npos);
  CHECK(said("0UNSHARD3").find("about no micro-batch") != std::string::npos);
  CHECK(said("99999999999999999999F0").find("does not begin") != std::string::npos);
  CHECK(said("2000000F0").find("does not begin") != std::string::npos);
  CHECK(said("0F0,0B0\n2F0,2B0") == "no row says what stage 1 does, but there is a stage 2");
  // Few cells that name a huge step must not make anybody allocate it.
  CHECK(said("0F0,0B0,0F1000000\n1F0").find("need at least 4000004 actions, found 4") != std::string::npos);
  CHECK(said("0F0,\x01\x02\xff").find("'\?\?\?'") != std::string::npos);
  CHECK(said("0F0," + std::string(100000, 'F')).size() < 250);
  CHECK(said(std::string(1 << 20, ',')) == "the table has no action");
}

TEST_CASE("a table whose messages go nowhere is read, and refused by who would carry it out") {
  for (auto const* text : {"0F0,0SEND_F0,0B0", "0F0,0SEND_B0,0B0", "0F0,0RECV_F0,0B0", "0F0,0RECV_B0,0B0"})
    for (bool const blocking : {false, true}) {
      auto const s = plan::parse_schedule(text);
      CHECK(plan::find_fault(s));
      CHECK_THROWS_AS(plan::simulate(s, {}, {.blocking = blocking}), pleat::error);
    }
}

TEST_CASE(
    "random changes of a table are read or refused, never worse, and the check and the simulation have an answer for "
    "each") {
  std::mt19937 random(7);
  auto const good = plan::to_csv(plan::with_messages(plan::zb_v(3, 4)));
  std::string const letters = "0123456789FBIWSENDRCV_,\n -\"#\xff";
  int read = 0, refused = 0;
  for (int i = 0; i < 3000; ++i) {
    auto text = good;
    for (unsigned n = 1 + random() % 3; n > 0; --n) {
      auto const at = random() % text.size();
      if (random() % 3 == 0) text.erase(at, 1 + random() % 4);
      else if (random() % 2 == 0) text.insert(at, 1, letters[random() % letters.size()]);
      else text[at] = letters[random() % letters.size()];
    }
    try {
      auto const s = plan::parse_schedule(text);
      CHECK_FALSE(plan::in_words(plan::find_fault(s)).empty());
      ++read;
      bool const sound = !plan::find_fault(s);
      for (bool const blocking : {false, true}) {
        std::string why;
        try {
          (void)plan::simulate(s, {}, {.blocking = blocking});
        } catch (pleat::error const& e) {
          why = e.what();
        }
        if (sound) CHECK(why.empty());
      }
    } catch (pleat::error const&) {
      ++refused;
    }
  }
  CHECK(read > 100);
  CHECK(refused > 100);
}
