// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/comm/agree.hpp>

#include <pleat/comm/local.hpp>
#include <pleat/comm/self.hpp>

#include <catch2/catch_test_macros.hpp>

#include <string>
#include <vector>

using namespace pleat;

namespace {
/// What each of three ranks is told.
template <class F> std::vector<std::string> told(F const& f) {
  std::vector<std::string> said(3);
  comm::run_local(3, [&](comm::communicator c) {
    try {
      f(c);
    } catch (error const& e) {
      said[static_cast<std::size_t>(c.rank())] = e.what();
    }
    if (c.all_reduce_value(1) != 3) said[0] += " and the ranks are out of step";
  });
  return said;
}
std::string of_rank(int r, std::string const& words) { return "pleat: rank " + std::to_string(r) + ": " + words; }
}  // namespace

TEST_CASE("numbers that ranks must have alike: one that differs is named on every rank") {
  for (auto const& s : told([](auto& c) { comm::agree_on_hash(c, 7, "the call", "plan", "Do this"); }))
    CHECK(s.empty());
  auto const said = told([](auto& c) { comm::agree_on_hash(c, c.rank() == 2 ? 8 : 7, "the call", "plan", "Do this"); });
  for (int r = 0; r < 3; ++r)
    CHECK(said[static_cast<std::size_t>(r)] ==
          of_rank(r, "the call: rank 2 has another plan than rank 0 (hash 8, not 7). Do this"));
}

TEST_CASE("texts that ranks must have alike: the first line that differs is said on every rank") {
  auto const agree = [](comm::communicator& c, std::string const& text) {
    comm::agree_on_text(c, text, "the call", "the network", "Do this");
  };
  for (auto const& s : told([&](auto& c) { agree(c, "a\nb"); })) CHECK(s.empty());
  for (auto const& s : told([&](auto& c) { agree(c, ""); })) CHECK(s.empty());
  auto const other = told([&](auto& c) { agree(c, c.rank() == 1 ? "a\nc\nd" : "a\nb\nd"); });
  auto const more = told([&](auto& c) { agree(c, c.rank() == 0 ? "a" : "a\nb"); });
  auto const none = told([&](auto& c) { agree(c, c.rank() == 2 ? "" : "a"); });
  for (int r = 0; r < 3; ++r) {
    auto const at = static_cast<std::size_t>(r);
    CHECK(other[at] == of_rank(r, "the call: the network of rank 1 is not that of rank 0: c there, b here. Do this"));
    CHECK(more[at] ==
          of_rank(r, "the call: the network of rank 1 is not that of rank 0: b there, nothing here. Do this"));
    CHECK(none[at] ==
          of_rank(r, "the call: the network of rank 2 is not that of rank 0: nothing there, a here. Do this"));
  }
  comm::communicator one = comm::self();
  CHECK_NOTHROW(agree(one, "a"));
}
