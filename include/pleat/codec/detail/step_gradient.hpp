// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The gradients of learned steps over a run of a weight's elements: what one rank has of the sums. Counted sums
/// (counted_sum.hpp): however a weight is cut, and whoever has which of its elements, the bits are the same.
#pragma once

#include <cstdint>

#include <pleat/base/config.hpp>
#include <pleat/compute/math.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::codec::detail {

/// Elements [first, last) of a weight, row-major, of which every `columns` share a step.
struct step_run {
  index_t first, last, columns;
  float const* w;         ///< of element `first` on
  float const* gradient;  ///< dL/dŵ of the same
  float const* steps;     ///< of the weight
  std::int32_t low, high;

  /// Steps that have elements here: from this one on, so many.
  [[nodiscard]] index_t step() const noexcept { return first / columns; }
  [[nodiscard]] index_t count() const noexcept { return last > first ? (last - 1) / columns - first / columns + 1 : 0; }

  /// What element i adds to the gradient of its step (before it is scaled), and whether it is clipped; the borders are
  /// the paper's: of v itself, not of its rounding.
  PLEAT_INLINE double share(index_t i, float step, bool& clipped) const {
    double const v = static_cast<double>(w[i - first]) / static_cast<double>(step), q = nearbyint(v);
    bool const below = v <= low, above = v >= high;
    clipped = below || above;
    return static_cast<double>(gradient[i - first]) * (below   ? static_cast<double>(low)
                                                       : above ? static_cast<double>(high)
                                                               : q - v);
  }
  PLEAT_INLINE index_t begin(index_t s) const { return s * columns > first ? s * columns : first; }
  PLEAT_INLINE index_t end(index_t s) const { return (s + 1) * columns < last ? (s + 1) * columns : last; }
};

/// The largest share of each step; infinity if one is not finite.
struct largest_share_body {
  step_run run;
  index_t at;  ///< run.step()
  double* out;
  PLEAT_INLINE void operator()(index_t k) const {
    index_t const s = at + k, end = run.end(s);
    float const step = run.steps[s];
    double most = 0;
    for (index_t i = run.begin(s); i < end && step > 0; ++i) {
      bool clipped = false;
      double const x = run.share(i, step, clipped), a = x < 0 ? -x : x;
      if (!(a <= most)) most = a == a ? a : static_cast<double>(__builtin_inff());
    }
    out[k] = most;
  }
};

/// The sum of the shares of each step, and zero for the gradient of weights that are clipped.
struct share_sum_body {
  step_run run;
  index_t at;
  double const* factor;  ///< count_factor of each step
  float* gradient;       ///< dL/dŵ in, dL/dw out
  std::int64_t* out;
  PLEAT_INLINE void operator()(index_t k) const {
    index_t const s = at + k, end = run.end(s);
    float const step = run.steps[s];
    double const f = factor[k];
    std::int64_t sum = 0;
    for (index_t i = run.begin(s); i < end && step > 0; ++i) {
      bool clipped = false;
      double const x = run.share(i, step, clipped);
      if (f > 0) sum += static_cast<std::int64_t>(nearbyint(x * f));
      if (clipped) gradient[i - run.first] = 0;
    }
    out[k] = sum;
  }
};

}  // namespace pleat::codec::detail
