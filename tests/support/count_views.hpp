// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Counts what Kokkos allocates in any memory space (Views, kokkos_malloc), as Kokkos Tools tells it.
#pragma once

#include <atomic>
#include <cstdint>

#include <Kokkos_Core.hpp>

namespace pleat_test {

inline std::atomic<long> counted_views{0};
/// Kokkos' callbacks are plain function pointers.
inline void count_view(Kokkos_Profiling_SpaceHandle, char const*, void const*, std::uint64_t) {
  counted_views.fetch_add(1, std::memory_order_relaxed);
}

/// Counts for as long as it lives; one at a time.
class view_counter {
 public:
  view_counter() : before_(Kokkos::Tools::Experimental::get_callbacks()) {
    counted_views = 0;
    Kokkos::Tools::Experimental::set_allocate_data_callback(count_view);
  }
  view_counter(view_counter const&) = delete;
  view_counter& operator=(view_counter const&) = delete;
  ~view_counter() { Kokkos::Tools::Experimental::set_callbacks(before_); }

  [[nodiscard]] static long count() noexcept { return counted_views; }

 private:
  Kokkos::Tools::Experimental::EventSet before_;
};

}  // namespace pleat_test
