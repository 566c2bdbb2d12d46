// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// k-means of numbers on a line: exact Lloyd steps on sorted values, the same centroids on every machine and however
/// the numbers are spread over ranks. Needs no Kokkos.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <pleat/base/error.hpp>
#include <pleat/base/math.hpp>
#include <pleat/codec/detail/codebook_options.hpp>
#include <pleat/codec/detail/exact_sum.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::codec {

namespace detail {

/// A 64-bit mix of a counter (splitmix64's finaliser).
[[nodiscard]] inline std::uint64_t mix64(std::uint64_t u) noexcept {
  u += 0x9e3779b97f4a7c15u;
  u = (u ^ (u >> 30)) * 0xbf58476d1ce4e5b9u;
  u = (u ^ (u >> 27)) * 0x94d049bb133111ebu;
  return u ^ (u >> 31);
}

/// Adds up counts over the ranks that have the other numbers, in place; for one rank nothing.
struct no_other_ranks {
  void operator()(std::span<std::int64_t>) const noexcept {}
};

/// The numbers of this rank that k-means looks at: sorted, with the sums of runs of them.
class sorted_numbers {
 public:
  explicit sorted_numbers(std::vector<float> values) : sorted_(std::move(values)) {
    for (float& v : sorted_) v += 0.0f;  // one zero
    std::sort(sorted_.begin(), sorted_.end());
    exact_sum s;
    for (std::size_t i = 0; i < sorted_.size(); ++i) {
      if (i % block == 0) before_.push_back(s);
      s.add(sorted_[i]);
    }
    if (sorted_.size() % block == 0) before_.push_back(s);
  }
  [[nodiscard]] std::size_t size() const noexcept { return sorted_.size(); }
  /// How many are not above a border.
  [[nodiscard]] std::size_t up_to(double border) const noexcept {
    return static_cast<std::size_t>(std::upper_bound(sorted_.begin(), sorted_.end(), border,
                                                     [](double b, float v) { return b < static_cast<double>(v); }) -
                                    sorted_.begin());
  }
  /// Σ of those from `from` on, below `to`.
  [[nodiscard]] exact_sum sum(std::size_t from, std::size_t to) const noexcept {
    exact_sum s;
    std::size_t const first = (from + block - 1) / block, last = to / block;
    if (first < last) {
      for (; from < first * block; ++from) s.add(sorted_[from]);
      s += before_[last];
      s -= before_[first];
      from = last * block;
    }
    for (; from < to; ++from) s.add(sorted_[from]);
    return s;
  }

 private:
  static constexpr std::size_t block = 128;
  std::vector<float> sorted_;
  std::vector<exact_sum> before_;  // the sum before each block, and where the last one is full, before the next
};

/// Of all ranks' numbers together those at the given places of the ascending order. Bisection of the numbers' bits: as
/// many sums as a float has bits.
template <class Sum>
[[nodiscard]] std::vector<float> at_places(sorted_numbers const& mine, std::span<std::int64_t const> places,
                                           Sum&& sum) {
  // keys sort as numbers do
  auto const number = [](std::uint32_t key) {
    return std::bit_cast<float>(key & 0x80000000u ? key ^ 0x80000000u : ~key);
  };
  std::vector<std::uint32_t> low(places.size(), 0x007fffffu), high(places.size(), 0xff800000u);  // −∞ and ∞
  std::vector<std::int64_t> counts(places.size());
  for (int bit = 0; bit < 32; ++bit) {
    for (std::size_t i = 0; i < places.size(); ++i)
      counts[i] = static_cast<std::int64_t>(mine.up_to(static_cast<double>(number(low[i] + (high[i] - low[i]) / 2))));
    sum(std::span<std::int64_t>(counts));
    for (std::size_t i = 0; i < places.size(); ++i) {
      std::uint32_t const middle = low[i] + (high[i] - low[i]) / 2;
      if (low[i] == high[i]) continue;
      if (counts[i] > places[i]) high[i] = middle;
      else low[i] = middle + 1;
    }
  }
  std::vector<float> out;
  for (auto const key : low) out.push_back(number(key) + 0.0f);
  return out;
}

/// k ascending centroids of the numbers (none may be NaN) that some ranks have between them. Lloyd's steps until
/// nothing moves, at most `iterations`. Sums are exact, so neither the order of the numbers nor who has which matters:
/// the same bits on every rank and for every number of them. Nobody gathers: each step sums k counts and k sums of 72
/// bytes over the ranks. A centroid that nothing is nearest to stays where it is.
/// \param sum sum(std::span<std::int64_t>): adds up over the ranks; called alike on all of them
template <class Sum = no_other_ranks>
[[nodiscard]] std::vector<float> kmeans(sorted_numbers const& mine, int k, centroid_start start, std::uint64_t seed,
                                        int iterations, Sum&& sum = {}) {
  if (k < 1)
    throw error{"codec::kmeans", std::to_string(k) + " centroids, expected at least 1", "Ask for one centroid or more"};
  std::int64_t all[] = {static_cast<std::int64_t>(mine.size())};
  sum(std::span<std::int64_t>(all));
  std::int64_t const n = all[0];
  if (n == 0) return std::vector<float>(static_cast<std::size_t>(k), 0.0f);
  std::vector<std::int64_t> places;
  if (start == centroid_start::linear) places = {0, n - 1};
  for (int i = 0; i < k && start != centroid_start::linear; ++i)
    places.push_back(
        start == centroid_start::density
            ? std::min(n - 1, static_cast<std::int64_t>((static_cast<double>(i) + 0.5) / k * static_cast<double>(n)))
            : static_cast<std::int64_t>(mix64(seed * 0x2545f4914f6cdd1du + static_cast<std::uint64_t>(i)) %
                                        static_cast<std::uint64_t>(n)));
  auto const found = at_places(mine, places, sum);
  std::vector<double> centroid(static_cast<std::size_t>(k), 0.0);
  for (std::size_t i = 0; i < centroid.size(); ++i) {
    double const low = static_cast<double>(found.front()), high = static_cast<double>(found.back());
    centroid[i] = start == centroid_start::linear
                      ? low + (high - low) * (k == 1 ? 0.5 : static_cast<double>(i) / (k - 1))
                      : static_cast<double>(found[i]);
  }
  std::sort(centroid.begin(), centroid.end());
  constexpr std::size_t width = 1 + exact_sum::limbs;  // a count and a sum
  std::vector<std::int64_t> sums(centroid.size() * width);
  for (int step = 0; step < iterations; ++step) {
    std::size_t from = 0;
    for (std::size_t i = 0; i < centroid.size(); ++i) {
      // a value on the border belongs to the lower one
      std::size_t const to =
          i + 1 < centroid.size() ? std::max(from, mine.up_to(centroid[i] / 2 + centroid[i + 1] / 2)) : mine.size();
      auto const s = mine.sum(from, to);
      sums[i * width] = static_cast<std::int64_t>(to - from);
      std::copy(s.limb.begin(), s.limb.end(), sums.begin() + static_cast<std::ptrdiff_t>(i * width + 1));
      from = to;
    }
    sum(std::span<std::int64_t>(sums));
    bool moved = false;
    for (std::size_t i = 0; i < centroid.size(); ++i) {
      std::int64_t const count = sums[i * width];
      if (count == 0) continue;
      exact_sum s;
      std::copy_n(sums.begin() + static_cast<std::ptrdiff_t>(i * width + 1), exact_sum::limbs, s.limb.begin());
      double const next = s.value() / static_cast<double>(count);
      moved = moved || next != centroid[i];
      centroid[i] = next;
    }
    if (!moved) break;
  }
  std::vector<float> out;
  for (double c : centroid) out.push_back(static_cast<float>(c));
  return out;
}
/// The same of one rank's numbers.
[[nodiscard]] inline std::vector<float> kmeans(std::span<float const> values, int k, centroid_start start,
                                               std::uint64_t seed, int iterations) {
  return kmeans(sorted_numbers({values.begin(), values.end()}), k, start, seed, iterations);
}

/// The number of the nearest of ascending centroids; the lower one where two are equally near.
[[nodiscard]] inline int nearest(std::span<float const> centroids, float v) noexcept {
  auto const above = std::lower_bound(centroids.begin(), centroids.end(), v);
  if (above == centroids.begin()) return 0;
  auto const below = above - 1;
  if (above == centroids.end()) return static_cast<int>(below - centroids.begin());
  double const up = static_cast<double>(*above) - static_cast<double>(v),
               down = static_cast<double>(v) - static_cast<double>(*below);
  return static_cast<int>((up < down ? above : below) - centroids.begin());
}

}  // namespace detail
}  // namespace pleat::codec
