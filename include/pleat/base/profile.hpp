// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Regions that Kokkos Tools see. They carry the long names, because a launch label above 15 characters allocates.
#pragma once

#include <Kokkos_Core.hpp>

namespace pleat {

/// A scoped region `pleat::room::operation`; costs a branch when no tool is loaded.
class region {
 public:
  explicit region(char const* name) : on_(Kokkos::Tools::profileLibraryLoaded()) {
    if (on_) Kokkos::Profiling::pushRegion(name);
  }
  region(region const&) = delete;
  region& operator=(region const&) = delete;
  ~region() {
    if (on_) Kokkos::Profiling::popRegion();
  }

 private:
  bool on_;
};

}  // namespace pleat
