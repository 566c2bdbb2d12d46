// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Memory that is asked for once: blocks are kept by size class and handed out again, so that a steady state allocates
/// nothing.
#pragma once

#include <Kokkos_Core.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <pleat/base/error.hpp>
#include <pleat/base/huge_pages.hpp>

namespace pleat {

template <class Space> class pool;

namespace detail {
/// A block's head lives on the host, apart from the bytes it stands for.
template <class Space> struct pool_block {
  void* data = nullptr;
  std::size_t bytes = 0;
  std::size_t requested = 0;  ///< what the present holder asked for
  int uses = 0;
  pool<Space>* home = nullptr;
};
}  // namespace detail

/// Figures of a pool. `allocations` counts calls to the memory space, not requests: it stands still in a steady state.
struct pool_statistics {
  std::size_t allocations = 0, requests = 0, bytes_held = 0, bytes_in_use = 0, bytes_peak = 0;
  /// What the holders of blocks asked for, before it was rounded up to size classes: comparable with a plan's figures.
  std::size_t bytes_requested_in_use = 0;
};

/// Blocks of a memory space, in size classes of four per power of two (waste below 25 %, 64-byte granules).
///
/// A pool belongs to one context, thus to one host thread at a time, and to one execution-space instance: a block that
/// is given back may be handed out at once, because work on one instance runs in order.
template <class Space> class pool {
 public:
  using memory_space = typename Space::memory_space;
  using block = detail::pool_block<Space>;

  pool() : free_(classes) {}
  pool(pool const&) = delete;
  pool& operator=(pool const&) = delete;
  ~pool() {
    // After Kokkos::finalize there is no memory space to give anything back to (law 7: destructors are quiet).
    if (!Kokkos::is_initialized()) return;
    for (auto& b : blocks_)
      if (b->data) Kokkos::kokkos_free<memory_space>(b->data);
  }

  /// A block of at least `bytes` bytes with a use count of one; null for zero bytes.
  [[nodiscard]] block* take(std::size_t bytes) {
    if (bytes == 0) return nullptr;
    ++statistics_.requests;
    int const c = class_of(bytes);
    auto& shelf = free_[static_cast<std::size_t>(c)];
    if (shelf.empty()) shelf.push_back(make(size_of_class(c)));
    block* b = shelf.back();
    shelf.pop_back();
    b->uses = 1;
    b->requested = bytes;
    statistics_.bytes_requested_in_use += bytes;
    statistics_.bytes_in_use += b->bytes;
    statistics_.bytes_peak = std::max(statistics_.bytes_peak, statistics_.bytes_in_use);
    return b;
  }

  void give_back(block* b) noexcept {
    statistics_.bytes_in_use -= b->bytes;
    statistics_.bytes_requested_in_use -= b->requested;
    free_[static_cast<std::size_t>(class_of(b->bytes))].push_back(b);  // capacity was reserved when the block was made
  }

  [[nodiscard]] pool_statistics const& statistics() const noexcept { return statistics_; }

  /// Number of the size class that holds `bytes`.
  [[nodiscard]] static constexpr int class_of(std::size_t bytes) noexcept {
    std::size_t const granules = (bytes + 63) / 64;
    if (granules <= 4) return static_cast<int>(granules) - 1;
    int const power = static_cast<int>(std::bit_width(granules - 1)) - 1;  // 2^power ≤ granules-1 < 2^(power+1)
    std::size_t const quarter = std::size_t{1} << (power - 2);
    int const step = static_cast<int>((granules - 1 - (std::size_t{1} << power)) / quarter);
    return 4 + (power - 2) * 4 + step;
  }
  /// Largest size of class c, in bytes.
  [[nodiscard]] static constexpr std::size_t size_of_class(int c) noexcept {
    if (c < 4) return static_cast<std::size_t>(c + 1) * 64;
    int const power = (c - 4) / 4 + 2, step = (c - 4) % 4;
    return ((std::size_t{1} << power) + (static_cast<std::size_t>(step) + 1) * (std::size_t{1} << (power - 2))) * 64;
  }

 private:
  static constexpr std::size_t classes = 4 + 4 * 56;

  block* make(std::size_t bytes) {
    void* data = nullptr;
    try {
      data = Kokkos::kokkos_malloc<memory_space>("pleat::pool", bytes);
    } catch (std::exception const& e) {
      throw error{"pool",
                  "the memory space '" + std::string(memory_space::name()) + "' has no " + std::to_string(bytes) +
                      " bytes left (" + std::to_string(statistics_.bytes_held) + " are held by this pool)",
                  "Use a smaller micro-batch, or more ranks"};
    }
    if constexpr (std::is_same_v<memory_space, Kokkos::HostSpace>) advise_huge_pages(data, bytes);
    ++statistics_.allocations;
    statistics_.bytes_held += bytes;
    blocks_.push_back(std::make_unique<block>(block{data, bytes, 0, 0, this}));
    auto& shelf = free_[static_cast<std::size_t>(class_of(bytes))];
    if (shelf.capacity() < blocks_.size()) shelf.reserve(2 * blocks_.size());
    return blocks_.back().get();
  }

  std::vector<std::vector<block*>> free_;
  std::vector<std::unique_ptr<block>> blocks_;
  pool_statistics statistics_;
};

/// Shared ownership of one block: an intrusive count that is not atomic, because a pool belongs to one thread at a
/// time.
template <class Space> class pool_handle {
 public:
  pool_handle() noexcept = default;
  explicit pool_handle(detail::pool_block<Space>* b) noexcept : block_(b) {}
  pool_handle(pool_handle const& o) noexcept : block_(o.block_) {
    if (block_) ++block_->uses;
  }
  pool_handle(pool_handle&& o) noexcept : block_(std::exchange(o.block_, nullptr)) {}
  // By reference, and what was held is given back before it returns: in a template, clang 16 forgets to destroy the
  // operand of `handle = {}`.
  /// Lets go of its block and shares that of `o`.
  pool_handle& operator=(pool_handle const& o) noexcept { return *this = pool_handle(o); }
  /// Lets go of its block and takes that of `o`.
  pool_handle& operator=(pool_handle&& o) noexcept {
    pool_handle taken(std::move(o));
    std::swap(block_, taken.block_);
    return *this;
  }
  ~pool_handle() {
    if (block_ && --block_->uses == 0) block_->home->give_back(block_);
  }
  [[nodiscard]] void* data() const noexcept { return block_ ? block_->data : nullptr; }
  [[nodiscard]] int uses() const noexcept { return block_ ? block_->uses : 0; }

 private:
  detail::pool_block<Space>* block_ = nullptr;
};

}  // namespace pleat
