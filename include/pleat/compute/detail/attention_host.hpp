// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Attention on the host: blocks of queries against all keys they see, through the register tiles of the matrix
/// product. What lies in memory is a strip of block × positions weights per thread, never the square of them.
#pragma once

#include <pleat/compute/detail/attention_portable.hpp>
#include <pleat/compute/detail/gemm_reduced.hpp>
#include <pleat/compute/detail/scratch.hpp>

#include <algorithm>

namespace pleat::compute::detail {

inline constexpr index_t attention_block = 64;  ///< queries of a strip

struct attention_scratch {};

/// A product of pieces of larger matrices on the calling thread.
template <class T> struct small_product {
  isa::level level;
  tile_kernels<T> const* kernels;
  explicit small_product(isa::level l) : level(l), kernels(kernels_at<T>(l)) {}

  /// C[m, n] = op(A)·op(B) (+ C).
  void operator()(index_t m, index_t n, index_t k, T const* a, index_t lda, bool ta, T const* b, index_t ldb, bool tb,
                  T* c, index_t ldc, bool accumulate) const {
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
template <class T> [[gnu::always_inline]] inline T strip_weights(T* row, index_t n, index_t end, T scale, T shift) {
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

template <class T> [[gnu::always_inline]] inline T strip_max(T const* x, index_t n) {
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
[[gnu::always_inline]] inline void strip_slopes(T* weight, T* slope, index_t n, index_t end, T scale, T logsum,
                                                T delta) {
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
[[nodiscard]] inline index_t strip_stride(attention_shape const& s) {
  index_t const n = (s.positions + 15) / 16 * 16 + 16;
  return (n & (n - 1)) == 0 ? n + 16 : n;
}

/// One block of queries of one head. What is stored in 16 bits is widened into the thread's scratch memory and rounded
/// once on its way out.
template <class T> struct attention_forward_host {
  using W = wide_t<T>;
  attention_shape s;
  W scale;
  T const* qkv;
  T* out;
  W* logsum;
  small_product<W> product;

  [[gnu::always_inline]] inline void operator()(index_t task) const {
    index_t const blocks = attention_blocks(s), block = task % blocks, bh = task / blocks;
    index_t const batch = bh / s.heads(), head = bh % s.heads(), g = head / s.group_heads;
    index_t const i0 = block * attention_block, i1 = std::min(s.positions, i0 + attention_block), m = i1 - i0;
    index_t const keys = s.causal ? i1 : s.positions, width = s.width(), stride = strip_stride(s), size = s.head_size;
    packed_heads<T const> const in{s, qkv};
    T const* const q_in = in.query(batch, g, head % s.group_heads) + i0 * width;
    T const* const k_in = in.key(batch, g);
    T const* const v_in = in.value(batch, g);
    T* const to_out = out + ((batch * s.positions + i0) * s.heads() + head) * size;
    index_t const wide = is_reduced_v<T> ? 2 * (m + keys) * size : 0;
    W* const strip =
        static_cast<W*>(scratch<attention_scratch>(sizeof(W) * static_cast<std::size_t>(m * stride + wide)));
    W const *q, *k, *v;
    W* to;
    index_t ld = width, ld_to = s.out_width();
    if constexpr (is_reduced_v<T>) {
      W* const memory = strip + m * stride;
      q = memory, k = q + m * size, v = k + keys * size, to = memory + (m + 2 * keys) * size;
      widen_rows(product.level, m, size, q_in, width, memory, size);
      widen_rows(product.level, keys, size, k_in, width, memory + m * size, size);
      widen_rows(product.level, keys, size, v_in, width, memory + (m + keys) * size, size);
      ld = ld_to = size;
    } else {
      q = q_in, k = k_in, v = v_in, to = to_out;
    }
    product(m, keys, size, q, ld, false, k, ld, true, strip, stride, false);
    W inverse[attention_block];
    for (index_t i = 0; i < m; ++i) {
      index_t const n = s.causal ? i0 + i + 1 : s.positions;
      W* const row = strip + i * stride;
      W const shift = strip_max(row, n) * scale, sum = strip_weights(row, n, keys, scale, shift);
      inverse[i] = W(1) / sum;
      logsum[bh * s.positions + i0 + i] = shift + math::log(sum);
    }
    product(m, size, keys, strip, stride, false, v, ld, false, to, ld_to, false);
    for (index_t i = 0; i < m; ++i)
      for (index_t d = 0; d < size; ++d) to[i * ld_to + d] = to[i * ld_to + d] * inverse[i];
    if constexpr (is_reduced_v<T>) narrow_rows(product.level, m, size, to, size, to_out, s.out_width());
  }
};

/// One group of one sequence: dq, dk and dv, over the group's heads and their blocks of queries, ascending.
template <class T> struct attention_backward_host {
  using W = wide_t<T>;
  attention_shape s;
  W scale;
  T const* qkv;
  W const* logsum;
  W const* delta;
  T const* dout;
  T* dqkv;
  small_product<W> product;

  [[gnu::always_inline]] inline void operator()(index_t task) const {
    index_t const batch = task / s.groups, g = task % s.groups, width = s.width(), stride = strip_stride(s),
                  size = s.head_size, n = s.positions;
    packed_heads<T const> const in{s, qkv};
    packed_heads<T> const d_in{s, dqkv};
    index_t const strips = 2 * attention_block * stride,
                  wide = is_reduced_v<T> ? (4 * n + 3 * attention_block) * size : 0;
    W* const weight = static_cast<W*>(scratch<attention_scratch>(sizeof(W) * static_cast<std::size_t>(strips + wide)));
    W* const slope = weight + attention_block * stride;
    W* const memory = weight + strips;  // of 16-bit numbers as float: k, v, dk beside dv, then blocks of q, dout and dq
    W* const blocks = memory + 4 * n * size;
    W const *k, *v;
    W *dk, *dv;
    index_t ld = width, ld_out = s.out_width(), ld_d = width;
    if constexpr (is_reduced_v<T>) {
      widen_rows(product.level, n, size, in.key(batch, g), width, memory, size);
      widen_rows(product.level, n, size, in.value(batch, g), width, memory + n * size, size);
      k = memory, v = memory + n * size, dk = memory + 2 * n * size, dv = dk + size;
      ld = ld_out = size, ld_d = 2 * size;
    } else {
      k = in.key(batch, g), v = in.value(batch, g);
      dk = d_in.key(batch, g), dv = d_in.value(batch, g);  // dv lies beside dk
    }
    for (index_t j = 0; j < n; ++j)
      for (index_t d = 0; d < 2 * size; ++d) dk[j * ld_d + d] = W(0);
    for (index_t h = 0; h < s.group_heads; ++h) {
      index_t const head = g * s.group_heads + h, first = (batch * s.heads() + head) * n;
      for (index_t i0 = 0; i0 < n; i0 += attention_block) {
        index_t const i1 = std::min(n, i0 + attention_block), m = i1 - i0, keys = s.causal ? i1 : n;
        T const* const q_in = in.query(batch, g, h) + i0 * width;
        T const* const d_out_in = dout + ((batch * n + i0) * s.heads() + head) * size;
        T* const dq_out = d_in.query(batch, g, h) + i0 * width;
        W const *q, *d_out;
        W* dq;
        if constexpr (is_reduced_v<T>) {
          widen_rows(product.level, m, size, q_in, width, blocks, size);
          widen_rows(product.level, m, size, d_out_in, s.out_width(), blocks + attention_block * size, size);
          q = blocks, d_out = blocks + attention_block * size, dq = blocks + 2 * attention_block * size;
        } else {
          q = q_in, d_out = d_out_in, dq = dq_out;
        }
        product(m, keys, size, q, ld, false, k, ld, true, weight, stride, false);
        product(m, keys, size, d_out, ld_out, false, v, ld, true, slope, stride, false);
        for (index_t i = 0; i < m; ++i)
          strip_slopes(weight + i * stride, slope + i * stride, s.causal ? i0 + i + 1 : n, keys, scale,
                       logsum[first + i0 + i], delta[first + i0 + i]);
        product(m, size, keys, slope, stride, false, k, ld, false, dq, ld, false);
        product(keys, size, m, weight, stride, true, d_out, ld_out, false, dv, ld_d, true);
        product(keys, size, m, slope, stride, true, q, ld, false, dk, ld_d, true);
        if constexpr (is_reduced_v<T>) narrow_rows(product.level, m, size, dq, size, dq_out, width);
      }
    }
    if constexpr (is_reduced_v<T>) narrow_rows(product.level, n, 2 * size, dk, 2 * size, d_in.key(batch, g), width);
  }
};

}  // namespace pleat::compute::detail
