// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Softmax over rows and the two losses, each with its gradient in the same pass.
///
/// Row sums use 32 interleaved chains folded by halves, so a row's bits depend on the row alone. The gradient may be
/// written over the logits (same pointer). Scores and gradients of 16 bits are computed with in float; losses are float
/// then.
#pragma once

#include <cstdint>

#include <pleat/compute/reduce.hpp>

namespace pleat::compute {

namespace detail {

/// The largest of a row, which is a pointer or a narrow_source.
template <class Row> PLEAT_INLINE auto row_max(Row x, index_t n) {
  using W = std::remove_cvref_t<decltype(x[0])>;
  W m[chains];
  for (int j = 0; j < chains; ++j) m[j] = -static_cast<W>(__builtin_inff());
  index_t i = 0;
  for (; i + chains <= n; i += chains)
    for (int j = 0; j < chains; ++j) m[j] = x[i + j] > m[j] ? x[i + j] : m[j];
  for (int j = 0; i + j < n; ++j) m[j] = x[i + j] > m[j] ? x[i + j] : m[j];
  for (int s = chains / 2; s > 0; s /= 2)
    for (int j = 0; j < s; ++j) m[j] = m[j + s] > m[j] ? m[j + s] : m[j];
  return m[0];
}

/// Where results go that nobody wants.
struct nowhere {};

/// e[j] = exp(x[j] - m); returns their sum. The tail is padded to a full block (e^-inf = 0), so that it vectorises.
template <class Row, class W, class To> PLEAT_INLINE W row_exp(Row x, W m, To e, index_t n) {
  constexpr bool kept = !std::is_same_v<To, nowhere>;
  W acc[chains];
  for (int j = 0; j < chains; ++j) acc[j] = W(0);
  index_t i = 0;
  for (; i + chains <= n; i += chains) {
    W block[chains];
    for (int j = 0; j < chains; ++j) block[j] = math::exp(x[i + j] - m);
    for (int j = 0; j < chains; ++j) acc[j] = acc[j] + block[j];
    if constexpr (kept)
      for (int j = 0; j < chains; ++j) e[i + j] = block[j];
  }
  if (i < n) {
    W block[chains];
    for (int j = 0; j < chains; ++j) block[j] = -static_cast<W>(__builtin_inff());
    for (int j = 0; i + j < n; ++j) block[j] = x[i + j] - m;
    for (int j = 0; j < chains; ++j) block[j] = math::exp(block[j]);
    for (int j = 0; j < chains; ++j) acc[j] = acc[j] + block[j];
    if constexpr (kept)
      for (int j = 0; i + j < n; ++j) e[i + j] = block[j];
  }
  fold_halves<plus>(acc, chains);
  return acc[0];
}

// What is stored in 16 bits is not read back to go on with: e^x is computed again instead, and each result is rounded
// once.

template <class T> struct softmax_body {
  index_t columns, ldx, ldy;
  source_t<T> x;
  target_t<T> y;
  PLEAT_INLINE void operator()(index_t r) const {
    using W = wide_t<T>;
    auto const row = x + r * ldx;
    auto const to = y + r * ldy;
    W const m = row_max(row, columns);
    if constexpr (is_reduced_v<T>) {
      W const inverse = W(1) / row_exp(row, m, nowhere{}, columns);
      for (index_t j = 0; j < columns; ++j) to[j] = math::exp(row[j] - m) * inverse;
    } else {
      W const inverse = W(1) / row_exp(row, m, to, columns);
      for (index_t j = 0; j < columns; ++j) to[j] = to[j] * inverse;
    }
  }
};

template <class T> struct cross_entropy_body {
  index_t classes;
  source_t<T> logits;
  std::int32_t const* labels;
  wide_t<T> scale;
  target_t<T> dlogits;
  wide_t<T>* loss;
  int* bad_labels;

  PLEAT_INLINE void operator()(index_t r) const {
    using W = wide_t<T>;
    auto const x = logits + r * classes;
    auto const d = dlogits + r * classes;
    index_t const label = labels[r];
    if (label < 0 || label >= classes) {
      for (index_t j = 0; j < classes; ++j) d[j] = W(0);
      if (loss != nullptr) loss[r] = W(0);
      if (label >= 0 && bad_labels != nullptr) Kokkos::atomic_inc(bad_labels);
      return;
    }
    W const m = row_max(x, classes), picked = x[label] - m;
    W total, factor, at_label;
    if constexpr (is_reduced_v<T>) {
      total = row_exp(x, m, nowhere{}, classes);
      factor = scale / total;
      at_label = math::exp(picked);
      for (index_t j = 0; j < classes; ++j) d[j] = math::exp(x[j] - m) * factor;
    } else {
      total = row_exp(x, m, d, classes);
      factor = scale / total;
      at_label = d[label];
      for (index_t j = 0; j < classes; ++j) d[j] = d[j] * factor;
    }
    d[label] = fma(at_label, factor, -scale);
    if (loss != nullptr) loss[r] = math::log(total) - picked;
  }
};

template <class T> struct mean_square_body {
  index_t columns;
  source_t<T> y;
  source_t<T> target;
  wide_t<T> scale;
  target_t<T> dy;
  wide_t<T>* loss;
  PLEAT_INLINE void operator()(index_t r) const {
    using W = wide_t<T>;
    auto const a = y + r * columns;
    auto const b = target + r * columns;
    auto const d = dy + r * columns;
    W const twice = W(2) * scale;
    W acc[chains];
    for (int j = 0; j < chains; ++j) acc[j] = W(0);
    index_t i = 0;
    for (; i + chains <= columns; i += chains) {
      W block[chains];
      for (int j = 0; j < chains; ++j) block[j] = a[i + j] - b[i + j];
      for (int j = 0; j < chains; ++j) acc[j] = fma(block[j], block[j], acc[j]);
      for (int j = 0; j < chains; ++j) d[i + j] = twice * block[j];
    }
    for (int j = 0; i + j < columns; ++j) {
      W const e = a[i + j] - b[i + j];
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
                   std::type_identity_t<wide_t<T>> scale, T* dlogits, std::type_identity_t<wide_t<T>>* loss,
                   int* bad_labels) {
  for_each_row(space, rows, detail::cross_entropy_body<T>{classes, logits, labels, scale, dlogits, loss, bad_labels},
               10.0 * static_cast<double>(classes));
}

/// loss[r] = Σ_j (y[r, j] − target[r, j])² (unscaled; may be null), dy = 2·(y − target)·scale. dy may be y.
template <class Space, class T>
void mean_square(Space const& space, index_t rows, index_t columns, T const* y, T const* target,
                 std::type_identity_t<wide_t<T>> scale, T* dy, std::type_identity_t<wide_t<T>>* loss) {
  for_each_row(space, rows, detail::mean_square_body<T>{columns, y, target, scale, dy, loss},
               3.0 * static_cast<double>(columns));
}

}  // namespace pleat::compute
