// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Global index sets: which part of a dimension, and which box of a tensor, a rank holds. Exact values; no Kokkos.
#pragma once

#include <algorithm>

#include <pleat/base/config.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat {

/// The half-open interval [begin, end) of one dimension.
struct index_range {
  index_t begin = 0, end = 0;
  [[nodiscard]] constexpr index_t size() const noexcept { return end - begin; }
  [[nodiscard]] constexpr bool empty() const noexcept { return end <= begin; }
  [[nodiscard]] constexpr bool contains(index_t i) const noexcept { return i >= begin && i < end; }
  friend constexpr bool operator==(index_range const&, index_range const&) = default;
};

[[nodiscard]] constexpr index_range intersect(index_range a, index_range b) noexcept {
  index_range r{std::max(a.begin, b.begin), std::min(a.end, b.end)};
  return r.empty() ? index_range{r.begin, r.begin} : r;
}

/// Part `part` of `n` elements cut into `parts` blocks whose sizes differ by at most one, larger blocks first.
/// Any n, any number of parts: uneven and empty blocks are a matter of course.
PLEAT_LAZY [[nodiscard]] constexpr index_range block_range(index_t n, index_t parts, index_t part) noexcept {
  index_t const base = n / parts, rest = n % parts;
  index_t const begin = part * base + std::min(part, rest);
  return {begin, begin + base + (part < rest ? 1 : 0)};
}

/// The part that holds element i under block_range(n, parts, ·). Requires 0 ≤ i < n.
PLEAT_LAZY [[nodiscard]] constexpr index_t block_owner(index_t n, index_t parts, index_t i) noexcept {
  index_t const base = n / parts, rest = n % parts;
  index_t const head = rest * (base + 1);
  return i < head ? i / (base + 1) : rest + (i - head) / base;
}

namespace detail {
/// ⌈n / unit⌉, for units of any size.
PLEAT_LAZY [[nodiscard]] constexpr index_t units_of(index_t n, index_t unit) noexcept {
  return n / unit + (n % unit != 0 ? 1 : 0);
}
}  // namespace detail

/// The same where only whole units of `unit` neighbouring elements may be dealt (heads of a width, blocks of a format):
/// the ⌈n / unit⌉ units are cut as above, and the last one may be short.
PLEAT_LAZY [[nodiscard]] constexpr index_range block_range(index_t n, index_t parts, index_t part,
                                                           index_t unit) noexcept {
  if (unit == 1) return block_range(n, parts, part);
  index_t const units = detail::units_of(n, unit);
  index_range const r = block_range(units, parts, part);
  return {r.begin == units ? n : r.begin * unit, r.end == units ? n : r.end * unit};
}
PLEAT_LAZY [[nodiscard]] constexpr index_t block_owner(index_t n, index_t parts, index_t i, index_t unit) noexcept {
  return unit == 1 ? block_owner(n, parts, i) : block_owner(detail::units_of(n, unit), parts, i / unit);
}

/// A box of a tensor in global indices: one interval per dimension.
class index_box {
 public:
  constexpr index_box() noexcept = default;
  /// The whole tensor.
  constexpr explicit index_box(extents const& shape) noexcept : rank_(shape.rank()) {
    for (int i = 0; i < rank_; ++i) r_[static_cast<std::size_t>(i)] = {0, shape[i]};
  }

  [[nodiscard]] constexpr int rank() const noexcept { return rank_; }
  [[nodiscard]] constexpr index_range operator[](int i) const noexcept { return r_[static_cast<std::size_t>(i)]; }
  constexpr index_range& operator[](int i) noexcept { return r_[static_cast<std::size_t>(i)]; }

  PLEAT_LAZY [[nodiscard]] constexpr extents shape() const {
    std::array<index_t, extents::max_rank> n{};
    for (int i = 0; i < rank_; ++i) n[static_cast<std::size_t>(i)] = std::max<index_t>(0, (*this)[i].size());
    return extents(std::span<index_t const>(n.data(), static_cast<std::size_t>(rank_)));
  }
  PLEAT_LAZY [[nodiscard]] constexpr index_t size() const { return shape().size(); }
  [[nodiscard]] constexpr bool empty() const { return size() == 0; }
  /// "[0:4, 2:6]"
  PLEAT_ONCE [[nodiscard]] std::string to_string() const {
    std::string s = "[";
    for (int i = 0; i < rank_; ++i)
      s += (i ? ", " : "") + std::to_string((*this)[i].begin) + ":" + std::to_string((*this)[i].end);
    return s + "]";
  }
  friend constexpr bool operator==(index_box const&, index_box const&) = default;

 private:
  std::array<index_range, extents::max_rank> r_{};
  int rank_ = 0;
};

[[nodiscard]] constexpr index_box intersect(index_box a, index_box const& b) noexcept {
  for (int i = 0; i < a.rank(); ++i) a[i] = intersect(a[i], b[i]);
  return a;
}

/// Row-major position of the element `at` of a tensor of shape `shape`.
PLEAT_LAZY [[nodiscard]] constexpr index_t linear_index(extents const& shape, std::span<index_t const> at) noexcept {
  index_t k = 0;
  for (int i = 0; i < shape.rank(); ++i) k = k * shape[i] + at[static_cast<std::size_t>(i)];
  return k;
}

}  // namespace pleat
