// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A request: an operation under way.
#pragma once

#include <memory>
#include <span>
#include <utility>

#include <pleat/base/config.hpp>

namespace pleat::comm {

/// What a transport keeps for one operation under way. The transport owns it (a free list), a request only refers to
/// it.
class pending {
 public:
  /// Moves the operation on without waiting. \returns whether it is complete. \throws error if it failed
  virtual bool test() = 0;
  /// Returns when the operation is complete. \throws error if it failed or took longer than the communicator's time-out
  virtual void wait() = 0;
  /// Finishes the operation if it must, quietly, and gives the state back to its transport. While an exception unwinds
  /// the stack it does not wait for other ranks.
  virtual void release() noexcept = 0;

 protected:
  ~pending() = default;
};

/// An operation under way; a move-only value. Its buffers belong to the caller and must stay until it is complete.
/// The destructor waits for an operation that nobody waited for (an error is then lost: call wait() to see it).
///
/// Progress: an operation advances when somebody polls: test() or wait() of any request of the same communicator, or
/// communicator::progress().
class request {
 public:
  /// A request that is complete.
  request() noexcept = default;
  explicit request(pending* p) noexcept : p_(p) {}
  request(request&& o) noexcept : p_(std::exchange(o.p_, nullptr)) {}
  request& operator=(request&& o) noexcept {
    if (this != &o) {
      finish();
      p_ = std::exchange(o.p_, nullptr);
    }
    return *this;
  }
  request(request const&) = delete;
  request& operator=(request const&) = delete;
  ~request() { finish(); }

  /// \returns whether the operation is complete; once true, always true. \throws error once, if it failed
  PLEAT_LAZY bool test() {
    if (!p_) return true;
    hold h{p_};
    if (p_->test()) return true;
    h.keep = true;
    return false;
  }
  /// Waits. \throws error if the operation failed or timed out
  PLEAT_LAZY void wait() {
    if (!p_) return;
    hold h{p_};
    p_->wait();
  }
  /// Whether nothing is under way any more, without polling.
  [[nodiscard]] bool done() const noexcept { return p_ == nullptr; }

 private:
  struct hold {  // completion and failure both end the request
    pending*& p;
    bool keep = false;
    ~hold() {
      if (!keep) std::exchange(p, nullptr)->release();
    }
  };
  PLEAT_LAZY void finish() noexcept {
    if (p_) std::exchange(p_, nullptr)->release();
  }
  pending* p_ = nullptr;
};

/// Waits for all of them in turn. \throws error the first failure; the others are still under way then
PLEAT_LAZY inline void wait_all(std::span<request> requests) {
  for (auto& r : requests) r.wait();
}

/// Polls all of them. \returns whether all are complete
PLEAT_LAZY [[nodiscard]] inline bool test_all(std::span<request> requests) {
  bool all = true;
  for (auto& r : requests) all = r.test() && all;
  return all;
}

}  // namespace pleat::comm
