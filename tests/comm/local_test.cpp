// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Ranks as threads: the operation matrix, many requests at once, failures that must not hang.
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <fstream>
#include <limits>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <comm/op_matrix.hpp>
#include <pleat/comm/detail/combine.hpp>
#include <pleat/comm/local.hpp>
#include <pleat/comm/self.hpp>
#include <support/sanitizers.hpp>

#if defined(__GLIBC__)
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>
#endif

using namespace pleat;
using Catch::Matchers::ContainsSubstring;

namespace {

/// Runs f on n ranks and returns what each of them says: findings, or the error that it ended with.
template <class F> std::vector<std::string> on_ranks(int n, F const& f) {
  std::vector<std::string> said(static_cast<std::size_t>(n));
  comm::run_local(n, [&](comm::communicator c) {
    auto& mine = said[static_cast<std::size_t>(c.rank())];
    try {
      f(c, mine);
    } catch (error const& e) {
      mine = e.what();
    }
  });
  return said;
}

std::string joined(pleat_test::findings const& f) {
  std::string s;
  for (auto const& x : f.list) s += x + "; ";
  return s;
}

}  // namespace

TEST_CASE("local: every operation agrees with the oracle on any number of ranks") {
  int const ranks = GENERATE(1, 2, 3, 4, 7);
  for (auto const &s : on_ranks(ranks, [](comm::communicator& c, std::string& said) {
         said = joined(pleat_test::run_op_matrix(c, true));
       })) {
    INFO(ranks << " ranks");
    CHECK(s == "");
  }
}

TEST_CASE("local: a result within the operand is right where this rank's own elements are, and refused elsewhere") {
  index_t const n = 1 << 16;  // large enough to be shared out among the ranks
  auto const said = on_ranks(2, [&](comm::communicator& c, std::string& mine) {
    std::vector<float> v(static_cast<std::size_t>(2 * n), static_cast<float>(c.rank() + 1));
    auto const own = std::span(v).subspan(static_cast<std::size_t>(c.rank() * n), static_cast<std::size_t>(n));
    c.reduce_scatter(v, own);
    if (std::ranges::count(own, 3.0F) != n) mine += "reduce_scatter in place is wrong; ";
    std::ranges::fill(own, static_cast<float>(c.rank() + 1));
    c.all_gather(own, v);
    if (std::ranges::count(v, 1.0F) != n || std::ranges::count(v, 2.0F) != n) mine += "all_gather in place is wrong; ";
    auto const others = std::span(v).subspan(static_cast<std::size_t>((1 - c.rank()) * n), static_cast<std::size_t>(n));
    for (bool const scatter : {true, false}) try {
        scatter ? c.reduce_scatter(v, others) : c.all_gather(others, v);
        mine += "an overlap went through; ";
      } catch (error const& e) {
        std::string const remedy = std::string("or as ") + (scatter ? "out" : "in") + " the 65536 elements of " +
                                   (scatter ? "in" : "out") + " from element " + std::to_string(c.rank() * n);
        if (std::string(e.what()).find(remedy) == std::string::npos) mine += e.what();
      }
  });
  for (auto const& s : said) CHECK(s == "");
}

TEST_CASE("local: large buffers are shared out among the ranks") {
  int const ranks = GENERATE(2, 3);
  for (auto const &s : on_ranks(ranks, [](comm::communicator& c, std::string& said) {
         pleat_test::findings f;
         pleat_test::op_matrix m(c, f, 3, false);
         m.run<float>({1 << 20});
         said = joined(f);
       }))
    CHECK(s == "");
}

TEST_CASE("local: requests may be finished in any order") {
  int const ranks = GENERATE(1, 2, 5);
  for (auto const &s : on_ranks(ranks, [](comm::communicator& c, std::string& said) {
         for (int i = 0; i < 20; ++i) said += joined(pleat_test::run_many_requests(c));
       }))
    CHECK(s == "");
}

TEST_CASE("local: sums go over ascending ranks, so that they have the same bits each time") {
  constexpr int ranks = 4;
  constexpr std::size_t n = 20000;
  auto const x = [](int r, std::size_t i) {
    return 1.0f / static_cast<float>(i * 31 + static_cast<std::size_t>(r) * 7 + 1);
  };
  for (auto const &s : on_ranks(ranks, [&](comm::communicator& c, std::string& said) {
         std::vector<float> v(n), w(n);
         for (std::size_t i = 0; i < n; ++i) {
           v[i] = x(c.rank(), i);
           w[i] = ((x(0, i) + x(1, i)) + x(2, i)) + x(3, i);
         }
         c.all_reduce(v);
         if (v != w) said = "other bits";
       }))
    CHECK(s == "");
}

TEST_CASE("local: 16-bit floats are added in float and rounded once") {
  // 256 + 1 is 256 in bfloat16 (8 bits), so adding 1 seven times there leaves 256; in float it gives 263, which rounds
  // to 264
  for (auto const &s : on_ranks(8, [](comm::communicator& c, std::string& said) {
         std::vector<bfloat16> v{bfloat16(c.rank() == 0 ? 256.0f : 1.0f)};
         c.all_reduce(v);
         said = std::to_string(static_cast<float>(v[0]));
       }))
    CHECK(s == std::to_string(264.0f));
}

TEST_CASE("local: split orders by key and separates traffic") {
  for (auto const &s : on_ranks(5, [](comm::communicator& c, std::string& said) {
         auto half = c.split(c.rank() % 2, -c.rank());
         auto const sum = half.all_reduce_value(c.rank());
         bool const even = c.rank() % 2 == 0;
         if (half.size() != (even ? 3 : 2)) said += "size ";
         if (half.rank() != (even ? (4 - c.rank()) / 2 : (3 - c.rank()) / 2)) said += "rank ";
         if (sum != (even ? 6 : 4)) said += "sum ";
         auto none = c.split(c.rank() == 0 ? -1 : 0, 0);
         if (static_cast<bool>(none) != (c.rank() != 0)) said += "negative color ";
         auto twin = c.duplicate();
         auto r = c.iall_reduce(std::span<int>{});
         if (twin.all_reduce_value(1) != 5) said += "duplicate ";
         r.wait();
       }))
    CHECK(s == "");
}

TEST_CASE("local: messages match by source and tag in the order in which they were sent") {
  for (auto const &s : on_ranks(2, [](comm::communicator& c, std::string& said) {
         int a = 0, b = 0, d = 0;
         if (c.rank() == 0) {
           a = 1, b = 2, d = 3;
           auto r1 = c.isend(std::span(&a, 1), 1, 7);
           auto r2 = c.isend(std::span(&b, 1), 1, 7);
           auto r3 = c.isend(std::span(&d, 1), 1, 8);
           r3.wait();
           r2.wait();
           r1.wait();
         } else {
           c.receive(std::span(&d, 1), 0, 8);
           c.receive(std::span(&a, 1), 0, 7);
           c.receive(std::span(&b, 1), 0, 7);
         }
         said = std::to_string(a) + std::to_string(b) + std::to_string(d);
       }))
    CHECK(s == "123");
}

TEST_CASE("local: a rank that dies releases the others, who name it") {
  auto said = std::vector<std::string>(3);
  std::string thrown;
  try {
    comm::run_local(3, [&](comm::communicator c) {
      auto part = c.split(0, 0);
      if (c.rank() == 1) throw error{"the test", "rank 1 has had enough"};
      try {
        c.rank() == 0 ? c.barrier() : part.barrier();
      } catch (error const& e) {
        said[static_cast<std::size_t>(c.rank())] = e.what();
        throw;
      }
    });
  } catch (error const& e) {
    thrown = e.what();
  }
  CHECK(thrown == "pleat: the test: rank 1 has had enough");
  CHECK_THAT(said[0], ContainsSubstring("rank 0: barrier: rank 1 ended early") && ContainsSubstring("has had enough"));
  CHECK_THAT(said[2], ContainsSubstring("rank 2: barrier: rank 1 ended early"));
}

TEST_CASE("local: what is thrown is the error of the rank that failed, not of one that it had released before") {
  std::string thrown;
  std::atomic<bool> gone{false};
  try {
    comm::run_local(2, [&](comm::communicator c) {
      struct at_end {
        std::atomic<bool>& flag;
        ~at_end() { flag = true; }
      };
      struct slow_end {  // its rank does not get to its end before the other one has come to its own
        comm::communicator& c;
        ~slow_end() {
          int x = 0;
          try {
            for (;;) {
              auto const r = c.isend(std::span(&x, 1), 0);
              std::this_thread::yield();
            }
          } catch (error const&) {  // rank 0 ended early
          }
        }
      };
      auto part = c.split(0, -c.rank());
      if (c.rank() == 0) {
        while (!gone) std::this_thread::yield();
        return part.barrier();
      }
      slow_end const last{c};
      at_end const after{gone};  // the request has been taken down
      auto const lonely = part.ibarrier();
      throw error{"the test", "rank 1 has had enough"};
    });
  } catch (error const& e) {
    thrown = e.what();
  }
  CHECK(thrown == "pleat: the test: rank 1 has had enough");
}

TEST_CASE("local: requests under way when a rank dies end with its name, and destructors do not hang") {
  std::atomic<bool> gone{false}, entered{false};
  struct at_end {
    std::atomic<bool>& flag;
    ~at_end() { flag = true; }
  };
  auto const said = on_ranks(2, [&](comm::communicator& c, std::string& mine) {
    std::vector<float> v(3);
    auto r = c.iall_reduce(v);
    if (c.rank() == 0) entered = true;
    while (!entered) std::this_thread::yield();  // a sum that both have entered is brought to its end
    if (c.rank() == 1) {
      at_end const last{gone};
      int x = 0;
      auto q = c.ireceive(std::span(&x, 1), 0, 1);
      auto lonely = c.ibarrier();
      throw error{"the test", "gone"};
    }
    r.wait();
    while (!gone) std::this_thread::yield();
    c.barrier();
    mine = "not reached";
  });
  CHECK_THAT(said[0], ContainsSubstring("rank 0: barrier: rank 1 left while an exception unwound its stack"));
  CHECK_THAT(said[1], ContainsSubstring("gone"));
}

TEST_CASE("a time-out of infinity waits for ever") {
  comm::run_local(2, [](comm::communicator c) {
    c.set_timeout(std::numeric_limits<double>::infinity());
    if (c.rank() == 1) std::this_thread::sleep_for(std::chrono::milliseconds(50));  // the other one is asleep by then
    if (c.all_reduce_value(1) != 2) throw std::runtime_error("another sum");
    if (c.rank() == 1) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    int x = c.rank();
    if (c.rank() == 0) c.receive(std::span<int>(&x, 1), 1);
    else c.send(std::span<int>(&x, 1), 0);
    if (x != 1) throw std::runtime_error("another message");
  });
}

TEST_CASE("local: a time-out names who did not come, on every rank that waits, and on the one that comes too late") {
  std::atomic<int> waiting{0}, gave_up{0};
  auto const said = on_ranks(4, [&](comm::communicator& c, std::string&) {
    c.set_timeout(0.05);
    if (c.rank() % 2 == 1) {  // arrives when the others have given up, whenever that is
      while (gave_up.load() < 2) std::this_thread::yield();
      if (c.rank() == 3) return;
      c.barrier();
    }
    try {
      auto r = c.ibarrier();
      ++waiting;
      while (waiting.load() < 2) std::this_thread::yield();  // neither is given up by the other one
      r.wait();
    } catch (...) {
      ++gave_up;
      throw;
    }
  });
  CHECK_THAT(said[0], ContainsSubstring("rank 0: barrier: waited 0.05 s, and ranks 1, 3 did not come"));
  CHECK_THAT(said[2], ContainsSubstring("rank 2: barrier: waited 0.05 s, and ranks 1, 3 did not come"));
  CHECK_THAT(said[1], ContainsSubstring("rank 1: barrier: waited 0.05 s, and ranks 1, 3 did not come"));
  CHECK(said[3] == "");
}

TEST_CASE("local: a time-out of a message names the peer; a scope restores the time-out before") {
  auto const said = on_ranks(2, [](comm::communicator& c, std::string&) {
    if (c.rank() == 1) return;
    {
      auto const scope = c.with_timeout(0.02);
      CHECK(c.timeout() == 0.02);
    }
    CHECK(c.timeout() < 0);
    auto const scope = c.with_timeout(0.02);
    int x = 0;
    c.receive(std::span(&x, 1), 1, 3);
  });
  CHECK_THAT(said[0],
             ContainsSubstring("rank 0: receive(I32 x 1, from 1, tag 3): waited 0.02 s, and rank 1 did not come"));
}

TEST_CASE("local: ranks that ask for different things all throw the same sentence") {
  auto const said = on_ranks(3, [](comm::communicator& c, std::string&) {
    std::vector<float> v(c.rank() == 2 ? 5 : 4);
    c.all_reduce(v);
  });
  for (auto const& s : said)
    CHECK_THAT(s, ContainsSubstring(": all_reduce: rank 2 asks for all_reduce(F32 x 5, sum) where rank 0 asks for "
                                    "all_reduce(F32 x 4, sum)"));
}

TEST_CASE("local: a message of another size fails on both sides") {
  auto const said = on_ranks(2, [](comm::communicator& c, std::string&) {
    std::vector<double> v(c.rank() == 0 ? 3 : 4);
    if (c.rank() == 0) c.send(v, 1, 2);
    else c.receive(v, 0, 2);
  });
  for (auto const& s : said)
    CHECK_THAT(s, ContainsSubstring(
                      "rank 0 sends send(F64 x 3, to 1, tag 2), but rank 1 expects receive(F64 x 4, from 0, tag 2)"));
}

#if defined(__GLIBC__)
TEST_CASE("local: where the system has no thread for a rank, a sentence says so, and the rank that waits is released",
          "[limit]") {
#if defined(PLEAT_TEST_ADDRESS_SANITIZER) || defined(__SANITIZE_THREAD__)
  SKIP("sanitizers do not live with a bound on the address space");
#endif
  // Room for one stack of 1 GiB: rank 1 has a thread, and waits for rank 2, which has none.
  pthread_attr_t usual, large;
  REQUIRE(pthread_getattr_default_np(&usual) == 0);
  REQUIRE(pthread_attr_init(&large) == 0);
  REQUIRE(pthread_attr_setstacksize(&large, std::size_t{1} << 30) == 0);
  rlimit before;
  REQUIRE(getrlimit(RLIMIT_AS, &before) == 0);
  rlim_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  REQUIRE(pages > 0);
  rlimit little = before;
  little.rlim_cur = pages * static_cast<rlim_t>(sysconf(_SC_PAGESIZE)) + (rlim_t{3} << 29);
  std::string said, released;
  REQUIRE(pthread_setattr_default_np(&large) == 0);
  REQUIRE(setrlimit(RLIMIT_AS, &little) == 0);
  try {
    comm::run_local(3, [&](comm::communicator c) {
      try {
        c.barrier();
      } catch (error const& e) {
        released = e.what();
        throw;
      }
    });
  } catch (error const& e) {
    said = e.what();
  }
  REQUIRE(setrlimit(RLIMIT_AS, &before) == 0);
  REQUIRE(pthread_setattr_default_np(&usual) == 0);
  pthread_attr_destroy(&large);
  pthread_attr_destroy(&usual);
  CHECK_THAT(said, ContainsSubstring("comm::run_local: the system started 1 of the 2 threads that 3 ranks need"));
  CHECK_THAT(released, ContainsSubstring("rank 1: barrier: rank 2 ended early: the system has no thread for it"));
}
#endif

TEST_CASE("local: a group needs a rank, and a rank must be in the group") {
  CHECK_THROWS_AS(comm::local_group(0), error);
  comm::local_group const group(2);
  CHECK_THROWS_AS(group.communicator(2), error);
  CHECK_THROWS_AS(group.communicator(-1), error);
}

TEST_CASE("local: what others give is copied first by those who want it") {
  comm::detail::local_core core(2);
  std::vector<std::vector<float>> in(2, std::vector<float>(2 * 8192)), out(2, std::vector<float>(4 * 8192, -1.0f));
  comm::detail::local_core::collective* op = nullptr;
  for (int r = 0; r < 2; ++r) {
    auto& mine = in[static_cast<std::size_t>(r)];
    auto& all = out[static_cast<std::size_t>(r)];
    std::fill(mine.begin(), mine.end(), static_cast<float>(r));
    op = &core.arrive(r, 0,
                      {.kind = comm::call_kind::all_gather,
                       .in = {mine.data(), static_cast<index_t>(mine.size()), dtype::f32},
                       .out = {all.data(), static_cast<index_t>(all.size()), dtype::f32}});
  }
  CHECK(out[1].front() == 0.0f);  // rank 1 came last, and has taken rank 0's block
  CHECK(out[1].back() == -1.0f);
  CHECK(core.help(*op, 0));
  CHECK(out[0] == out[1]);
  CHECK(out[0].back() == 1.0f);
  for (int r = 0; r < 2; ++r) core.leave(*op);
}

TEST_CASE("the rank that comes last takes its share of the work and leaves the others theirs") {
  for (int ranks : {1, 2, 3}) {
    comm::detail::local_core core(ranks);
    // 6 chunks
    std::vector<std::vector<float>> data(static_cast<std::size_t>(ranks), std::vector<float>(6 * 8192, 1.0f));
    comm::detail::local_core::collective* op = nullptr;
    for (int r = 0; r < ranks; ++r) {
      auto& mine = data[static_cast<std::size_t>(r)];
      comm::buffer const b{mine.data(), static_cast<index_t>(mine.size()), dtype::f32};
      op = &core.arrive(r, 0, {.kind = comm::call_kind::all_reduce, .in = b, .out = b});
    }
    INFO(ranks << " ranks");
    REQUIRE(op->chunks == 6);
    CHECK(op->finished == 6 / ranks);
    // its share is the last region; the first one is left to rank 0, in whose memory it lies afterwards
    CHECK(data[0].back() == static_cast<float>(ranks));
    CHECK(data[0][static_cast<std::size_t>(op->region(ranks - 1)) * 8192] == static_cast<float>(ranks));
    CHECK(data[0].front() == 1.0f);
    CHECK(core.help(*op, 0));  // whoever polls does the rest
    for (auto const& d : data) CHECK(d == std::vector<float>(6 * 8192, static_cast<float>(ranks)));
    for (int r = 0; r < ranks; ++r) core.leave(*op);
  }
}

TEST_CASE("additions have the same bits by any instruction set, into a buffer of their own and in place") {
  auto const check = [](auto one) {
    using T = decltype(one);
    std::vector<T> a, b;
    for (int i = 0; i < 70; ++i) {
      a.push_back(static_cast<T>(i % 7 == 0 ? -0.0 : 1.0 / (i + 1)));
      b.push_back(i % 11 == 0   ? static_cast<T>(-0.0)
                  : i % 13 == 0 ? std::numeric_limits<T>::infinity()
                  : i % 5 == 0  ? std::numeric_limits<T>::denorm_min() * static_cast<T>(i)
                                : static_cast<T>(i) / 3);
    }
    for (index_t n = 0; n <= 70; ++n) {
      auto expected = a, apart = a, first = a, second = b;
      comm::detail::add_loop(expected.data(), a.data(), b.data(), n);
      comm::detail::add_blocks(apart.data(), a.data(), b.data(), n);
      comm::detail::add_blocks(first.data(), first.data(), b.data(), n);
      comm::detail::add_blocks(second.data(), a.data(), second.data(), n);
      auto const bytes = static_cast<std::size_t>(n) * sizeof(T);
      REQUIRE(std::memcmp(apart.data(), expected.data(), a.size() * sizeof(T)) == 0);  // and nothing beyond n
      REQUIRE(std::memcmp(first.data(), expected.data(), a.size() * sizeof(T)) == 0);
      REQUIRE(std::memcmp(second.data(), expected.data(), bytes) == 0);
    }
  };
  check(1.0f);
  check(1.0);
}
