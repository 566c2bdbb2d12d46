// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Attention on the host: blocks of queries against all keys they see, through the register tiles of the matrix product.
/// What lies in memory is a strip of block × positions weights per thread, never the square of them.
#pragma once

#include <pleat/compute/detail/attention_portable.hpp>
#include <pleat/compute/detail/gemm_host.hpp>
#include <pleat/compute/detail/scratch.hpp>

#include <algorithm>

namespace pleat::compute::detail {

inline constexpr index_t attention_block = 64;  ///< queries of a strip

struct attention_scratch {};

/// A product of pieces of larger matrices on the calling thread.
template <class T>
struct small_product {
  isa::level level;
  tile_kernels<T> const* kernels;
  explicit small_product(isa::level l) : level(l), kernels(kernels_at<T>(l)) {}

  /// C[m, n] = op(A)·op(B) (+ C).
  void operator()(index_t m, index_t n, index_t k, T const* a, index_t lda, bool ta, T const* b, index_t ldb, bool tb, T* c,
                  index_t ldc, bool accumulate) const {
    gemm_arguments<T> g;
    g.m = m, g.n = n, g.k = k;
    g.a = a, g.lda = lda, g.ta = ta ? transpose::yes : transpose::no;
    g.b = b, g.ldb = ldb, g.tb = tb ? transpose::yes : transpose::no;
    g.c = c, g.ldc = ldc;
    g.accumulate = accumulate;
    index_t const cuts[2] = {0, k};
    gemm_part(level, g, dense_b<T>{b, ldb, tb, kernels}, cuts, 1, {0, m, 0, n});
  }
};

/// Row of scores to row of e^(score·scale − shift), zero from `n` to `end`; returns the sum. As the portable path does.
template <class T>
[[gnu::always_inline]] inline T strip_weights(T* row, index_t n, index_t end, T scale, T shift) {
  T acc[chains];
  for (int j = 0; j < chains; ++j) acc[j] = T(0);
  index_t i = 0;
  for (; i + chains <= n; i += chains) {
    T block[chains];
    for (int j = 0; j < chains; ++j) block[j] = math::exp(fma(row[i + j], scale, -shift));
    for (int j = 0; j < chains; ++j) acc[j] = acc[j] + block[j];
    for (int j = 0; j < chains; ++j) row[i + j] = block[j];
  }
  if (i < n) {
    T block[chains];
    for (int j = 0; j < chains; ++j) block[j] = -static_cast<T>(__builtin_inff());
    for (int j = 0; i + j < n; ++j) block[j] = fma(row[i + j], scale, -shift);
    for (int j = 0; j < chains; ++j) block[j] = math::exp(block[j]);
    for (int j = 0; j < chains; ++j) acc[j] = acc[j] + block[j];
    for (int j = 0; i + j < n; ++j) row[i + j] = block[j];
  }
  for (index_t j = n; j < end; ++j) row[j] = T(0);
  fold_halves<plus>(acc, chains);
  return acc[0];
}

template <class T>
[[gnu::always_inline]] inline T strip_max(T const* x, index_t n) {
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

/// Row of scores to weights, row of their gradients to gradients of the scores; both zero from `n` to `end`.
template <class T>
[[gnu::always_inline]] inline void strip_slopes(T* weight, T* slope, index_t n, index_t end, T scale, T logsum, T delta) {
  for (index_t j = 0; j < n; ++j) {
    T const p = attention_weight(weight[j], scale, logsum);
    weight[j] = p;
    slope[j] = attention_slope(p, slope[j], delta, scale);
  }
  for (index_t j = n; j < end; ++j) weight[j] = slope[j] = T(0);
}

[[nodiscard]] inline index_t attention_blocks(attention_shape const& s) {
  return (s.positions + attention_block - 1) / attention_block;
}
/// Distance of a strip's rows: whole vectors, and not a power of two, which would fall on few cache sets.
[[nodiscard]] inline index_t strip_stride(attention_shape const& s) { return (s.positions + 15) / 16 * 16 + 16; }

/// One block of queries of one head.
template <class T>
struct attention_forward_host {
  attention_shape s;
  T scale;
  T const* qkv;
  T* out;
  T* logsum;
  small_product<T> product;

  [[gnu::always_inline]] inline void operator()(index_t task) const {
    index_t const blocks = attention_blocks(s), block = task % blocks, bh = task / blocks;
    index_t const batch = bh / s.heads(), head = bh % s.heads(), g = head / s.group_heads;
    index_t const i0 = block * attention_block, i1 = std::min(s.positions, i0 + attention_block), m = i1 - i0;
    index_t const keys = s.causal ? i1 : s.positions, width = s.width(), stride = strip_stride(s);
    packed_heads<T const> const in{s, qkv};
    T* const strip = static_cast<T*>(scratch<attention_scratch>(sizeof(T) * static_cast<std::size_t>(m * stride)));
    T* const to = out + ((batch * s.positions + i0) * s.heads() + head) * s.head_size;
    product(m, keys, s.head_size, in.query(batch, g, head % s.group_heads) + i0 * width, width, false, in.key(batch, g), width, true,
            strip, stride, false);
    T inverse[attention_block];
    for (index_t i = 0; i < m; ++i) {
      index_t const n = s.causal ? i0 + i + 1 : s.positions;
      T* const row = strip + i * stride;
      T const shift = strip_max(row, n) * scale, sum = strip_weights(row, n, keys, scale, shift);
      inverse[i] = T(1) / sum;
      logsum[bh * s.positions + i0 + i] = shift + math::log(sum);
    }
    product(m, s.head_size, keys, strip, stride, false, in.value(batch, g), width, false, to, s.out_width(), false);
    for (index_t i = 0; i < m; ++i)
      for (index_t d = 0; d < s.head_size; ++d) to[i * s.out_width() + d] = to[i * s.out_width() + d] * inverse[i];
  }
};

/// One group of one sequence: dq, dk and dv, over the group's heads and their blocks of queries, ascending.
template <class T>
struct attention_backward_host {
  attention_shape s;
  T scale;
  T const* qkv;
  T const* logsum;
  T const* delta;
  T const* dout;
  T* dqkv;
  small_product<T> product;

  [[gnu::always_inline]] inline void operator()(index_t task) const {
    index_t const batch = task / s.groups, g = task % s.groups, width = s.width(), stride = strip_stride(s), size = s.head_size;
    packed_heads<T const> const in{s, qkv};
    packed_heads<T> const d_in{s, dqkv};
    T const* const k = in.key(batch, g);
    T const* const v = in.value(batch, g);
    T* const dk = d_in.key(batch, g);  // dv lies beside it
    T* const dv = d_in.value(batch, g);
    for (index_t j = 0; j < s.positions; ++j)
      for (index_t d = 0; d < 2 * size; ++d) dk[j * width + d] = T(0);
    T* const weight = static_cast<T*>(scratch<attention_scratch>(sizeof(T) * static_cast<std::size_t>(2 * attention_block * stride)));
    T* const slope = weight + attention_block * stride;
    for (index_t h = 0; h < s.group_heads; ++h) {
      index_t const head = g * s.group_heads + h, first = (batch * s.heads() + head) * s.positions;
      for (index_t i0 = 0; i0 < s.positions; i0 += attention_block) {
        index_t const i1 = std::min(s.positions, i0 + attention_block), m = i1 - i0, keys = s.causal ? i1 : s.positions;
        T const* const q = in.query(batch, g, h) + i0 * width;
        T const* const d_out = dout + ((batch * s.positions + i0) * s.heads() + head) * size;
        product(m, keys, size, q, width, false, k, width, true, weight, stride, false);
        product(m, keys, size, d_out, s.out_width(), false, v, width, true, slope, stride, false);
        for (index_t i = 0; i < m; ++i)
          strip_slopes(weight + i * stride, slope + i * stride, s.causal ? i0 + i + 1 : s.positions, keys, scale, logsum[first + i0 + i],
                       delta[first + i0 + i]);
        product(m, size, keys, slope, stride, false, k, width, false, d_in.query(batch, g, h) + i0 * width, width, false);
        product(keys, size, m, weight, stride, true, d_out, s.out_width(), false, dv, width, true);
        product(keys, size, m, slope, stride, true, q, width, false, dk, width, true);
      }
    }
  }
};

}  // namespace pleat::compute::detail
