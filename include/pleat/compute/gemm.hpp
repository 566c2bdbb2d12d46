// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The matrix product of float, double and 16-bit matrices, and the weight gradient cut into lanes. 16-bit operands are
/// multiplied and summed in float and rounded once, to the nearest, when an element is stored; weight gradients stay
/// float.
///
/// Every element is one chain of fused multiply-adds in ascending k (per lane), so its bits depend on the operands
/// alone: not on the instruction set, the threads, the space, or how the product is cut. K = 0 gives zero (or C) +
/// epilogue.
#pragma once

#include <pleat/compute/detail/gemm_arguments.hpp>
#include <pleat/compute/detail/gemm_device.hpp>
#include <pleat/compute/detail/gemm_host.hpp>
#include <pleat/compute/detail/gemm_reduced.hpp>
#include <pleat/compute/detail/host.hpp>

#include <type_traits>

namespace pleat::compute {

/// C[m,n] = op(A)[m,k] · op(B)[k,n] (+ C if accumulate), then the epilogue. Row-major, T float, double, bfloat16 or
/// half. On a host space it returns when C is written; on another space it is queued on the instance. Pointers must be
/// readable (C writable) in the space. A steady state allocates nothing.
/// \throws pleat::error if an extent is negative or a leading dimension is shorter than its rows
template <class Space, class T> void gemm(Space const& space, gemm_arguments<T> const& g);

/// Weight gradient: C[m,n] = Σ over sample rows r of A[r,m]·B[r,n]; A is [rows,m] and B is [rows,n], row-major, cut
/// into lanes (compute/lanes.hpp): one chain per lane, the lanes over a binary tree in registers. `rows` counts from
/// A's and B's first row. With one lane and `rows.accumulate` the chain starts from C. \throws pleat::error as gemm, or
/// if there are no lanes, too many, or not a power of two of them
template <class Space, class T>
void gemm_lanes(Space const& space, index_t m, index_t n, T const* a, index_t lda, T const* b, index_t ldb,
                wide_t<T>* c, index_t ldc, lanes const& rows);

namespace detail {

/// The host product over the instance's threads at a given level (tests name the level), B from a source
/// (gemm_host.hpp). `cuts` are the borders of `chains` lanes.
template <class Space, class T, class Source>
void gemm_from(Space const& space, gemm_arguments<T> const& g, Source const& source, index_t const* cuts, int chains,
               isa::level level) {
  // serial_cutoff counts operations at AVX2's pace; what AVX-512 does in half the time must be twice as much to pay.
  double const pace = level == isa::level::avx512 ? 0.5 : 1.0;
  double const work =
      2.0 * pace * static_cast<double>(g.m) * static_cast<double>(g.n) * static_cast<double>(cuts[chains] - cuts[0]);
  int const tasks = tasks_for(space, work);
  if (tasks == 1) gemm_part(level, g, source, cuts, chains, {0, g.m, 0, g.n});
  else for_tasks(space, tasks, gemm_task<T, Source>{g, source, cuts, chains, tasks, level});
}

template <class Space, class T, class Source>
void gemm_from(Space const& space, gemm_arguments<T> const& g, Source const& source, lanes const& cut,
               isa::level level) {
  gemm_from(space, g, source, cut.row.data(), cut.count, level);
}

/// The same with the dense B of `g`.
template <class Space, class T>
void gemm_on_host(Space const& space, gemm_arguments<T> const& g, lanes const& cut, isa::level level) {
  gemm_from(space, g, dense_b_of(g, level), cut, level);
}

/// The same with 16-bit operands.
template <class Space, class T, class To>
void gemm_reduced_on_host(Space const& space, gemm_arguments<T, To> const& g, lanes const& cut, isa::level level) {
  int const tasks =
      tasks_for(space, 2.0 * static_cast<double>(g.m) * static_cast<double>(g.n) * static_cast<double>(cut.rows()));
  for_tasks(space, tasks, gemm_reduced_task<T, To>{g, cut, tasks, level});
}

template <class Space, class T, class To>
void gemm_run(Space const& space, gemm_arguments<T, To> const& g, lanes const& cut) {
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, double> || is_reduced_v<T>,
                "gemm multiplies float, double, bfloat16 or half matrices");
  gemm_check(g);
  if constexpr (!is_host_space_v<Space>) gemm_device(space, g, cut);
  else if constexpr (is_reduced_v<T>) gemm_reduced_on_host(space, g, cut, isa::best());
  else gemm_on_host(space, g, cut, isa::best());
}

}  // namespace detail

template <class Space, class T> void gemm(Space const& space, gemm_arguments<T> const& g) {
  if constexpr (is_host_space_v<Space> && (std::is_same_v<T, float> || std::is_same_v<T, double>)) {
    // Without lanes: small products feel the clearing of 64 of them.
    detail::gemm_check(g);
    index_t const cuts[] = {0, g.k};
    isa::level const level = isa::best();
    detail::gemm_from(space, g, detail::dense_b_of(g, level), cuts, 1, level);
  } else {
    detail::gemm_run(space, g, lanes::whole(g.k, g.accumulate));
  }
}

template <class Space, class T>
void gemm_lanes(Space const& space, index_t m, index_t n, T const* a, index_t lda, T const* b, index_t ldb,
                wide_t<T>* c, index_t ldc, lanes const& rows) {
  rows.check("compute::gemm_lanes");
  gemm_arguments<T, wide_t<T>> g;
  g.m = m, g.n = n, g.k = rows.rows();
  g.a = a, g.lda = lda, g.ta = transpose::yes;
  g.b = b, g.ldb = ldb;
  g.c = c, g.ldc = ldc;
  g.accumulate = rows.accumulate && rows.count == 1;
  detail::gemm_run(space, g, rows);
}

}  // namespace pleat::compute
