// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A rank that fails or hangs in any phase of a step, under any layout: nobody waits for ever, and what is said names rank, step and phase.
#include "parallel/sabotage.hpp"

#include <catch2/catch_test_macros.hpp>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "support/scratch_folder.hpp"

namespace {

using namespace sabotage;

using folder = pleat_test::scratch_folder;

/// What each rank says.
std::vector<std::string> words_of(options o) {
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
  } catch (std::exception const&) {
  }
  return said;
}

std::vector<std::pair<std::string, pl::plan::plan>> const layouts{
    {"data 3", mesh(1, 3, 1)},           {"data 3, stage 1", mesh(1, 3, 1, 1)}, {"data 3, stage 2", mesh(1, 3, 1, 2)}, {"data 3, stage 3", mesh(1, 3, 1, 3)},
    {"tensor 2", mesh(1, 1, 2)},         {"pipeline 3", mesh(3, 1, 1)},         {"data 2, tensor 2", mesh(1, 2, 2, 2)}, {"pipeline 2, data 2", mesh(2, 2, 1, 3)},
    {"pipeline 2, tensor 2", mesh(2, 1, 2)}};

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
        else CHECK(((reason && said[r].find("ended early") != std::string::npos) || said[r].find("left while an exception unwound its stack") != std::string::npos));
      }
      // Inside of a walk a rank's own words say where it was.
      if (point == "input" || point == "forward" || point == "loss" || point == "backward" || point == "exchange") CHECK(said[static_cast<std::size_t>(rank)].find("step 1, ") != std::string::npos);
    }
}

TEST_CASE("a rank that hangs in any phase of a step is given up, and the sentence names step, phase and tensor") {
  folder const f;
  // Where the others are when they miss a rank: a phase of step 1, or the save after it. What a rank has started goes on without it, so the
  // others may have come further than the one that hangs.
  std::vector<std::string> const walking{"step 1, the first input: ", "step 1, at ", "step 1, pipeline rank ", "step 1, reduce: the gradients of '", "step 1, the norm of the gradient: "},  // on a mesh the norm sums over its axes, too
      after{"step 1, reduce: ", "step 1, the norm of the gradient: ", "step 1, the optimizer's step: the parameters '", "save_checkpoint('" + f.path() + "'): step 2: "};
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
          if (static_cast<int>(r) == rank || said[r].find("did not come") == std::string::npos || said[r].find("ended early") != std::string::npos) continue;
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
