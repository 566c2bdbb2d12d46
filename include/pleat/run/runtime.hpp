// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What launch starts, for a main that goes straight on: MPI, then Kokkos, and the world of all processes.
#pragma once

#include <exception>

#include <pleat/run/launch.hpp>

namespace pleat::run {

/// Starts MPI and Kokkos where nobody has, and ends what it started when it goes; every process is a rank.
///
///     int main(int argc, char** argv) {
///       try {
///         pl::runtime mine(argc, argv);
///         auto model = pl::parallel::build(net, plan, mine.world());
///         …
///       } catch (std::exception const& e) {
///         std::fprintf(stderr, "%s\n", e.what());
///         return 1;
///       }
///     }
///
/// Ranks meet once more at its end. Where an exception that is caught above leaves the scope of one rank alone, that is
/// said and the job is ended after seconds, instead of waiting for ever; one that nobody catches ends the process where
/// it is thrown, as C++ has it. Launch does all of this by itself: it says the sentence once, for all ranks, gives every
/// rank the exit status, and has ranks as threads, too.
template <class Processes = processes> class basic_runtime {
 public:
  /// \throws error if MPI or Kokkos cannot be started, or for thread ranks, which need a function to run: launch
  PLEAT_LAZY explicit basic_runtime(int& argc, char**& argv, launch_options const& options = {})
      : started_(argc, argv),
        all_(Processes::everybody()),
        world_(all_.duplicate(),
               detail::threads_per_rank<Processes>(demand_processes(options, argc, argv), argc, argv)),
        kokkos_(world_.threads),
        thrown_(std::uncaught_exceptions()) {
    if (all_.size() > 1) all_.set_timeout(detail::for_ever);
  }
  basic_runtime(basic_runtime const&) = delete;
  basic_runtime& operator=(basic_runtime const&) = delete;
  ~basic_runtime() {
    bool const failed = std::uncaught_exceptions() > thrown_;
    if (all_.size() == 1 || Processes::is_over()) return;
    try {
      (void)detail::farewell<Processes>(all_, failed ? "pleat: run::runtime: an exception ended this program" : "");
    } catch (std::exception const&) {  // there is nobody left to agree with
    }
  }

  [[nodiscard]] pleat::world& world() noexcept { return world_; }

 private:
  PLEAT_LAZY static launch_options const& demand_processes(launch_options const& o, int argc, char** argv) {
    if (o.thread_ranks > 0 || detail::option(argc, argv, "--thread-ranks") > 0)
      throw error{"run::runtime", "--thread-ranks asks for ranks as threads, and this program has one line of control",
                  "Use run::launch, which calls a function for each rank, or mpirun"};
    return o;
  }

  typename Processes::guard started_;
  comm::communicator all_;
  pleat::world world_;
  kokkos_guard kokkos_;
  int thrown_;
};

using runtime = basic_runtime<>;

}  // namespace pleat::run

namespace pleat {
using run::runtime;
}  // namespace pleat
