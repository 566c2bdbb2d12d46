// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Batch normalisation of an NCHW block (Ioffe and Szegedy, arXiv:1502.03167); pixels = 1 is the (batch, channels)
/// case. Blocks of 16-bit numbers are read as float and rounded once; statistics and sums of theirs are floats.
///
/// Statistics are taken per lane (lanes.hpp): a lane's samples share a mean and a variance; one lane over the whole
/// batch is the usual form. Arrays named [lanes, channels] hold lane l's number of channel c at l·channels + c. Order
/// of every sum over a lane: a sample's pixels first (32 interleaved chains folded by halves), then samples ascending.
#pragma once

#include <type_traits>

#include <pleat/compute/detail/moments.hpp>
#include <pleat/compute/reduce.hpp>

namespace pleat::compute {

/// The block: x[sample, channel, pixel], row-major, contiguous.
struct norm_shape {
  index_t channels = 0, pixels = 1;
};

namespace detail {

template <class T> struct centred_dot_op {
  using value_type = wide_t<T>;
  source_t<T> x;
  source_t<T> dy;
  value_type mean;
  PLEAT_INLINE static value_type identity() { return value_type(0); }
  PLEAT_INLINE value_type step(index_t i, value_type acc) const { return fma(x[i] - mean, dy[i], acc); }
  PLEAT_INLINE static value_type combine(value_type a, value_type b) { return a + b; }
};

/// Σ over the samples of a lane of op's sum over channel c's pixels.
template <class Op>
PLEAT_INLINE typename Op::value_type lane_sum(norm_shape s, Op const& op, lanes const& cut, int lane, index_t c) {
  typename Op::value_type total = 0;
  for (index_t r = cut.begin(lane); r < cut.end(lane); ++r) {
    index_t const first = (r * s.channels + c) * s.pixels;
    total = total + (s.pixels == 1 ? op.step(first, Op::identity()) : reduce_one_chunk(op, first, first + s.pixels));
  }
  return total;
}

template <class T> struct norm_statistics_body {
  norm_shape shape;
  source_t<T> x;
  lanes cut;
  wide_t<T>* mean;
  wide_t<T>* variance;
  PLEAT_INLINE void operator()(index_t i) const {
    int const l = static_cast<int>(i / shape.channels);
    index_t const c = i % shape.channels, count = (cut.end(l) - cut.begin(l)) * shape.pixels;
    auto const n = static_cast<wide_t<T>>(count > 0 ? count : 1);
    wide_t<T> const m = lane_sum(shape, sum_op<T, wide_t<T>>{x}, cut, l, c) / n;
    mean[i] = m;
    variance[i] = lane_sum(shape, centred_square_op<T>{x, m}, cut, l, c) / n;
  }
};

template <class T> struct norm_backward_sums_body {
  norm_shape shape;
  source_t<T> x;
  source_t<T> dy;
  lanes cut;
  wide_t<T> const* mean;
  wide_t<T> const* variance;
  wide_t<T> epsilon;
  wide_t<T>* sum_dy;
  wide_t<T>* sum_dy_xhat;
  PLEAT_INLINE void operator()(index_t i) const {
    int const l = static_cast<int>(i / shape.channels);
    index_t const c = i % shape.channels;
    sum_dy[i] = lane_sum(shape, sum_op<T, wide_t<T>>{dy}, cut, l, c);
    wide_t<T> const dot = lane_sum(shape, centred_dot_op<T>{x, dy, mean[i]}, cut, l, c);
    sum_dy_xhat[i] = dot * inverse_deviation(variance[i], epsilon);
  }
};

PLEAT_INLINE int lane_of(lanes const& cut, index_t sample) {
  int l = 0;
  while (l + 1 < cut.count && sample >= cut.end(l)) ++l;
  return l;
}

template <class T> struct norm_forward_body {
  norm_shape shape;
  source_t<T> x;
  lanes cut;
  wide_t<T> const* mean;
  wide_t<T> const* variance;
  wide_t<T> epsilon;
  source_t<T> gamma;
  source_t<T> beta;
  target_t<T> y;
  PLEAT_INLINE void operator()(index_t sample) const {
    index_t const at = lane_of(cut, sample) * shape.channels;
    for (index_t c = 0; c < shape.channels; ++c) {
      wide_t<T> const factor = gamma[c] * inverse_deviation(variance[at + c], epsilon);
      wide_t<T> const m = mean[at + c], b = beta[c];
      source_t<T> const from = x + (sample * shape.channels + c) * shape.pixels;
      target_t<T> const to = y + (sample * shape.channels + c) * shape.pixels;
      for (index_t p = 0; p < shape.pixels; ++p) to[p] = fma(from[p] - m, factor, b);
    }
  }
};

template <class T> struct norm_backward_body {
  norm_shape shape;
  source_t<T> x;
  source_t<T> dy;
  lanes cut;
  wide_t<T> const* mean;
  wide_t<T> const* variance;
  wide_t<T> epsilon;
  source_t<T> gamma;
  wide_t<T> const* sum_dy;
  wide_t<T> const* sum_dy_xhat;
  wide_t<T> const* count;
  target_t<T> dx;
  PLEAT_INLINE void operator()(index_t sample) const {
    int const l = lane_of(cut, sample);
    index_t const at = l * shape.channels;
    wide_t<T> const n =
        count != nullptr ? count[l] : static_cast<wide_t<T>>((cut.end(l) - cut.begin(l)) * shape.pixels);
    for (index_t c = 0; c < shape.channels; ++c) {
      wide_t<T> const inverse = inverse_deviation(variance[at + c], epsilon), m = mean[at + c];
      wide_t<T> const factor = gamma[c] * inverse, a = sum_dy[at + c] / n, b = sum_dy_xhat[at + c] * inverse / n;
      index_t const first = (sample * shape.channels + c) * shape.pixels;
      for (index_t p = first; p < first + shape.pixels; ++p) dx[p] = factor * (fma(-b, x[p] - m, dy[p]) - a);
    }
  }
};

}  // namespace detail

/// mean, variance [lanes, channels]: the mean and the biased variance of each lane's samples (two passes). An empty
/// lane: 0, 0.
template <class Space, class T>
void batch_norm_statistics(Space const& space, norm_shape shape, T const* x, lanes const& cut,
                           std::type_identity_t<wide_t<T>>* mean, std::type_identity_t<wide_t<T>>* variance) {
  for_each_row(space, shape.channels * cut.count, detail::norm_statistics_body<T>{shape, x, cut, mean, variance},
               2.0 * static_cast<double>(cut.rows() * shape.pixels) / cut.count);
}

/// y = (x − mean)·gamma / sqrt(variance + epsilon) + beta for samples [0, batch). Training: the lanes' own statistics.
/// Inference: lanes::whole(batch) and the running statistics, [1, channels]. y may be x.
template <class Space, class T>
void batch_norm_forward(Space const& space, index_t batch, norm_shape shape, T const* x, lanes const& cut,
                        std::type_identity_t<wide_t<T>> const* mean, std::type_identity_t<wide_t<T>> const* variance,
                        std::type_identity_t<wide_t<T>> epsilon, T const* gamma, T const* beta, T* y) {
  for_each_row(space, batch, detail::norm_forward_body<T>{shape, x, cut, mean, variance, epsilon, gamma, beta, y},
               2.0 * static_cast<double>(shape.channels * shape.pixels));
}

/// sum_dy = Σ dy and sum_dy_xhat = Σ dy·x̂ per lane, [lanes, channels]. fold_lanes of them are d(beta) and d(gamma).
template <class Space, class T>
void batch_norm_backward_sums(Space const& space, norm_shape shape, T const* x, T const* dy, lanes const& cut,
                              std::type_identity_t<wide_t<T>> const* mean,
                              std::type_identity_t<wide_t<T>> const* variance, std::type_identity_t<wide_t<T>> epsilon,
                              std::type_identity_t<wide_t<T>>* sum_dy, std::type_identity_t<wide_t<T>>* sum_dy_xhat) {
  for_each_row(space, shape.channels * cut.count,
               detail::norm_backward_sums_body<T>{shape, x, dy, cut, mean, variance, epsilon, sum_dy, sum_dy_xhat},
               3.0 * static_cast<double>(cut.rows() * shape.pixels) / cut.count);
}

/// dx = gamma·r·(dy − Σdy/n − x̂·Σ(dy·x̂)/n), r = 1/sqrt(variance + epsilon), with the sums of the sample's lane. dx
/// may be dy. \param count [lanes]: n where the statistics span more than this block (other ranks' samples); null: the
/// lane's own
template <class Space, class T>
void batch_norm_backward(Space const& space, index_t batch, norm_shape shape, T const* x, T const* dy, lanes const& cut,
                         std::type_identity_t<wide_t<T>> const* mean, std::type_identity_t<wide_t<T>> const* variance,
                         std::type_identity_t<wide_t<T>> epsilon, T const* gamma,
                         std::type_identity_t<wide_t<T>> const* sum_dy,
                         std::type_identity_t<wide_t<T>> const* sum_dy_xhat,
                         std::type_identity_t<wide_t<T>> const* count, T* dx) {
  for_each_row(
      space, batch,
      detail::norm_backward_body<T>{shape, x, dy, cut, mean, variance, epsilon, gamma, sum_dy, sum_dy_xhat, count, dx},
      4.0 * static_cast<double>(shape.channels * shape.pixels));
}

namespace detail {
template <class T> struct running_statistics_body {
  T momentum, unbias;
  T const* mean;
  T const* variance;
  T* running_mean;
  T* running_variance;
  PLEAT_INLINE void operator()(index_t c) const {
    running_mean[c] = fma(momentum, mean[c] - running_mean[c], running_mean[c]);
    running_variance[c] = fma(momentum, fma(unbias, variance[c], -running_variance[c]), running_variance[c]);
  }
};
}  // namespace detail

/// running += momentum·(new − running); the variance is made unbiased with n/(n−1) first (n = 1: taken as it is).
template <class Space, class T>
void batch_norm_update_running(Space const& space, index_t channels, index_t n, T momentum, T const* mean,
                               T const* variance, T* running_mean, T* running_variance) {
  T const unbias = n > 1 ? static_cast<T>(n) / static_cast<T>(n - 1) : T(1);
  for_each(space, channels,
           detail::running_statistics_body<T>{momentum, unbias, mean, variance, running_mean, running_variance});
}

}  // namespace pleat::compute
