// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The product on any Kokkos space: blocks of C by teams, operands through scratch memory, the same chain per element
/// (ascending k, fused), hence the same bits as on the host. Also the plainest oracle, gemm_reference.
#pragma once

#include <Kokkos_Core.hpp>

#include <pleat/base/config.hpp>
#include <pleat/compute/detail/gemm_arguments.hpp>
#include <pleat/compute/detail/host.hpp>
#include <pleat/tensor/dtype.hpp>

#include <pleat/base/math.hpp>

namespace pleat::compute::detail {

PLEAT_FUNCTION float fused(float a, float b, float c) {
#if defined(__CUDA_ARCH__) || defined(__HIP_DEVICE_COMPILE__)
  return ::fmaf(a, b, c);
#else
  return std::fma(a, b, c);
#endif
}
PLEAT_FUNCTION double fused(double a, double b, double c) {
#if defined(__CUDA_ARCH__) || defined(__HIP_DEVICE_COMPILE__)
  return ::fma(a, b, c);
#else
  return std::fma(a, b, c);
#endif
}

/// A team makes a tile × tile block of C; a thread makes micro × micro elements of it in registers.
/// With fewer threads than (tile / micro)², the team goes over the block in several passes.
template <class T, class To = T> struct gemm_functor {
  using W = wide_t<T>;
  static constexpr int tile = 64, micro = 4, depth = 16, per_row = tile / micro, pieces = per_row * per_row;
  static constexpr int levels = 6;  // of the tree over lanes::max_count lanes

  gemm_arguments<T, To> g;
  lanes cut;  // the chains' borders in k
  index_t block_columns = 1;

  /// [depth][tile] of A and of B; one column of padding keeps the transposing stores on different banks.
  static constexpr int panel = depth * (tile + 1);
  [[nodiscard]] static constexpr std::size_t scratch_bytes() { return 2 * panel * sizeof(W); }

  /// One chain of fused multiply-adds for micro × micro elements over k in [k0, k1).
  template <class Member>
  KOKKOS_FUNCTION void chain(Member const& team, W* a_panel, W* b_panel, index_t i0, index_t j0, index_t k0, index_t k1,
                             int piece, W (&sum)[micro][micro]) const {
    int const pi = piece / per_row, pj = piece % per_row;
    for (index_t kb = k0; kb < k1; kb += depth) {
      int const d = static_cast<int>(k1 - kb < depth ? k1 - kb : depth);
      team.team_barrier();
      for (int e = team.team_rank(); e < depth * tile; e += team.team_size()) {
        // neighbours in storage are neighbours in the loop
        bool const a_rows = g.ta == transpose::no, b_rows = g.tb == transpose::no;
        int const ak = a_rows ? e % depth : e / tile, ai = a_rows ? e / depth : e % tile;
        index_t const i = i0 + ai;
        a_panel[ak * (tile + 1) + ai] =
            ak < d && i < g.m ? static_cast<W>(a_rows ? g.a[i * g.lda + kb + ak] : g.a[(kb + ak) * g.lda + i]) : W(0);
        int const bk = b_rows ? e / tile : e % depth, bj = b_rows ? e % tile : e / depth;
        index_t const j = j0 + bj;
        b_panel[bk * (tile + 1) + bj] =
            bk < d && j < g.n ? static_cast<W>(b_rows ? g.b[(kb + bk) * g.ldb + j] : g.b[j * g.ldb + kb + bk]) : W(0);
      }
      team.team_barrier();
      if (piece < pieces)
        for (int k = 0; k < d; ++k) {
          W const* const a = a_panel + k * (tile + 1) + pi;
          W const* const b = b_panel + k * (tile + 1) + pj;
          for (int y = 0; y < micro; ++y)
            for (int x = 0; x < micro; ++x) sum[y][x] = fused(a[y * per_row], b[x * per_row], sum[y][x]);
        }
    }
  }

  template <class Member> KOKKOS_FUNCTION void operator()(Member const& team) const {
    W* const a_panel = static_cast<W*>(team.team_shmem().get_shmem(panel * sizeof(W)));
    W* const b_panel = static_cast<W*>(team.team_shmem().get_shmem(panel * sizeof(W)));
    index_t const i0 = team.league_rank() / block_columns * tile, j0 = team.league_rank() % block_columns * tile;
    for (int base = 0; base < pieces; base += team.team_size()) {  // the bound is the team's: all meet the barriers
      int const piece = base + team.team_rank();
      W sum[micro][micro];
      W stack[levels][micro][micro];
      int height = 0;
      for (int s = 0; s < cut.count; ++s) {
        for (int y = 0; y < micro; ++y)
          for (int x = 0; x < micro; ++x) {
            index_t const i = i0 + piece / per_row + y * per_row, j = j0 + piece % per_row + x * per_row;
            sum[y][x] =
                g.accumulate && piece < pieces && i < g.m && j < g.n ? static_cast<W>(g.c[i * g.ldc + j]) : W(0);
          }
        chain(team, a_panel, b_panel, i0, j0, cut.begin(s), cut.end(s), piece, sum);
        for (int left = s; left & 1; left >>= 1) {
          --height;
          for (int y = 0; y < micro; ++y)
            for (int x = 0; x < micro; ++x) sum[y][x] = stack[height][y][x] + sum[y][x];
        }
        if (s + 1 < cut.count) {
          for (int y = 0; y < micro; ++y)
            for (int x = 0; x < micro; ++x) stack[height][y][x] = sum[y][x];
          ++height;
        }
      }
      for (int y = 0; y < micro; ++y)
        for (int x = 0; x < micro; ++x) {
          index_t const i = i0 + piece / per_row + y * per_row, j = j0 + piece % per_row + x * per_row;
          if (piece < pieces && i < g.m && j < g.n) g.c[i * g.ldc + j] = static_cast<To>(finish(i, j, sum[y][x]));
        }
    }
  }

  KOKKOS_FUNCTION W finish(index_t i, index_t j, W value) const {
    if (g.after.bias) value += static_cast<W>(g.after.bias[j]);
    if (g.after.act == activation::relu) value = value < W(0) ? W(0) : value;
    if (g.after.mask) value = static_cast<W>(g.after.mask[i * g.after.ldmask + j]) > W(0) ? value : W(0);
    return value;
  }
};

/// Runs the functor; `team` 0 means one thread per piece where the space allows it, else 1.
/// The caller's operands live in memory that the space can read.
template <class Space, class T, class To>
void gemm_device(Space const& space, gemm_arguments<T, To> const& g, lanes const& cut, int team = 0) {
  using functor = gemm_functor<T, To>;
  using policy = Kokkos::TeamPolicy<Space, Kokkos::IndexType<int>>;
  if (g.m == 0 || g.n == 0) return;
  index_t const columns = (g.n + functor::tile - 1) / functor::tile, rows = (g.m + functor::tile - 1) / functor::tile;
  functor f{g, cut, columns};
  if (team == 0) team = is_host_space_v<Space> ? 1 : functor::pieces;
  policy p(space, static_cast<int>(rows * columns), team);
  p.set_scratch_size(0, Kokkos::PerTeam(static_cast<int>(functor::scratch_bytes() + 64)));
  Kokkos::parallel_for("pleat gemm", p, f);
}

/// The definition, as plain as it can be said; for tests. One thread, host memory.
template <class T, class To> void gemm_reference(gemm_arguments<T, To> const& g, lanes const& cut) {
  using W = wide_t<T>;
  for (index_t i = 0; i < g.m; ++i)
    for (index_t j = 0; j < g.n; ++j) {
      W sums[lanes::max_count];
      for (int l = 0; l < cut.count; ++l) {
        W sum = g.accumulate ? static_cast<W>(g.c[i * g.ldc + j]) : W(0);
        for (index_t k = cut.begin(l); k < cut.end(l); ++k)
          sum = std::fma(static_cast<W>(g.ta == transpose::no ? g.a[i * g.lda + k] : g.a[k * g.lda + i]),
                         static_cast<W>(g.tb == transpose::no ? g.b[k * g.ldb + j] : g.b[j * g.ldb + k]), sum);
        sums[l] = sum;
      }
      for (int width = cut.count; width > 1; width /= 2)
        for (int l = 0; l < width / 2; ++l) sums[l] = sums[2 * l] + sums[2 * l + 1];
      W value = sums[0];
      if (g.after.bias) value += static_cast<W>(g.after.bias[j]);
      if (g.after.act == activation::relu && value < W(0)) value = W(0);
      if (g.after.mask && !(static_cast<W>(g.after.mask[i * g.after.ldmask + j]) > W(0))) value = W(0);
      g.c[i * g.ldc + j] = static_cast<To>(value);
    }
}

}  // namespace pleat::compute::detail
