// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Observers: which range of magnitudes the codes of a quantizer should span. Needs no Kokkos.
///
/// A range a gives symmetric codes: step a/levels, codes within ±levels; what lies outside is cut. All observers give
/// the same bits for the same numbers in any order, so histograms that ranks have summed give the same range on all of
/// them.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <pleat/base/as_span.hpp>
#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/base/math.hpp>
#include <pleat/codec/detail/int8_codes.hpp>
#include <pleat/codec/magnitude_histogram.hpp>
#include <pleat/compress/settings.hpp>

namespace pleat::compress {

/// The range is the largest magnitude: nothing clips.
struct min_max {};

/// The range is the magnitude at this percentile, by nearest rank: of n magnitudes in ascending order the
/// ⌈value·n/100⌉-th (of a histogram: the upper edge of its bin). A few outliers clip, all others get finer steps.
struct percentile {
  double value = 99.99;
};

/// The range whose rounding and clipping errors, to the power `exponent`, have the smallest sum: ranges (1 −
/// i/grid)·largest are tried for i = 0, 1, … up to max_shrink, until `patience` of them in a row were no better.
/// Defaults as in llm-compressor; exponent 2 is the mean square. A histogram's numbers are taken at the middles of
/// their bins.
struct mean_square {
  double max_shrink = 0.2;
  int grid = 100;
  int patience = 5;
  double exponent = 2.4;
};

/// The range that keeps the distribution of magnitudes closest to itself in the Kullback–Leibler divergence, as in
/// TensorRT: the tail beyond bin i is folded into it, the bins below are merged to as many groups as there are levels,
/// and the i ≥ first_bin of the smallest divergence is taken, the last one of equals. For activations; of few numbers
/// (the row of a weight) it is no good estimate.
///
/// Ranges that would cut more than `most_cut` of all numbers are not looked at. Without that limit a distribution with
/// one crowded bin and much beyond it (images on a flat background) is cut right behind that bin: folding the rest into
/// the crowd hardly changes its share.
struct kl_divergence {
  int first_bin = 128;
  double most_cut = 0.01;
};

using observer = std::variant<min_max, percentile, mean_square, kl_divergence>;
using weight_observer = observer;

/// "min-max", "percentile 99.99", …
PLEAT_ONCE [[nodiscard]] std::string name_of(observer const& o) {
  if (auto const* p = std::get_if<percentile>(&o)) {
    std::string s = std::to_string(p->value);
    s.erase(s.find_last_not_of('0') + 1);
    if (s.ends_with('.')) s.pop_back();
    return "percentile " + s;
  }
  return o.index() == 0 ? "min-max" : o.index() == 2 ? "mean-square" : "kl";
}
PLEAT_COMPILED_ONCE(std::string name_of(observer const& o));

/// The same with every number that decides.
PLEAT_ONCE [[nodiscard]] std::string words_of(observer const& o) {
  if (auto const* p = std::get_if<percentile>(&o)) return "percentile " + words_of(p->value);
  if (auto const* m = std::get_if<mean_square>(&o))
    return "mean-square to 1 - " + words_of(m->max_shrink) + " in " + words_of(m->grid) + ", patience " +
           words_of(m->patience) + ", exponent " + words_of(m->exponent);
  if (auto const* k = std::get_if<kl_divergence>(&o))
    return "kl from bin " + words_of(k->first_bin) + ", cutting at most " + words_of(k->most_cut);
  return name_of(o);
}

namespace detail {

/// \throws error for settings that mean nothing
PLEAT_ONCE void check(observer const& o) {
  char const* const call = "compress::quantize";
  if (auto const* p = std::get_if<percentile>(&o))
    if (!(p->value > 0 && p->value <= 100))
      throw error{call, "a percentile lies in (0, 100], found " + std::to_string(p->value),
                  "Say percentile{99.99}, or min_max{} to cut nothing"};
  if (auto const* m = std::get_if<mean_square>(&o)) {
    if (!(m->max_shrink >= 0 && m->max_shrink < 1))
      throw error{call,
                  "mean_square tries ranges down to (1 - max_shrink), max_shrink in [0, 1), found " +
                      std::to_string(m->max_shrink),
                  "Leave .max_shrink at 0.2"};
    if (m->grid < 1 || m->patience < 1 || !(m->exponent > 0))
      throw error{call,
                  "mean_square needs a positive grid, patience and exponent, found " + std::to_string(m->grid) + ", " +
                      std::to_string(m->patience) + ", " + std::to_string(m->exponent),
                  "Leave them at 100, 5 and 2.4"};
  }
  if (auto const* k = std::get_if<kl_divergence>(&o)) {
    if (!(k->most_cut >= 0 && k->most_cut <= 1))
      throw error{call, "kl_divergence may cut a share of the numbers in [0, 1], found " + std::to_string(k->most_cut),
                  "Leave .most_cut at 0.01"};
    if (k->first_bin < 1 || k->first_bin > codec::magnitude_histogram::bins)
      throw error{call,
                  "kl_divergence begins at a bin from 1 to " + std::to_string(codec::magnitude_histogram::bins) +
                      ", found " + std::to_string(k->first_bin),
                  "Leave .first_bin at 128"};
  }
}
PLEAT_COMPILED_ONCE(void check(observer const& o));

/// |x − x̂|^exponent for a magnitude.
[[nodiscard]] inline double code_error(double magnitude, double step, int levels, double exponent) noexcept {
  double const q = std::min(std::nearbyint(magnitude / step), static_cast<double>(levels)),
               e = std::fabs(magnitude - q * step);
  return exponent == 2 ? e * e : e == 0 ? 0 : std::pow(e, exponent);
}

/// The search for the best range of the grid, one cost at a time: while (s.more()) s.take(cost of s.range()).
class range_search {
 public:
  range_search(mean_square const& m, float largest) noexcept : m_(m), largest_(largest), best_range_(largest) {}
  [[nodiscard]] bool more() const noexcept {
    return i_ <= static_cast<int>(m_.max_shrink * m_.grid) && waited_ < m_.patience && range() > 0;
  }
  [[nodiscard]] float range() const noexcept {
    return static_cast<float>((1 - static_cast<double>(i_) / m_.grid) * static_cast<double>(largest_));
  }
  void take(double cost) noexcept {
    if (cost < best_) best_ = cost, best_range_ = range(), waited_ = 0;
    else ++waited_;
    ++i_;
  }
  [[nodiscard]] float best() const noexcept { return best_range_; }

 private:
  mean_square m_;
  float largest_, best_range_;
  double best_ = std::numeric_limits<double>::infinity();
  int i_ = 0, waited_ = 0;
};

/// Sums of code_error over magnitudes, in whole multiples of a power of two that leaves room for `count` of the largest
/// error there can be: exact additions, in any order and over any ranks.
class error_units {
 public:
  /// \param largest no magnitude is above it \param count of magnitudes, on all ranks together
  error_units(double exponent, float largest, float range, int levels, std::int64_t count) noexcept
      : exponent_(exponent), step_(range / static_cast<double>(levels)), levels_(levels) {
    double const worst = std::pow(std::max(step_, static_cast<double>(largest) - levels * step_), exponent);
    if (!std::isfinite(worst)) return;  // every sum is 0: no range is better than another
    int bits = 0;
    std::frexp(worst, &bits);
    shift_ = std::clamp(60 - static_cast<int>(std::bit_width(static_cast<std::uint64_t>(count))) - bits, -1000, 1000);
    per_error_ = std::ldexp(1.0, shift_);
  }
  [[nodiscard]] std::int64_t sum(std::span<float const> magnitudes) const noexcept {
    std::int64_t all = 0;
    for (float const a : magnitudes) {
      double const e = code_error(a, step_, levels_, exponent_) * per_error_;
      if (e < 0x1p60) all += static_cast<std::int64_t>(std::nearbyint(e));
    }
    return all;
  }
  [[nodiscard]] double value(std::int64_t sum) const noexcept {
    return static_cast<double>(sum) * std::ldexp(1.0, -shift_);
  }

 private:
  double exponent_, step_, per_error_ = 0;
  int levels_, shift_ = 0;
};

/// Where the percentile of n numbers is when they are sorted, from 0 on.
[[nodiscard]] inline std::int64_t place_of(percentile const& p, std::int64_t n) noexcept {
  return static_cast<std::int64_t>(
      std::clamp(std::ceil(p.value * static_cast<double>(n) / 100.0 - 1e-9) - 1, 0.0, static_cast<double>(n - 1)));
}

/// The bin after the last one that counts, by the smallest divergence.
PLEAT_ONCE [[nodiscard]] int kl_bin(std::span<std::int64_t const> counts, int levels, int first, double most_cut = 1) {
  int const n = static_cast<int>(counts.size());
  std::vector<double> p(counts.begin(), counts.end());
  if (n > 1) p[0] = p[1];  // zeros are exact under every range: they have no say
  double tail = 0;
  for (int i = first; i < n; ++i) tail += p[static_cast<std::size_t>(i)];
  double best = std::numeric_limits<double>::infinity();
  int at = n;
  double everything = 0;
  for (double const x : p) everything += x;
  for (int i = first; i <= n; ++i) {
    if (i < n && tail > most_cut * everything) {
      tail -= p[static_cast<std::size_t>(i)];
      continue;
    }
    // Bins j of group g = j·levels/i; what a group holds is spread evenly over those of its bins that are not empty.
    double total = 0, divergence = 0;
    for (int j = 0; j < i; ++j) total += p[static_cast<std::size_t>(j)];
    double const all = total + tail;
    if (total > 0) {
      int j = 0;
      for (int g = 0; g < levels && j < i; ++g) {
        int const end =
            g + 1 == levels ? i : std::max(j, static_cast<int>((static_cast<std::int64_t>(g) + 1) * i / levels));
        double sum = 0;
        int filled = 0;
        for (int k = j; k < end; ++k)
          sum += p[static_cast<std::size_t>(k)], filled += p[static_cast<std::size_t>(k)] > 0;
        for (int k = j; k < end; ++k) {
          double const own = p[static_cast<std::size_t>(k)] + (k == i - 1 ? tail : 0.0);
          if (own == 0) continue;
          // a tail that folds into an empty bin
          double const q = p[static_cast<std::size_t>(k)] > 0 ? sum / filled / total : 1e-12;
          divergence += own / all * std::log(own / all / q);
        }
        j = end;
      }
      if (divergence <= best) best = divergence, at = i;
    }
    if (i < n) tail -= p[static_cast<std::size_t>(i)];
  }
  return at;
}

}  // namespace detail

/// The range that an observer sees in a histogram; 0 if it saw nothing but zeros. \throws error for settings that mean
/// nothing
PLEAT_ONCE [[nodiscard]] float range_of(observer const& o, codec::magnitude_histogram const& h, int levels = 127) {
  detail::check(o);
  int const used = h.used();
  if (used == 0 || h.largest() == 0 || o.index() == 0) return h.largest();
  auto const& counts = h.counts();
  double const width = h.width();
  auto const edge = [&](int bin) { return std::min(static_cast<float>(bin * width), h.largest()); };
  if (auto const* p = std::get_if<percentile>(&o)) {
    auto const wanted = std::max<std::int64_t>(
        1, static_cast<std::int64_t>(std::ceil(p->value * static_cast<double>(h.total()) / 100.0 - 1e-9)));
    std::int64_t seen = 0;
    for (int i = 0; i < used; ++i)
      if ((seen += counts[static_cast<std::size_t>(i)]) >= wanted) return edge(i + 1);
    return h.largest();
  }
  if (auto const* m = std::get_if<mean_square>(&o)) {
    detail::range_search s(*m, h.largest());
    while (s.more()) {
      double sum = 0;
      for (int i = 0; i < used; ++i)
        if (auto const c = counts[static_cast<std::size_t>(i)]; c > 0)
          sum += static_cast<double>(c) *
                 detail::code_error((i + 0.5) * width, s.range() / static_cast<double>(levels), levels, m->exponent);
      s.take(sum);
    }
    return s.best();
  }
  auto const& kl = std::get<kl_divergence>(o);
  if (used <= kl.first_bin) return h.largest();
  return edge(detail::kl_bin(std::span<std::int64_t const>(counts).first(static_cast<std::size_t>(used)), levels,
                             kl.first_bin, kl.most_cut));
}
PLEAT_COMPILED_ONCE(float range_of(observer const& o, codec::magnitude_histogram const& h, int levels));

/// The range that an observer sees in a row of numbers, none of which is NaN or infinite; 0 for an empty one.
/// \throws error for settings that mean nothing
PLEAT_ONCE [[nodiscard]] float range_of(observer const& o, std::span<float const> row, int levels = 127) {
  detail::check(o);
  if (row.empty()) return 0;
  if (std::holds_alternative<kl_divergence>(o)) {
    codec::magnitude_histogram h;
    h.add(row);
    return range_of(o, h, levels);
  }
  if (std::holds_alternative<min_max>(o)) return codec::detail::finite_amax(row);
  std::vector<float> magnitude(row.size());
  std::transform(row.begin(), row.end(), magnitude.begin(), [](float x) { return std::fabs(x); });
  if (auto const* p = std::get_if<percentile>(&o)) {
    auto const at = static_cast<std::ptrdiff_t>(detail::place_of(*p, static_cast<std::int64_t>(row.size())));
    std::nth_element(magnitude.begin(), magnitude.begin() + at, magnitude.end());
    return magnitude[static_cast<std::size_t>(at)];
  }
  float const largest = *std::max_element(magnitude.begin(), magnitude.end());
  if (largest == 0) return largest;
  auto const* m = std::get_if<mean_square>(&o);
  detail::range_search s(*m, largest);
  while (s.more()) {
    detail::error_units const units(m->exponent, largest, s.range(), levels, static_cast<std::int64_t>(row.size()));
    s.take(units.value(units.sum(as_span(magnitude))));
  }
  return s.best();
}
PLEAT_COMPILED_ONCE(float range_of(observer const& o, std::span<float const> row, int levels));

}  // namespace pleat::compress
