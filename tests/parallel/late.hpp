// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The slowest link there can be: what an operation brings is there only once somebody has waited for it. No clock
/// decides.
#pragma once

#include <pleat/comm/communicator.hpp>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

namespace pleat_test {

/// Passes everything on, but non-blocking sums and gathers of parts end in memory of their own, never end by polling,
/// and come out in wait().
class late {
 public:
  explicit late(pleat::comm::communicator c) : inner_(std::make_unique<pleat::comm::communicator>(std::move(c))) {}

  [[nodiscard]] int rank() const { return inner_->rank(); }
  [[nodiscard]] int size() const { return inner_->size(); }
  void run(pleat::comm::call const& c) { inner_->run(c); }
  [[nodiscard]] pleat::comm::request start(pleat::comm::call const& c) {
    using kind = pleat::comm::call_kind;
    if (c.kind != kind::all_reduce && c.kind != kind::reduce_scatter_v && c.kind != kind::all_gather_v)
      return inner_->start(c);
    auto free = std::find_if(operations_.begin(), operations_.end(), [](auto const& o) { return !o->busy; });
    if (free == operations_.end()) free = operations_.insert(free, std::make_unique<operation>());
    operation& o = **free;
    o.busy = true;
    o.out = c.out;
    o.memory.resize(static_cast<std::size_t>(c.out.bytes()));
    if (!o.memory.empty()) std::memcpy(o.memory.data(), c.out.data, o.memory.size());
    auto mine = c;
    mine.out.data = o.memory.data();
    // others read their own memory, which stays
    if (c.kind == kind::all_reduce && c.in.data == c.out.data) mine.in.data = o.memory.data();
    o.inner = inner_->start(mine);
    return pleat::comm::request(&o);
  }
  void progress() { inner_->progress(); }
  std::unique_ptr<late> split(int color, int key) {
    auto part = inner_->split(color, key);
    return part ? std::make_unique<late>(std::move(part)) : nullptr;
  }

 private:
  struct operation final : pleat::comm::pending {
    pleat::comm::request inner;
    pleat::comm::buffer out{};
    std::vector<std::byte> memory;
    bool busy = false;
    bool test() override {
      (void)inner.test();
      return false;
    }
    void wait() override {
      inner.wait();
      if (!memory.empty()) std::memcpy(out.data, memory.data(), memory.size());
    }
    void release() noexcept override {
      inner = {};
      busy = false;
    }
  };

  std::unique_ptr<pleat::comm::communicator> inner_;
  std::vector<std::unique_ptr<operation>> operations_;
};

}  // namespace pleat_test
