// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Seconds of the processor: what other programs took meanwhile does not count.
#pragma once

#include <time.h>

namespace bench {

inline double seconds_of(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}
/// Of all threads of this process together.
inline double process_seconds() { return seconds_of(CLOCK_PROCESS_CPUTIME_ID); }
/// Of the calling thread.
inline double thread_seconds() { return seconds_of(CLOCK_THREAD_CPUTIME_ID); }

}  // namespace bench
