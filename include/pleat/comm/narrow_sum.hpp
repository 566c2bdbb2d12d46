// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A sum over ranks whose messages are 16 bits wide and whose additions are not: every operand is rounded once, added
/// in full width in rank order, and, where everybody wants the total, rounded once more.
///
/// Error of an element with operands x_r on p ranks, u the wire's unit roundoff (2⁻⁸ for bfloat16, 2⁻¹¹ for half), e
/// that of T:
///   scattered:  |found − Σ x_r| ≤ (u + (1 + u)·γ)·Σ|x_r|, γ = (p − 1)e / (1 − (p − 1)e)
///   everywhere: one factor (1 + u) more, and u·|Σ x_r|
/// as long as no operand leaves the wire's range. Half overflows at 65,520: the result is then infinite or NaN, never
/// silently wrong. Below 2⁻¹⁴ its spacing stays 2⁻²⁴: 2⁻²⁵ more for each rounding of such a number.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include <pleat/base/as_span.hpp>
#include <pleat/base/error.hpp>
#include <pleat/comm/communicator.hpp>
#include <pleat/tensor/detail/number.hpp>
#include <pleat/tensor/dtype.hpp>

namespace pleat::comm {

/// The non-blocking sum: made once, started any number of times; after construction nothing is allocated by it. A
/// polled state machine: it moves on in progress() and wait() only. All ranks make and start theirs in the same order.
template <class T, class Wire = bfloat16> class narrow_request {
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, double>, "pleat: the operands are float or double");
  static_assert(std::is_same_v<Wire, bfloat16> || std::is_same_v<Wire, half>, "pleat: the wire is bfloat16 or half");

 public:
  /// \param c must outlive this, and stay where it is
  /// \param counts elements of each rank's part, in rank order; the same on every rank
  /// \param everywhere true: an all-reduce; false: a reduce-scatter, rank r receives the sums of its part
  narrow_request(communicator& c, std::span<index_t const> counts, bool everywhere)
      : comm_(&c), counts_(counts.begin(), counts.end()), everywhere_(everywhere) {
    if (static_cast<int>(counts_.size()) != c.size())
      throw error{"comm::narrow_request",
                  std::to_string(counts_.size()) + " counts for " + std::to_string(c.size()) + " ranks",
                  "Give one count for each rank", c.rank()};
    mine_ = counts_[static_cast<std::size_t>(c.rank())];
    for (auto const n : counts_) {
      firsts_.push_back(total_);
      total_ += n;
    }
    sent_.resize(static_cast<std::size_t>(total_));
    received_.resize(static_cast<std::size_t>(mine_ * c.size()));
    receives_.reserve(counts_.size());
    sends_.reserve(2 * counts_.size());
  }

  /// Bytes of workspace: two per element, and two per element of this rank's part and rank.
  [[nodiscard]] index_t bytes() const noexcept {
    return static_cast<index_t>((sent_.size() + received_.size()) * sizeof(Wire));
  }

  /// \param in the elements of all parts, read before this returns
  /// \param out this rank's part, or all of them; may lie within in; is written when the request completes
  void start(T const* in, T* out) {
    if (stage_ != stage::idle)
      throw error{"comm::narrow_request::start", "it is under way already", "Wait for it before it is started again",
                  comm_->rank()};
    out_ = out;
    for (index_t i = 0; i < total_; ++i) sent_[static_cast<std::size_t>(i)] = narrowed(in[i]);
    // Messages, not collectives: several sums may be under way, and their second halves begin when they can.
    tag_ = comm_->library_tag();
    receives_.clear();
    sends_.clear();
    int const p = comm_->size(), me = comm_->rank();
    for (int r = 0; r < p; ++r)
      if (r != me && mine_ > 0) receive(received_.data() + r * mine_, mine_, r);
    std::copy(sent_.begin() + first(me), sent_.begin() + first(me) + mine_, received_.begin() + me * mine_);
    for (int d = 1; d < p; ++d)
      if (int const r = (me + d) % p; count(r) > 0) send(sent_.data() + first(r), count(r), r);
    stage_ = stage::exchange;
  }

  /// Moves on without waiting. \returns whether it is complete
  bool progress() {
    while (stage_ != stage::idle) {
      bool const received = test_all(as_span(receives_)), sent = test_all(as_span(sends_));
      if (!received || !sent) return false;
      advance();
    }
    return true;
  }
  /// Waits. \throws error if a rank did not come in time
  void wait() {
    while (stage_ != stage::idle) {
      wait_all(as_span(receives_));
      wait_all(as_span(sends_));
      advance();
    }
  }
  [[nodiscard]] bool done() const noexcept { return stage_ == stage::idle; }

 private:
  enum class stage { idle, exchange, collect };
  /// Rounded once: a double is not made a float first.
  [[nodiscard]] static Wire narrowed(T x) noexcept {
    if constexpr (std::is_same_v<T, double>) return pleat::detail::rounded<Wire>(x);
    else return Wire(x);
  }
  [[nodiscard]] index_t count(int r) const noexcept { return counts_[static_cast<std::size_t>(r)]; }
  [[nodiscard]] index_t first(int r) const noexcept { return firsts_[static_cast<std::size_t>(r)]; }
  void receive(Wire* to, index_t n, int from) {
    receives_.push_back(
        comm_->start({.kind = call_kind::receive, .out = {to, n, dtype_of<Wire>}, .root = from, .tag = tag_}));
  }
  void send(Wire const* from, index_t n, int to) {
    sends_.push_back(comm_->start({.kind = call_kind::send, .in = {from, n, dtype_of<Wire>}, .root = to, .tag = tag_}));
  }

  void advance() {
    if (stage_ == stage::exchange) {
      index_t const n = mine_;
      int const p = comm_->size(), me = comm_->rank();
      T* const to = everywhere_ ? out_ + first(me) : out_;
      for (index_t i = 0; i < n; ++i) {
        T sum = static_cast<T>(static_cast<float>(received_[static_cast<std::size_t>(i)]));
        for (std::size_t r = 1; r < counts_.size(); ++r)
          sum += static_cast<T>(
              static_cast<float>(received_[r * static_cast<std::size_t>(n) + static_cast<std::size_t>(i)]));
        to[i] = sum;
      }
      if (everywhere_) {
        Wire* const own = sent_.data() + first(me);
        for (index_t i = 0; i < n; ++i) own[i] = narrowed(to[i]);
        receives_.clear();
        sends_.clear();
        for (int r = 0; r < p; ++r)
          if (r != me && count(r) > 0) receive(sent_.data() + first(r), count(r), r);
        for (int d = 1; d < p && n > 0; ++d) send(own, n, (me + d) % p);
        stage_ = stage::collect;
        return;
      }
    } else {
      for (index_t i = 0; i < total_; ++i)
        out_[i] = static_cast<T>(static_cast<float>(sent_[static_cast<std::size_t>(i)]));
    }
    stage_ = stage::idle;
  }

  communicator* comm_;
  std::vector<index_t> counts_, firsts_;
  bool everywhere_;
  index_t mine_ = 0, total_ = 0;
  std::vector<Wire> sent_, received_;
  std::vector<request> receives_, sends_;
  int tag_ = 0;
  stage stage_ = stage::idle;
  T* out_ = nullptr;
};

}  // namespace pleat::comm
