// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// How often magnitudes of which size come: what observers of activations look at. Needs no Kokkos.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <span>

#include <pleat/base/config.hpp>
#include <pleat/base/math.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::codec {

/// Counts of |x| in 2048 bins of one width from zero on, in one pass. The width is a power of two that doubles when a
/// larger number comes: neighbouring bins are added then, which gives exactly the counts of the wider bins. So the
/// content depends on the set of numbers alone, neither on their order nor on how they were shared out over histograms
/// that are merged: the same bits on any number of ranks.
class magnitude_histogram {
 public:
  static constexpr int bins = 2048;

  PLEAT_LAZY void add(float x) noexcept {
    float const a = std::fabs(x);
    if (!(a < std::numeric_limits<float>::infinity())) {
      ++nonfinite_;
      return;
    }
    if (a > largest_) {
      largest_ = a;
      if (int const e = exponent_for(a); e > exponent_) widen(e);
    }
    ++counts_[static_cast<std::size_t>(static_cast<double>(a) * per_width_)];
    ++total_;
  }
  PLEAT_LAZY void add(std::span<float const> values) noexcept {
    for (float const x : values) add(x);
  }
  /// All that `o` has seen.
  PLEAT_LAZY void merge(magnitude_histogram o) noexcept {
    int const e = std::max(exponent_, o.exponent_);
    widen(e);
    o.widen(e);
    largest_ = std::max(largest_, o.largest_);
    for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] += o.counts_[i];
    total_ += o.total_;
    nonfinite_ += o.nonfinite_;
  }
  PLEAT_LAZY [[nodiscard]] std::int64_t total() const noexcept { return total_; }  ///< finite numbers
  /// NaN and infinities, which are in no bin
  PLEAT_LAZY [[nodiscard]] std::int64_t nonfinite() const noexcept { return nonfinite_; }
  [[nodiscard]] float largest() const noexcept { return largest_; }
  [[nodiscard]] double width() const noexcept { return 1 / per_width_; }
  [[nodiscard]] std::array<std::int64_t, bins> const& counts() const noexcept { return counts_; }
  /// What ranks exchange: the exponent (maximum over the ranks) that all then widen to, and plain counts (sums) beside
  /// the largest magnitude.
  [[nodiscard]] int exponent() const noexcept { return exponent_; }
  PLEAT_LAZY void widen_to(int exponent) noexcept { widen(exponent); }
  PLEAT_LAZY void take(std::span<std::int64_t const, bins + 2> sums, float largest) noexcept {
    std::copy_n(sums.begin(), bins, counts_.begin());
    total_ = sums[bins], nonfinite_ = sums[bins + 1], largest_ = largest;
  }

  /// Bins up to the one of the largest magnitude.
  [[nodiscard]] int used() const noexcept {
    return total_ == 0 ? 0 : 1 + static_cast<int>(static_cast<double>(largest_) * per_width_);
  }

 private:
  static constexpr int least_exponent = -140;
  /// The smallest e with a < 2^e.
  PLEAT_LAZY [[nodiscard]] static int exponent_for(float a) noexcept {
    int e = 0;
    std::frexp(a, &e);
    return std::max(e, least_exponent);
  }
  PLEAT_LAZY void widen(int exponent) noexcept {
    for (; exponent_ < exponent; ++exponent_) {
      if (total_ == counts_[0]) {  // nothing to move
        exponent_ = exponent;
        break;
      }
      for (std::size_t i = 0; i < bins / 2; ++i) counts_[i] = counts_[2 * i] + counts_[2 * i + 1];
      std::fill(counts_.begin() + bins / 2, counts_.end(), 0);
    }
    per_width_ = std::ldexp(1.0, 11 - exponent_);
  }

  std::array<std::int64_t, bins> counts_{};
  std::int64_t total_ = 0, nonfinite_ = 0;
  float largest_ = 0;
  int exponent_ = least_exponent;
  double per_width_ = 0x1p151;  // 2^(11 − least_exponent)
};

}  // namespace pleat::codec
