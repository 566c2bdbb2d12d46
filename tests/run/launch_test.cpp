// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/run/launch.hpp>
#include <pleat/run/runtime.hpp>

#include <catch2/catch_test_macros.hpp>

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <span>
#include <stdexcept>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace run = pleat::run;

namespace {

// What f writes to standard error.
template <class F> std::string said_on_stderr(F&& f) {
  std::FILE* file = std::tmpfile();
  std::fflush(stderr);
  int const keep = dup(2);
  dup2(fileno(file), 2);
  f();
  std::fflush(stderr);
  dup2(keep, 2);
  close(keep);
  std::string text(static_cast<std::size_t>(std::ftell(file)), '\0');
  std::rewind(file);
  std::size_t const n = std::fread(text.data(), 1, text.size(), file);
  text.resize(n);
  std::fclose(file);
  return text;
}

int launch(std::vector<char const*> arguments, auto&& fn, run::launch_options options = {}) {
  arguments.insert(arguments.begin(), "program");
  arguments.push_back(nullptr);
  return run::launch<run::self_processes>(static_cast<int>(arguments.size()) - 1, const_cast<char**>(arguments.data()),
                                          fn, options);
}

}  // namespace

TEST_CASE("launch calls fn once per rank, and the command line says how many") {
  std::atomic<int> calls = 0, ranks = 0;
  CHECK(launch({}, [&](pleat::world& w) { ++calls, ranks += w.size(); }) == 0);
  CHECK((calls == 1 && ranks == 1));
  calls = ranks = 0;
  CHECK(launch({"--thread-ranks", "3", "--threads", "1"}, [&](pleat::world& w) {
          ++calls, ranks += w.size();
          w.comm.barrier();
        }) == 0);
  CHECK((calls == 3 && ranks == 9));
  calls = 0;
  CHECK(launch({"--thread-ranks=2"}, [&](pleat::world& w) { calls += w.threads > 0; }) == 0);
  CHECK(calls == 2);
  int threads = 0;
  CHECK(launch({"--threads", "2"}, [&](pleat::world& w) { threads = w.threads; }, {.threads = 1}) == 0);
  CHECK(threads == 1);  // the options win
}

TEST_CASE("an exception of a rank is one sentence and exit status 1, and nobody hangs") {
  for (char const* ranks : {"1", "4"}) {
    int code = 0;
    auto const said = said_on_stderr([&] {
      code = launch({"--thread-ranks", ranks, "--threads", "1"}, [](pleat::world& w) {
        if (w.rank() == w.size() - 1) throw pleat::error{"job", "the last rank gives up"};
        w.comm.barrier();
      });
    });
    CHECK(code == 1);
    CHECK(said.find("the last rank gives up") != std::string::npos);
    CHECK(std::count(said.begin(), said.end(), '\n') == 1);
  }
}

TEST_CASE("what is thrown and no std::exception is one sentence and exit status 1 too") {
  for (char const* ranks : {"1", "2"}) {
    int code = 0;
    auto const said = said_on_stderr([&] {
      code = launch({"--thread-ranks", ranks, "--threads", "1"}, [](pleat::world&) { throw 42; });
    });
    CHECK(code == 1);
    CHECK(said == "an exception that is no std::exception\n");
  }
}

TEST_CASE("where memory ends, one sentence says so and what to do") {
  for (char const* ranks : {"1", "2"})
    for (bool const by_kokkos : {false, true}) {
      int code = 0;
      auto const said = said_on_stderr([&] {
        code = launch({"--thread-ranks", ranks, "--threads", "1"}, [&](pleat::world&) {
          if (!by_kokkos) throw std::bad_alloc();
          Kokkos::View<char*, Kokkos::HostSpace> const more(Kokkos::view_alloc("more", Kokkos::WithoutInitializing),
                                                            std::size_t{1} << 60);
        });
      });
      std::string sentences;  // the address sanitizer says something of its own about so large an allocation
      std::istringstream lines(said);
      for (std::string line; std::getline(lines, line);)
        if (!line.starts_with("==")) sentences += line + "\n";
      CHECK(code == 1);
      CHECK(sentences.starts_with("pleat: run::launch: there is not enough memory ("));
      CHECK(sentences.find("). Use a smaller network or batch") != std::string::npos);
      CHECK(sentences.find(".). Use") == std::string::npos);
      CHECK(std::count(sentences.begin(), sentences.end(), '\n') == 1);
    }
}

TEST_CASE("without a number, threads are those of the environment, else the cores that the process may use") {
  struct restored {  // what the test found
    char const* name;
    std::string was = std::getenv(name) ? std::getenv(name) : "";
    ~restored() { was.empty() ? unsetenv(name) : setenv(name, was.c_str(), 1); }
  };
  restored const omp{"OMP_NUM_THREADS"}, kokkos{"KOKKOS_NUM_THREADS"};
  auto const threads_of = [](std::vector<char const*> words) {
    std::atomic<int> n = 0;
    CHECK(launch(std::move(words), [&](pleat::world& w) { n = w.threads; }) == 0);
    return n.load();
  };
  unsetenv("KOKKOS_NUM_THREADS"), setenv("OMP_NUM_THREADS", "6,2", 1);
  CHECK(threads_of({}) == 6);
  CHECK(threads_of({"--thread-ranks", "2"}) == 3);
  CHECK(threads_of({"--threads", "1"}) == 1);
  setenv("KOKKOS_NUM_THREADS", "4", 1);
  CHECK(threads_of({}) == 4);
  unsetenv("KOKKOS_NUM_THREADS"), unsetenv("OMP_NUM_THREADS");
#ifdef __linux__
  cpu_set_t all;
  REQUIRE(sched_getaffinity(0, sizeof all, &all) == 0);
  auto const cores = [](cpu_set_t const& set) {
    int count = CPU_COUNT(&set);
#ifdef _OPENMP  // it may have bound this thread: OMP_PROC_BIND, OMP_PLACES
    if (omp_get_proc_bind() != omp_proc_bind_false) count = std::max(count, omp_get_num_procs());
#endif
    return count;
  };
  CHECK(threads_of({}) == std::min(cores(all), pleat::kokkos_guard::most_threads));
  cpu_set_t one;
  CPU_ZERO(&one);
  for (int i = 0; CPU_COUNT(&one) == 0; ++i)
    if (CPU_ISSET(i, &all)) CPU_SET(i, &one);
  REQUIRE(sched_setaffinity(0, sizeof one, &one) == 0);
  CHECK(threads_of({}) == cores(one));
  sched_setaffinity(0, sizeof all, &all);
#endif
}

#ifdef __linux__
TEST_CASE("what was printed and could not be written is an error") {
  int const kept = dup(1), full = open("/dev/full", O_WRONLY);
  REQUIRE(full >= 0);
  std::fflush(stdout), dup2(full, 1);
  int code = 0;
  auto const said = said_on_stderr([&] { code = launch({}, [](pleat::world&) { std::printf("a table\n"); }); });
  dup2(kept, 1), close(kept), close(full);
  std::clearerr(stdout);
  CHECK(code == 1);
  CHECK(said.find("standard output: what was printed could not be written") != std::string::npos);
}
#endif

TEST_CASE("a rank in this process that fails alone is named, whatever it threw") {
  for (char const* ranks : {"2", "3", "4"})
    for (bool const any : {false, true}) {
      int code = 0;
      auto const said = said_on_stderr([&] {
        code = launch({"--thread-ranks", ranks, "--threads", "1"}, [&](pleat::world& w) {
          if (w.rank() == 1 && any) throw 42;
          if (w.rank() == 1) throw std::runtime_error("my own");
          w.comm.barrier();
        });
      });
      CHECK(code == 1);
      CHECK(said == (any ? "pleat: rank 1: an exception that is no std::exception\n" : "pleat: rank 1: my own\n"));
    }
}

TEST_CASE("a rank in this process that returns early leaves nobody waiting for it") {
  for (char const* ranks : {"2", "3", "4"})
    for (char const* what : {"barrier", "split", "of a group that is gone", "receive"}) {
      std::string const kind = what;
      int code = 0;
      auto const said = said_on_stderr([&] {
        code = launch({"--thread-ranks", ranks, "--threads", "1"}, [&](pleat::world& w) {
          w.comm.set_timeout(5);
          bool const whole = kind != "of a group that is gone";
          // there the last rank is the first
          auto group = whole ? w.comm.split(0, -w.rank()) : w.comm.duplicate().split(0, -w.rank());
          group.set_timeout(5);
          int x = w.comm.all_reduce_value(1);
          if (w.rank() == 1) return;
          if (kind == "receive") w.comm.receive(std::span<int>(&x, 1), 1, 0);
          else (kind == "barrier" ? w.comm : group).barrier();
        });
      });
      INFO(ranks << " ranks, " << kind << ": " << said);
      REQUIRE(code == 1);
      bool const in_group = kind != "barrier" && kind != "receive";
      std::string const gone = in_group ? std::to_string(std::atoi(ranks) - 2) : "1";
      REQUIRE(said.find("rank " + gone + "'s function has returned") != std::string::npos);
    }
}

TEST_CASE("a number of ranks that is none is refused") {
  for (char const* bad : {"0", "-1", "two", "1x", ""}) {
    int code = 0;
    auto const said = said_on_stderr([&] { code = launch({"--thread-ranks", bad}, [](pleat::world&) {}); });
    CHECK(code == 1);
    CHECK(said.find("--thread-ranks needs a whole number") != std::string::npos);
  }
  int code = 0;
  auto const said = said_on_stderr([&] { code = launch({"--threads"}, [](pleat::world&) {}); });  // and no number
  CHECK(code == 1);
  CHECK(said.find("--threads needs a whole number of 1 or more, found ''") != std::string::npos);
}

namespace {
/// Ranks as threads that take themselves for processes.
struct thread_processes {
  struct guard {
    guard(int&, char**&) {}
  };
  static inline thread_local pleat::comm::communicator* here = nullptr;
  static pleat::comm::communicator everybody() { return here->duplicate(); }
  static int sharing(std::uint64_t) { return here->size(); }
  static bool is_over() { return false; }
  [[noreturn]] static void abort(pleat::comm::communicator const&, int code) { std::_Exit(code); }
};
}  // namespace

TEST_CASE("a runtime is what launch starts, for a main that goes straight on") {
  std::vector<char const*> words{"program", "--threads", "2", nullptr};
  int argc = 3;
  auto argv = const_cast<char**>(words.data());
  {
    run::basic_runtime<run::self_processes> mine(argc, argv);
    CHECK((mine.world().size() == 1 && mine.world().threads == 2));
    CHECK(Kokkos::is_initialized());
  }
  std::vector<char const*> more{"program", "--thread-ranks", "2", nullptr};
  argv = const_cast<char**>(more.data());
  try {
    run::basic_runtime<run::self_processes> mine(argc, argv);
    FAIL("thread ranks need a function");
  } catch (pleat::error const& e) {
    CHECK(std::string(e.what()).find("Use run::launch") != std::string::npos);
  }

  // one of three leaves by an exception: rank 0 says which, and nobody waits for ever
  for (int const thrower : {-1, 2}) {
    std::atomic<int> caught = 0, sum = 0;
    auto const said = said_on_stderr([&] {
      pleat::comm::run_local(3, [&](pleat::comm::communicator c) {
        thread_processes::here = &c;
        int n = 1;
        char const* name[] = {"program", nullptr};
        auto words_of_this = const_cast<char**>(name);
        try {
          run::basic_runtime<thread_processes> mine(n, words_of_this, {.threads = 1});
          sum += mine.world().comm.all_reduce_value(1);
          if (c.rank() == thrower) throw pleat::error{"job", "this rank gives up", "Do not"};
        } catch (pleat::error const&) {
          ++caught;
        }
      });
    });
    CHECK((sum == 9 && caught == (thrower < 0 ? 0 : 1)));
    if (thrower < 0) CHECK(said.empty());
    else CHECK(said == "pleat: rank 2: run::runtime: an exception ended this program\n");
  }
}
