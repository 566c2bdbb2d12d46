// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A rank that fails or hangs in any phase of a step, under any layout: nobody waits for ever, and what is said names
// rank, step and phase.
#include "parallel/sabotage.hpp"

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "support/scratch_folder.hpp"

namespace {

using namespace sabotage;

using folder = pleat_test::scratch_folder;

/// What each rank says. \param heard what the program hears, which had the ranks run
std::vector<std::string> words_of(options o, std::string* heard = nullptr) {
  std::vector<std::string> said(static_cast<std::size_t>(o.plan.ranks()), "nothing");
  std::atomic<int> ended{0};
  o.ended = &ended;
  try {
    pl::comm::run_local(static_cast<int>(o.plan.ranks()), [&](pl::comm::communicator c) {
      auto const rank = static_cast<std::size_t>(c.rank());
      pl::world w(std::move(c), 1);
      try {
        train(w, o);
      } catch (std::exception const& e) {
        said[rank] = e.what();
        ++ended;
        throw;
      }
    });
  } catch (std::exception const& e) {
    if (heard) *heard = e.what();
  }
  return said;
}

std::vector<std::pair<std::string, pl::plan::plan>> const layouts{{"data 3", mesh(1, 3, 1)},
                                                                  {"data 3, stage 1", mesh(1, 3, 1, 1)},
                                                                  {"data 3, stage 2", mesh(1, 3, 1, 2)},
                                                                  {"data 3, stage 3", mesh(1, 3, 1, 3)},
                                                                  {"tensor 2", mesh(1, 1, 2)},
                                                                  {"pipeline 3", mesh(3, 1, 1)},
                                                                  {"data 2, tensor 2", mesh(1, 2, 2, 2)},
                                                                  {"pipeline 2, data 2", mesh(2, 2, 1, 3)},
                                                                  {"pipeline 2, tensor 2", mesh(2, 1, 2)}};

/// Meshes of two axes, one of them in an order of its own.
std::vector<std::pair<std::string, pl::plan::plan>> mixed() {
  std::vector<std::pair<std::string, pl::plan::plan>> all{{"data 2, pipeline 2", mesh(2, 2, 1)},
                                                          {"data 2, tensor 2, stage 3", mesh(1, 2, 2, 3)},
                                                          {"tensor 2, pipeline 2", mesh(2, 1, 2)},
                                                          {"pipeline innermost, data 2", mesh(2, 2, 1, 1)}};
  all.back().second.order = "tensor.data.pipeline";
  return all;
}

/// What a checkpoint's folder is found to end with by every rank of a plan.
std::set<index_t> loaded(pl::plan::plan const& plan, std::string const& folder) {
  std::set<index_t> found;
  std::mutex guard;
  pl::comm::run_local(static_cast<int>(plan.ranks()), [&](pl::comm::communicator c) {
    pl::world w(std::move(c), 1);
    auto const step = newest(w, {.plan = plan, .folder = folder});
    std::lock_guard const lock(guard);
    found.insert(step);
  });
  return found;
}

}  // namespace

TEST_CASE("nobody ends or hangs where nothing goes wrong") {
  folder const f;
  for (auto const& [name, plan] : layouts) {
    INFO(name);
    for (auto const& s : words_of({plan, 1, "", how::fail, 60, f.path()})) CHECK(s == "nothing");
  }
}

TEST_CASE("a rank that fails in any phase of a step ends all others, with its own sentence") {
  folder const f;
  for (auto const& [name, plan] : layouts)
    for (std::string const point : points) {
      int const rank = victim(plan, point);
      auto const said = words_of({plan, rank, point, how::fail, -1, f.path()});
      INFO(name << ", " << point);
      for (std::size_t r = 0; r < said.size(); ++r) {
        INFO("rank " << r << ": " << said[r]);
        bool const reason = said[r].find("sabotage at " + point) != std::string::npos;
        if (static_cast<int>(r) == rank) CHECK(reason);
        else
          CHECK(((reason && said[r].find("ended early") != std::string::npos) ||
                 said[r].find("left while an exception unwound its stack") != std::string::npos));
      }
      // Inside of a walk a rank's own words say where it was.
      if (point == "input" || point == "forward" || point == "loss" || point == "backward" || point == "exchange")
        CHECK(said[static_cast<std::size_t>(rank)].find("step 1, ") != std::string::npos);
    }
}

TEST_CASE("a rank that hangs in any phase of a step is given up, and the sentence names step, phase and tensor") {
  folder const f;
  // Where the others are when they miss a rank: a phase of step 1, or the save after it. What a rank has started goes
  // on without it, so the others may have come further than the one that hangs. on a mesh the norm sums over its axes,
  // too
  std::vector<std::string> const walking{"step 1, the first input: ", "step 1, at ", "step 1, pipeline rank ",
                                         "step 1, reduce: the gradients of '", "step 1, the norm of the gradient: "},
      after{"step 1, reduce: ", "step 1, the norm of the gradient: ", "step 1, the optimizer's step: the parameters '",
            "save_checkpoint('" + f.path() + "'): step 2: "};
  std::map<std::string, std::vector<std::string>> phases;
  for (std::string const point : {"input", "forward", "loss", "backward", "exchange"}) phases[point] = walking;
  for (std::string const point : {"reduce", "norm", "step", "save"}) phases[point] = after;
  phases["begin"] = {"the agreement on what each rank contributes: "};
  std::size_t number = 0;  // every third pair: each point under three layouts
  for (auto const& [name, plan] : layouts)
    for (std::string const point : points) {
      if (++number; (number + number / std::size(points)) % 3 != 0) continue;
      int const rank = victim(plan, point);
      // A machine may be so busy that a rank is given up that would have come: then once more, with more patience.
      std::string wrong;
      for (double patience : {0.25, 1.0, 4.0, 16.0}) {
        wrong.clear();
        auto const said = words_of({plan, rank, point, how::hang, patience, f.path()});
        int given_up = 0;
        for (std::size_t r = 0; r < said.size(); ++r) {
          if (said[r] == "nothing") wrong += "rank " + std::to_string(r) + " says nothing\n";
          if (static_cast<int>(r) == rank || said[r].find("did not come") == std::string::npos ||
              said[r].find("ended early") != std::string::npos)
            continue;
          ++given_up;
          bool named = false;
          for (auto const& words : phases.at(point)) named = named || said[r].find(words) != std::string::npos;
          if (!named) wrong += "rank " + std::to_string(r) + ": " + said[r] + "\n";
        }
        if (given_up == 0) wrong += "nobody was given up\n";
        if (wrong.empty()) break;
      }
      INFO(name << ", " << point);
      CHECK(wrong == "");
    }
}

TEST_CASE(
    "on a mesh of several axes a rank that fails or hangs is one sentence of every rank, and what was saved before "
    "loads") {
  for (auto const& [name, plan] : mixed())
    for (std::string const point : points)
      for (how const what : {how::fail, how::hang}) {
        folder const f;
        int const rank = victim(plan, point);
        std::string heard;
        // others that hang would end, too late, after a minute
        auto const said = words_of({plan, rank, point, what, what == how::hang ? 0.25 : 60, f.path()}, &heard);
        INFO(name << ", " << point << (what == how::hang ? " hangs" : " fails") << ": " << heard);
        for (std::size_t r = 0; r < said.size(); ++r) {
          INFO("rank " << r << ": " << said[r]);
          CHECK((said[r].starts_with("pleat: ") && said[r].find('\n') == std::string::npos));
          CHECK((what == how::hang || said[r].find("waited ") == std::string::npos));
        }
        // The program's sentence is one rank's own: that of the one that failed, or of one that waited in vain.
        CHECK(heard.rfind("pleat: ") == 0);
        if (what == how::fail) CHECK(heard == said[static_cast<std::size_t>(rank)]);
        else
          CHECK((std::find(said.begin(), said.end(), heard) != said.end() &&
                 heard.find("waited 0.25 s, and ") != std::string::npos));
        CHECK((loaded(plan, f.path()) == std::set<index_t>{1}));  // it ended in step 1, before that was saved
        CHECK((loaded(mesh(1, 1, 1), f.path()) == std::set<index_t>{1}));
      }
}

TEST_CASE("who waits for another stage says for which tensor") {
  auto plan = mesh(3, 1, 1);  // 24 rows in three micro-batches
  plan.cuts = {2, 5};         // first, trap | relu, second, trap | third, relu, trap, fourth
  struct expectation {
    int hangs;
    std::string point;
    std::vector<std::string> words;  // of each rank; empty: the one that hangs
  };
  std::string const back =
      "step 1, pipeline rank 0, at backward of micro-batch 0 on stage 0: the gradient between 'first' and 'second' "
      "(micro-batch 0, [8, 10], stage 1 to stage 0): ";
  for (auto const& e :
       std::vector<expectation>{{1,
                                 "forward",
                                 {back, "",
                                  "step 1, pipeline rank 2, at forward of micro-batch 0 on stage 2: the activation "
                                  "between 'second' and 'third' (micro-batch 0, [8, 14], stage 1 to stage 2): "}},
                                {2,
                                 "loss",
                                 {back,
                                  "step 1, pipeline rank 1, at backward of micro-batch 0 on stage 1: the gradient "
                                  "between 'second' and 'third' (micro-batch 0, [8, 14], stage 2 to stage 1): ",
                                  ""}}}) {
    std::string wrong;
    // a machine may be so busy that a rank is given up before it comes to where it waits
    for (double patience : {0.5, 2.0, 8.0, 32.0}) {
      wrong.clear();
      auto const said = words_of({plan, e.hangs, e.point, how::hang, patience, {}});
      bool waited = false;
      for (std::size_t r = 0; r < said.size(); ++r) {
        if (e.words[r].empty()) continue;
        waited = waited || said[r].find(" did not come") != std::string::npos;
        if (said[r].find("pleat: rank " + std::to_string(r) + ": parallel::walk: " + e.words[r]) != 0)
          wrong += "rank " + std::to_string(r) + ": " + said[r] + "\n";
      }
      if (!waited) wrong += "nobody waited\n";
      if (wrong.empty()) break;
    }
    INFO(e.point);
    CHECK(wrong == "");
  }
}
