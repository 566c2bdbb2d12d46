// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Ranks as MPI processes. Including this header is how one says MPI.
///
/// Works with MPI 3.1 (Open MPI 4, MPICH 4): counts above an int are sent in pieces.
#pragma once

#include <climits>
#include <memory>
#include <string>
#include <utility>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/base/owned_ptr.hpp>
#include <pleat/comm/communicator.hpp>
#include <pleat/comm/detail/mpi_core.hpp>
#include <pleat/comm/detail/named_calls.hpp>
#include <pleat/comm/mpi_guard.hpp>
#include <pleat/comm/request.hpp>

namespace pleat::comm {

/// An MPI communicator. Move-only; used by one thread at a time (MPI_THREAD_FUNNELED for the main thread,
/// MPI_THREAD_SERIALIZED for others, MPI_THREAD_MULTIPLE for several communicators on several threads at once).
///
/// - Sums of more than two ranks are in MPI's order: repeatable only as far as the MPI library is.
/// comm::lane_all_reduce fixes it.
/// - 16-bit floats are combined in float and rounded after each addition.
/// - MPI's codes become pleat::error. A borrowed communicator keeps its owner's error handler, which may abort first.
/// MPICH asks MPI_COMM_WORLD's where a request ends with an error: who starts MPI himself sets MPI_ERRORS_RETURN there.
/// - Destructors are quiet after MPI_Finalize.
class mpi : public detail::named_calls<mpi> {
 public:
  /// How calls become MPI's calls.
  struct options {
    /// elements per MPI call, 1 to the largest int; more are cut into pieces (lowered by tests)
    index_t max_count = INT_MAX;
  };

  /// Collective: a private duplicate, freed at the end, which reports errors instead of aborting.
  PLEAT_ONCE [[nodiscard]] static mpi duplicate(MPI_Comm of, options o);
  PLEAT_LAZY [[nodiscard]] static mpi duplicate(MPI_Comm of) { return duplicate(of, options{}); }

  /// The user's own communicator, as it is: not freed, error handler untouched, traffic shared with the user's. Once its
  /// owner frees it, every call but progress() throws error (in MPICH: as soon as nothing is under way on it).
  PLEAT_ONCE [[nodiscard]] static mpi borrow(MPI_Comm of, options o) {
    demand("comm::mpi::borrow", of, o);
    return mpi(std::make_shared<detail::mpi_core>(of, false, o.max_count));
  }
  PLEAT_LAZY [[nodiscard]] static mpi borrow(MPI_Comm of) { return borrow(of, options{}); }

  mpi(mpi&&) noexcept = default;
  mpi& operator=(mpi&&) noexcept = default;

  [[nodiscard]] static constexpr char const* name() noexcept { return "mpi"; }
  [[nodiscard]] int rank() const noexcept { return core_->rank; }
  [[nodiscard]] int size() const noexcept { return core_->size; }
  [[nodiscard]] MPI_Comm handle() const noexcept { return core_->comm; }

  PLEAT_LAZY void run(call const& c) { core_->run(c); }
  PLEAT_LAZY [[nodiscard]] briefly runs_briefly() noexcept { return core_->runs_briefly(); }
  PLEAT_LAZY [[nodiscard]] request start(call const& c) { return core_->start(c); }
  PLEAT_LAZY void progress() { core_->progress(); }

  /// Collective when it is first set to >= 0. Timed collectives cost one 8-byte message per pair of ranks. After a
  /// time-out this communicator refuses further calls: MPI cannot take an operation back.
  PLEAT_LAZY void set_timeout(double seconds) { core_->set_timeout(seconds); }

  PLEAT_ONCE [[nodiscard]] owned_ptr<mpi> split(int color, int key);

 private:
  explicit mpi(std::shared_ptr<detail::mpi_core> core) : core_(std::move(core)) {}
  PLEAT_ONCE static void demand(char const* call, MPI_Comm of, options const& o) {
    if (detail::mpi_is_over())
      throw error{call, "MPI is not running", "Call MPI_Init_thread first, or hold a comm::mpi_guard"};
    if (of == MPI_COMM_NULL)
      throw error{call, "the communicator is MPI_COMM_NULL", "Pass one that this process belongs to"};
    if (o.max_count < 1 || o.max_count > INT_MAX)
      throw error{call, "max_count is " + std::to_string(o.max_count) + ", expected 1 to " + std::to_string(INT_MAX),
                  "Leave it out: it is what MPI can count"};
  }
  std::shared_ptr<detail::mpi_core> core_;
};

template <class> mpi mpi::duplicate(MPI_Comm of, options o) {
  demand("comm::mpi::duplicate", of, o);
  MPI_Comm copy = MPI_COMM_NULL;
  if (int const code = MPI_Comm_dup(of, &copy); code != MPI_SUCCESS) detail::mpi_fail(code, "comm::mpi::duplicate", -1);
  MPI_Comm_set_errhandler(copy, MPI_ERRORS_RETURN);
  return mpi(std::make_shared<detail::mpi_core>(copy, true, o.max_count));
}
PLEAT_COMPILED_ONCE(mpi mpi::duplicate(MPI_Comm of, options o));

template <class> owned_ptr<mpi> mpi::split(int color, int key) {
  core_->demand_not_freed("split");
  MPI_Comm part = MPI_COMM_NULL;
  core_->check(MPI_Comm_split(core_->comm, color < 0 ? MPI_UNDEFINED : color, key, &part), "split");
  if (part == MPI_COMM_NULL) return nullptr;
  MPI_Comm_set_errhandler(part, MPI_ERRORS_RETURN);
  return make_owned<mpi>(mpi(std::make_shared<detail::mpi_core>(part, true, core_->max_count)));
}
PLEAT_COMPILED_ONCE(owned_ptr<mpi> mpi::split(int color, int key));

}  // namespace pleat::comm
