// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// How the ranks' gradients of one bucket become one, whichever way the plan says: everywhere or scattered, in fast or
/// deterministic mode, on a wire of full or half width, or in a codec.
#pragma once

#include <algorithm>
#include <memory>
#include <span>
#include <vector>

#include <pleat/comm/communicator.hpp>
#include <pleat/comm/lane_reduce.hpp>
#include <pleat/comm/narrow_sum.hpp>
#include <pleat/nn/state_layout.hpp>
#include <pleat/parallel/coded_sum.hpp>
#include <pleat/parallel/shard_group.hpp>
#include <pleat/plan/plan.hpp>

namespace pleat::parallel {

/// The exchange of one bucket, started once per step. Two halves: within the shard group, then across the groups
/// (hybrid sharding, fast mode only; deterministic mode sums over all ranks at once). All ranks start the first halves
/// of the buckets in one order, and the second halves.
template <class T> class bucket_sum {
 public:
  /// \param exact flat ranges that are no gradients (running statistics, the loss): a narrow wire does not round them
  /// \param coded null, or what carries the bucket in a codec (state stages 0 and 1): all of it, wherever only a piece of the
  /// sum is wanted
  bucket_sum(shard_group const& g, plan::plan const& p, nn::state_layout const& layout, std::size_t b,
             std::span<index_range const> exact = {}, std::unique_ptr<coded_sum<T>> coded = {})
      : group_(&g),
        size_(layout.buckets()[b].size()),
        scatter_(layout.stage() > 0 && !layout.replicated(b)),
        overlap_(p.overlap),
        coded_(std::move(coded)) {
    if (scatter_) counts_ = layout.counts(b);
    first_ = scatter_ ? layout.piece(b, g.shard).begin - layout.buckets()[b].begin : 0;
    own_ = scatter_ ? layout.piece(b, g.shard).size() : size_;
    if (coded_) return;
    if (p.deterministic) {
      if (!scatter_) lanes_ = std::make_unique<comm::lane_request<T>>(*g.all, static_cast<int>(p.lanes), size_);
      else {
        std::vector<index_range> wants;
        for (int r = 0; r < g.all->size(); ++r) {
          index_range const w = layout.piece(b, g.shard_of(r));
          wants.push_back({w.begin - layout.buckets()[b].begin, w.end - layout.buckets()[b].begin});
        }
        lanes_ = std::make_unique<comm::lane_request<T>>(*g.all, static_cast<int>(p.lanes), wants);
      }
    } else if (p.wire == plan::wire_format::bf16) {
      auto const even = [](index_t n, int ranks) {
        std::vector<index_t> counts;
        for (int r = 0; r < ranks; ++r) counts.push_back(block_range(n, ranks, r).size());
        return counts;
      };
      if (!scatter_) narrow_ = std::make_unique<comm::narrow_request<T>>(*g.all, even(size_, g.all->size()), true);
      else if (g.shards > 1) narrow_ = std::make_unique<comm::narrow_request<T>>(*g.members, counts_, false);
      if (scatter_ && g.replicas)
        across_ = std::make_unique<comm::narrow_request<T>>(*g.replicas, even(own_, g.replicas->size()), true);
      for (index_range const& e : exact) {
        auto const& k = layout.buckets()[b];
        index_range const here = intersect(e, {k.begin, k.end});
        if (here.empty()) continue;
        exact_.push_back({here.begin - k.begin, here.end - k.begin});
        exact_sums_.resize(exact_sums_.size() + static_cast<std::size_t>(here.size()));
      }
    }
  }

  /// Starts the first half. \param slots the sums of this rank's lanes (deterministic mode), else one slot; \param out
  /// this rank's piece, or the bucket where everybody wants all of it; may lie in slots[0] where it belongs
  void start(std::span<T* const> slots, T* out) {
    out_ = out;
    half_ = 1;
    if (!exact_.empty()) {  // few numbers, summed everywhere at full width; they take their places in end()
      T* at = exact_sums_.data();
      for (auto const& e : exact_) at = std::copy(slots[0] + e.begin, slots[0] + e.end, at);
      exact_request_ = group_->all->iall_reduce(std::span<T>(exact_sums_), comm::reduction::sum);
    }
    if (coded_) {
      whole_ = scatter_ ? slots[0] : out;
      coded_->start(whole_);
    } else if (lanes_) {
      read_.assign(slots.begin(), slots.end());
      lanes_->start(read_, size_, out);
    } else if (narrow_) {
      narrow_->start(slots[0], out);
    } else if (!scatter_) {
      std::span<T> const all(out, static_cast<std::size_t>(size_));
      if (overlap_) request_ = group_->all->iall_reduce(all, comm::reduction::sum);
      else
        group_->all->all_reduce(all,
                                comm::reduction::sum);  // nothing to hide behind: the blocking call is the faster one
    } else if (group_->shards == 1) {
      if (out != slots[0]) std::copy(slots[0], slots[0] + size_, out);
    } else {
      std::span<T const> const all(slots[0], static_cast<std::size_t>(size_));
      std::span<T> const mine(out, static_cast<std::size_t>(own_));
      if (overlap_) request_ = group_->members->ireduce_scatter_v(all, mine, counts_, comm::reduction::sum);
      else group_->members->reduce_scatter_v(all, mine, counts_, comm::reduction::sum);
    }
  }

  [[nodiscard]] bool under_way() const noexcept { return half_ != 0; }
  /// Whether a second half follows.
  [[nodiscard]] bool has_second() const noexcept {
    return coded_ ? coded_->has_second() : scatter_ && !lanes_ && group_->replicas != nullptr;
  }
  [[nodiscard]] index_t own() const noexcept { return own_; }
  /// Where this rank's piece begins in the bucket.
  [[nodiscard]] index_t first() const noexcept { return first_; }

  /// Moves the half that is under way on. \returns whether it is complete
  bool progress() {
    if (coded_) return coded_->progress();
    bool const exact = exact_request_.test();
    bool const rest = half_ == 2 ? (across_ ? across_->progress() : request_.test())
                      : lanes_   ? lanes_->progress()
                      : narrow_  ? narrow_->progress()
                                 : request_.test();
    return exact && rest;
  }
  void wait() {
    if (coded_) return coded_->wait();
    if (half_ == 2) {
      if (across_) across_->wait();
      else request_.wait();
    } else if (lanes_) lanes_->wait();
    else if (narrow_) narrow_->wait();
    else request_.wait();
    exact_request_.wait();
  }
  /// Starts the second half, after the first one is complete.
  void start_second(T* out) {
    half_ = 2;
    if (coded_) coded_->start_second();
    else if (across_) across_->start(out, out);
    else
      request_ = group_->replicas->iall_reduce(std::span<T>(out, static_cast<std::size_t>(own_)), comm::reduction::sum);
  }
  void end() noexcept {
    half_ = 0;
    if (coded_) {
      coded_->end();
      if (out_ != whole_ + first_) std::copy_n(whole_ + first_, own_, out_);
    }
    T const* at = exact_sums_.data();
    for (auto const& e : exact_) {
      for (index_t i = std::max(e.begin, first_); i < std::min(e.end, first_ + own_); ++i)
        out_[i - first_] = at[i - e.begin];
      at += e.size();
    }
  }

  /// What carries this bucket in a codec, or null.
  [[nodiscard]] coded_sum<T>* coded() const noexcept { return coded_.get(); }
  /// Where the sum goes.
  [[nodiscard]] T* out() const noexcept { return out_; }

 private:
  shard_group const* group_;
  index_t size_, own_ = 0, first_ = 0;
  bool scatter_, overlap_;
  std::unique_ptr<coded_sum<T>> coded_;
  std::span<index_t const> counts_;
  std::unique_ptr<comm::lane_request<T>> lanes_;
  std::unique_ptr<comm::narrow_request<T>> narrow_, across_;
  std::vector<index_range> exact_;  // of the bucket
  std::vector<T> exact_sums_;
  std::vector<T const*> read_;
  T* out_ = nullptr;
  T* whole_ = nullptr;  // of a coded sum: the bucket, as it lies
  int half_ = 0;
  comm::request request_, exact_request_;  // end before the buffers that they read
};

}  // namespace pleat::parallel
