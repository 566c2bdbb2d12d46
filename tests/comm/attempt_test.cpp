// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/comm/attempt.hpp>

#include <pleat/comm/local.hpp>

#include <catch2/catch_test_macros.hpp>

#include <array>
#include <cstdint>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

namespace comm = pleat::comm;

/// What every rank of so many hears when f(rank, ranks) has run on all; "nothing" where nothing was thrown.
template <class F> std::vector<std::string> heard(int ranks, F const& f) {
  std::vector<std::string> said(static_cast<std::size_t>(ranks), "nothing");
  std::vector<int> together(static_cast<std::size_t>(ranks), 0);
  comm::run_local(ranks, [&](comm::communicator c) {
    c.set_timeout(100);
    try {
      f(c);
    } catch (pleat::error const& e) {
      said[static_cast<std::size_t>(c.rank())] = e.call() + "|" + e.problem() + "|" + e.remedy();
    }
    together[static_cast<std::size_t>(c.rank())] = c.all_reduce_value(1);
  });
  // all were at the same call, whatever happened
  CHECK(together == std::vector<int>(static_cast<std::size_t>(ranks), ranks));
  return said;
}

/// A transport of one's own that can what training needs: it adds floats.
struct adds_floats {
  comm::communicator over;
  [[nodiscard]] int rank() const { return over.rank(); }
  [[nodiscard]] int size() const { return over.size(); }
  void all_reduce(comm::const_buffer in, comm::buffer out, comm::reduction op) {
    if (in.type != pleat::dtype::f32 || op != comm::reduction::sum)
      throw pleat::error{"adds_floats", "asked for something else"};
    over.run({.kind = comm::call_kind::all_reduce, .in = in, .out = out, .op = op});
  }
};

}  // namespace

TEST_CASE("where nobody fails nothing is said, with one sum of floats") {
  for (int const ranks : {1, 2, 3, 4}) {
    std::vector<int> ran(static_cast<std::size_t>(ranks), 0);
    using counts = std::array<std::uint64_t, 3>;
    std::vector<counts> counted(ran.size());  // assertions are for one thread
    auto const said = heard(ranks, [&](comm::communicator& c) {
      comm::all_or_none(c, [&] { ++ran[static_cast<std::size_t>(c.rank())]; });
      counted[static_cast<std::size_t>(c.rank())] = {c.counted(comm::call_kind::all_reduce).calls,
                                                     c.counted(comm::call_kind::all_reduce).bytes,
                                                     c.counted(comm::call_kind::broadcast).calls};
    });
    CHECK((counted == std::vector<counts>(ran.size(), counts{1, sizeof(float), 0})));
    CHECK(said == std::vector<std::string>(static_cast<std::size_t>(ranks), "nothing"));
    CHECK(ran == std::vector<int>(static_cast<std::size_t>(ranks), 1));
  }
}

TEST_CASE("whether work failed, where, and its words are heard over a transport of one's own that only adds floats") {
  for (int const ranks : {1, 2, 3})
    for (int lowest = 0; lowest <= ranks; ++lowest) {  // ranks: nobody fails
      std::string const words =
          "not \xc3\xbc"
          "ber\nall";  // letters beyond 127 too
      auto const said = heard(ranks, [&](comm::communicator& c) {
        comm::communicator own{adds_floats{c.duplicate()}};
        comm::all_or_none(own, [&] {
          if (c.rank() >= lowest) throw pleat::error{"work of rank " + std::to_string(c.rank()), words, "do this"};
        });
      });
      CHECK(said ==
            std::vector<std::string>(
                static_cast<std::size_t>(ranks),
                lowest == ranks ? "nothing" : "work of rank " + std::to_string(lowest) + "|" + words + "|do this"));
    }
}

TEST_CASE("of several that fail, every rank hears the lowest, word for word") {
  for (int const ranks : {1, 2, 3, 4})
    for (int lowest = 0; lowest < ranks; ++lowest) {
      auto const said = heard(ranks, [&](comm::communicator& c) {
        comm::all_or_none(c, [&] {
          if (c.rank() >= lowest)
            throw pleat::error{"io::read of rank " + std::to_string(c.rank()), "line one\nand two",
                               c.rank() % 2 == 0 ? "do this" : ""};
        });
      });
      std::string const of =
          "io::read of rank " + std::to_string(lowest) + "|line one\nand two|" + (lowest % 2 == 0 ? "do this" : "");
      CHECK(said == std::vector<std::string>(static_cast<std::size_t>(ranks), of));
    }
}

TEST_CASE("a remedy of several lines stays the remedy") {
  CHECK(heard(2, [](comm::communicator& c) {
          comm::all_or_none(c, [] { throw pleat::error{"a\ncall", "a\nproblem", "do this\nthen that\n"}; });
        }) == std::vector<std::string>(2, "a\ncall|a\nproblem|do this\nthen that\n"));
}

TEST_CASE("exceptions of other kinds are heard too") {
  auto const std_one = heard(3, [](comm::communicator& c) {
    comm::all_or_none(c, [&] {
      if (c.rank() == 2) throw std::runtime_error("out of luck");
    });
  });
  CHECK(std_one == std::vector<std::string>(3, "comm::attempt|out of luck|"));
  auto const number = heard(2, [](comm::communicator& c) {
    comm::all_or_none(c, [&] {
      if (c.rank() == 1) throw 42;
    });
  });
  CHECK(number == std::vector<std::string>(2, "comm::attempt|an exception that is no std::exception|"));
}

TEST_CASE("what rank 0 does alone: the others wait for it, and hear what became of it") {
  int ran = 0;
  CHECK(heard(3, [&](comm::communicator& c) { comm::on_root(c, [&] { ++ran; }); }) ==
        std::vector<std::string>(3, "nothing"));
  CHECK(ran == 1);
  CHECK(heard(3, [](comm::communicator& c) {
          comm::on_root(c, [] { throw pleat::error{"io::write", "the disk is full"}; });
        }) == std::vector<std::string>(3, "io::write|the disk is full|"));
}

TEST_CASE("of many pieces the first failure of the lowest rank is heard at the end, and the pieces after it have run") {
  std::vector<int> ran(3, 0);
  auto const said = heard(3, [&](comm::communicator& c) {
    comm::attempts pieces;
    for (int i = 0; i < 4; ++i)
      pieces([&] {
        ++ran[static_cast<std::size_t>(c.rank())];
        if (c.rank() > 0 && i >= c.rank())
          throw pleat::error{"piece", std::to_string(i) + " of rank " + std::to_string(c.rank())};
      });
    pieces.meet(c);
  });
  CHECK(said == std::vector<std::string>(3, "piece|1 of rank 1|"));
  CHECK(ran == std::vector<int>(3, 4));

  // In the middle of what others wait for: now, though the pieces go on where they fail.
  comm::attempts pieces;
  CHECK_NOTHROW(pieces([] { throw pleat::error{"piece", "later"}; }));
  CHECK_NOTHROW(pieces([] { comm::whole_or_broken_off(false, [] { throw pleat::error{"piece", "later"}; }); }));
  CHECK_THROWS_AS(pieces([] { comm::whole_or_broken_off(true, [] { throw std::bad_alloc(); }); }), comm::broken_off);

  comm::attempts at_once(true);
  CHECK_THROWS_AS(at_once([] { throw pleat::error{"piece", "now"}; }), pleat::error);
}

TEST_CASE("rank 0's text, of any length") {
  for (std::string const text : {"", "a", "two\nlines"}) {
    std::vector<std::string> all(3, "something else");
    comm::run_local(3, [&](comm::communicator c) {
      auto& mine = all[static_cast<std::size_t>(c.rank())];
      if (c.rank() == 0) mine = text;
      comm::share_text(c, mine);
    });
    CHECK(all == std::vector<std::string>(3, text));
  }
}
