// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Cross entropy over scores of which every rank has some of the classes: three passes, between which the ranks
/// exchange a maximum and two sums per row.
#pragma once

#include <cstdint>
#include <limits>

#include <pleat/compute/softmax.hpp>

namespace pleat::compute {

namespace detail {
template <class T> struct part_max_body {
  index_t classes;
  source_t<T> logits;
  wide_t<T>* out;
  PLEAT_INLINE void operator()(index_t r) const {
    out[r] = classes > 0 ? row_max(logits + r * classes, classes) : -std::numeric_limits<wide_t<T>>::infinity();
  }
};
template <class T> struct part_exp_body {
  index_t rows, classes, first;
  source_t<T> logits;
  std::int32_t const* labels;
  wide_t<T> const* max;
  target_t<T> e;
  wide_t<T>* sums;
  PLEAT_INLINE void operator()(index_t r) const {
    auto const x = logits + r * classes;
    auto const to = e + r * classes;
    index_t const label = labels[r] - first;
    // before e is written: it may be the logits
    sums[rows + r] = label >= 0 && label < classes ? x[label] - max[r] : wide_t<T>(0);
    if constexpr (is_reduced_v<T>) {  // the scores themselves: their exponentials are computed again by the third pass
      sums[r] = classes > 0 ? row_exp(x, max[r], nowhere{}, classes) : wide_t<T>(0);
      if (x.data() != to.data())
        for (index_t j = 0; j < classes; ++j) to[j] = x[j];
    } else {
      sums[r] = classes > 0 ? row_exp(x, max[r], to, classes) : wide_t<T>(0);
    }
  }
};
template <class T> struct part_finish_body {
  index_t rows, classes, first;
  std::int32_t const* labels;
  wide_t<T> scale;
  wide_t<T> const* max;
  wide_t<T> const* sums;
  target_t<T> d;
  wide_t<T>* loss;
  PLEAT_INLINE void operator()(index_t r) const {
    using W = wide_t<T>;
    auto const to = d + r * classes;
    if (labels[r] < 0) {
      for (index_t j = 0; j < classes; ++j) to[j] = W(0);
      loss[r] = W(0);
      return;
    }
    W const factor = scale / sums[r];
    index_t const label = labels[r] - first;
    W at_label = label >= 0 && label < classes ? W(to[label]) : W(0);
    if constexpr (is_reduced_v<T>) {
      at_label = math::exp(at_label - max[r]);
      for (index_t j = 0; j < classes; ++j) to[j] = math::exp(to[j] - max[r]) * factor;
    } else {
      for (index_t j = 0; j < classes; ++j) to[j] = to[j] * factor;
    }
    if (label >= 0 && label < classes) to[label] = fma(at_label, factor, -scale);
    loss[r] = math::log(sums[r]) - sums[rows + r];
  }
};
}  // namespace detail

/// out[r] = the largest of this rank's scores of row r (−infinity if it has none). \param logits [rows, classes],
/// classes: those here
template <class Space, class T>
void cross_entropy_part_max(Space const& space, index_t rows, index_t classes, T const* logits, wide_t<T>* out) {
  for_each_row(space, rows, detail::part_max_body<T>{classes, logits, out}, static_cast<double>(classes + 1));
}

/// e[r, j] = exp(logits[r, j] − max[r]); sums[0, r] = Σ_j e[r, j]; sums[1, r] = the score of the label less max[r] if
/// that class is here, else 0. \param first number of the first class here; e may be logits
template <class Space, class T>
void cross_entropy_part_exp(Space const& space, index_t rows, index_t classes, index_t first, T const* logits,
                            std::int32_t const* labels, wide_t<T> const* max, T* e, wide_t<T>* sums) {
  for_each_row(space, rows, detail::part_exp_body<T>{rows, classes, first, logits, labels, max, e, sums},
               10.0 * static_cast<double>(classes + 1));
}

/// From the sums over all ranks: d = scale·(softmax − one-hot of the label), loss[r] = −log softmax[label]. Negative
/// labels: zeros.
/// \param max as cross_entropy_part_exp had it
/// \param d in: what cross_entropy_part_exp gave as e (in 16 bits: the scores themselves)
template <class Space, class T>
void cross_entropy_part_finish(Space const& space, index_t rows, index_t classes, index_t first,
                               std::int32_t const* labels, std::type_identity_t<wide_t<T>> scale, wide_t<T> const* max,
                               wide_t<T> const* sums, T* d, wide_t<T>* loss) {
  for_each_row(space, rows, detail::part_finish_body<T>{rows, classes, first, labels, scale, max, sums, d, loss},
               2.0 * static_cast<double>(classes + 1));
}

}  // namespace pleat::compute
