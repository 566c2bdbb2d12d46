// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A transport that sees who writes into a buffer that is still being sent: a message leaves at once, is complete only
/// when it has been waited for or asked about often enough, and is compared with its buffer then. A race that a fast
/// transport hides shows here every time.
#pragma once

#include <cstring>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include <pleat/comm/communicator.hpp>
#include <pleat/comm/local.hpp>

namespace pleat_test {

class watched_sends {
 public:
  /// \param changed counts the sends whose buffer was changed under way
  watched_sends(pleat::comm::local inner, int& changed) : inner_(std::move(inner)), changed_(&changed) {}

  [[nodiscard]] static constexpr char const* name() noexcept { return "watched"; }
  [[nodiscard]] int rank() const noexcept { return inner_.rank(); }
  [[nodiscard]] int size() const noexcept { return inner_.size(); }
  void run(pleat::comm::call const& c) { inner_.run(c); }
  [[nodiscard]] pleat::comm::request start(pleat::comm::call const& c) {
    if (c.kind != pleat::comm::call_kind::send) return inner_.start(c);
    auto& s = sends_.emplace_back(std::make_unique<sending>());
    auto const* const from = static_cast<char const*>(c.in.data);
    s->buffer = from;
    s->copy.assign(from, from + c.in.count * static_cast<pleat::index_t>(pleat::size_of(c.in.type)));
    s->changed = changed_;
    auto sent = c;
    sent.in.data = s->copy.data();
    s->inner = inner_.start(sent);
    return pleat::comm::request(s.get());
  }
  void progress() { inner_.progress(); }

 private:
  struct sending final : pleat::comm::pending {
    std::vector<char> copy;
    char const* buffer = nullptr;
    int* changed = nullptr;
    int asked = 0;
    pleat::comm::request inner;

    bool test() override {
      if (++asked < 4 || !inner.test()) return false;
      look();
      return true;
    }
    void wait() override {
      inner.wait();
      look();
    }
    void release() noexcept override {}
    void look() noexcept {
      if (buffer && std::memcmp(buffer, copy.data(), copy.size()) != 0) ++*changed;
      buffer = nullptr;
    }
  };

  pleat::comm::local inner_;
  int* changed_;
  std::vector<std::unique_ptr<sending>> sends_;
};

/// f(communicator) on thread ranks whose sends are watched. \returns how many buffers were changed under way
template <class F> int run_watched(int ranks, F const& f) {
  std::vector<int> changed(static_cast<std::size_t>(ranks), 0);
  auto const core = std::make_shared<pleat::comm::detail::local_core>(ranks);
  std::vector<std::thread> threads;
  for (int r = 0; r < ranks; ++r)
    threads.emplace_back([&, r] {
      f(pleat::comm::communicator(watched_sends(pleat::comm::local(core, r), changed[static_cast<std::size_t>(r)])));
    });
  for (auto& t : threads) t.join();
  int sum = 0;
  for (int const n : changed) sum += n;
  return sum;
}

}  // namespace pleat_test
