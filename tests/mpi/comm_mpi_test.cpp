// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The MPI transport on 1 to 4 ranks. Each rank gathers what went wrong; the verdict is taken by all.
#include <support/collective.hpp>

#include <catch2/generators/catch_generators.hpp>

#include <fstream>
#include <string>
#include <vector>

#include <comm/lane_cases.hpp>
#include <comm/op_matrix.hpp>
#include <pleat/comm/mpi.hpp>

using namespace pleat;

static_assert(comm::full_transport<comm::mpi> && comm::runs_calls<comm::mpi> && comm::runs_briefly<comm::mpi>);

namespace {

void report(pleat_test::findings const& f) {
  std::string text;
  for (auto const& x : f.list) text += x + "; ";
  INFO("this rank found: " << text);
  COLLECTIVE_CHECK(f.list.empty());
}

template <class F> std::string what_of(F const& f) {
  try {
    f();
  } catch (error const& e) {
    return e.what();
  }
  return "no error";
}

bool contains(std::string const& text, std::string const& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("mpi: every operation agrees with the oracle, on a duplicate and on a borrowed communicator") {
  bool const own = GENERATE(true, false);
  comm::communicator c = own ? comm::mpi::duplicate(MPI_COMM_WORLD) : comm::mpi::borrow(MPI_COMM_WORLD);
  CHECK(c.rank() == pleat_test::world_rank());
  CHECK(c.size() == pleat_test::world_size());
  CHECK(c.name() == "mpi");
  report(pleat_test::run_op_matrix(c, own));
}

TEST_CASE("mpi: counts above the largest of one MPI call are cut into pieces") {
  // what 2^31 elements would need, at a limit of 7, with and without a time-out
  comm::communicator c = comm::mpi::duplicate(MPI_COMM_WORLD, {.max_count = 7});
  if (GENERATE(false, true)) c.set_timeout(100);
  pleat_test::findings f;
  pleat_test::op_matrix m(c, f, 5, false);
  m.run<float>({0, 1, 3, 7, 8, 37});
  m.run<bfloat16>({37});
  m.run<std::int64_t>({14, 37});
  report(f);
}

TEST_CASE("mpi: where parts go is each rank's own affair, beyond the largest count of one MPI call, too") {
  comm::communicator c = comm::mpi::duplicate(MPI_COMM_WORLD, {.max_count = 9});
  int const p = c.size(), me = c.rank();
  std::vector<index_t> counts, offsets;
  for (int r = 0; r < p; ++r) {
    counts.push_back(r == 1 ? 1 : 2);
    offsets.push_back(me == 0 ? 10 * (p - r) : 2 * r);  // rank 0's go beyond 9 elements, the others' do not
  }
  std::vector<int> const mine(static_cast<std::size_t>(counts[static_cast<std::size_t>(me)]), 100 + me);
  for (bool waits : {true, false}) {
    std::vector<int> out(10 * static_cast<std::size_t>(p) + 10, -1), expected = out;
    for (std::size_t r = 0; r < counts.size(); ++r)
      for (index_t i = 0; i < counts[r]; ++i)
        expected[static_cast<std::size_t>(offsets[r] + i)] = 100 + static_cast<int>(r);
    if (waits) c.all_gather_v(mine, out, {counts, offsets});
    else c.iall_gather_v(mine, out, {counts, offsets}).wait();
    COLLECTIVE_CHECK(out == expected);
    // this rank's part is in its place already
    std::fill(out.begin(), out.end(), -1);
    auto const own =
        std::span(out).subspan(static_cast<std::size_t>(offsets[static_cast<std::size_t>(me)]), mine.size());
    std::copy(mine.begin(), mine.end(), own.begin());
    if (waits) c.all_gather_v(own, out, {counts, offsets});
    else c.iall_gather_v(own, out, {counts, offsets}).wait();
    COLLECTIVE_CHECK(out == expected);
  }
}

TEST_CASE("mpi: more than 2^31 elements really travel") {
  if (pleat_test::world_size() != 2) return;  // two ranks show it; more would only need more memory
  comm::communicator c = comm::mpi::duplicate(MPI_COMM_WORLD);
  constexpr std::int64_t half = (std::int64_t{1} << 30) + 8, all = 2 * half;  // bytes; the whole is above an int
  std::int64_t kibibytes = 0;
  std::ifstream memory("/proc/meminfo");
  for (std::string word; memory >> word;)
    if (word == "MemAvailable:") memory >> kibibytes;
  if (c.all_reduce_value(kibibytes, comm::reduction::min) < 8 << 20)
    SKIP("two ranks of 2 GiB each and what MPI needs beside them: less than 8 GiB of memory are available");
  std::vector<std::uint8_t> x(static_cast<std::size_t>(all));
  auto const tag = [](std::int64_t i, int round) { return static_cast<std::uint8_t>((i >> 20) * 37 + i * 11 + round); };
  std::vector<std::int64_t> const places{
      0, 1, half - 1, half, (std::int64_t{1} << 31) - 1, std::int64_t{1} << 31, (std::int64_t{1} << 31) + 1, all - 1};
  auto const put = [&](std::int64_t begin, std::int64_t end, int round) {
    for (auto const i : places)
      if (i >= begin && i < end) x[static_cast<std::size_t>(i)] = tag(i, round);
  };
  auto const wrong = [&](int round) {
    int n = 0;
    for (auto const i : places) n += x[static_cast<std::size_t>(i)] != tag(i, round);
    return n;
  };
  if (c.rank() == 0) put(0, all, 1);
  c.broadcast(x, 0);
  COLLECTIVE_CHECK(wrong(1) == 0);
  put(c.rank() * half, (c.rank() + 1) * half, 2);
  c.all_gather(std::span(x).subspan(static_cast<std::size_t>(c.rank() * half), static_cast<std::size_t>(half)), x);
  COLLECTIVE_CHECK(wrong(2) == 0);
  if (c.rank() == 0) put(0, all, 3), c.send(x, 1);
  else c.receive(x, 0);
  COLLECTIVE_CHECK(wrong(3) == 0);
}

TEST_CASE("mpi: large buffers") {
  comm::communicator c = comm::mpi::duplicate(MPI_COMM_WORLD);
  pleat_test::findings f;
  pleat_test::op_matrix m(c, f, 3, false);
  m.run<float>({1 << 20});
  report(f);
}

TEST_CASE("mpi: requests may be finished in any order") {
  comm::communicator c = comm::mpi::duplicate(MPI_COMM_WORLD);
  for (int i = 0; i < 3; ++i) report(pleat_test::run_many_requests(c));
}

TEST_CASE("mpi: with time-outs and with collective checks every operation still agrees with the oracle") {
  comm::communicator c = comm::mpi::duplicate(MPI_COMM_WORLD);
  c.set_timeout(100);
  c.set_checks(checks::collective);
  pleat_test::findings f;
  pleat_test::op_matrix m(c, f, 9, true);
  m.run<float>({0, 37});
  m.run<half>({37});
  report(f);
}

TEST_CASE("mpi: sums over lanes have the bits of the tree") {
  comm::communicator c = comm::mpi::duplicate(MPI_COMM_WORLD);
  int const lanes = GENERATE(8, 16);
  auto const one = pleat_test::lane_findings<float>(c, lanes);
  auto const two = pleat_test::lane_findings<double>(c, lanes);
  INFO(one << two);
  COLLECTIVE_CHECK(one.empty());
  COLLECTIVE_CHECK(two.empty());
}

TEST_CASE(
    "mpi: a reduce-scatter over lanes has the bits of the tree, where some ranges are short and others are long") {
  comm::communicator c = comm::mpi::duplicate(MPI_COMM_WORLD);
  // with two shards: 8193 | 8192 elements, 10240 each; 8192 are short
  for (index_t const n : {1000, 16385, 20480, 40011})
    for (int shards = 1; shards <= c.size(); ++shards) {
      if (c.size() % shards != 0) continue;
      for (int again = 0; again < 20; ++again) {
        auto const said = pleat_test::lane_scatter_findings<float>(c, 8, shards, n);
        INFO(said);
        COLLECTIVE_CHECK(said.empty());
      }
    }
}

TEST_CASE("mpi: split orders by key and separates traffic") {
  comm::communicator c = comm::mpi::duplicate(MPI_COMM_WORLD);
  auto part = c.split(c.rank() % 2, -c.rank());
  int want = 0;
  for (int r = c.rank() % 2; r < c.size(); r += 2) want += r;
  auto const sum = part.all_reduce_value(c.rank());
  COLLECTIVE_CHECK(sum == want);
  auto const none = c.split(c.rank() == 0 ? -1 : 0, 0);
  COLLECTIVE_CHECK(static_cast<bool>(none) == (c.rank() != 0));
  auto twin = c.duplicate();
  COLLECTIVE_CHECK(twin.all_reduce_value(1) == c.size());
}

TEST_CASE("mpi: ranks that ask for different things all throw the same sentence") {
  comm::communicator c = comm::mpi::duplicate(MPI_COMM_WORLD);
  c.set_checks(checks::collective);
  bool const odd = c.size() > 1 && c.rank() == c.size() - 1;
  auto const said = what_of([&] {
    std::vector<float> v(odd ? 3 : 4);
    c.all_reduce(v);
  });
  auto const last = std::to_string(c.size() - 1);
  if (c.size() > 2) {
    COLLECTIVE_CHECK(said == "pleat: rank " + std::to_string(c.rank()) + ": all_reduce: rank " + last +
                                 " asks for all_reduce(F32 x 3, sum) where rank 0 asks for all_reduce(F32 x 4, sum). "
                                 "Every rank must make the same calls in the same order");
  } else {
    COLLECTIVE_CHECK(contains(said, "rank 1 asks for all_reduce(F32 x 3, sum)") == (c.size() == 2));
  }
  c.barrier();  // the communicator is as good as before
}

TEST_CASE("mpi: a message of another size is an error, shorter or longer") {
  MPI_Errhandler before = MPI_ERRHANDLER_NULL;
  MPI_Comm_get_errhandler(MPI_COMM_WORLD, &before);
  // as mpi_guard does
  if constexpr (comm::detail::mpi_requests_fail_on_world) MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  comm::communicator c = comm::mpi::duplicate(MPI_COMM_WORLD);
  int const right = (c.rank() + 1) % c.size(), left = (c.rank() + c.size() - 1) % c.size();
  std::vector<int> sent(4, 1), more(5), fewer(3);
  bool const later = GENERATE(false, true);
  auto const receive = [&](std::vector<int>& into, int tag) {
    auto r = c.isend(sent, right, tag);
    auto const said = what_of([&] { later ? c.ireceive(into, left, tag).wait() : c.receive(into, left, tag); });
    r.wait();
    return said;
  };
  auto const longer = receive(more, 1);
  INFO(longer);
  COLLECTIVE_CHECK(contains(longer, "4 elements came, 5 were expected"));
  auto const shorter = receive(fewer, 2);
  INFO(shorter);
  // Open MPI, MPICH
  COLLECTIVE_CHECK(
      (contains(shorter, "MPI says: MPI_ERR_TRUNCATE") || contains(shorter, "MPI says: Message truncated")));
  std::vector<float> const half(1);
  std::vector<double> one(1);
  auto r = c.isend(half, right, 3);
  auto const other = what_of([&] { later ? c.ireceive(one, left, 3).wait() : c.receive(one, left, 3); });
  r.wait();
  INFO(other);
  COLLECTIVE_CHECK(contains(other, "no whole number of elements came, 1 were expected"));
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, before);
  MPI_Errhandler_free(&before);
}

TEST_CASE("mpi: a time-out names who did not come") {
  comm::communicator c = comm::mpi::duplicate(MPI_COMM_WORLD);
  comm::communicator all = comm::mpi::duplicate(MPI_COMM_WORLD);  // for the verdict
  c.set_timeout(0.2);
  std::string said = "absent";
  int const absent = c.size() > 1 ? 1 : -1;
  if (c.rank() != absent)
    said = what_of([&] {
      std::vector<double> v(3);
      c.all_reduce(v);
    });
  all.barrier();
  if (c.size() == 1) {
    CHECK(said == "no error");
  } else {
    INFO(said);
    // A rank that was late, on a busy machine, is named beside the one that never comes: "ranks 1, 3".
    auto const from = said.find(", and rank"), to = said.find(" did not come");
    bool const words = contains(said, "all_reduce(F64 x 3, sum): waited 0.2 s, and rank") && to != std::string::npos;
    auto const named = words ? said.substr(from, to - from) : std::string();
    COLLECTIVE_CHECK(c.rank() == absent || (contains(named, "1") && !contains(named, std::to_string(c.rank()))));
    auto const next = c.rank() == absent ? std::string() : what_of([&] { c.barrier(); });
    COLLECTIVE_CHECK(c.rank() == absent || contains(next, "an earlier all_reduce was given up"));
  }
}

TEST_CASE("mpi: a time-out of a receive names the peer and leaves the communicator in order") {
  comm::communicator c = comm::mpi::duplicate(MPI_COMM_WORLD);
  int x = 0;
  {
    auto const scope = c.with_timeout(0.05);
    auto const said = what_of([&] { c.receive(std::span(&x, 1), c.size() - 1, 3); });
    INFO(said);
    COLLECTIVE_CHECK(contains(said, "waited 0.05 s, and rank " + std::to_string(c.size() - 1) + " did not come"));
  }
  COLLECTIVE_CHECK(c.all_reduce_value(1) == c.size());
}

TEST_CASE("mpi: the guard starts and ends only what nobody else did") {
  {
    comm::mpi_guard const guard(nullptr, nullptr, comm::thread_level::single);
    CHECK_FALSE(guard.started());
    CHECK(guard.asked() == comm::thread_level::single);
    int level = 0;
    MPI_Query_thread(&level);
    CHECK(static_cast<int>(guard.provided()) == level);
  }
  int over = 1;
  MPI_Finalized(&over);
  COLLECTIVE_CHECK(over == 0);
}

TEST_CASE("mpi: no communicator, no transport") {
  CHECK(contains(what_of([] { (void)comm::mpi::duplicate(MPI_COMM_NULL); }), "MPI_COMM_NULL"));
  CHECK(contains(what_of([] { (void)comm::mpi::borrow(MPI_COMM_NULL); }), "MPI_COMM_NULL"));
  for (index_t const none : {index_t{0}, index_t{-1}, index_t{1} << 31}) {
    auto const sentence = "max_count is " + std::to_string(none) + ", expected 1 to 2147483647";
    CHECK(contains(what_of([&] { (void)comm::mpi::duplicate(MPI_COMM_WORLD, {.max_count = none}); }), sentence));
    CHECK(contains(what_of([&] { (void)comm::mpi::borrow(MPI_COMM_WORLD, {.max_count = none}); }), sentence));
  }
}

TEST_CASE("mpi: a borrowed communicator whose owner freed it says so, and ends quietly") {
  MPI_Comm user = MPI_COMM_NULL;
  MPI_Comm_dup(MPI_COMM_WORLD, &user);
  comm::communicator early(comm::mpi::borrow(user));
  { comm::communicator const gone(comm::mpi::borrow(user)); }  // forgets it before its owner does
  comm::communicator late(comm::mpi::borrow(user));
  COLLECTIVE_CHECK(early.all_reduce_value(1) == early.size());
  MPI_Comm_free(&user);
  for (auto* c : {&early, &late}) {
    float x = 1;
    char const* const words = "its owner freed this communicator, which was borrowed. Make a new communicator";
    CHECK(contains(what_of([&] { (void)c->all_reduce_value(1); }), words));
    CHECK(contains(what_of([&] { c->barrier(); }), words));
    CHECK(contains(what_of([&] { c->send(std::span<float const>(&x, 1), 0, 3); }), words));
    CHECK(contains(what_of([&] { c->iall_reduce(std::span(&x, 1)).wait(); }), words));
    CHECK(contains(what_of([&] { (void)c->split(0, 0); }), words));
    CHECK(contains(what_of([&] { c->set_timeout(1); }), words));
    CHECK(what_of([&] { c->progress(); }) == "no error");
  }
}

TEST_CASE("mpi: a borrowed communicator keeps its error handler, a duplicate has its own") {
  MPI_Comm user = MPI_COMM_NULL;
  MPI_Comm_dup(MPI_COMM_WORLD, &user);
  {
    auto const borrowed = comm::mpi::borrow(user);
    auto const copy = comm::mpi::duplicate(user);
    MPI_Errhandler a = MPI_ERRHANDLER_NULL, b = MPI_ERRHANDLER_NULL;
    MPI_Comm_get_errhandler(borrowed.handle(), &a);
    MPI_Comm_get_errhandler(copy.handle(), &b);
    CHECK(a == MPI_ERRORS_ARE_FATAL);
    CHECK(b == MPI_ERRORS_RETURN);
    CHECK(borrowed.handle() == user);
    int result = MPI_UNEQUAL;
    MPI_Comm_compare(copy.handle(), user, &result);
    CHECK(result == MPI_CONGRUENT);
    MPI_Errhandler_free(&a);
    MPI_Errhandler_free(&b);
  }
  int size = 0;
  COLLECTIVE_CHECK(MPI_Comm_size(user, &size) == MPI_SUCCESS);  // still the user's
  MPI_Comm_free(&user);
}
