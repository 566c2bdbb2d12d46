// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The buckets that gradients travel in, and where each lies: in the arena, or in a small pool of buffers that goes
/// round.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/compute/elementwise.hpp>
#include <pleat/nn/arena.hpp>
#include <pleat/nn/state_layout.hpp>

namespace pleat::parallel {

using bucket = nn::bucket;

/// Cuts an arena's entries into buckets of about `bytes`, from the back (backward reaches the last layer first). Every
/// entry is in exactly one bucket; `owner[i]` is the bucket of entry i. Entries without elements belong to the bucket
/// of their position.
PLEAT_ONCE [[nodiscard]] std::vector<bucket> make_buckets(std::vector<nn::arena_entry> const& entries, index_t size,
                                                          index_t element_bytes, index_t bytes,
                                                          std::vector<int>& owner) {
  std::vector<index_range> ranges;
  for (auto const& e : entries) ranges.push_back({e.begin, e.end});
  nn::state_layout const layout(ranges, size, element_bytes, bytes, 0, 1);
  owner = layout.owner();
  return layout.buckets();
}

/// Where the gradients of an arena's buckets lie. Where they are pooled (state stages 2 and 3), a bucket has memory
/// from the first gradient that is written into it until it is given back.
template <class T, class Space> class bucket_memory {
 public:
  using arena_type = nn::arena<T, Space>;
  using value_type = typename arena_type::master_type;

  /// \param arena must outlive this, as must `where`
  bucket_memory(context<Space>& where, arena_type& arena)
      : where_(&where), arena_(&arena), pooled_(arena.pooled()), slots_(arena.slots()) {
    auto const& layout = arena.layout();
    auto const n = layout.buckets().size();
    first_entry_.assign(n, 0);
    for (std::size_t i = arena.entries().size(); i-- > 0;)
      first_entry_[static_cast<std::size_t>(layout.owner()[i])] = i;
    buffer_.assign(n, -1);
    if (!pooled_) return;
    stride_ = layout.largest_bucket();
    for (int i = 0; i < layout.gradient_buffers(); ++i) add_buffer();
  }

  [[nodiscard]] bool pooled() const noexcept { return pooled_; }
  /// Bytes of the pool.
  [[nodiscard]] index_t bytes() const noexcept {
    index_t n = 0;
    for (auto const& p : pool_) n += static_cast<index_t>(p.memory.size() * sizeof(value_type));
    return n;
  }
  /// Elements between the slots of a pool buffer.
  [[nodiscard]] index_t stride() const noexcept { return stride_; }
  /// The arena's entries in bucket b: from `begin`, less than `end`.
  [[nodiscard]] std::pair<std::size_t, std::size_t> entries_of(std::size_t b) const noexcept {
    return {first_entry_[b], first_entry_[b] + static_cast<std::size_t>(arena_->layout().buckets()[b].entries)};
  }

  /// Pooled: whether bucket b has a buffer.
  [[nodiscard]] bool is_open(std::size_t b) const noexcept { return buffer_[b] >= 0; }
  /// Whether a buffer is left.
  [[nodiscard]] bool has_spare() const noexcept { return spare() < pool_.size(); }

  /// Pooled: the bucket's buffer; takes one from the pool. \param make_room is called where none is left, and gives
  /// back one if it can; else the pool grows
  template <class F> [[nodiscard]] value_type* open(std::size_t b, F&& make_room) {
    if (is_open(b)) return buffer_of(b);
    if (!has_spare()) make_room();
    std::size_t const at = spare();
    if (at == pool_.size()) add_buffer();
    pool_[at].bucket = static_cast<int>(b);
    buffer_[b] = static_cast<int>(at);
    value_type* const memory = buffer_of(b);
    // What lies between parameters is summed with them: it must be zero, as in flat buffers.
    bucket const& k = arena_->layout().buckets()[b];
    auto const [first, last] = entries_of(b);
    for (std::size_t i = first; i < last; ++i) {
      index_t const gap = arena_->entries()[i].end, next = i + 1 < last ? arena_->entries()[i + 1].begin : k.end;
      for (int s = 0; s < slots_; ++s)
        compute::fill(where_->space(), next - gap, value_type(0), memory + s * stride_ + (gap - k.begin));
    }
    return memory;
  }
  void give_back(std::size_t b) noexcept {
    if (buffer_[b] < 0) return;
    pool_[static_cast<std::size_t>(buffer_[b])].bucket = -1;
    buffer_[b] = -1;
  }

  /// The bucket's part of a slot. \param make_room \see open
  template <class F> [[nodiscard]] value_type* at(std::size_t b, int slot, F&& make_room) {
    if (!pooled_) return arena_->gradients(slot) + arena_->layout().buckets()[b].begin;
    if (arena_->layout().replicated(b)) return arena_->loss(slot);
    return open(b, std::forward<F>(make_room)) + slot * stride_;
  }
  /// Where the sum that this rank keeps goes.
  template <class F> [[nodiscard]] value_type* kept(std::size_t b, F&& make_room) {
    if (arena_->layout().stage() == 0 || arena_->layout().replicated(b)) return at(b, 0, std::forward<F>(make_room));
    return arena_->owned_gradients(arena_->pieces()[b]);
  }

 private:
  struct pool_buffer {
    typename arena_type::master_view memory;
    int bucket = -1;
  };
  void add_buffer() {
    pool_.push_back(
        {typename arena_type::master_view("pleat::bucket", static_cast<std::size_t>(stride_ * slots_)), -1});
  }
  [[nodiscard]] value_type* buffer_of(std::size_t b) const noexcept {
    return pool_[static_cast<std::size_t>(buffer_[b])].memory.data();
  }
  [[nodiscard]] std::size_t spare() const noexcept {
    std::size_t i = 0;
    while (i < pool_.size() && pool_[i].bucket >= 0) ++i;
    return i;
  }

  context<Space>* where_;
  arena_type* arena_;
  bool pooled_;
  int slots_;
  index_t stride_ = 0;
  std::vector<std::size_t> first_entry_;  // bucket → its first entry
  std::vector<pool_buffer> pool_;
  std::vector<int> buffer_;  // bucket → its buffer, or -1
};

}  // namespace pleat::parallel
