// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What one rank did when: spans of computing, communicating and waiting. Needs no Kokkos.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

namespace pleat::parallel {

/// A stretch of time in one rank's step. Names are literals.
struct span_of_time {
  char const* what = "";       ///< "forward", "backward_input", "wait", …
  char const* category = "";   ///< "compute", "send", "receive", "exchange", "input", "optimizer"
  std::int64_t begin = 0, end = 0;  ///< nanoseconds since the trace's zero
  std::int32_t stage = -1, micro_batch = -1;
};

/// Grows while it is on; the memory is reserved when it is switched on, so that tracing does not allocate in the middle of work.
class step_trace {
 public:
  void start(std::size_t room = 4096) {
    spans_.clear();
    spans_.reserve(room);
    zero_ = clock();
    on_ = true;
  }
  void stop() noexcept { on_ = false; }
  [[nodiscard]] bool on() const noexcept { return on_; }
  [[nodiscard]] std::int64_t now() const noexcept { return clock() - zero_; }
  void add(span_of_time const& s) { spans_.push_back(s); }
  [[nodiscard]] std::vector<span_of_time> const& spans() const noexcept { return spans_; }

 private:
  [[nodiscard]] static std::int64_t clock() noexcept {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
  }
  std::vector<span_of_time> spans_;
  std::int64_t zero_ = 0;
  bool on_ = false;
};

}  // namespace pleat::parallel
