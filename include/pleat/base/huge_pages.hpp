// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Large pages under memory that is walked from end to end: parameters, activations, stored weights, packed panels.
/// Needs no Kokkos.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace pleat {

/// Asks that a block be backed by pages of 2 MiB as far as it holds whole ones, before it is touched for the first
/// time. Linux, where transparent huge pages are given to who asks (`/sys/kernel/mm/transparent_hugepage/enabled` says
/// madvise); where they are always or never given, and on other systems, nothing changes. Nothing is reserved, and a
/// request that is not granted is no error.
inline void advise_huge_pages([[maybe_unused]] void* data, [[maybe_unused]] std::size_t bytes) noexcept {
#if defined(__linux__)
  constexpr std::uintptr_t huge = std::uintptr_t{1} << 21;
  auto const first = (reinterpret_cast<std::uintptr_t>(data) + huge - 1) / huge * huge,
             last = (reinterpret_cast<std::uintptr_t>(data) + bytes) / huge * huge;
  if (first < last) (void)madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#endif
}

}  // namespace pleat
