// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The blocking loops of the host product: who is packed when, and how a product is cut for threads. Needs no Kokkos.
///
/// Bits: every element is one chain over ascending k (continued from C at the border of two K blocks), so nothing that
/// is decided here, neither a block length nor a cut, can be seen in a result.
#pragma once

#include <pleat/base/config.hpp>
#include <pleat/compute/detail/gemm_arguments.hpp>
#include <pleat/compute/detail/gemm_tile.hpp>
#include <pleat/base/isa.hpp>
#include <pleat/compute/detail/scratch.hpp>

#include <algorithm>
#include <pleat/base/math.hpp>
#include <type_traits>

namespace pleat::compute::detail {

/// A rectangle of C.
struct gemm_rectangle {
  index_t m0 = 0, m1 = 0, n0 = 0, n1 = 0;
};

/// The kernels of a level; nullptr for `scalar` and on machines without vector kernels. For float and double.
template <class T> [[nodiscard]] tile_kernels<T> const* kernels_at(isa::level level) noexcept;

/// The B operand as the blocking loops see it. A source of another form (decoded while it is packed) offers the same
/// members; see gemm_from in compute/gemm.hpp.
///   pack(k0, k1, n0, n1, to, stride): op(B)[k0..k1, n0..n1] to to[(k - k0) * stride + (n - n0)]. It may write the
///   whole
///     stride of a row; what lies beyond n1 never reaches a result;
///   direct(k0, n0): where op(B)[k0, n0] lies if rows of op(B) are contiguous there and `ld` apart, else nullptr;
///   ld: see direct.
template <class T> struct dense_b {
  T const* b = nullptr;
  index_t ld = 0;
  bool turned = false;  ///< stored [n, k]
  tile_kernels<T> const* kernels = nullptr;

  void pack(index_t k0, index_t k1, index_t n0, index_t n1, T* to, index_t stride) const {
    if (turned) kernels->turn_b(b + n0 * ld + k0, ld, k1 - k0, n1 - n0, to, stride);
    else kernels->copy_b(b + k0 * ld + n0, ld, k1 - k0, n1 - n0, to, stride);
  }
  [[nodiscard]] T const* direct(index_t k0, index_t n0) const { return turned ? nullptr : b + k0 * ld + n0; }
};

template <class T> [[nodiscard]] dense_b<T> dense_b_of(gemm_arguments<T> const& g, isa::level level) noexcept {
  return {g.b, g.ldb, g.tb == transpose::yes, kernels_at<T>(level)};
}

constexpr index_t pack_a_from_columns = 320;  ///< fewer columns do not repay packing A
constexpr index_t direct_b_elements = 32768;  ///< a B of so few elements is read in place
constexpr index_t direct_b_tiles = 8;         ///< or one that so few row tiles read

/// `size` in `parts` near-equal parts, the longer ones first.
class near_equal {
 public:
  near_equal(index_t size, index_t parts)
      : parts_(parts), base_(parts <= 1 ? size : size / parts), extra_(size - base_ * parts) {}
  [[nodiscard]] index_t parts() const { return parts_; }
  [[nodiscard]] index_t longer() const { return base_ + 1; }
  [[nodiscard]] index_t shorter() const { return base_; }
  [[nodiscard]] index_t longer_parts() const { return extra_; }
  [[nodiscard]] index_t part(index_t nth) const { return nth < extra_ ? base_ + 1 : base_; }

 private:
  index_t parts_, base_, extra_;
};

/// The nth of `parts` near-equal parts of `size` starts here.
[[nodiscard]] inline index_t part_begin(index_t size, index_t parts, index_t nth) {
  return parts == 1 ? size * nth : size * nth / parts;  // small products feel a division
}

struct gemm_scratch {};  // names this family's scratch block

constexpr index_t short_from_rows = 6;  ///< fewer rows do not fill the adders with short vectors

/// How many of n columns are left to short vectors.
template <class T> [[nodiscard]] inline index_t short_columns(tile_kernels<T> const& ks, index_t m, index_t n) {
  index_t const left = n & (ks.width - 1);  // a power of two
  return left <= ks.short_width && m >= short_from_rows ? left : 0;
}

/// The rows of the tiles over m rows.
template <class T>
[[nodiscard]] inline near_equal tile_rows(tile_kernels<T> const& ks, index_t m, index_t n, index_t k) {
  // Tiles of 3 rows spend more on reading B than on sums.
  if (k < ks.brief_k && n > ks.width) return {m, std::max<index_t>(1, m / 4)};
  return {m, (m + ks.rows - 1) / ks.rows};
}

template <class T> [[nodiscard]] inline near_equal short_tile_rows(tile_kernels<T> const& ks, index_t m) {
  return {m, (m + ks.short_rows - 1) / ks.short_rows};
}

/// All tiles over one sliver of B, from t.a and t.c on; tiles of one height are one call. `a_next` is from one tile's A
/// to the next one's where A is packed, else 0.
template <class T>
void gemm_rows(tile_function<T>* const* tile, near_equal const& rows, index_t a_next, tile_arguments<T>& t) {
  for (int group = 0; group < 2; ++group) {
    index_t const height = group == 0 ? rows.longer() : rows.shorter();
    t.tiles = group == 0 ? rows.longer_parts() : rows.parts() - rows.longer_parts();
    if (t.tiles == 0) continue;
    t.a_next = a_next ? a_next : height * t.a_row;
    tile[height - 1](t);
    t.a += t.tiles * t.a_next;
    t.c += t.tiles * height * t.ldc;
    if (t.mask) t.mask += t.tiles * height * t.ldmask;
  }
}

/// Whether gemm_small is enough: one chain and one block, with both operands where they are.
template <class T, class Source>
[[nodiscard]] bool is_small(tile_kernels<T> const& ks, Source const& source, index_t const* cuts, int chains,
                            gemm_rectangle const& r) {
  index_t const m = r.m1 - r.m0, n = r.n1 - r.n0, k = cuts[chains] - cuts[0];
  return chains == 1 && m > 0 && n > 0 && n < pack_a_from_columns && k <= ks.block_k &&
         m * k <= ks.block_m * ks.block_k && k * n <= direct_b_elements && (ks.masked_b || (n & (ks.width - 1)) == 0) &&
         source.direct(cuts[0], r.n0);
}

/// C[rectangle] where nothing is to be decided; a product of a microsecond feels what gemm_tiled asks.
template <class T, class Source>
void gemm_small(tile_kernels<T> const& ks, gemm_arguments<T> const& g, Source const& source, index_t const* cuts,
                gemm_rectangle const& r) {
  index_t const m = r.m1 - r.m0, n = r.n1 - r.n0, k = cuts[1] - cuts[0], local_cuts[2] = {0, k};
  bool const a_rows = g.ta == transpose::no;
  tile_arguments<T> t;
  t.a_row = a_rows ? g.lda : 1;
  t.a_k = a_rows ? 1 : g.lda;
  T const* const a = g.a + r.m0 * t.a_row + cuts[0] * t.a_k;
  T* const c = g.c + r.m0 * g.ldc + r.n0;
  T const* const mask = g.after.mask ? g.after.mask + r.m0 * g.after.ldmask + r.n0 : nullptr;
  t.b = source.direct(cuts[0], r.n0);
  t.b_stride = source.ld;
  t.ldc = g.ldc;
  t.cuts = local_cuts;
  t.chains = 1;
  t.from_c = g.accumulate;
  t.prefetch = k >= 64 && m * n >= 16384;
  t.relu = g.after.act == activation::relu;
  t.bias = g.after.bias ? g.after.bias + r.n0 : nullptr;
  t.ldmask = g.after.ldmask;
  index_t const whole = n - short_columns(ks, m, n);
  near_equal const rows = tile_rows(ks, m, whole, k);
  for (index_t j = 0; j < n;) {
    t.a = a;
    t.c = c + j;
    t.mask = mask ? mask + j : nullptr;
    if (j < whole) {
      index_t const left = whole - j, most = ks.vectors * ks.width;
      // one vector more than a tile's: two halves
      index_t const wide = left > most && left <= most + ks.width ? (most + ks.width) / 2 / ks.width : ks.vectors;
      t.columns = std::min(left, wide * ks.width);
      gemm_rows(ks.tile[(t.columns + ks.width - 1) / ks.width], rows, 0, t);
    } else {
      t.columns = n - j;
      gemm_rows(ks.tile[0], short_tile_rows(ks, m), 0, t);
    }
    t.b += t.columns;
    if (t.bias) t.bias += t.columns;
    j += t.columns;
  }
}

/// C[rectangle] by register tiles. `cuts` are the chains' borders in k (chains + 1 of them, absolute).
template <class T, class Source>
void gemm_tiled(tile_kernels<T> const& ks, gemm_arguments<T> const& g, Source const& source, index_t const* cuts,
                int chains, gemm_rectangle const& r) {
  index_t const m = r.m1 - r.m0, n = r.n1 - r.n0, k_begin = cuts[0], k = cuts[chains] - cuts[0];
  if (m <= 0 || n <= 0) return;
  bool const a_rows = g.ta == transpose::no;
  // More than one chain must end within the tile; one chain may pause in C.
  index_t const k_parts = chains > 1 || k <= ks.block_k * 5 / 4 ? 1 : (k + ks.block_k - 1) / ks.block_k;
  index_t const k_most = k_parts == 1 ? k + 1 : k / k_parts + 1;
  index_t const m_parts = m <= ks.block_m * 5 / 4 ? 1 : (m + ks.block_m - 1) / ks.block_m;
  index_t const m_most = (m_parts == 1 ? m : m / m_parts) + 1 + ks.rows;
  bool const pack_a = n >= pack_a_from_columns && m > 2 * ks.rows;
  index_t const whole = n - short_columns(ks, m, n);  // what is left is one more sliver, the last
  index_t const vectors = (whole + ks.width - 1) / ks.width;
  index_t const n_parts = whole <= ks.block_n ? 1 : (whole + ks.block_n - 1) / ks.block_n;
  index_t const sliver_stride = ks.width * ks.vectors;
  index_t const slots = m_parts == 1 ? 1 : (vectors / n_parts + 1 + ks.vectors) / ks.vectors + 2;
  index_t const stack_size = chains > 1 ? 6 * ks.rows * sliver_stride : 0;
  index_t const b_size = slots * k_most * sliver_stride;
  // a tile has room for ks.rows rows; the low ones of short chains have at least 4
  index_t const a_size = pack_a ? ((k < ks.brief_k ? 2 : 1) * m_most + ks.rows) * k_most + 64 : 0;
  T* const stack =
      static_cast<T*>(scratch<gemm_scratch>(sizeof(T) * static_cast<std::size_t>(stack_size + b_size + a_size)));
  T* const b_packed = stack + stack_size;
  T* const a_packed = b_packed + b_size;
  index_t local_cuts[lanes::max_count + 1];

  tile_arguments<T> t;
  t.cuts = local_cuts;
  t.chains = chains;
  t.stack = stack;
  t.ldc = g.ldc;
  t.ldmask = g.after.ldmask;
  for (index_t np = 0; np < n_parts; ++np) {
    index_t const v0 = part_begin(vectors, n_parts, np), v1 = part_begin(vectors, n_parts, np + 1);
    near_equal const sliver_vectors(v1 - v0, (v1 - v0 + ks.vectors - 1) / ks.vectors);
    index_t const slivers = sliver_vectors.parts() + (np + 1 == n_parts && whole < n ? 1 : 0);
    for (index_t kp = 0; kp < k_parts; ++kp) {
      index_t const k0 = k_begin + part_begin(k, k_parts, kp), k1 = k_begin + part_begin(k, k_parts, kp + 1);
      bool const last = kp + 1 == k_parts;
      for (int s = 0; s <= chains; ++s) local_cuts[s] = chains == 1 ? s * (k1 - k0) : cuts[s] - k0;
      t.from_c = g.accumulate || kp > 0;
      t.prefetch = k1 - k0 >= 64 && m * n >= 16384;
      t.relu = last && g.after.act == activation::relu;
      for (index_t mp = 0; mp < m_parts; ++mp) {
        index_t const i0 = r.m0 + part_begin(m, m_parts, mp), i1 = r.m0 + part_begin(m, m_parts, mp + 1);
        near_equal const rows = tile_rows(ks, i1 - i0, whole, k1 - k0);
        bool const direct =
            m_parts == 1 &&
            (rows.parts() <= 2 || (k1 - k0) * n <= direct_b_elements ||
             (rows.parts() <= direct_b_tiles && source.ld * static_cast<index_t>(sizeof(T)) % 1024 != 0));
        if (pack_a) {
          T const* a = g.a + (a_rows ? i0 * g.lda + k0 : k0 * g.lda + i0);
          T* to = a_packed;
          for (index_t i = 0; i < rows.parts(); ++i, to += ks.rows * k_most) {
            (a_rows ? ks.turn_a : ks.copy_a)(a, g.lda, k1 - k0, rows.part(i), to, ks.rows);
            a += rows.part(i) * (a_rows ? g.lda : 1);
          }
        }
        for (index_t s = 0, s0 = v0, s1 = v0; s < slivers; ++s, s0 = s1) {
          bool const in_short = s == sliver_vectors.parts();
          if (!in_short) s1 += sliver_vectors.part(s);
          index_t const j0 = r.n0 + s0 * ks.width, j1 = in_short ? r.n1 : std::min(r.n0 + s1 * ks.width, r.n1);
          t.b_stride = in_short ? ks.width : (s1 - s0) * ks.width;
          t.columns = j1 - j0;
          T const* in_place = nullptr;
          if (direct && (ks.masked_b || t.columns == t.b_stride)) in_place = source.direct(k0, j0);
          if (in_place) {
            t.b = in_place;
            t.b_stride = source.ld;
          } else {
            T* const slot = b_packed + (m_parts == 1 ? 0 : s) * k_most * sliver_stride;
            if (mp == 0) source.pack(k0, k1, j0, j1, slot, t.b_stride);
            t.b = slot;
          }
          t.bias = last && g.after.bias ? g.after.bias + j0 : nullptr;
          t.a = pack_a ? a_packed : a_rows ? g.a + i0 * g.lda + k0 : g.a + k0 * g.lda + i0;
          t.a_row = a_rows && !pack_a ? g.lda : 1;
          t.a_k = pack_a ? ks.rows : a_rows ? 1 : g.lda;
          t.c = g.c + i0 * g.ldc + j0;
          t.mask = last && g.after.mask ? g.after.mask + i0 * g.after.ldmask + j0 : nullptr;
          gemm_rows(ks.tile[s1 - s0], in_short && !pack_a ? short_tile_rows(ks, i1 - i0) : rows,
                    pack_a ? ks.rows * k_most : 0, t);
        }
      }
    }
  }
}

/// Whether gemm_narrow is the kernel for this rectangle.
template <class T>
[[nodiscard]] bool is_narrow(tile_kernels<T> const& ks, gemm_arguments<T> const& g, int chains,
                             gemm_rectangle const& r) {
  index_t const n = r.n1 - r.n0;
  return n > 0 && n <= narrow_columns && r.m1 - r.m0 >= ks.width && g.ta == transpose::no && chains == 1 &&
         !g.accumulate;
}

/// A product with few columns would leave much of each vector empty; its own kernel turns it round. The bits are the
/// same: fma(a, b, c) = fma(b, a, c).
template <class T, class Source>
void gemm_narrow(tile_kernels<T> const& ks, gemm_arguments<T> const& g, Source const& source, index_t const* cuts,
                 gemm_rectangle const& r) {
  index_t const k = cuts[1] - cuts[0], local_cuts[2] = {0, k};
  T* const b = static_cast<T*>(scratch<gemm_scratch>(sizeof(T) * static_cast<std::size_t>((k + 1) * narrow_stride)));
  if (k > 0) source.pack(cuts[0], cuts[1], r.n0, r.n1, b, narrow_stride);
  tile_arguments<T> t;
  t.a = g.a + r.m0 * g.lda + cuts[0];
  t.a_row = g.lda;
  t.a_k = 1;
  t.b = b;
  t.c = g.c + r.m0 * g.ldc + r.n0;
  t.ldc = g.ldc;
  t.columns = r.n1 - r.n0;
  t.cuts = local_cuts;
  t.relu = g.after.act == activation::relu;
  t.bias = g.after.bias ? g.after.bias + r.n0 : nullptr;
  t.mask = g.after.mask ? g.after.mask + r.m0 * g.after.ldmask + r.n0 : nullptr;
  t.ldmask = g.after.ldmask;
  ks.narrow(t, r.m1 - r.m0);
}

/// What follows the last term of an element.
template <class T> [[nodiscard]] inline T gemm_finish(gemm_arguments<T> const& g, index_t i, index_t j, T value) {
  if (g.after.bias) value += g.after.bias[j];
  if (g.after.act == activation::relu) value = value < T(0) ? T(0) : value;
  if (g.after.mask) value = g.after.mask[i * g.after.ldmask + j] > T(0) ? value : T(0);
  return value;
}

/// Where no vector kernel runs: loops that a compiler vectorises by itself where the target has a fused multiply-add.
template <class T>
void gemm_plain(gemm_arguments<T> const& g, index_t const* cuts, int chains, gemm_rectangle const& r) {
  constexpr index_t block = 64;
  T stack[7][block];
  for (index_t i = r.m0; i < r.m1; ++i)
    for (index_t j0 = r.n0; j0 < r.n1; j0 += block) {
      index_t const n = std::min(block, r.n1 - j0);
      T* const c = g.c + i * g.ldc + j0;
      int depth = 0;
      for (int s = 0; s < chains; ++s) {
        T* const sum = stack[depth];
        for (index_t j = 0; j < n; ++j) sum[j] = g.accumulate ? c[j] : T(0);
        for (index_t k = cuts[s]; k < cuts[s + 1]; ++k) {
          T const a = g.ta == transpose::no ? g.a[i * g.lda + k] : g.a[k * g.lda + i];
          index_t const step = g.tb == transpose::no ? 1 : g.ldb;
          T const* const b = g.tb == transpose::no ? g.b + k * g.ldb + j0 : g.b + j0 * g.ldb + k;
          for (index_t j = 0; j < n; ++j) sum[j] = std::fma(a, b[j * step], sum[j]);
        }
        ++depth;
        for (int left = s; left & 1; left >>= 1) {
          --depth;
          for (index_t j = 0; j < n; ++j) stack[depth - 1][j] += stack[depth][j];
        }
      }
      for (index_t j = 0; j < n; ++j) c[j] = gemm_finish(g, i, j0 + j, stack[0][j]);
    }
}

/// One rectangle of a product with a B of any form, at a given level, on the calling thread.
template <class T, class Source>
void gemm_part(isa::level level, gemm_arguments<T> const& g, Source const& source, index_t const* cuts, int chains,
               gemm_rectangle const& r) {
  auto const* const ks = kernels_at<T>(level);
  if (ks && is_narrow(*ks, g, chains, r)) {
    gemm_narrow(*ks, g, source, cuts, r);
  } else if (ks && is_small(*ks, source, cuts, chains, r)) {
    gemm_small(*ks, g, source, cuts, r);
  } else if (ks) {
    gemm_tiled(*ks, g, source, cuts, chains, r);
  } else if constexpr (std::is_same_v<Source, dense_b<T>>) {
    gemm_plain(g, cuts, chains, r);
  } else {
    index_t const n = r.n1 - r.n0, k0 = cuts[0], k1 = cuts[chains];
    if (n <= 0) return;
    T* const b = static_cast<T*>(scratch<gemm_scratch>(sizeof(T) * static_cast<std::size_t>((k1 - k0) * n + 1)));
    if (k1 > k0) source.pack(k0, k1, r.n0, r.n1, b, n);
    gemm_arguments<T> dense = g;  // the same product seen from its first column and its first k
    dense.a += g.ta == transpose::no ? k0 : k0 * g.lda;
    dense.b = b, dense.ldb = n, dense.tb = transpose::no;
    dense.c += r.n0;
    if (g.after.bias) dense.after.bias += r.n0;
    if (g.after.mask) dense.after.mask += r.n0;
    index_t local_cuts[lanes::max_count + 1];
    for (int s = 0; s <= chains; ++s) local_cuts[s] = cuts[s] - k0;
    gemm_plain(dense, local_cuts, chains, {r.m0, r.m1, 0, n});
  }
}

/// Task `nth` of `tasks`: N is cut where N ≥ M (each task then packs its own columns of B only), else M.
PLEAT_LAZY [[nodiscard]] inline gemm_rectangle gemm_cut(index_t m, index_t n, int tasks, int nth) {
  constexpr index_t columns = 16, rows = 4;  // cuts fall on whole vectors and near whole tiles
  if (n >= m) {
    index_t const v = (n + columns - 1) / columns;
    return {0, m, part_begin(v, tasks, nth) * columns, std::min(n, part_begin(v, tasks, nth + 1) * columns)};
  }
  index_t const v = (m + rows - 1) / rows;
  return {part_begin(v, tasks, nth) * rows, std::min(m, part_begin(v, tasks, nth + 1) * rows), 0, n};
}

/// The task that for_tasks runs.
template <class T, class Source> struct gemm_task {
  gemm_arguments<T> const& g;
  Source const& source;
  index_t const* cuts;
  int chains, tasks;
  isa::level level;
  void operator()(int nth) const { gemm_part(level, g, source, cuts, chains, gemm_cut(g.m, g.n, tasks, nth)); }
};

}  // namespace pleat::compute::detail

#if defined(PLEAT_HAS_VECTORS)
#include <pleat/compute/detail/gemm_vectors.hpp>
#endif
