// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Integers that are counted or looked for: labels that do not fit, right answers, confusions. Exact, so any order
/// gives the same.
#pragma once

#include <cstdint>

#include <pleat/compute/reduce.hpp>

namespace pleat::compute {

/// What first_bad_label answers when every label fits.
inline constexpr index_t no_bad_label = INT64_MAX;

namespace detail {

struct bad_label_op {
  using value_type = index_t;
  std::int32_t const* labels;
  index_t classes;
  bool skip_negative;
  PLEAT_INLINE static index_t identity() { return no_bad_label; }
  PLEAT_INLINE index_t step(index_t i, index_t acc) const {
    index_t const l = labels[i];
    bool const bad = l >= classes || (l < 0 && !skip_negative);
    return combine(acc, bad ? i : no_bad_label);
  }
  PLEAT_INLINE static index_t combine(index_t a, index_t b) { return b < a ? b : a; }
};

template <class Row> PLEAT_INLINE index_t argmax_of(Row row, index_t columns) {
  index_t best = 0;
  for (index_t j = 1; j < columns; ++j)
    if (row[j] > row[best] || (row[j] != row[j] && row[best] == row[best])) best = j;
  return best;
}

template <class T> struct correct_op {
  using value_type = index_t;
  source_t<T> scores;
  std::int32_t const* labels;
  index_t classes;
  PLEAT_INLINE static index_t identity() { return 0; }
  PLEAT_INLINE index_t step(index_t r, index_t acc) const {
    return acc + (argmax_of(scores + r * classes, classes) == static_cast<index_t>(labels[r]) ? 1 : 0);
  }
  PLEAT_INLINE static index_t combine(index_t a, index_t b) { return a + b; }
};

template <class T> struct confusion_body {
  source_t<T> scores;
  std::int32_t const* labels;
  index_t classes;
  index_t* counts;
  PLEAT_INLINE void operator()(index_t r) const {
    index_t const truth = labels[r];
    if (truth < 0 || truth >= classes) return;
    Kokkos::atomic_inc(counts + truth * classes + argmax_of(scores + r * classes, classes));
  }
};

}  // namespace detail

/// *out = the first i whose label is ≥ classes, or negative unless those are skipped; no_bad_label if there is none.
template <class Space>
void first_bad_label(Space const& space, index_t n, std::int32_t const* labels, index_t classes, bool skip_negative,
                     index_t* out) {
  detail::reduce(space, n, detail::bad_label_op{labels, classes, skip_negative}, out);
}

/// *out = rows whose largest score (the first of equals) stands at the row's label.
template <class Space, class T>
void count_correct(Space const& space, index_t rows, index_t classes, T const* scores, std::int32_t const* labels,
                   index_t* out) {
  detail::reduce(space, rows, detail::correct_op<T>{scores, labels, classes}, out);
}

/// counts[label · classes + answer] += 1 for every row with a label in [0, classes).
template <class Space, class T>
void count_confusions(Space const& space, index_t rows, index_t classes, T const* scores, std::int32_t const* labels,
                      index_t* counts) {
  for_each_row(space, rows, detail::confusion_body<T>{scores, labels, classes, counts}, static_cast<double>(classes));
}

}  // namespace pleat::compute
