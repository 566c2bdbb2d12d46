// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Version and the two function markers. Needs no Kokkos, so that pure headers stay pure.
#pragma once

#include <compare>

#define PLEAT_VERSION_MAJOR 0
#define PLEAT_VERSION_MINOR 1
#define PLEAT_VERSION_PATCH 0

/// Callable on host and device; empty where no device compiler runs.
#if defined(__CUDACC__) || defined(__HIPCC__)
#define PLEAT_FUNCTION __host__ __device__ inline
#define PLEAT_INLINE __host__ __device__ inline __attribute__((always_inline))
#else
#define PLEAT_FUNCTION inline
#define PLEAT_INLINE inline __attribute__((always_inline))
#endif

namespace pleat {

/// The library's version, as numbers that a program can compare at run time.
struct version_number {
  int major, minor, patch;
  friend constexpr auto operator<=>(version_number const&, version_number const&) = default;
};

[[nodiscard]] constexpr version_number version() noexcept {
  return {PLEAT_VERSION_MAJOR, PLEAT_VERSION_MINOR, PLEAT_VERSION_PATCH};
}

}  // namespace pleat
