// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Softmax over rows and the two losses, each with its gradient in the same pass.
///
/// Row sums use 32 interleaved chains folded by halves, so a row's bits depend on the row alone. The gradient may be
/// written over the logits (same pointer).
#pragma once

#include <cstdint>

#include <pleat/compute/reduce.hpp>

namespace pleat::compute {

namespace detail {

template <class T>
PLEAT_INLINE T row_max(T const* x, index_t n) {
  T m[chains];
  for (int j = 0; j < chains; ++j) m[j] = -static_cast<T>(__builtin_inff());
  index_t i = 0;
  for (; i + chains <= n; i += chains)
    for (int j = 0; j < chains; ++j) m[j] = x[i + j] > m[j] ? x[i + j] : m[j];
  for (int j = 0; i + j < n; ++j) m[j] = x[i + j] > m[j] ? x[i + j] : m[j];
  for (int s = chains / 2; s > 0; s /= 2)
    for (int j = 0; j < s; ++j) m[j] = m[j + s] > m[j] ? m[j + s] : m[j];
  return m[0];
}

/// e[j] = exp(x[j] - m); returns their sum. The tail is padded to a full block (e^-inf = 0), so that it vectorises.
template <class T>
PLEAT_INLINE T row_exp(T const* x, T m, T* e, index_t n) {
  T acc[chains];
  for (int j = 0; j < chains; ++j) acc[j] = T(0);
  index_t i = 0;
  for (; i + chains <= n; i += chains) {
    T block[chains];
    for (int j = 0; j < chains; ++j) block[j] = math::exp(x[i + j] - m);
    for (int j = 0; j < chains; ++j) acc[j] = acc[j] + block[j];
    for (int j = 0; j < chains; ++j) e[i + j] = block[j];
  }
  if (i < n) {
    T block[chains];
    for (int j = 0; j < chains; ++j) block[j] = -static_cast<T>(__builtin_inff());
    for (int j = 0; i + j < n; ++j) block[j] = x[i + j] - m;
    for (int j = 0; j < chains; ++j) block[j] = math::exp(block[j]);
    for (int j = 0; j < chains; ++j) acc[j] = acc[j] + block[j];
    for (int j = 0; i + j < n; ++j) e[i + j] = block[j];
  }
  fold_halves<plus>(acc, chains);
  return acc[0];
}

template <class T>
struct softmax_body {
  index_t columns, ldx, ldy;
  T const* x;
  T* y;
  PLEAT_INLINE void operator()(index_t r) const {
    T const* const row = x + r * ldx;
    T* const to = y + r * ldy;
    T const inverse = T(1) / row_exp(row, row_max(row, columns), to, columns);
    for (index_t j = 0; j < columns; ++j) to[j] = to[j] * inverse;
  }
};

template <class T>
struct cross_entropy_body {
  index_t classes;
  T const* logits;
  std::int32_t const* labels;
  T scale;
  T* dlogits;
  T* loss;
  int* bad_labels;

  PLEAT_INLINE void operator()(index_t r) const {
    T const* const x = logits + r * classes;
    T* const d = dlogits + r * classes;
    index_t const label = labels[r];
    if (label < 0 || label >= classes) {
      for (index_t j = 0; j < classes; ++j) d[j] = T(0);
      if (loss != nullptr) loss[r] = T(0);
      if (label >= 0 && bad_labels != nullptr) Kokkos::atomic_inc(bad_labels);
      return;
    }
    T const m = row_max(x, classes), picked = x[label] - m;
    T const total = row_exp(x, m, d, classes);
    T const factor = scale / total, at_label = d[label];
    for (index_t j = 0; j < classes; ++j) d[j] = d[j] * factor;
    d[label] = fma(at_label, factor, -scale);
    if (loss != nullptr) loss[r] = math::log(total) - picked;
  }
};

template <class T>
struct mean_square_body {
  index_t columns;
  T const* y;
  T const* target;
  T scale;
  T* dy;
  T* loss;
  PLEAT_INLINE void operator()(index_t r) const {
    T const* const a = y + r * columns;
    T const* const b = target + r * columns;
    T* const d = dy + r * columns;
    T const twice = T(2) * scale;
    T acc[chains];
    for (int j = 0; j < chains; ++j) acc[j] = T(0);
    index_t i = 0;
    for (; i + chains <= columns; i += chains) {
      T block[chains];
      for (int j = 0; j < chains; ++j) block[j] = a[i + j] - b[i + j];
      for (int j = 0; j < chains; ++j) acc[j] = fma(block[j], block[j], acc[j]);
      for (int j = 0; j < chains; ++j) d[i + j] = twice * block[j];
    }
    for (int j = 0; i + j < columns; ++j) {
      T const e = a[i + j] - b[i + j];
      acc[j] = fma(e, e, acc[j]);
      d[i + j] = twice * e;
    }
    fold_halves<plus>(acc, chains);
    if (loss != nullptr) loss[r] = acc[0];
  }
};

}  // namespace detail

/// y[r, :] = softmax(x[r, :]), rows ldx and ldy apart. A NaN in a row makes the row NaN.
template <class Space, class T>
void softmax_rows(Space const& space, index_t rows, index_t columns, T const* x, index_t ldx, T* y, index_t ldy) {
  for_each_row(space, rows, detail::softmax_body<T>{columns, ldx, ldy, x, y}, 10.0 * static_cast<double>(columns));
}

/// Cross entropy of softmax(logits[r, :]) against labels[r], and its gradient.
///
/// loss[r] = log Σ_j exp(logits[r, j]) − logits[r, label]; dlogits[r, j] = (softmax − [j = label])·scale.
/// A negative label ignores its row (zero loss and gradient). A label ≥ classes does so too and adds 1 to *bad_labels.
/// \param loss       [rows], unscaled; may be null
/// \param bad_labels a count that is only ever added to; may be null; in the instance's memory space
template <class Space, class T>
void cross_entropy(Space const& space, index_t rows, index_t classes, T const* logits, std::int32_t const* labels,
                   T scale, T* dlogits, T* loss, int* bad_labels) {
  for_each_row(space, rows, detail::cross_entropy_body<T>{classes, logits, labels, scale, dlogits, loss, bad_labels},
               10.0 * static_cast<double>(classes));
}

/// loss[r] = Σ_j (y[r, j] − target[r, j])² (unscaled; may be null), dy = 2·(y − target)·scale. dy may be y.
template <class Space, class T>
void mean_square(Space const& space, index_t rows, index_t columns, T const* y, T const* target, T scale, T* dy,
                 T* loss) {
  for_each_row(space, rows, detail::mean_square_body<T>{columns, y, target, scale, dy, loss},
               3.0 * static_cast<double>(columns));
}

}  // namespace pleat::compute
