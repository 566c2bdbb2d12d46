// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Data parallelism's one question: how the gradients of all ranks become one. Readiness, packing, communication and finish are apart.
#pragma once

#include <algorithm>
#include <memory>
#include <span>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/comm/communicator.hpp>
#include <pleat/comm/lane_reduce.hpp>
#include <pleat/compute/elementwise.hpp>
#include <pleat/nn/arena.hpp>
#include <pleat/nn/pass.hpp>
#include <pleat/parallel/share.hpp>

namespace pleat::parallel {

/// A range of the arena's flat buffers that is exchanged at once.
struct bucket {
  index_t begin = 0, end = 0;
  int entries = 0;  ///< parameters in it
};

/// Cuts an arena's entries into buckets of about `bytes`, from the back (backward reaches the last layer first). Every entry is in
/// exactly one bucket; `owner[i]` is the bucket of entry i. Entries without elements belong to the bucket of their position.
[[nodiscard]] PLEAT_ONCE std::vector<bucket> make_buckets(std::vector<nn::arena_entry> const& entries, index_t size, index_t element_bytes, index_t bytes,
                                                      std::vector<int>& owner) {
  std::vector<bucket> buckets;
  owner.assign(entries.size(), 0);
  index_t end = size;
  bucket open{size, size, 0};
  for (int i = static_cast<int>(entries.size()) - 1; i >= 0; --i) {
    open.begin = entries[static_cast<std::size_t>(i)].begin;
    owner[static_cast<std::size_t>(i)] = static_cast<int>(buckets.size());
    ++open.entries;
    if ((open.end - open.begin) * element_bytes >= bytes || i == 0) {
      if (i == 0) open.begin = 0;
      buckets.push_back(open);
      end = open.begin;
      open = {end, end, 0};
    }
  }
  return buckets;
}

/// Sums the gradients of the ranks that share a batch, bucket by bucket, while backward still runs.
///
/// All ranks start the exchanges in one order: at first from the back of the arena, after the first step in the order in which rank 0's
/// buckets became ready. A bucket waits for those before it in that order. Parameters that no sample of this rank used count as zero.
/// Gradients in device memory are exchanged through a copy on the host: whether an MPI reads device memory cannot be known beforehand.
/// Progress: non-blocking communication advances when `poll` is called (nn::call does, once per layer).
template <class T, class Space> class gradient_exchange final : public nn::pass_hooks {
 public:
  /// \param ranks those that share the batch; must outlive this
  gradient_exchange(context<Space>& where, comm::communicator& ranks, nn::arena<T, Space>& arena, plan::plan const& p)
      : where_(&where), ranks_(&ranks), arena_(&arena), overlap_(p.overlap), deterministic_(p.deterministic), lanes_(static_cast<int>(p.lanes)) {
    buckets_ = make_buckets(arena.entries(), arena.size(), sizeof(T), p.bucket_bytes, owner_);
    auto const n = buckets_.size();
    waiting_.resize(n);
    requests_.resize(n);
    started_.assign(n, 0);
    lane_requests_.resize(deterministic_ ? n : 0);
    order_.resize(n);
    for (std::size_t i = 0; i < n; ++i) order_[i] = static_cast<int>(i);
    ready_order_.reserve(n);
    done_.resize(arena.entries().size());
  }

  [[nodiscard]] std::vector<bucket> const& buckets() const noexcept { return buckets_; }
  /// The order in which exchanges start.
  [[nodiscard]] std::vector<int> const& order() const noexcept { return order_; }

  /// Before the last micro-batch of a step: from here on gradients may be sent. `s` says which slots hold what.
  void begin(share const& s) {
    share_ = &s;
    next_ = 0;
    ready_order_.clear();
    std::fill(done_.begin(), done_.end(), char{0});
    for (std::size_t b = 0; b < buckets_.size(); ++b) waiting_[b] = buckets_[b].entries;
  }

  void gradient_ready(nn::parameter const& p) override { entry_ready(p.id); }

  /// The gradient of arena entry `id` is complete on this rank.
  void entry_ready(int id) {
    mark(id);
    if (overlap_) start_ready();
  }

  void poll() override {
    if (!overlap_ || next_ == 0) return;
    for (std::size_t i = 0; i < next_; ++i) advance(static_cast<std::size_t>(order_[i]));
  }

  /// Zeroes what nobody wrote, sends what has not been sent, waits for everything: slot 0 holds the sum over all ranks.
  void finish() {
    for (std::size_t i = 0; i < done_.size(); ++i) {
      if (done_[i]) continue;
      nn::arena_entry const& e = arena_->entries()[i];
      for (int s = 0; s < share_->slots(); ++s) compute::fill(where_->space(), e.end - e.begin, T(0), arena_->gradients(s) + e.begin);
      mark(static_cast<int>(i));
    }
    start_ready();
    for (std::size_t i = 0; i < buckets_.size(); ++i) wait(static_cast<std::size_t>(order_[i]));
    share_ = nullptr;
    if (!agreed_) agree();
  }

  /// How often an exchange has been started: a test counts that accumulation does not communicate.
  [[nodiscard]] std::size_t exchanges() const noexcept { return exchanges_; }

 private:
  static constexpr bool on_host = Kokkos::SpaceAccessibility<Kokkos::HostSpace, typename Space::memory_space>::accessible;

  void mark(int entry) {
    auto const e = static_cast<std::size_t>(entry);
    if (done_[e]) return;
    done_[e] = 1;
    auto const b = static_cast<std::size_t>(owner_[e]);
    if (--waiting_[b] == 0) ready_order_.push_back(static_cast<int>(b));
  }

  void start_ready() {
    while (next_ < order_.size() && waiting_[static_cast<std::size_t>(order_[next_])] == 0) start(static_cast<std::size_t>(order_[next_++]));
  }

  void start(std::size_t b) {
    bucket const& k = buckets_[b];
    index_t const n = k.end - k.begin;
    if (n == 0) return;
    where_->fence();  // the gradients are written by the instance; the transport reads them from the host
    if (share_->lanes_apart()) fold(k);
    if (ranks_->size() == 1 && share_->roots().size() == 1) return;
    ++exchanges_;
    started_[b] = 1;
    if (!deterministic_) {
      std::span<T> const gradients(reachable(0, k), static_cast<std::size_t>(n));
      if (overlap_) requests_[b] = ranks_->iall_reduce(gradients, comm::reduction::sum);
      else ranks_->all_reduce(gradients, comm::reduction::sum);  // nothing to hide behind: the blocking call is the faster one
    } else {
      slots_.clear();
      for (int const s : share_->root_slots()) slots_.push_back(reachable(s, k));
      T* const out = staged_.empty() ? arena_->gradients() + k.begin : staged_.data() + k.begin;
      if (!lane_requests_[b]) lane_requests_[b] = std::make_unique<comm::lane_request<T>>(*ranks_, lanes_, n);
      lane_requests_[b]->start(slots_, n, out);
    }
  }

  /// The bucket's part of a slot where the transport can read and write it: in place on a host space, else in a copy on the host.
  [[nodiscard]] T* reachable(int slot, bucket const& k) {
    T* const there = arena_->gradients(slot) + k.begin;
    if constexpr (on_host) {
      return there;
    } else {
      staged_.resize(static_cast<std::size_t>(arena_->size() * arena_->slots()));
      T* const here = staged_.data() + slot * arena_->size() + k.begin;
      copy_to_host(*where_, tensor<T, Space>::wrap(there, extents{k.end - k.begin}), here);
      return here;
    }
  }

  /// Sums the lanes of each root over the tree; the sum lands in the root's first slot.
  void fold(bucket const& k) {
    auto const& roots = share_->roots();
    for (std::size_t r = 0; r < roots.size(); ++r)
      for (int half = 1; half < roots[r].lanes; half *= 2)
        for (int l = 0; l + half < roots[r].lanes; l += 2 * half) {
          int const to = share_->root_slots()[r] + l;
          compute::add(where_->space(), k.end - k.begin, static_cast<T const*>(arena_->gradients(to)) + k.begin,
                       static_cast<T const*>(arena_->gradients(to + half)) + k.begin, arena_->gradients(to) + k.begin);
        }
    where_->fence();
  }

  void advance(std::size_t b) {
    if (!started_[b]) return;
    if (!deterministic_) (void)requests_[b].test();
    else (void)lane_requests_[b]->progress();
  }
  void wait(std::size_t b) {
    if (!started_[b]) return;
    if (!deterministic_) requests_[b].wait();
    else lane_requests_[b]->wait();
    started_[b] = 0;
    if constexpr (!on_host) {
      bucket const& k = buckets_[b];
      copy_from_host(*where_, static_cast<T const*>(staged_.data() + k.begin), tensor<T, Space>::wrap(arena_->gradients() + k.begin, extents{k.end - k.begin}));
    }
  }

  /// After the first step: everybody takes the order in which rank 0 became ready.
  void agree() {
    agreed_ = true;
    if (ranks_->size() == 1) return;
    order_ = ready_order_;
    ranks_->broadcast(std::span<int>(order_), 0);
  }

  context<Space>* where_;
  comm::communicator* ranks_;
  nn::arena<T, Space>* arena_;
  bool overlap_, deterministic_, agreed_ = false;
  int lanes_;
  std::vector<bucket> buckets_;
  std::vector<int> owner_;              // entry → bucket
  std::vector<char> done_;              // entry → gradient complete
  std::vector<int> waiting_;            // bucket → entries not complete
  std::vector<int> order_, ready_order_;
  std::size_t next_ = 0, exchanges_ = 0;
  std::vector<comm::request> requests_;
  std::vector<std::unique_ptr<comm::lane_request<T>>> lane_requests_;
  std::vector<T const*> slots_;
  std::vector<char> started_;           // bucket → an exchange is under way
  std::vector<T> staged_;               // host copies of the gradients; empty on a host space
  share const* share_ = nullptr;
};

}  // namespace pleat::parallel
