// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The exact product of int8 matrices, C[m, n] = Σ_k A[m, k]·B[n, k] in int32 (B as weights lie: one row per result
/// column).
///
/// Exact for every int8 value. Quantizers of this library stay in ±127; then |C| ≤ 127²·k fits int32 for k ≤ 133144,
/// and a longer k is refused. (With −128 on both sides the same holds up to k = 131071.) Paths chosen at run time:
/// AVX512-VNNI, AVX-512BW, AVX2, plain loops; a device computes each element in one thread.
#pragma once

#include <cstdint>
#include <string>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/compute/activation.hpp>
#include <pleat/compute/detail/int8_block.hpp>
#include <pleat/compute/detail/scratch.hpp>
#include <pleat/compute/for_each.hpp>

namespace pleat::compute {

/// The longest sum of products within ±127 that int32 holds.
inline constexpr index_t int8_max_k = 133144;

/// What turns the integer sums into floats: y[m, n] = act(float(sum)·row_scale[m]·channel_scale[n] + bias[n]).
struct int8_epilogue {
  float const* row_scale = nullptr;      ///< [m]
  float const* channel_scale = nullptr;  ///< [n]
  float const* bias = nullptr;           ///< [n], or null
  activation act = activation::none;
};

namespace detail {

PLEAT_INLINE float int8_finish(std::int32_t sum, float row_scale, float channel_scale, float bias, activation act) {
  float const v = fma(static_cast<float>(sum) * row_scale, channel_scale, bias);
  return act == activation::relu && v < 0.0f ? 0.0f : v;
}

/// Rows of a block of sums to int32 C.
struct int8_store_sums {
  std::int32_t const* sums;
  index_t columns, ldc;
  std::int32_t* c;
  PLEAT_INLINE void operator()(index_t r) const {
    for (index_t j = 0; j < columns; ++j) c[r * ldc + j] = sums[r * sums_stride + j];
  }
};
/// Rows of a block of sums through the epilogue (its pointers already stand at the block).
struct int8_store_floats {
  std::int32_t const* sums;
  index_t columns, ldy;
  float* y;
  int8_epilogue e;
  PLEAT_INLINE void operator()(index_t r) const {
    float const row = e.row_scale[r];
    std::int32_t const* const s = sums + r * sums_stride;
    float* const to = y + r * ldy;
    for (index_t j = 0; j < columns; ++j)
      to[j] = int8_finish(s[j], row, e.channel_scale[j], e.bias != nullptr ? e.bias[j] : 0.0f, e.act);
  }
};

struct int8_to_sums {
  std::int32_t* c;
  index_t ldc;
  void operator()(std::int32_t const* sums, index_t row, index_t rows, index_t column, index_t columns) const {
    loop_at<true>(isa::best(), 0, rows, int8_store_sums{sums, columns, ldc, c + row * ldc + column});
  }
  PLEAT_INLINE void element(std::int32_t sum, index_t i, index_t j) const { c[i * ldc + j] = sum; }
};
struct int8_to_floats {
  float* y;
  index_t ldy;
  int8_epilogue e;
  void operator()(std::int32_t const* sums, index_t row, index_t rows, index_t column, index_t columns) const {
    int8_epilogue const here{e.row_scale + row, e.channel_scale + column, e.bias != nullptr ? e.bias + column : nullptr,
                             e.act};
    loop_at<true>(isa::best(), 0, rows, int8_store_floats{sums, columns, ldy, y + row * ldy + column, here});
  }
  PLEAT_INLINE void element(std::int32_t sum, index_t i, index_t j) const {
    y[i * ldy + j] = int8_finish(sum, e.row_scale[i], e.channel_scale[j], e.bias != nullptr ? e.bias[j] : 0.0f, e.act);
  }
};

template <class Store> struct int8_gemm_task {
  index_t m, n, k;
  std::int8_t const* a;
  index_t lda;
  unsigned char const* packed;
  Store store;
  int tasks;
  bool split_columns;

  void operator()(int t) const {
    int8_kernels const& kernels = int8_best_kernels();
    index_t const panel_stride = int8_panel_bytes(kernels.layout, k);
    index_t const blocks = (n + sums_stride - 1) / sums_stride, tiles = (m + 5) / 6;
    index_t const first_block = split_columns ? blocks * t / tasks : 0,
                  last_block = split_columns ? blocks * (t + 1) / tasks : blocks;
    index_t const first_row = split_columns ? 0 : std::min(m, tiles * t / tasks * 6);
    index_t const last_row = split_columns ? m : std::min(m, tiles * (t + 1) / tasks * 6);
    alignas(64) std::int32_t sums[int8_block_rows * sums_stride];
    std::int32_t row_sums[int8_block_rows];
    // Widened rows stay in the second cache; quads read rows as they are.
    index_t const height =
        kernels.layout == int8_layout::quads
            ? int8_block_rows
            : std::clamp<index_t>((index_t{1} << 18) / std::max<index_t>(k, 1) / 6 * 6, 6, int8_block_rows);
    struct operand_scratch {};
    void* const memory =
        scratch<operand_scratch>(static_cast<std::size_t>(int8_operand_bytes(kernels.layout, height, k)));
    for (index_t row = first_row; row < last_row; row += height) {
      index_t const rows = std::min(height, last_row - row);
      int8_operand const here = int8_operand_of(kernels.layout, a + row * lda, lda, rows, k, memory);
      if (kernels.layout == int8_layout::quads)
        for (index_t r = 0; r < rows; ++r) row_sums[r] = int8_sum(a + (row + r) * lda, k);
      for (index_t block = first_block; block < last_block; ++block) {
        index_t const column = block * sums_stride, columns = std::min(sums_stride, n - column);
        int8_block(kernels, here, 0, rows, k, packed + column / panel_width * panel_stride, panel_stride,
                   (columns + panel_width - 1) / panel_width, row_sums, sums);
        store(sums, row, rows, column, columns);
      }
    }
  }
};

struct int8_pack_body {
  index_t n, k;
  std::int8_t const* b;
  index_t ldb;
  int8_layout layout;
  unsigned char* packed;
  PLEAT_INLINE void operator()(index_t panel) const {
    index_t const row = panel * panel_width;
    pack_int8_panel(layout, b + row * ldb, ldb, n - row < panel_width ? n - row : panel_width, k,
                    packed + panel * int8_panel_bytes(layout, k));
  }
};
struct int8_copy_body {  // devices keep rows, without gaps
  index_t k;
  std::int8_t const* b;
  index_t ldb;
  std::int8_t* packed;
  PLEAT_INLINE void operator()(index_t i) const { packed[i] = b[i / k * ldb + i % k]; }
};

template <class Store> struct int8_gemm_body {
  index_t n, k;
  std::int8_t const* a;
  index_t lda;
  std::int8_t const* b;
  index_t ldb;
  Store store;
  PLEAT_FUNCTION void operator()(index_t i) const {
    std::int8_t const* const x = a + i / n * lda;
    std::int8_t const* const w = b + i % n * ldb;
    std::int32_t sum = 0;
    for (index_t j = 0; j < k; ++j) sum += static_cast<std::int32_t>(x[j]) * w[j];
    store.element(sum, i / n, i % n);
  }
};

PLEAT_LAZY inline void int8_demand(char const* call, index_t m, index_t n, index_t k) {
  if (m < 0 || n < 0 || k < 0)
    throw error{
        call,
        "negative extent among m = " + std::to_string(m) + ", n = " + std::to_string(n) + ", k = " + std::to_string(k),
        "Give extents of 0 or more"};
  if (k > int8_max_k)
    throw error{call, "k = " + std::to_string(k) + " products of 8-bit numbers do not fit a 32-bit sum",
                "Split k into parts of at most " + std::to_string(int8_max_k) + " and add their results as floats"};
}

template <class Space, class Store>
void int8_gemm_host(Space const& space, index_t m, index_t n, index_t k, std::int8_t const* a, index_t lda,
                    void const* packed, Store const& store) {
  if (m == 0 || n == 0) return;
  int tasks = tasks_for(space, 0.5 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k));
  index_t const blocks = (n + sums_stride - 1) / sums_stride, tiles = (m + 5) / 6;
  bool const split_columns = blocks >= tasks && (n >= m || tiles < tasks);
  tasks = static_cast<int>(std::min<index_t>(tasks, split_columns ? blocks : tiles));
  for_tasks(
      space, tasks,
      int8_gemm_task<Store>{m, n, k, a, lda, static_cast<unsigned char const*>(packed), store, tasks, split_columns});
}

}  // namespace detail

/// Bytes of the packed form of an n × k matrix for this space on this machine. A packed matrix is not a file format.
template <class Space> [[nodiscard]] index_t int8_packed_bytes(index_t n, index_t k) {
  if constexpr (is_host_space_v<Space>)
    return (n + detail::panel_width - 1) / detail::panel_width *
           detail::int8_panel_bytes(detail::int8_host_layout(), k);
  else return n * k;
}

/// Packs B [n, k] once, for many products.
/// \param packed int8_packed_bytes<Space>(n, k) bytes on a 64-byte border
template <class Space>
void int8_pack(Space const& space, index_t n, index_t k, std::int8_t const* b, index_t ldb, void* packed) {
  detail::int8_demand("compute::int8_pack", 0, n, k);
  if constexpr (is_host_space_v<Space>)
    for_each_row(space, (n + detail::panel_width - 1) / detail::panel_width,
                 detail::int8_pack_body{n, k, b, ldb, detail::int8_host_layout(), static_cast<unsigned char*>(packed)},
                 4.0 * static_cast<double>(k));
  else for_each(space, n * k, detail::int8_copy_body{k, b, ldb, static_cast<std::int8_t*>(packed)});
}

namespace detail {

template <class Space, class Store>
void int8_gemm_run(Space const& space, index_t m, index_t n, index_t k, std::int8_t const* a, index_t lda,
                   std::int8_t const* b, index_t ldb, Store const& store) {
  if constexpr (is_host_space_v<Space>) {
    if (m == 0 || n == 0) return;
    struct pack_scratch {};
    void* const packed = scratch<pack_scratch>(static_cast<std::size_t>(int8_packed_bytes<Space>(n, k)));
    int8_pack(space, n, k, b, ldb, packed);
    int8_gemm_host(space, m, n, k, a, lda, packed, store);
  } else {
    for_each(space, m * n, int8_gemm_body<Store>{n, k, a, lda, b, ldb, store}, static_cast<double>(k));
  }
}
template <class Space, class Store>
void int8_gemm_run_packed(Space const& space, index_t m, index_t n, index_t k, std::int8_t const* a, index_t lda,
                          void const* packed, Store const& store) {
  if constexpr (is_host_space_v<Space>) int8_gemm_host(space, m, n, k, a, lda, packed, store);
  else int8_gemm_run(space, m, n, k, a, lda, static_cast<std::int8_t const*>(packed), k, store);
}

}  // namespace detail

/// C[i, j] = Σ_l A[i, l]·B[j, l], exact.
/// \param a [m, k], rows lda apart   \param b [n, k], rows ldb apart   \param c [m, n], rows ldc apart
/// \throws pleat::error if k > int8_max_k or an extent is negative
template <class Space>
void int8_gemm(Space const& space, index_t m, index_t n, index_t k, std::int8_t const* a, index_t lda,
               std::int8_t const* b, index_t ldb, std::int32_t* c, index_t ldc) {
  detail::int8_demand("compute::int8_gemm", m, n, k);
  detail::int8_gemm_run(space, m, n, k, a, lda, b, ldb, detail::int8_to_sums{c, ldc});
}

/// The same with B packed by int8_pack.
template <class Space>
void int8_gemm_packed(Space const& space, index_t m, index_t n, index_t k, std::int8_t const* a, index_t lda,
                      void const* packed_b, std::int32_t* c, index_t ldc) {
  detail::int8_demand("compute::int8_gemm_packed", m, n, k);
  detail::int8_gemm_run_packed(space, m, n, k, a, lda, packed_b, detail::int8_to_sums{c, ldc});
}

/// y[i, j] = act(float(Σ_l A[i, l]·B[j, l])·row_scale[i]·channel_scale[j] + bias[j]): the last product and the sum are
/// one fma.
template <class Space>
void int8_gemm_scaled(Space const& space, index_t m, index_t n, index_t k, std::int8_t const* a, index_t lda,
                      std::int8_t const* b, index_t ldb, int8_epilogue const& e, float* y, index_t ldy) {
  detail::int8_demand("compute::int8_gemm_scaled", m, n, k);
  detail::int8_gemm_run(space, m, n, k, a, lda, b, ldb, detail::int8_to_floats{y, ldy, e});
}

/// The same with B packed by int8_pack: what inference calls.
template <class Space>
void int8_gemm_scaled_packed(Space const& space, index_t m, index_t n, index_t k, std::int8_t const* a, index_t lda,
                             void const* packed_b, int8_epilogue const& e, float* y, index_t ldy) {
  detail::int8_demand("compute::int8_gemm_scaled_packed", m, n, k);
  detail::int8_gemm_run_packed(space, m, n, k, a, lda, packed_b, detail::int8_to_floats{y, ldy, e});
}

}  // namespace pleat::compute
