// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What a guard started is ended with it, by nobody else and only once; then it cannot be started again, in words. (The
// tests' own mains start Kokkos and MPI first, so there the guards are guests.)
#include <pleat/base/context.hpp>
#include <pleat/base/runtime.hpp>
#ifdef PLEAT_HAS_MPI
#include <pleat/comm/mpi_guard.hpp>
#endif

#include <cstdio>
#include <string>

namespace {
int wrong = 0;
void demand(bool good, char const* what) {
  if (good) return;
  std::fprintf(stderr, "not so: %s\n", what);
  ++wrong;
}
template <class F> std::string said_by(F const& f) {
  try {
    f();
  } catch (pleat::error const& e) {
    return e.what();
  }
  return "nothing";
}

void kokkos_alone() {
  auto const work = [] { (void)pleat::make_instance<Kokkos::DefaultExecutionSpace>(1); };
  std::string const none =
      "pleat: context: Kokkos is not running. Work inside pleat::run::launch, or keep a pleat::runtime (or your own "
      "Kokkos::ScopeGuard) in main";
  demand(!Kokkos::is_initialized(), "nobody has started Kokkos");
  demand(said_by(work) == none, "who works before says that it does not run");
  {
    pleat::kokkos_guard const first(1);
    demand(first.started() && Kokkos::is_initialized(), "the first guard starts Kokkos");
    demand(Kokkos::DefaultHostExecutionSpace().concurrency() == 1, "with the threads that it was told");
    {
      pleat::kokkos_guard const second(1);
      demand(!second.started(), "a second one starts nothing");
    }
    demand(Kokkos::is_initialized() && !Kokkos::is_finalized(), "and ends nothing");
    demand(said_by(work) == "nothing", "while it runs there is work");
  }
  demand(Kokkos::is_finalized(), "the first guard ends what it started");
  demand(said_by(work) == none, "who works behind its end says so too");
  demand(said_by([] { pleat::kokkos_guard const late(1); }) ==
             "pleat: runtime: Kokkos has been finalized in this process and cannot be started again. Keep one "
             "pleat::kokkos_guard, or your own Kokkos::ScopeGuard, for the whole of main",
         "what has ended is not started again");
}

#ifdef PLEAT_HAS_MPI
bool running() {
  int begun = 0, over = 0;
  MPI_Initialized(&begun);
  MPI_Finalized(&over);
  return begun && !over;
}
#endif
}  // namespace

int main(int argc, char** argv) {
  (void)argc, (void)argv;
#ifdef PLEAT_HAS_MPI
  using pleat::comm::mpi_guard;
  demand(!running(), "nobody has started MPI");
  {
    mpi_guard const first(&argc, &argv);
    demand(first.started() && running(), "the first guard starts MPI");
    int level = -1;
    MPI_Query_thread(&level);
    demand(static_cast<int>(first.provided()) == level && first.provided() >= pleat::comm::thread_level::funneled,
           "and says the thread level that MPI has");
    {
      mpi_guard const second(&argc, &argv);
      demand(!second.started() && second.provided() == first.provided(), "a second one starts nothing");
    }
    demand(running(), "and ends nothing");
    kokkos_alone();
    demand(running(), "Kokkos' guard leaves MPI alone");
  }
  demand(!running(), "the first guard ends what it started");
  demand(said_by([&] { mpi_guard const late(&argc, &argv); }) ==
             "pleat: comm::mpi_guard: MPI has been finalized already. MPI can be started only once per process",
         "what has ended is not started again");
#else
  kokkos_alone();
#endif
  if (wrong == 0) std::puts("guards: good");
  return wrong == 0 ? 0 : 1;
}
