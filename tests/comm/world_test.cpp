// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A world speaks on rank 0, through a sink that anybody can replace, and says a note once.
#include <catch2/catch_test_macros.hpp>

#include <mutex>
#include <string>
#include <vector>

#include <pleat/comm/local.hpp>
#include <pleat/comm/world.hpp>

using namespace pleat;

TEST_CASE("world: only rank 0 is heard, and a key is said once") {
  std::vector<std::string> heard;
  std::mutex guard;
  comm::run_local(3, [&](comm::communicator c) {
    world w(std::move(c), 2);
    w.set_sink([&](std::string_view line) {
      std::lock_guard const lock(guard);
      heard.emplace_back(line);
    });
    w.say("one");
    w.say_once("k", "two");
    w.say_once("k", "three");
    w.say_once("other", "four");
    if (w.size() != 3 || w.threads != 2 || w.root() != (w.rank() == 0)) w.say("wrong");
    w.set_sink(nullptr);
    w.say("silenced");
  });
  CHECK(heard == std::vector<std::string>{"one", "two", "four"});
}
