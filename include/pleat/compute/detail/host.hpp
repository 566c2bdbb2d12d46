// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// How a kernel spreads over the threads of its instance: as a few tasks, each an index; one task is a plain call.
#pragma once

#include <Kokkos_Core.hpp>

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include <pleat/base/context.hpp>
#include <pleat/base/profile.hpp>

namespace pleat::compute {

/// Spaces whose kernels run on the calling process's processors, so that raw loops and vector code may be used.
template <class Space>
inline constexpr bool is_host_space_v =
    Kokkos::SpaceAccessibility<Kokkos::HostSpace, typename Space::memory_space>::accessible &&
    std::is_same_v<typename Space::memory_space, Kokkos::HostSpace>;

/// Work (in floating-point operations or touched elements) below which a launch costs more than it gains.
inline constexpr double serial_cutoff = 2.5e5;

/// How many tasks a host kernel of this much work should use on this instance.
template <class Space> [[nodiscard]] inline int tasks_for(Space const& space, double work) {
  if (work < serial_cutoff) return 1;
  return std::max(1, static_cast<int>(std::min<double>(concurrency_of(space), work / (serial_cutoff / 2))));
}

namespace detail {
template <class Task> struct task_functor {
  Task const* task;  // the launch fences before the pointee dies
  void operator()(int const i) const { (*task)(i); }
};
}  // namespace detail

/// Runs task(0) … task(tasks-1) on the threads of a host instance and waits. One task is a direct call, without a
/// launch.
template <class Space, class Task> void for_tasks(Space const& space, int tasks, Task const& task) {
  static_assert(is_host_space_v<Space>, "for_tasks runs host code: the space's memory must be Kokkos::HostSpace");
  if (tasks <= 1) {
    task(0);
    return;
  }
  Kokkos::parallel_for(
      launch_label<Task>(),
      Kokkos::RangePolicy<Space, Kokkos::Schedule<Kokkos::Static>, Kokkos::IndexType<int>>(space, 0, tasks),
      detail::task_functor<Task>{&task});
  space.fence("pleat");
}

}  // namespace pleat::compute
