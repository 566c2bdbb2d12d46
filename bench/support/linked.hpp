// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Ranks of one process as if a network lay between them: a transport whose operations end no earlier than a link of a
/// given bandwidth could have carried their bytes. The link needs no processor while it carries, as a network card does
/// not; so it can be hidden behind.
#pragma once

#include <algorithm>
#include <chrono>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include <pleat/comm/communicator.hpp>

namespace bench {

class linked {
  using clock = std::chrono::steady_clock;

 public:
  linked(pleat::comm::communicator c, double bytes_per_second)
      : linked(std::move(c), std::make_shared<link>(link{bytes_per_second, {}})) {}

  [[nodiscard]] int rank() const { return inner_->rank(); }
  [[nodiscard]] int size() const { return inner_->size(); }
  void run(pleat::comm::call const& c) {
    auto const due = carry(c);
    inner_->run(c);
    while (clock::now() < due) std::this_thread::yield();
  }
  [[nodiscard]] pleat::comm::request start(pleat::comm::call const& c) {
    auto free = std::find_if(operations_.begin(), operations_.end(), [](auto const& o) { return !o->busy; });
    if (free == operations_.end()) free = operations_.insert(free, std::make_unique<operation>());
    operation& o = **free;
    o.busy = true;
    o.due = carry(c);
    o.inner = inner_->start(c);
    return pleat::comm::request(&o);
  }
  void progress() { inner_->progress(); }
  std::unique_ptr<linked> split(int color, int key) {
    auto part = inner_->split(color, key);
    return part ? std::unique_ptr<linked>(new linked(std::move(part), link_)) : nullptr;
  }

 private:
  struct link {
    double bytes_per_second;
    clock::time_point free;  // when what was sent before has gone
  };
  struct operation final : pleat::comm::pending {
    pleat::comm::request inner;
    clock::time_point due;
    bool busy = false;
    bool test() override { return inner.test() && clock::now() >= due; }
    void wait() override {
      while (!test()) std::this_thread::yield();
    }
    void release() noexcept override {
      inner = {};
      busy = false;
    }
  };
  linked(pleat::comm::communicator c, std::shared_ptr<link> l)
      : inner_(std::make_unique<pleat::comm::communicator>(std::move(c))), link_(std::move(l)) {}

  /// Puts a call on the link. \returns when it has gone: a rank sends and receives its bytes once per halving step of a
  /// ring
  clock::time_point carry(pleat::comm::call const& c) {
    double const n = size();
    double const share =
        c.kind == pleat::comm::call_kind::all_reduce ? 2 * (n - 1) / n
        : c.kind == pleat::comm::call_kind::all_gather || c.kind == pleat::comm::call_kind::all_gather_v ? n - 1
                                                                                                         : (n - 1) / n;
    auto const time = std::chrono::duration_cast<clock::duration>(
        std::chrono::duration<double>(share * static_cast<double>(c.bytes()) / link_->bytes_per_second));
    return link_->free = std::max(link_->free, clock::now()) + time;
  }

  std::unique_ptr<pleat::comm::communicator> inner_;
  std::shared_ptr<link> link_;
  std::vector<std::unique_ptr<operation>> operations_;
};

}  // namespace bench
