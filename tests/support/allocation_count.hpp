// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The count of a program's calls of `operator new`, in which some source of it includes support/count_allocations.hpp.
#pragma once

#include <atomic>

namespace pleat_test {
inline std::atomic<bool> counting_allocations{false};
inline std::atomic<long> counted_allocations{0};
inline std::atomic<long> live_bytes{0}, most_live_bytes{0};  ///< of what was allocated since counting began
inline std::atomic<long> largest_bytes{0};                   ///< of one allocation since then

/// How often `f` allocates, on any thread.
template <class F> long allocations_in(F const& f) {
  counted_allocations = 0;
  largest_bytes = 0;
  counting_allocations = true;
  f();
  counting_allocations = false;
  return counted_allocations;
}
/// How many bytes `f` had at the most, on any thread, beyond what was there when it began.
template <class F> long most_bytes_in(F const& f) {
  live_bytes = 0;
  most_live_bytes = 0;
  (void)allocations_in(f);
  return most_live_bytes;
}
}  // namespace pleat_test
