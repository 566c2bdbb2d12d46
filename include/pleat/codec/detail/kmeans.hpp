// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// k-means of numbers on a line: exact Lloyd steps on sorted values, the same centroids on every machine. Needs no Kokkos.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <pleat/base/error.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::codec {

/// Where the centroids begin. Linear: evenly between the smallest and the largest value (best for weights: it keeps centroids for the few large
/// ones; Han et al., Deep Compression, 2016). Density: at equal shares of the values. Random: at values drawn by a seed.
enum class centroid_start { linear, density, random };

namespace detail {

/// A 64-bit mix of a counter (splitmix64's finaliser).
[[nodiscard]] inline std::uint64_t mix64(std::uint64_t u) noexcept {
  u += 0x9e3779b97f4a7c15u;
  u = (u ^ (u >> 30)) * 0xbf58476d1ce4e5b9u;
  u = (u ^ (u >> 27)) * 0x94d049bb133111ebu;
  return u ^ (u >> 31);
}

/// k ascending centroids of values (none may be NaN). Lloyd's steps until nothing moves, at most `iterations`; sums in double over the sorted
/// values, so the order of the input does not matter. A centroid that nothing is nearest to stays where it is.
[[nodiscard]] inline std::vector<float> kmeans(std::span<float const> values, int k, centroid_start start, std::uint64_t seed, int iterations) {
  if (k < 1) throw error{"codec::kmeans", std::to_string(k) + " centroids, expected at least 1"};
  std::vector<float> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  std::vector<double> centroid(static_cast<std::size_t>(k), 0.0);
  if (sorted.empty()) return std::vector<float>(static_cast<std::size_t>(k), 0.0f);
  std::size_t const n = sorted.size();
  double const low = static_cast<double>(sorted.front()), high = static_cast<double>(sorted.back());
  for (std::size_t i = 0; i < centroid.size(); ++i) {
    double const share = k == 1 ? 0.5 : static_cast<double>(i) / (k - 1);
    if (start == centroid_start::linear) centroid[i] = low + (high - low) * share;
    else if (start == centroid_start::density) centroid[i] = static_cast<double>(sorted[std::min(n - 1, static_cast<std::size_t>((static_cast<double>(i) + 0.5) / k * static_cast<double>(n)))]);
    else centroid[i] = static_cast<double>(sorted[mix64(seed * 0x2545f4914f6cdd1du + i) % n]);
  }
  std::sort(centroid.begin(), centroid.end());
  std::vector<double> sum(n + 1, 0.0);
  for (std::size_t i = 0; i < n; ++i) sum[i + 1] = sum[i] + static_cast<double>(sorted[i]);
  for (int step = 0; step < iterations; ++step) {
    bool moved = false;
    std::size_t from = 0;
    auto next = centroid;
    for (std::size_t i = 0; i < centroid.size(); ++i) {
      std::size_t to = n;
      if (i + 1 < centroid.size()) {
        double const border = centroid[i] / 2 + centroid[i + 1] / 2;  // a value on the border belongs to the lower one
        to = static_cast<std::size_t>(std::upper_bound(sorted.begin() + static_cast<std::ptrdiff_t>(from), sorted.end(), border, [](double b, float v) { return b < static_cast<double>(v); }) - sorted.begin());
      }
      if (to > from) next[i] = (sum[to] - sum[from]) / static_cast<double>(to - from);
      moved = moved || next[i] != centroid[i];
      from = to;
    }
    centroid = std::move(next);
    if (!moved) break;
  }
  std::vector<float> out;
  for (double c : centroid) out.push_back(static_cast<float>(c));
  return out;
}

/// The number of the nearest of ascending centroids; the lower one where two are equally near.
[[nodiscard]] inline int nearest(std::span<float const> centroids, float v) noexcept {
  auto const above = std::lower_bound(centroids.begin(), centroids.end(), v);
  if (above == centroids.begin()) return 0;
  auto const below = above - 1;
  if (above == centroids.end()) return static_cast<int>(below - centroids.begin());
  double const up = static_cast<double>(*above) - static_cast<double>(v), down = static_cast<double>(v) - static_cast<double>(*below);
  return static_cast<int>((up < down ? above : below) - centroids.begin());
}

}  // namespace detail
}  // namespace pleat::codec
