// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Where work happens: an execution-space instance and the memory that belongs to it.
#pragma once

#include <Kokkos_Core.hpp>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/base/pool.hpp>

namespace pleat {

namespace detail {
/// \throws error unless Kokkos runs: what it says itself is an abort
PLEAT_ONCE void demand_kokkos() {
  if (Kokkos::is_initialized()) return;
  throw error{"context", "Kokkos is not running",
              "Work inside pleat::run::launch, or keep a pleat::runtime (or your own Kokkos::ScopeGuard) in main"};
}
PLEAT_COMPILED_ONCE(void demand_kokkos());
}  // namespace detail

/// An execution-space instance of its own with its own pool. Not copyable: tensors point into it and must not outlive
/// it. Belongs to one host thread at a time; two contexts work side by side (own OpenMP instances, own CUDA streams).
template <class Space> class context {
 public:
  using execution_space = Space;

  /// \throws error unless Kokkos runs
  explicit context(Space instance) : space_((detail::demand_kokkos(), std::move(instance))) {}
  context(context const&) = delete;
  context& operator=(context const&) = delete;

  [[nodiscard]] Space const& space() const noexcept { return space_; }
  [[nodiscard]] pleat::pool<Space>& pool() noexcept { return pool_; }
  /// Host memory that is asked for once: results that the host reads, bookkeeping of a length known at run time.
  [[nodiscard]] pleat::pool<Kokkos::DefaultHostExecutionSpace>& host_pool() noexcept { return host_pool_; }
  void fence() const { space_.fence("pleat::context"); }

 private:
  Space space_;
  pleat::pool<Space> pool_;
  pleat::pool<Kokkos::DefaultHostExecutionSpace> host_pool_;
};

/// How many threads this instance has. Not `space.concurrency()`: Kokkos 4 with its deprecated code makes that a static
/// member, which answers for the default instance whatever instance it is asked of.
template <class Space> [[nodiscard]] int concurrency_of(Space const& space) {
  if constexpr (requires { Space::concurrency(space); }) {
    return Space::concurrency(space);
  } else {
    return space.concurrency();
  }
}

/// An instance of its own with `threads` threads, where the space can be cut that way; else a new instance as the space
/// makes one. The default instance serialises callers from several host threads, own instances do not.
/// \throws error unless Kokkos runs
template <class Space> [[nodiscard]] Space make_instance([[maybe_unused]] int threads) {
  detail::demand_kokkos();
#ifdef KOKKOS_ENABLE_OPENMP
  if constexpr (std::is_same_v<Space, Kokkos::OpenMP>) return threads > 0 ? Kokkos::OpenMP(threads) : Kokkos::OpenMP();
#endif
#ifdef KOKKOS_ENABLE_SERIAL
  if constexpr (std::is_same_v<Space, Kokkos::Serial>) return Kokkos::Serial(Kokkos::NewInstance{});
#endif
  if constexpr (!Kokkos::SpaceAccessibility<Kokkos::HostSpace, typename Space::memory_space>::accessible) {
    return Kokkos::Experimental::partition_space(Space(), 1)[0];
  } else {
    return Space();
  }
}

}  // namespace pleat
