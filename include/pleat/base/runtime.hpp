// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Starting and ending Kokkos only where nobody else has.
#pragma once

#include <string>

#include <Kokkos_Core.hpp>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>

namespace pleat {

/// Starts Kokkos unless it runs already; ends it only if it started it. A guest in somebody's program changes nothing.
class kokkos_guard {
 public:
  /// Kokkos' OpenMP has a table of as many, and writes behind it for more (OpenMP/Kokkos_OpenMP_Instance.hpp).
  static constexpr int most_threads = 512;

  /// \param threads of Kokkos' default host instance; 0: what Kokkos chooses
  /// \throws error if Kokkos has been finalized: it cannot be started a second time; for more threads than it can take
  PLEAT_ONCE explicit kokkos_guard(int threads = 0);
  kokkos_guard(kokkos_guard const&) = delete;
  kokkos_guard& operator=(kokkos_guard const&) = delete;
  ~kokkos_guard() {
    if (started_ && Kokkos::is_initialized() && !Kokkos::is_finalized()) Kokkos::finalize();
  }

  /// True if this guard started Kokkos (and will end it).
  [[nodiscard]] bool started() const noexcept { return started_; }

 private:
  bool started_ = false;
};

template <class> kokkos_guard::kokkos_guard(int threads) {
  if (Kokkos::is_finalized())
    throw error{"runtime", "Kokkos has been finalized in this process and cannot be started again",
                "Keep one pleat::kokkos_guard, or your own Kokkos::ScopeGuard, for the whole of main"};
  if (Kokkos::is_initialized()) return;
  if (threads > most_threads)
    throw error{
        "runtime",
        "Kokkos takes at most " + std::to_string(most_threads) + " threads, asked for " + std::to_string(threads),
        "Use fewer threads, and more ranks"};
  Kokkos::InitializationSettings settings;
  settings.set_disable_warnings(true);  // its advice on OMP_PROC_BIND puts every rank of a node on the same cores
  if (threads > 0) settings.set_num_threads(threads);
  Kokkos::initialize(settings);
  started_ = true;
}
PLEAT_COMPILED_ONCE(kokkos_guard::kokkos_guard(int threads));

}  // namespace pleat
