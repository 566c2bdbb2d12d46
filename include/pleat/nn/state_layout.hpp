// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Which part of a model's flat buffers a rank owns when state is sharded over the data axis, and how many bytes that
/// is. Pure: data in, data out; every rank computes all of it alone and equally. Needs no Kokkos.
///
/// Stages (Rajbhandari et al., "ZeRO", arXiv:1910.02054): 0 nothing is sharded; 1 the optimizer's state; 2 the
/// gradients too; 3 the parameters too. Shards are uneven where extents are: nothing is padded for them.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include <pleat/base/as_span.hpp>
#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/tensor/index_set.hpp>

namespace pleat::nn {

/// A range of the arena's flat buffers that is exchanged at once.
struct bucket {
  index_t begin = 0, end = 0;
  int entries = 0;  ///< parameters in it
  [[nodiscard]] constexpr index_t size() const noexcept { return end - begin; }
};

/// A boundary between two shards lies where a parameter begins or a multiple of this many elements behind it: sums over
/// a parameter are taken in chunks of so many (compute/reduce.hpp), so a norm has the same bits under every stage.
inline constexpr index_t shard_grain = 4096;

/// Cuts a list of parameters into buckets and every bucket into shards.
class state_layout {
 public:
  state_layout() = default;

  /// \param entries flat range of every parameter, ascending; the last one is the step's loss, which is never sharded
  /// \param size elements of one flat buffer, padding included
  /// \param stage 0 to 3
  /// \param shards ranks that divide a bucket; 1 at stage 0
  PLEAT_ONCE state_layout(std::span<index_range const> entries, index_t size, index_t element_bytes,
                          index_t bucket_bytes, int stage, int shards);

  [[nodiscard]] int stage() const noexcept { return stage_; }
  /// Ranks that divide a bucket.
  [[nodiscard]] int shards() const noexcept { return shards_; }
  /// Elements of a flat buffer that holds everything.
  [[nodiscard]] index_t size() const noexcept { return size_; }
  /// From the back of the flat buffer, because backward reaches the last layer first.
  [[nodiscard]] std::vector<bucket> const& buckets() const noexcept { return buckets_; }
  /// The bucket of every entry.
  [[nodiscard]] std::vector<int> const& owner() const noexcept { return owner_; }
  /// True for a bucket that every rank holds whole at every stage: that of the loss, once anything is sharded.
  [[nodiscard]] bool replicated(std::size_t b) const noexcept { return stage_ > 0 && b == 0; }

  /// Flat range that shard s owns of bucket b.
  PLEAT_LAZY [[nodiscard]] index_range piece(std::size_t b, int s) const noexcept {
    if (replicated(b)) return {buckets_[b].begin, buckets_[b].end};
    auto const at = b * stride() + static_cast<std::size_t>(s);
    return {cuts_[at], cuts_[at + 1]};
  }
  /// Where that range begins in shard s's packed buffers, which hold its pieces in ascending order.
  [[nodiscard]] index_t packed(std::size_t b, int s) const noexcept {
    return packed_[b * stride() + static_cast<std::size_t>(s)];
  }
  /// Elements of shard s's packed buffers.
  [[nodiscard]] index_t owned(int s) const noexcept { return owned_[static_cast<std::size_t>(s)]; }
  /// Elements of each shard in bucket b, in rank order: the counts of reduce_scatter_v and all_gather_v. Not for a
  /// replicated bucket.
  PLEAT_LAZY [[nodiscard]] std::span<index_t const> counts(std::size_t b) const noexcept {
    return as_span(counts_).subspan(b * static_cast<std::size_t>(shards_), static_cast<std::size_t>(shards_));
  }
  /// Elements of the largest bucket that is sharded.
  PLEAT_LAZY [[nodiscard]] index_t largest_bucket() const noexcept {
    index_t n = 0;
    for (std::size_t b = 0; b < buckets_.size(); ++b)
      if (!replicated(b)) n = std::max(n, buckets_[b].size());
    return n;
  }

  // Buffers that stand in for a whole bucket while it is in use (stages 2 and 3). More are made only if a network's
  // backward holds more buckets open at once than its parameters' order lets expect.

  /// Whole-bucket gradient buffers: one being written, one whose layer straddles the boundary, one being sent.
  [[nodiscard]] int gradient_buffers() const noexcept {
    return static_cast<int>(std::min<std::size_t>(3, buckets_.size() - 1));
  }
  /// Whole-bucket parameter buffers: `open` buckets that one layer needs at once, and `ahead` gathered beforehand.
  [[nodiscard]] int parameter_buffers(int open, int ahead) const noexcept {
    return static_cast<int>(std::min<std::size_t>(static_cast<std::size_t>(open + ahead), buckets_.size() - 1));
  }

 private:
  [[nodiscard]] std::size_t stride() const noexcept { return static_cast<std::size_t>(shards_) + 1; }

  PLEAT_ONCE void cut_buckets(std::span<index_range const> entries, index_t element_bytes, index_t bytes) {
    owner_.assign(entries.size(), 0);
    index_t end = size_;
    bucket open{size_, size_, 0};
    for (std::size_t i = entries.size(); i-- > 0;) {
      open.begin = entries[i].begin;
      owner_[i] = static_cast<int>(buckets_.size());
      ++open.entries;
      bool const loss = stage_ > 0 && i + 1 == entries.size();  // apart from what is sharded
      if (open.size() * element_bytes >= bytes || i == 0 || loss) {
        if (i == 0) open.begin = 0;
        buckets_.push_back(open);
        end = open.begin;
        open = {end, end, 0};
      }
    }
  }

  /// Each cut at the place nearest to an equal division where a cut may be.
  PLEAT_ONCE void cut_shards(std::span<index_range const> entries, bucket const& b) {
    index_t last = b.begin;
    for (int s = 0; s <= shards_; ++s) {
      index_t at = s == 0 ? b.begin : s == shards_ ? b.end : nearest(entries, b, b.begin + b.size() * s / shards_);
      at = std::max(at, last);
      cuts_.push_back(at);
      if (s > 0) counts_.push_back(at - last);
      last = at;
    }
  }
  PLEAT_LAZY [[nodiscard]] static index_t nearest(std::span<index_range const> entries, bucket const& b, index_t want) {
    auto const after = std::upper_bound(entries.begin(), entries.end(), want,
                                        [](index_t x, index_range const& e) { return x < e.begin; });
    if (after == entries.begin()) return b.begin;
    index_t const begin = std::max((after - 1)->begin, b.begin),
                  end = after == entries.end() ? b.end : std::min(after->begin, b.end);
    index_t const low = begin + (want - begin) / shard_grain * shard_grain, high = std::min(low + shard_grain, end);
    return want - low <= high - want ? low : high;
  }

  int stage_ = 0, shards_ = 1;
  index_t size_ = 0;
  std::vector<bucket> buckets_;
  std::vector<int> owner_;
  std::vector<index_t> cuts_, counts_, packed_, owned_;
};

template <class>
state_layout::state_layout(std::span<index_range const> entries, index_t size, index_t element_bytes,
                           index_t bucket_bytes, int stage, int shards)
    : stage_(stage), shards_(stage == 0 ? 1 : shards), size_(size) {
  if (stage < 0 || stage > 3)
    throw error{"nn::state_layout", "the stage must be 0, 1, 2 or 3, found " + std::to_string(stage),
                "Set plan.state_stage to 0, 1, 2 or 3"};
  if (shards < 1)
    throw error{"nn::state_layout", "state is sharded over at least one rank, found " + std::to_string(shards),
                "Give 1 rank or more; 1 shards nothing"};
  cut_buckets(entries, element_bytes, bucket_bytes);
  for (auto const& b : buckets_) cut_shards(entries, b);
  packed_.resize(buckets_.size() * stride());
  owned_.assign(static_cast<std::size_t>(shards_), 0);
  for (std::size_t b = buckets_.size(); b-- > 0;)
    for (int s = 0; s < shards_; ++s) {
      packed_[b * stride() + static_cast<std::size_t>(s)] = owned_[static_cast<std::size_t>(s)];
      owned_[static_cast<std::size_t>(s)] += piece(b, s).size();
    }
}
PLEAT_COMPILED_ONCE(state_layout::state_layout(std::span<index_range const> entries, index_t size,
                                               index_t element_bytes, index_t bucket_bytes, int stage, int shards));

}  // namespace pleat::nn
