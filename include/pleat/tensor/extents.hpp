// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Run-time rank and run-time extents of a row-major tensor. Needs no Kokkos.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>

namespace pleat {

/// Signed 64-bit everywhere: extents, offsets, counts.
using index_t = std::int64_t;

/// The shape of a tensor: up to `max_rank` extents, outermost first. A value; allocates nothing.
class extents {
 public:
  static constexpr int max_rank = 6;

  constexpr extents() noexcept = default;
  PLEAT_LAZY constexpr extents(std::initializer_list<index_t> list)
      : extents(std::span<index_t const>(list.begin(), list.size())) {}
  PLEAT_LAZY constexpr explicit extents(std::span<index_t const> list) {
    if (list.size() > max_rank)
      throw error{"extents",
                  "rank " + std::to_string(list.size()) + " is above the largest, " + std::to_string(max_rank),
                  "Join two dimensions: their product is one"};
    for (auto n : list) {
      if (n < 0)
        throw error{"extents", "extent " + std::to_string(n) + " is negative",
                    "0 is the smallest: a tensor without elements"};
      e_[static_cast<std::size_t>(rank_++)] = n;
    }
  }

  [[nodiscard]] constexpr int rank() const noexcept { return rank_; }
  [[nodiscard]] constexpr index_t operator[](int i) const noexcept { return e_[static_cast<std::size_t>(i)]; }
  constexpr index_t& operator[](int i) noexcept { return e_[static_cast<std::size_t>(i)]; }
  [[nodiscard]] constexpr index_t const* begin() const noexcept { return e_.data(); }
  [[nodiscard]] constexpr index_t const* end() const noexcept { return e_.data() + rank_; }

  /// Number of elements; 1 for rank 0. Unchecked, as kernels ask for it: tensors refuse shapes that no number counts.
  PLEAT_LAZY [[nodiscard]] constexpr index_t size() const noexcept {
    index_t n = 1;
    for (auto e : *this) n *= e;
    return n;
  }

  /// Product of the extents from dimension `first` on: the elements of one sample for `first` = 1.
  PLEAT_LAZY [[nodiscard]] constexpr index_t size_from(int first) const noexcept {
    index_t n = 1;
    for (int i = first; i < rank_; ++i) n *= (*this)[i];
    return n;
  }

  /// The same shape with another outermost extent: another batch of the same samples.
  PLEAT_LAZY [[nodiscard]] constexpr extents with_batch(index_t n) const noexcept {
    extents r = *this;
    if (r.rank_ == 0) r.rank_ = 1;
    r[0] = n;
    return r;
  }

  friend constexpr bool operator==(extents const& a, extents const& b) noexcept {
    if (a.rank_ != b.rank_) return false;
    for (int i = 0; i < a.rank_; ++i)
      if (a[i] != b[i]) return false;
    return true;
  }

  /// "[64, 784]"
  PLEAT_LAZY [[nodiscard]] std::string to_string() const {
    std::string s = "[";
    for (int i = 0; i < rank_; ++i) s += (i ? ", " : "") + std::to_string((*this)[i]);
    return s + "]";
  }

 private:
  std::array<index_t, max_rank> e_{};
  int rank_ = 0;
};

}  // namespace pleat
