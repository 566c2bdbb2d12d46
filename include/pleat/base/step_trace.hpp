// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What one rank did when: spans of computing, communicating and waiting. Needs no Kokkos.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include <pleat/base/config.hpp>

namespace pleat {

/// What a rank's spans lie on. On `work` they nest: it is what the rank's thread did. The others show what travels
/// beside it: buckets of gradients, buckets of sharded parameters, tensors between the stages of a pipeline.
enum class trace_lane : std::uint8_t { work, gradients, parameters, messages };

/// A stretch of time in one rank's step. Names are literals.
struct span_of_time {
  char const* what = "";            ///< "forward", "backward_input", "wait for an activation", …
  char const* category = "";        ///< "compute", "communication", "waiting", "input"
  std::int64_t begin = 0, end = 0;  ///< nanoseconds since the trace's zero
  std::int32_t stage = -1, micro_batch = -1;
  trace_lane lane = trace_lane::work;
  std::int32_t bucket = -1;
};

/// Grows while it is on; the memory is reserved when it is switched on, so that tracing does not allocate in the middle
/// of work.
class step_trace {
 public:
  PLEAT_LAZY void start(std::size_t room = 4096) {
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
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
  }
  std::vector<span_of_time> spans_;
  std::int64_t zero_ = 0;
  bool on_ = false;
};

/// A span of the work from here to the end of the scope. Where nobody traces it costs the test of a pointer.
class scoped_span {
 public:
  /// \param trace null, or one that may be off
  PLEAT_LAZY explicit scoped_span(step_trace* trace, char const* what, char const* category, std::int64_t stage = -1,
                                  std::int64_t micro_batch = -1)
      : trace_(trace && trace->on() ? trace : nullptr) {
    if (!trace_) return;
    span_ = {
        what, category, trace_->now(), 0, static_cast<std::int32_t>(stage), static_cast<std::int32_t>(micro_batch)};
  }
  scoped_span(scoped_span const&) = delete;
  scoped_span& operator=(scoped_span const&) = delete;
  ~scoped_span() {
    if (!trace_) return;
    span_.end = trace_->now();
    try {
      trace_->add(span_);
    } catch (...) {  // no memory for a span is no reason to end
    }
  }

 private:
  step_trace* trace_;
  span_of_time span_;
};

}  // namespace pleat
