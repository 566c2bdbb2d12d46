// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A link that breaks where a test says, on every rank alike.
#pragma once

#include <pleat/base/error.hpp>
#include <pleat/comm/communicator.hpp>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

namespace pleat_test {

/// Of the non-blocking operations of a kind that a rank starts, the one behind the next `after` fails: when it is
/// started, or when it is waited for.
struct break_point {
  pleat::comm::call_kind kind = pleat::comm::call_kind::all_reduce;
  bool armed = false, at_start = false;
  int after = 0;
  long polls = 0;  ///< of operations under way
  /// Whether it is this one's turn.
  bool now(pleat::comm::call_kind k) { return armed && k == kind && after-- == 0; }
  [[noreturn]] static void snap() { throw pleat::error{"test", "the link broke", ""}; }
};

/// Passes everything on but what breaks; what fails when it is waited for never ends by polling.
class breaking {
 public:
  /// \param where must outlive this
  breaking(pleat::comm::communicator c, break_point* where)
      : inner_(std::make_unique<pleat::comm::communicator>(std::move(c))), where_(where) {}

  [[nodiscard]] int rank() const { return inner_->rank(); }
  [[nodiscard]] int size() const { return inner_->size(); }
  void run(pleat::comm::call const& c) { inner_->run(c); }
  [[nodiscard]] pleat::comm::request start(pleat::comm::call const& c) {
    bool const breaks = where_->now(c.kind);
    if (breaks && where_->at_start) break_point::snap();
    auto free = std::find_if(operations_.begin(), operations_.end(), [](auto const& o) { return !o->busy; });
    if (free == operations_.end()) free = operations_.insert(free, std::make_unique<operation>());
    operation& o = **free;
    o.busy = true;
    o.breaks = breaks;
    o.where = where_;
    o.inner = inner_->start(c);
    return pleat::comm::request(&o);
  }
  void progress() { inner_->progress(); }
  std::unique_ptr<breaking> split(int color, int key) {
    auto part = inner_->split(color, key);
    return part ? std::make_unique<breaking>(std::move(part), where_) : nullptr;
  }

 private:
  struct operation final : pleat::comm::pending {
    pleat::comm::request inner;
    break_point* where = nullptr;
    bool breaks = false, busy = false;
    bool test() override {
      ++where->polls;
      return inner.test() && !breaks;
    }
    void wait() override {
      inner.wait();
      if (breaks) break_point::snap();
    }
    void release() noexcept override {
      inner = {};
      busy = false;
    }
  };

  std::unique_ptr<pleat::comm::communicator> inner_;
  break_point* where_;
  std::vector<std::unique_ptr<operation>> operations_;
};

}  // namespace pleat_test
