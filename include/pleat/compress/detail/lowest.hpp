// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Exactly k of the elements that compete, over whatever ranks hold them: by counting digits of sortable keys, with one
/// small sum over the ranks per digit. No element travels.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include <pleat/codec/detail/bits.hpp>
#include <pleat/compute/threshold.hpp>
#include <pleat/tensor/detail/number.hpp>
#include <pleat/tensor/index_set.hpp>

namespace pleat::compress::detail {

/// One weight of a model that is pruned: this rank's part of it, on the host.
template <class T> struct candidate {
  /// Scores of 16-bit values are kept in float.
  using score_type = std::conditional_t<std::is_same_v<T, double>, double, float>;

  std::string name;
  extents whole;                   ///< over all ranks
  index_box box;                   ///< this rank's part of it; empty if the weight lives on another stage
  std::vector<T> values;           ///< of the part
  std::vector<score_type> scores;  ///< what competes: the lowest go
  std::vector<std::uint8_t> bits;  ///< who lives
  index_t first_position = 0;      ///< elements of the weights before, over all ranks
  /// of the part's elements, the first that is here: sharded parameters are here in a run of them
  index_t offset = 0;
  /// elements of the part, the runs of all ranks that share it; 0 if the weight lives on another stage
  index_t part = 0;
  bool counts = true;  ///< false where another rank holds the same elements and counts them

  [[nodiscard]] index_t size() const noexcept { return static_cast<index_t>(values.size()); }
  [[nodiscard]] index_t rows() const noexcept { return size() == 0 ? 0 : box[0].size(); }
  /// Columns of the part (of a kernel: channels × places).
  [[nodiscard]] index_t columns() const noexcept { return rows() == 0 ? 0 : box.size() / rows(); }
  /// Column of the whole weight at which the part's columns begin.
  [[nodiscard]] index_t first_column() const noexcept {
    return rows() == 0 || whole.rank() < 2 ? 0 : box[1].begin * whole.size_from(2);
  }
  [[nodiscard]] bool alive(index_t i) const noexcept { return codec::detail::bit_at(bits.data(), i); }
  void remove(index_t i) noexcept {
    bits[static_cast<std::size_t>(i >> 3)] =
        static_cast<std::uint8_t>(bits[static_cast<std::size_t>(i >> 3)] & ~(1u << (i & 7)));
  }
  /// Place of element i among all elements of all weights.
  [[nodiscard]] index_t position(index_t i) const noexcept {
    i += offset;
    index_t const r = i / columns();
    return first_position + (box[0].begin + r) * whole.size_from(1) + first_column() + (i - r * columns());
  }
  /// Place of element i in its weight, row-major, whichever ranks hold the others.
  [[nodiscard]] index_t place_in_whole(index_t i) const noexcept { return position(i) - first_position; }
  /// 0 for the dead, who go first; else above 0, in the order of the scores.
  [[nodiscard]] std::uint64_t key(index_t i) const noexcept {
    if (!alive(i)) return 0;
    return static_cast<std::uint64_t>(
               compute::detail::value_key<score_type>::key(scores[static_cast<std::size_t>(i)])) +
           1;
  }
  static constexpr int key_bits = sizeof(score_type) == 8 ? 64 : 33;
};

/// Elements [begin, end) of a candidate's part.
struct element_run {
  std::size_t candidate = 0;
  index_t begin = 0, end = 0;
};
/// Those that compete with each other: all ranks name the same groups in the same order, each with its own elements,
/// and how many go.
struct rivals {
  std::vector<element_run> runs;
  index_t goes = 0;
};

/// A key and how many lie below it and at it.
struct ranked_key {
  std::uint64_t key = 0;
  index_t below = 0, equal = 0;
};

/// Of every group the k-th smallest key, over all ranks; nothing for k = 0.
/// \param each each(group, f): f(key) for this rank's elements of the group
/// \param sum sum(counts): adds up over the ranks
template <class Each, class Sum>
[[nodiscard]] std::vector<ranked_key> kth_smallest(int bits, std::span<index_t const> k, Each&& each, Sum&& sum) {
  constexpr int digit = compute::detail::digit_bits;
  constexpr index_t bins = index_t{1} << digit;
  std::vector<ranked_key> found(k.size());
  std::vector<std::int64_t> counts(k.size() << digit);
  for (int top = bits; top > 0;) {
    int const shift = top > digit ? top - digit : 0;
    std::fill(counts.begin(), counts.end(), 0);
    for (std::size_t g = 0; g < k.size(); ++g) {
      if (k[g] == 0) continue;
      std::int64_t* const mine = counts.data() + (g << digit);
      std::uint64_t const prefix = found[g].key;
      each(g, [&](std::uint64_t key) {
        if (top >= 64 || (key >> top) == prefix) ++mine[(key >> shift) & ((std::uint64_t{1} << (top - shift)) - 1)];
      });
    }
    sum(counts);
    for (std::size_t g = 0; g < k.size(); ++g) {
      if (k[g] == 0) continue;
      std::int64_t const* const mine = counts.data() + (g << digit);
      index_t at = 0;
      while (at + 1 < bins && found[g].below + mine[at] < k[g]) found[g].below += mine[at++];
      found[g].equal = mine[at];
      found[g].key = (top >= 64 ? 0 : found[g].key << (top - shift)) | static_cast<std::uint64_t>(at);
    }
    top = shift;
  }
  return found;
}

/// Clears the bits of exactly `goes` elements of every group: those already dead first, then by score, then by
/// position. A total order, so ties have one answer on any number of ranks. Memory: 16 KiB per group, up to 64 at a
/// time.
template <class T, class Sum>
void remove_lowest(std::vector<candidate<T>>& all, std::span<rivals const> groups, Sum&& sum) {
  constexpr std::size_t together = 64;
  for (std::size_t first = 0; first < groups.size(); first += together) {
    auto const now = groups.subspan(first, std::min(together, groups.size() - first));
    auto const for_each = [&](std::size_t g, auto&& f) {
      for (auto const& r : now[g].runs)
        if (all[r.candidate].counts)
          for (index_t i = r.begin; i < r.end; ++i) f(all[r.candidate], i);
    };
    std::vector<index_t> k;
    for (auto const& g : now) k.push_back(g.goes);
    auto const threshold = kth_smallest(
        candidate<T>::key_bits, k,
        [&](std::size_t g, auto&& f) { for_each(g, [&](auto const& c, index_t i) { f(c.key(i)); }); }, sum);
    // Of those at the threshold some may stay: the last ones by position.
    std::vector<index_t> ties;
    bool any = false;
    for (std::size_t g = 0; g < now.size(); ++g) {
      index_t const gone = now[g].goes - threshold[g].below;
      ties.push_back(now[g].goes == 0 || gone == threshold[g].equal ? 0 : gone);
      any = any || ties.back() > 0;
    }
    std::vector<ranked_key> last(now.size());
    if (any)
      last = kth_smallest(
          48, ties,
          [&](std::size_t g, auto&& f) {
            for_each(g, [&](auto const& c, index_t i) {
              if (c.key(i) == threshold[g].key) f(static_cast<std::uint64_t>(c.position(i)));
            });
          },
          sum);
    for (std::size_t g = 0; g < now.size(); ++g) {
      if (now[g].goes == 0) continue;
      for (auto const& r : now[g].runs) {
        auto& c = all[r.candidate];
        for (index_t i = r.begin; i < r.end; ++i) {
          std::uint64_t const key = c.key(i);
          if (key < threshold[g].key ||
              (key == threshold[g].key && (ties[g] == 0 || static_cast<std::uint64_t>(c.position(i)) <= last[g].key)))
            c.remove(i);
        }
      }
    }
  }
}

/// In every group of m neighbouring columns the m − kept lowest go. Local: a group lives on one rank.
template <class T> void keep_in_groups(candidate<T>& c, index_t kept, index_t m) {
  for (index_t begin = 0; begin < c.size(); begin += m)  // columns are a multiple of m: a group never crosses a row
    for (index_t gone = 0; gone < m - kept; ++gone) {
      index_t lowest = -1;
      for (index_t i = begin; i < begin + m; ++i)  // the dead first: they are counted off one by one
        if (c.alive(i) &&
            (lowest < 0 || c.scores[static_cast<std::size_t>(i)] < c.scores[static_cast<std::size_t>(lowest)]))
          lowest = i;
      index_t alive = 0;
      for (index_t i = begin; i < begin + m; ++i) alive += c.alive(i) ? 1 : 0;
      if (alive <= kept) break;
      c.remove(lowest);
    }
}

}  // namespace pleat::compress::detail
