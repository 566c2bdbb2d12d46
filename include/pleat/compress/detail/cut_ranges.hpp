// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What observers see in rows that are cut over ranks: the bits of range_of over the whole rows, from sums of counts.
/// Nobody gathers. Needs no Kokkos.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include <pleat/base/as_span.hpp>
#include <pleat/base/config.hpp>
#include <pleat/base/math.hpp>
#include <pleat/codec/magnitude_histogram.hpp>
#include <pleat/compress/observers.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::compress::detail {

/// How the ranks that have parts of the same rows put together what each of them counted. Collective.
struct over_parts {
  std::function<void(std::span<std::int64_t>)> sum;
  std::function<void(std::span<float>)> max;
};

/// Rows of which this rank has [rows, columns], and all ranks together `whole` numbers each.
struct cut_rows {
  std::vector<float> magnitude;  ///< of this rank's part
  index_t rows = 0, columns = 0, whole = 0;

  PLEAT_LAZY [[nodiscard]] std::span<float const> row(index_t r) const noexcept {
    return as_span(magnitude).subspan(static_cast<std::size_t>(r * columns), static_cast<std::size_t>(columns));
  }
  /// f(first, last) for blocks of so many rows: the counts of theirs that ranks sum at a time are some 130 kB at most,
  /// whatever the weight.
  template <class F> void in_blocks(index_t of, F&& f) const {
    for (index_t first = 0; first < rows; first += of) f(first, std::min(rows, first + of));
  }
};

/// The largest magnitudes.
PLEAT_ONCE [[nodiscard]] std::vector<float> largest_of(cut_rows const& w, over_parts const& ranks) {
  std::vector<float> largest;
  for (index_t r = 0; r < w.rows; ++r) {
    auto const row = w.row(r);
    largest.push_back(row.empty() ? 0.0f : *std::max_element(row.begin(), row.end()));
  }
  ranks.max(largest);
  return largest;
}

/// Numbers of a rank in the order of magnitudes, found digit by digit: four sums of 256 counts a row.
PLEAT_ONCE [[nodiscard]] std::vector<float> percentile_of(percentile const& p, cut_rows const& w,
                                                          over_parts const& ranks) {
  constexpr int digit = 8;
  std::vector<float> found;
  w.in_blocks(64, [&](index_t first, index_t last) {
    auto const rows = static_cast<std::size_t>(last - first);
    std::vector<std::uint32_t> prefix(rows, 0);
    std::vector<std::int64_t> before(rows, place_of(p, w.whole)), counts(rows << digit);
    for (int shift = 32 - digit; shift >= 0; shift -= digit) {
      std::fill(counts.begin(), counts.end(), 0);
      for (std::size_t r = 0; r < rows; ++r)
        for (float const a : w.row(first + static_cast<index_t>(r))) {
          auto const bits = std::bit_cast<std::uint32_t>(a);  // of magnitudes: they sort as the numbers do
          if (std::uint64_t{bits} >> (shift + digit) == prefix[r]) ++counts[(r << digit) + ((bits >> shift) & 255u)];
        }
      ranks.sum(counts);
      for (std::size_t r = 0; r < rows; ++r) {
        std::uint32_t d = 0;
        while (d < 255 && before[r] >= counts[(r << digit) + d]) before[r] -= counts[(r << digit) + d++];
        prefix[r] = prefix[r] << digit | d;
      }
    }
    for (auto const bits : prefix) found.push_back(std::bit_cast<float>(bits));
  });
  return found;
}

/// One sum of errors a row for each range that is tried.
PLEAT_ONCE [[nodiscard]] std::vector<float> mean_square_of(mean_square const& m, cut_rows const& w,
                                                           over_parts const& ranks, int levels) {
  auto const largest = largest_of(w, ranks);
  std::vector<range_search> search;
  for (float const a : largest) search.emplace_back(m, a);
  std::vector<std::int64_t> sums(largest.size());
  auto const more = [](range_search const& s) { return s.more(); };
  while (std::any_of(search.begin(), search.end(), more)) {  // alike on all ranks
    auto const units = [&](std::size_t r) {
      return error_units(m.exponent, largest[r], search[r].range(), levels, w.whole);
    };
    std::fill(sums.begin(), sums.end(), 0);
    for (std::size_t r = 0; r < search.size(); ++r)
      if (search[r].more()) sums[r] = units(r).sum(w.row(static_cast<index_t>(r)));
    ranks.sum(sums);
    for (std::size_t r = 0; r < search.size(); ++r)
      if (search[r].more()) search[r].take(units(r).value(sums[r]));
  }
  std::vector<float> found;
  for (auto const& s : search) found.push_back(s.best());
  return found;
}

/// One histogram a row.
PLEAT_ONCE [[nodiscard]] std::vector<float> divergence_of(kl_divergence const& kl, cut_rows const& w,
                                                          over_parts const& ranks, int levels) {
  constexpr int bins = codec::magnitude_histogram::bins;
  std::vector<float> found;
  w.in_blocks(8, [&](index_t first, index_t last) {
    std::vector<codec::magnitude_histogram> seen(static_cast<std::size_t>(last - first));
    std::vector<float> reach;  // exponents are whole numbers below 2²⁴, which floats hold
    for (std::size_t r = 0; r < seen.size(); ++r) {
      seen[r].add(w.row(first + static_cast<index_t>(r)));
      reach.push_back(static_cast<float>(seen[r].exponent()));
      reach.push_back(seen[r].largest());
    }
    ranks.max(reach);
    std::vector<std::int64_t> sums;
    for (std::size_t r = 0; r < seen.size(); ++r) {
      seen[r].widen_to(static_cast<int>(reach[2 * r]));
      sums.insert(sums.end(), seen[r].counts().begin(), seen[r].counts().end());
      sums.push_back(seen[r].total());
      sums.push_back(seen[r].nonfinite());
    }
    ranks.sum(sums);
    for (std::size_t r = 0; r < seen.size(); ++r) {
      seen[r].take(std::span<std::int64_t const, bins + 2>(sums.data() + r * (bins + 2), bins + 2), reach[2 * r + 1]);
      found.push_back(range_of(kl, seen[r], levels));
    }
  });
  return found;
}

/// The ranges that an observer sees in rows which are cut over ranks, on each of them: bit for bit what range_of sees in
/// the whole rows. Numbers that are not finite count as zeros. Collective.
/// \param part [rows, ·], of which other ranks have other columns \param whole numbers of a row, of all ranks together
PLEAT_ONCE [[nodiscard]] std::vector<float> ranges_of_parts(observer const& o, std::span<float const> part,
                                                            index_t rows, index_t whole, over_parts const& ranks,
                                                            int levels = 127) {
  check(o);
  cut_rows w{{}, rows, rows > 0 ? static_cast<index_t>(part.size()) / rows : 0, whole};
  for (float const x : part) w.magnitude.push_back(std::isfinite(x) ? std::fabs(x) : 0.0f);
  if (whole == 0) return std::vector<float>(static_cast<std::size_t>(rows), 0.0f);
  if (auto const* p = std::get_if<percentile>(&o)) return percentile_of(*p, w, ranks);
  if (auto const* m = std::get_if<mean_square>(&o)) return mean_square_of(*m, w, ranks, levels);
  if (auto const* kl = std::get_if<kl_divergence>(&o)) return divergence_of(*kl, w, ranks, levels);
  return largest_of(w, ranks);
}
PLEAT_COMPILED_ONCE(std::vector<float> ranges_of_parts(observer const& o, std::span<float const> part, index_t rows,
                                                       index_t whole, over_parts const& ranks, int levels));

}  // namespace pleat::compress::detail
