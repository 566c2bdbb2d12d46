// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// MPI started and ended by whoever is first, and the thread level that it has.
#pragma once

#include <string_view>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/comm/detail/mpi_words.hpp>

namespace pleat::comm {

/// What may call MPI, weakest first: the main thread alone, it among others, one thread at a time, any.
enum class thread_level : int {
  single = MPI_THREAD_SINGLE,
  funneled = MPI_THREAD_FUNNELED,
  serialized = MPI_THREAD_SERIALIZED,
  multiple = MPI_THREAD_MULTIPLE
};
PLEAT_LAZY [[nodiscard]] constexpr std::string_view name_of(thread_level l) noexcept {
  return l == thread_level::single       ? "single"
         : l == thread_level::funneled   ? "funneled"
         : l == thread_level::serialized ? "serialized"
                                         : "multiple";
}

/// Starts MPI if nobody has, and ends it only then. Where it starts MPICH, MPI_COMM_WORLD returns errors from then on:
/// MPICH asks that communicator where a request of any other ends with an error, and would end the program. Kokkos is
/// not its business: start Kokkos after, end it before.
class mpi_guard {
 public:
  /// \param asked the thread level to ask for; what MPI gives is provided()
  PLEAT_ONCE explicit mpi_guard(int* argc = nullptr, char*** argv = nullptr,
                                thread_level asked = thread_level::funneled);
  mpi_guard(mpi_guard const&) = delete;
  mpi_guard& operator=(mpi_guard const&) = delete;
  ~mpi_guard() {
    if (started_ && !detail::mpi_is_over()) MPI_Finalize();
  }

  [[nodiscard]] bool started() const noexcept { return started_; }
  [[nodiscard]] thread_level asked() const noexcept { return asked_; }
  [[nodiscard]] thread_level provided() const noexcept { return provided_; }

 private:
  bool started_ = false;
  thread_level asked_, provided_ = thread_level::single;
};

template <class> mpi_guard::mpi_guard(int* argc, char*** argv, thread_level asked) : asked_(asked) {
  int begun = 0, over = 0, level = MPI_THREAD_SINGLE;
  MPI_Initialized(&begun);
  MPI_Finalized(&over);
  if (over)
    throw error{"comm::mpi_guard", "MPI has been finalized already", "MPI can be started only once per process"};
  if (begun) {
    MPI_Query_thread(&level);
  } else {
    int const code = MPI_Init_thread(argc, argv, static_cast<int>(asked), &level);
    MPI_Initialized(&begun);  // a return of success is not enough: ask
    if (code != MPI_SUCCESS || !begun)
      throw error{"comm::mpi_guard", "MPI_Init_thread did not start MPI",
                  "Check that the program runs under this MPI's mpirun"};
    if constexpr (detail::mpi_requests_fail_on_world) MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    started_ = true;
  }
  provided_ = static_cast<thread_level>(level);
}
PLEAT_COMPILED_ONCE(mpi_guard::mpi_guard(int* argc, char*** argv, thread_level asked));

}  // namespace pleat::comm
