// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Every elementwise, reducing, normalising, updating, 8-bit and Thrust-backed kernel for Kokkos::Cuda. Compiled and
// linked, never run.
#pragma once

#include <pleat/base/random.hpp>
#include <pleat/compute/elementwise.hpp>
#include <pleat/compute/histogram.hpp>
#include <pleat/compute/int8_convolution.hpp>
#include <pleat/compute/int8_gemm.hpp>
#include <pleat/compute/norm.hpp>
#include <pleat/compute/optimizer.hpp>
#include <pleat/compute/quantized.hpp>
#include <pleat/compute/reduce.hpp>
#include <pleat/compute/scan.hpp>
#include <pleat/compute/select.hpp>
#include <pleat/compute/softmax.hpp>
#include <pleat/compute/sort.hpp>
#include <pleat/compute/threshold.hpp>
#include <pleat/compute/top_k.hpp>

namespace pleat::cuda_compile {

struct keep_half {
  random::stream draw;
  PLEAT_INLINE bool operator()(index_t i) const { return draw.uniform(static_cast<std::uint64_t>(i)) < 0.5f; }
};
template <class T> struct positive {
  PLEAT_FUNCTION bool operator()(T const& x) const { return x > T(0); }
};

template <class T>
void vector_kernels(Kokkos::Cuda const& s, index_t n, T* x, T* y, index_t* i, std::int32_t* labels, int* count) {
  using namespace compute;
  T const* const c = x;
  fill(s, n, T(1), y);
  copy(s, n, c, y);
  scale(s, n, T(2), c, y);
  axpy(s, n, T(2), c, y);
  add(s, n, c, c, y);
  multiply(s, n, c, c, y);
  relu(s, n, c, y);
  relu_backward(s, n, c, c, y);
  gelu(s, n, c, y);
  gelu_backward(s, n, c, c, y);
  gelu_with_slope(s, n, c, y, y);
  gelu_tanh(s, n, c, y);
  gelu_tanh_backward(s, n, c, c, y);
  gelu_tanh_with_slope(s, n, c, y, y);
  silu(s, n, c, y);
  silu_backward(s, n, c, c, y);
  silu_with_slope(s, n, c, y, y);
  tanh_activation(s, n, c, y);
  tanh_activation_backward(s, n, c, c, y);
  sigmoid(s, n, c, y);
  sigmoid_backward(s, n, c, c, y);
  add_bias(s, n, n, c, y, n);
  add_channel_bias(s, n, n, n, c, y);
  dropout(s, n, keep_half{random::stream(1, 2)}, T(2), c, y);
  gather_rows(s, n, n, c, n, labels, y, n);
  normalize(s, n, reinterpret_cast<std::uint8_t const*>(labels), T(1), T(0), y);
  gather_normalize(s, n, n, reinterpret_cast<std::uint8_t const*>(labels), i, T(1), T(0), y);

  sum(s, n, c, y);
  absolute_sum(s, n, c, y);
  dot(s, n, c, c, y);
  squared_norm(s, n, c, y);
  squared_norm(s, n, c, reinterpret_cast<std::uint8_t const*>(labels), y);
  squared_norm_chunks(s, n, c, reinterpret_cast<std::uint8_t const*>(labels), y);
  compute::max(s, n, c, y);
  compute::min(s, n, c, y);
  max_abs(s, n, c, y);
  any_nonfinite(s, n, c, count);
  count_nonzero(s, n, c, i);
  argmax_rows(s, n, n, c, n, labels);
  lanes const cut = lanes::whole(n);
  column_sum(s, n, c, n, y, cut);
  channel_sum(s, n, n, c, y, cut);
  fold_lanes(s, 4, n, c, y);

  softmax_rows(s, n, n, c, n, y, n);
  cross_entropy(s, n, n, c, labels, T(1), y, y, count);
  mean_square(s, n, n, c, c, T(1), y, y);

  norm_shape const shape{n, n};
  batch_norm_statistics(s, shape, c, cut, y, y);
  batch_norm_forward(s, n, shape, c, cut, c, c, T(1), c, c, y);
  batch_norm_backward_sums(s, shape, c, c, cut, c, c, T(1), y, y);
  batch_norm_backward(s, n, shape, c, c, cut, c, c, T(1), c, c, c, static_cast<T const*>(nullptr), y);
  batch_norm_update_running(s, n, n, T(1), c, c, y, y);

  update_chunk const* const chunks = nullptr;
  sgd_update(s, chunks, 0, n, sgd_settings<T>{}, y, c, y);
  adam_update(s, chunks, 0, n, adam_settings<T>{}, y, c, y, y);

  histogram(s, n, c, T(0), T(1), n, i);
  magnitude_histogram(s, n, c, T(1), n, i);
  static_cast<void>(threshold_of_top_k(s, n, c, n));
  static_cast<void>(kth_largest(s, n, c, n));

  compute::sort(s, n, x);
  sort_pairs(s, n, x, i, order::descending);
  count_runs(s, n, c, y, i);
  exclusive_scan(s, n, c, T(0), y);
  inclusive_scan(s, n, c, y);
  select_if(s, n, c, positive<T>{}, y);
  select_indices(s, n, c, positive<T>{}, i);
  compute::partition(s, n, c, positive<T>{}, y, y);
  static_cast<void>(compute::count_if(s, n, c, positive<T>{}));
  top_k(s, n, c, n, y, i);
}

inline void compute_vector(Kokkos::Cuda const& s, index_t n, float* x, double* d, std::int8_t* q, std::int32_t* c,
                           index_t* i, int* count) {
  using namespace compute;
  vector_kernels<float>(s, n, x, x, i, c, count);
  vector_kernels<double>(s, n, d, d, i, c, count);
  max_abs_rows(s, n, n, x, n, x);
  quantize_rows(s, n, n, x, n, q, n, x, count);
  quantize_channels(s, n, n, x, x, q, x, count);
  dequantize_rows(s, n, n, q, n, x, x, n);
  int8_pack(s, n, n, q, n, q);
  int8_gemm(s, n, n, n, q, n, q, n, c, n);
  int8_gemm_packed(s, n, n, n, q, n, q, c, n);
  int8_gemm_scaled(s, n, n, n, q, n, q, n, int8_epilogue{}, x, n);
  int8_gemm_scaled_packed(s, n, n, n, q, n, q, int8_epilogue{}, x, n);
  int8_conv2d(s, conv2d_shape{}, q, x, q, x, x, x);
}

}  // namespace pleat::cuda_compile
