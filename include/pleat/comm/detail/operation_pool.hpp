// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The operations that a transport's endpoint lends out to requests: made in bulk, used again.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <vector>

namespace pleat::comm::detail {

/// All operations of an endpoint, those that wait to be used and those under way. How many are under way at once
/// depends on time; a steady state allocates nothing, because each time that they do not suffice there are twice as
/// many afterwards.
template <class Operation> class operation_pool {
 public:
  /// Under way, in no order.
  [[nodiscard]] std::vector<Operation*> const& active() const noexcept { return active_; }

  /// One that waits, which stays with those until `begin`. \param least that are made the first time \param prepare is
  /// called for each new one
  template <class Prepare> [[nodiscard]] Operation& next(std::size_t least, Prepare&& prepare) {
    if (idle_.empty()) {
      auto const number = std::max(least, 2 * all_.size());
      all_.reserve(number);
      idle_.reserve(number);
      active_.reserve(number);
      while (all_.size() < number) {
        all_.push_back(std::make_unique<Operation>());
        prepare(*all_.back());
        idle_.push_back(all_.back().get());
      }
    }
    return *idle_.back();
  }
  /// The one that `next` gave is under way.
  void begin() noexcept {
    active_.push_back(idle_.back());  // there is room for all
    idle_.pop_back();
  }
  /// It is over. \param again false: it is never lent out again, though it lives on
  void end(Operation& o, bool again = true) noexcept {
    std::erase(active_, &o);
    if (again) idle_.push_back(&o);
  }

 private:
  std::vector<std::unique_ptr<Operation>> all_;
  std::vector<Operation*> idle_, active_;
};

}  // namespace pleat::comm::detail
