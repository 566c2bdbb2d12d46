// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Starting a program on its ranks: as MPI processes, as threads of one process, or alone. One source for all three.
#pragma once

#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/base/owned_ptr.hpp>
#include <pleat/base/random.hpp>
#include <pleat/base/runtime.hpp>
#include <pleat/comm/local.hpp>
#include <pleat/comm/self.hpp>
#include <pleat/comm/world.hpp>
#ifdef PLEAT_HAS_MPI
#include <pleat/comm/mpi.hpp>
#endif
#ifdef KOKKOS_ENABLE_OPENMP
#include <omp.h>
#endif

namespace pleat::run {

/// A process that is alone, whatever launched it.
struct self_processes {
  /// Nothing to start, nothing to end.
  struct guard {
    guard(int&, char**&) {}
  };
  PLEAT_ONCE [[nodiscard]] static comm::communicator everybody() { return comm::communicator(comm::self{}); }
  [[nodiscard]] static int sharing(std::uint64_t) { return 1; }
  [[nodiscard]] static bool is_over() { return false; }
  [[noreturn]] static void abort(comm::communicator const&, int code) { std::_Exit(code); }
};

#ifdef PLEAT_HAS_MPI
/// The processes that mpirun (or a resource manager) started.
struct mpi_processes {
  /// Starts MPI if nobody has; ends what it started.
  struct guard {
    PLEAT_LAZY guard(int& argc, char**& argv) : mpi(&argc, &argv) {}
    comm::mpi_guard mpi;
  };
  PLEAT_ONCE [[nodiscard]] static comm::communicator everybody();
  /// How many of this machine's processes, this one included, may run on exactly the cores that this one may run on.
  /// Collective. \param cores a hash of them
  PLEAT_ONCE [[nodiscard]] static int sharing(std::uint64_t cores);
  /// Somebody has finalized MPI.
  [[nodiscard]] static bool is_over() { return comm::detail::mpi_is_over(); }
  PLEAT_ONCE [[noreturn]] static void abort(comm::communicator const&, int code);
};

template <class> comm::communicator mpi_processes::everybody() {
  return comm::communicator(comm::mpi::duplicate(MPI_COMM_WORLD));
}
PLEAT_COMPILED_ONCE(comm::communicator mpi_processes::everybody());

template <class> int mpi_processes::sharing(std::uint64_t cores) {
  MPI_Comm node = MPI_COMM_NULL;
  int n = 1;
  if (MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node) != MPI_SUCCESS) return n;
  MPI_Comm_size(node, &n);
  std::vector<std::uint64_t> all(static_cast<std::size_t>(n), cores);
  MPI_Allgather(&cores, 1, MPI_UINT64_T, all.data(), 1, MPI_UINT64_T, node);
  MPI_Comm_free(&node);
  return static_cast<int>(std::count(all.begin(), all.end(), cores));
}
PLEAT_COMPILED_ONCE(int mpi_processes::sharing(std::uint64_t cores));

template <class> [[noreturn]] void mpi_processes::abort(comm::communicator const&, int code) {
  MPI_Abort(MPI_COMM_WORLD, code);
  std::_Exit(code);
}
PLEAT_COMPILED_ONCE(void mpi_processes::abort(comm::communicator const&, int code));
using processes = mpi_processes;
#else
using processes = self_processes;
#endif

/// How many ranks and threads there are.
struct launch_options {
  /// ranks as threads of this process; 0: what `--thread-ranks N` on the command line says, else none
  int thread_ranks = 0;
  /// threads per rank; 0: what `--threads N` says, else KOKKOS_NUM_THREADS or OMP_NUM_THREADS (which ranks as
  /// threads share), else the cores that this process may use, dealt to the ranks that share them
  int threads = 0;
};

namespace detail {

/// The value of `--name N` or `--name=N` on a command line, or 0.
PLEAT_ONCE int option(int argc, char** argv, char const* name) {
  auto const n = std::strlen(name);
  for (int i = 1; i < argc; ++i) {
    if (std::strncmp(argv[i], name, n) != 0) continue;
    char const* value = argv[i][n] == '='    ? argv[i] + n + 1
                        : argv[i][n] != '\0' ? nullptr
                        : i + 1 < argc       ? argv[i + 1]
                                             : "";
    if (!value) continue;
    char* end = nullptr;
    long const v = std::strtol(value, &end, 10);
    if (*value == '\0' || *end != '\0' || v < 1 || v > 100000)
      throw error{"run::launch", std::string(name) + " needs a whole number of 1 or more, found '" + value + "'",
                  "Leave it out for what the machine gives"};
    return static_cast<int>(v);
  }
  return 0;
}
PLEAT_COMPILED_ONCE(int option(int argc, char** argv, char const* name));

/// The cores that this process may run on: how many, and which (by a hash).
struct usable_cores {
  int count = 1;
  std::uint64_t which = 0;
};
PLEAT_ONCE [[nodiscard]] usable_cores cores_of_process() {
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    int count = CPU_COUNT(&set);
#ifdef KOKKOS_ENABLE_OPENMP  // it binds this thread to its first place (OMP_PROC_BIND, OMP_PLACES) before main begins
    if (omp_get_proc_bind() != omp_proc_bind_false) count = std::max(count, omp_get_num_procs());
#endif
    return {std::max(1, count), random::hash(std::string_view(reinterpret_cast<char const*>(&set), sizeof set))};
  }
#endif
  return {static_cast<int>(std::max(1u, std::thread::hardware_concurrency())), 0};  // or more than 1024 of them
}
PLEAT_COMPILED_ONCE(usable_cores cores_of_process());

/// The first of these variables of the environment that begins with a whole number above 0 (OMP_NUM_THREADS may be a
/// list); 0: none.
PLEAT_ONCE [[nodiscard]] int threads_of_environment() {
  for (char const* name : {"KOKKOS_NUM_THREADS", "OMP_NUM_THREADS"})
    if (char const* text = std::getenv(name))
      if (long const n = std::strtol(text, nullptr, 10); n > 0) return static_cast<int>(std::min(n, 100000L));
  return 0;
}
PLEAT_COMPILED_ONCE(int threads_of_environment());

/// What was asked for, else the cores that this process may use, dealt to the ranks that share them.
template <class Processes> [[nodiscard]] int threads_per_rank(launch_options const& o, int argc, char** argv) {
  usable_cores const cores = cores_of_process();
  int const sharing = Processes::sharing(cores.which);  // collective: whatever this process was told
  if (int const asked = o.threads > 0 ? o.threads : option(argc, argv, "--threads"); asked > 0) return asked;
  int const said = threads_of_environment(), ranks = std::max(1, o.thread_ranks);
  if (said > 0) return std::max(1, said / ranks);  // too many are refused in words, as those of --threads
  return std::clamp(cores.count / (sharing * ranks), 1, kokkos_guard::most_threads);
}

/// \throws error if what was printed is lost: a full disk, a closed file. \param lost_before it was so already when the
/// work began
PLEAT_ONCE void demand_printed(bool lost_before) {
  int const failed = std::fflush(stdout) != 0 ? errno : 0;
  if (failed == 0 && (lost_before || !std::ferror(stdout))) return;
  throw error{"standard output",
              "what was printed could not be written" +
                  (failed != 0 ? ": " + std::string(std::strerror(failed)) : std::string()),
              "Free some space, or print to somewhere else"};
}
PLEAT_COMPILED_ONCE(void demand_printed(bool lost_before));

PLEAT_ONCE std::string what_of(std::exception_ptr e) {
  try {
    std::rethrow_exception(e);
  } catch (std::exception const& x) {
    std::string_view words = x.what();
    // Kokkos' own has no type of its own in every version
    if (dynamic_cast<std::bad_alloc const*>(&x) ||
        (words.starts_with("Kokkos ERROR") && words.find("failed to allocate") != std::string_view::npos)) {
      if (words.ends_with('.')) words.remove_suffix(1);
      return error{"run::launch", "there is not enough memory (" + std::string(words) + ")",
                   "Use a smaller network or batch, more ranks, or a machine that has more"}
          .what();
    }
    return x.what();
  } catch (...) {
    return "an exception that is no std::exception";
  }
}
PLEAT_COMPILED_ONCE(std::string what_of(std::exception_ptr e));

/// The sentence of a rank that failed where others did not: it says which rank that was.
PLEAT_ONCE std::string said_by(int rank, std::string const& sentence) {
  std::string const ours = "pleat: ";
  if (sentence.starts_with(ours + "rank ")) return sentence;
  return ours + "rank " + std::to_string(rank) + ": " +
         (sentence.starts_with(ours) ? sentence.substr(ours.size()) : sentence);
}
PLEAT_COMPILED_ONCE(std::string said_by(int rank, std::string const& sentence));

/// What each of several ranks in this process threw, at its own place.
using thrown_by_ranks = std::vector<std::exception_ptr>;

/// The sentence of the ranks of one process, of which comm::run_local threw `chosen`: as `farewell` says it of
/// processes, with the rank unless all failed alike.
PLEAT_ONCE std::string said_by_ranks(thrown_by_ranks const& thrown, std::exception_ptr const& chosen) {
  std::string const sentence = what_of(chosen);
  auto const at = std::find(thrown.begin(), thrown.end(), chosen);
  bool const alike =
      std::all_of(thrown.begin(), thrown.end(), [&](auto const& e) { return e && what_of(e) == sentence; });
  if (alike || at == thrown.end()) return sentence;
  return said_by(static_cast<int>(at - thrown.begin()), sentence);
}
PLEAT_COMPILED_ONCE(std::string said_by_ranks(thrown_by_ranks const& thrown, std::exception_ptr const& chosen));

/// Seconds that a rank which ended well waits for the others.
inline constexpr double for_ever = 1e9;

/// After fn ended on this rank, well or with a sentence: the ranks meet once more, so that one sentence is said, by
/// rank 0, and a rank that fails alone does not leave the others waiting for ever.
template <class Processes> int farewell(comm::communicator& all, std::string const& sentence) {
  constexpr std::size_t room = 8192;
  constexpr double patience = 3;  // seconds for the others to fail alike
  if (all.size() == 1) {
    if (!sentence.empty()) std::fprintf(stderr, "%s\n", sentence.c_str());
    return sentence.empty() ? 0 : 1;
  }
  std::string mine = sentence.substr(0, room - 1);
  mine.resize(room, '\0');
  std::string everybody(room * static_cast<std::size_t>(all.size()), '\0');
  try {
    if (!sentence.empty()) all.set_timeout(patience);
    all.all_gather(mine, everybody);
  } catch (std::exception const&) {
    // Somebody is still inside a collective that will never complete: this rank's sentence is the one that matters.
    // Where several gave up waiting for one, the lowest speaks: its abort ends the others before it is their turn.
    std::this_thread::sleep_for(std::chrono::milliseconds(250 * std::min(all.rank(), 8)));
    std::fprintf(stderr, "%s\n",
                 said_by(all.rank(), sentence.empty() ? "run::launch: another rank ended without saying why" : sentence)
                     .c_str());
    std::fflush(stderr);
    Processes::abort(all, 1);
  }
  auto const by = [&](int r) { return std::string(everybody.data() + room * static_cast<std::size_t>(r)); };
  int first = 0;
  bool alike = true;
  while (first < all.size() && by(first).empty()) ++first;
  if (first == all.size()) return 0;
  for (int r = 0; r < all.size(); ++r) alike = alike && by(r) == by(first);
  if (all.rank() == 0) std::fprintf(stderr, "%s\n", (alike ? by(first) : said_by(first, by(first))).c_str());
  return 1;
}

}  // namespace detail

/// Starts MPI and Kokkos where nobody has, calls fn(world) once per rank (process or thread), and ends what it started.
///
/// An exception of any rank becomes one sentence on standard error and the exit status 1, on every rank; nobody hangs.
/// A rank whose fn has returned makes no call again: of ranks in this process, who waits for it throws.
/// \returns the exit status for main
template <class Processes = processes, class F>
[[nodiscard]] int launch(int argc, char** argv, F&& fn, launch_options options = {}) {
  static_assert(std::is_invocable_v<F&, world&>,
                "pleat: run::launch calls your function once per rank, with that rank's world: write "
                "'[&](pleat::world& world) { … }'");
  try {
    typename Processes::guard started(argc, argv);
    auto all = Processes::everybody();
    auto ranks = all.duplicate();
    // What a transport needs for time-outs it may have to make together: now, not when a rank is alone with its
    // failure. Behind the duplicate, which has no time-out of its own.
    if (all.size() > 1) all.set_timeout(detail::for_ever);
    owned_ptr<kokkos_guard> kokkos;  // ends behind the farewell, for which the others wait seconds only
    std::string sentence;
    detail::thrown_by_ranks thrown;
    bool const lost_before = std::ferror(stdout) != 0;
    try {
      if (options.thread_ranks == 0) options.thread_ranks = detail::option(argc, argv, "--thread-ranks");
      int const threads = detail::threads_per_rank<Processes>(options, argc, argv);
      if (options.thread_ranks > 0 && all.size() > 1)
        throw error{"run::launch", "--thread-ranks was given to " + std::to_string(all.size()) + " MPI processes",
                    "Use ranks as threads or as processes, not both"};
      kokkos = make_owned<kokkos_guard>(threads);

      if (options.thread_ranks > 1) {
        thrown.resize(static_cast<std::size_t>(options.thread_ranks));
        auto const one = [&](comm::communicator c) {
          auto const rank = static_cast<std::size_t>(c.rank());
          try {
            world w(std::move(c), threads);
            fn(w);
          } catch (...) {
            thrown[rank] = std::current_exception();
            throw;
          }
        };
        comm::run_local(options.thread_ranks, one, comm::on_return::is_gone);
      } else {
        world w(std::move(ranks), threads);
        fn(w);
      }
      detail::demand_printed(lost_before);
    } catch (...) {
      sentence = detail::said_by_ranks(thrown, std::current_exception());
    }
    return detail::farewell<Processes>(all, sentence);
  } catch (...) {  // MPI could not be started: there is nobody to agree with
    std::fprintf(stderr, "%s\n", detail::what_of(std::current_exception()).c_str());
    return 1;
  }
}

}  // namespace pleat::run
