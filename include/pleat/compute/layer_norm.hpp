// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Layer normalisation (Ba, Kiros, Hinton, arXiv:1607.06450) and root-mean-square normalisation (Zhang, Sennrich,
/// arXiv:1910.07467) of rows.
///
/// Rows of 16-bit types are computed with in float; statistics and gradients of gamma and beta are float then.
///
/// Sums along a row use 32 interleaved chains folded by halves, so a row's bits depend on the row alone. Sums over rows
/// (the gradients of gamma and beta) follow lanes.hpp.
#pragma once

#include <pleat/compute/detail/moments.hpp>
#include <pleat/compute/reduce.hpp>

namespace pleat::compute {

namespace detail {

/// Σ dy·gamma·x̂, x̂ = (x − mean)·r.
template <class T> struct row_dot_op {
  using value_type = wide_t<T>;
  source_t<T> x;
  source_t<T> dy;
  source_t<T> gamma;
  value_type mean, r;
  PLEAT_INLINE static value_type identity() { return value_type(0); }
  PLEAT_INLINE value_type step(index_t i, value_type acc) const {
    return fma(dy[i] * gamma[i], (x[i] - mean) * r, acc);
  }
  PLEAT_INLINE static value_type combine(value_type a, value_type b) { return a + b; }
};

/// `mean` is null for the form without centring.
template <class T> struct row_norm_forward_body {
  index_t columns;
  source_t<T> x;
  wide_t<T> epsilon;
  source_t<T> gamma;
  source_t<T> beta;
  target_t<T> y;
  wide_t<T>* mean;
  wide_t<T>* inverse;
  bool centred;
  PLEAT_INLINE void operator()(index_t row) const {
    using W = wide_t<T>;
    auto const from = x + row * columns;
    auto const to = y + row * columns;
    W const n = static_cast<W>(columns);
    W const m = centred ? reduce_one_chunk(sum_op<T, W>{from}, 0, columns) / n : W(0);
    W const variance = reduce_one_chunk(centred_square_op<T>{from, m}, 0, columns) / n;
    W const r = inverse_deviation(variance, epsilon);
    if (beta != nullptr)
      for (index_t j = 0; j < columns; ++j) to[j] = fma((from[j] - m) * r, gamma[j], beta[j]);
    else
      for (index_t j = 0; j < columns; ++j) to[j] = (from[j] - m) * r * gamma[j];
    if (mean != nullptr) mean[row] = m;
    if (inverse != nullptr) inverse[row] = r;
  }
};

template <class T> struct row_norm_backward_body {
  index_t columns;
  source_t<T> x;
  wide_t<T> const* mean;
  wide_t<T> const* inverse;
  source_t<T> gamma;
  source_t<T> dy;
  target_t<T> dx;
  PLEAT_INLINE void operator()(index_t row) const {
    using W = wide_t<T>;
    auto const from = x + row * columns;
    auto const d = dy + row * columns;
    auto const to = dx + row * columns;
    W const n = static_cast<W>(columns), m = mean != nullptr ? mean[row] : W(0), r = inverse[row];
    W const a = mean != nullptr ? reduce_one_chunk(dot_op<T, W>{{d}, gamma}, 0, columns) / n : W(0);
    W const b = reduce_one_chunk(row_dot_op<T>{from, d, gamma, m, r}, 0, columns) / n;
    for (index_t j = 0; j < columns; ++j) to[j] = r * fma(-((from[j] - m) * r), b, fma(d[j], gamma[j], -a));
  }
};

/// Columns [block·Width, …+Width) of Σ dy·x̂ over rows. Width 1 on devices, `chains` on the host: the bits are the
/// same.
template <int Width, class T> struct row_norm_gradient_body {
  index_t columns;
  source_t<T> x;
  wide_t<T> const* mean;
  wide_t<T> const* inverse;
  source_t<T> dy;
  wide_t<T>* out;
  lanes cut;
  PLEAT_INLINE void operator()(index_t block) const {
    using W = wide_t<T>;
    index_t const first = block * Width, left = columns - first;
    W acc[lanes::max_count * Width];
    for (int l = 0; l < cut.count; ++l) {
      W* const sum = acc + l * Width;
      for (int j = 0; j < Width; ++j) sum[j] = W(0);
      if (cut.accumulate && cut.count == 1)
        for (index_t j = 0; j < Width && j < left; ++j) sum[j] = out[first + j];
      for (index_t row = cut.begin(l); row < cut.end(l); ++row) {
        auto const a = x + row * columns + first;
        auto const d = dy + row * columns + first;
        W const m = mean != nullptr ? mean[row] : W(0), r = inverse[row];
        if (left >= Width)
          for (int j = 0; j < Width; ++j) sum[j] = fma(d[j], (a[j] - m) * r, sum[j]);
        else
          for (index_t j = 0; j < left; ++j) sum[j] = fma(d[j], (a[j] - m) * r, sum[j]);
      }
    }
    fold_lane_tree<Width>(acc, cut.count);
    for (index_t j = 0; j < Width && j < left; ++j) out[first + j] = acc[j];
  }
};

}  // namespace detail

/// y = x̂·gamma + beta with x̂ = (x − mean)/sqrt(variance + epsilon) of each row; the variance is the biased one.
/// \param beta    [columns]; may be null
/// \param mean    [rows], what backward needs; may be null in inference
/// \param inverse [rows], 1/sqrt(variance + epsilon); may be null in inference
/// y may be x.
template <class Space, class T>
void layer_norm_forward(Space const& space, index_t rows, index_t columns, T const* x,
                        std::type_identity_t<wide_t<T>> epsilon, T const* gamma, T const* beta, T* y, wide_t<T>* mean,
                        wide_t<T>* inverse) {
  for_each_row(space, rows, detail::row_norm_forward_body<T>{columns, x, epsilon, gamma, beta, y, mean, inverse, true},
               6.0 * static_cast<double>(columns));
}

/// y = x·gamma/sqrt(Σx²/columns + epsilon) of each row. `inverse` [rows] as above. y may be x.
template <class Space, class T>
void rms_norm_forward(Space const& space, index_t rows, index_t columns, T const* x,
                      std::type_identity_t<wide_t<T>> epsilon, T const* gamma, T* y, wide_t<T>* inverse) {
  for_each_row(space, rows,
               detail::row_norm_forward_body<T>{columns, x, epsilon, gamma, nullptr, y, nullptr, inverse, false},
               4.0 * static_cast<double>(columns));
}

/// dx of either norm: r·(dy·gamma − Σ(dy·gamma)/n − x̂·Σ(dy·gamma·x̂)/n), without the first sum where `mean` is null
/// (the norm without centring). dx may be dy.
template <class Space, class T>
void row_norm_backward(Space const& space, index_t rows, index_t columns, T const* x,
                       std::type_identity_t<wide_t<T>> const* mean, wide_t<T> const* inverse, T const* gamma,
                       T const* dy, T* dx) {
  for_each_row(space, rows, detail::row_norm_backward_body<T>{columns, x, mean, inverse, gamma, dy, dx},
               9.0 * static_cast<double>(columns));
}

/// dgamma[j] = Σ over rows of dy[r, j]·x̂[r, j], in the order that lanes.hpp defines (dbeta is compute::column_sum).
template <class Space, class T>
void row_norm_gradient(Space const& space, index_t columns, T const* x, std::type_identity_t<wide_t<T>> const* mean,
                       wide_t<T> const* inverse, T const* dy, wide_t<T>* out, lanes const& cut) {
  constexpr int width = is_host_space_v<Space> ? detail::chains : 1;
  for_each_row(space, (columns + width - 1) / width,
               detail::row_norm_gradient_body<width, T>{columns, x, mean, inverse, dy, out, cut},
               3.0 * static_cast<double>(cut.rows()) * width);
}

}  // namespace pleat::compute
