// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What a matrix product is asked to do (public names; the door is compute/gemm.hpp). Needs no Kokkos.
#pragma once

#include <pleat/compute/activation.hpp>
#include <pleat/compute/lanes.hpp>
#include <pleat/tensor/extents.hpp>

#include <string>

namespace pleat::compute {

enum class transpose : char { no, yes };

/// Applied once per element after the last term of its sum: C = act(AB + bias); then, with `mask`, C = mask > 0 ? C : 0
/// (ReLU's backward).
template <class T> struct epilogue {
  T const* bias = nullptr;  ///< [n], added to each row
  activation act = activation::none;
  T const* mask = nullptr;  ///< [m, n] with leading dimension ldmask
  index_t ldmask = 0;
};

/// C[m, n] = op(A)[m, k] · op(B)[k, n], all row-major; a leading dimension is the distance of two stored rows. Operands
/// of a 16-bit type are multiplied and summed in float; what C holds is To: T, or float where a sum is kept wide.
template <class T, class To = T> struct gemm_arguments {
  index_t m = 0, n = 0, k = 0;
  T const* a = nullptr;  ///< [m, k], or [k, m] with `ta`
  index_t lda = 0;
  transpose ta = transpose::no;
  T const* b = nullptr;  ///< [k, n], or [n, k] with `tb`
  index_t ldb = 0;
  transpose tb = transpose::no;
  To* c = nullptr;  ///< [m, n]; overlaps neither operand
  index_t ldc = 0;
  bool accumulate = false;  ///< the sum starts from what C holds, not from zero
  epilogue<T> after{};
};

namespace detail {

[[noreturn]] __attribute__((noinline, cold)) inline void gemm_refuse(char const* name, index_t found, index_t least) {
  throw error{"compute::gemm",
              std::string(name) + " is " + std::to_string(found) + ", expected at least " + std::to_string(least),
              "a leading dimension is the distance of two stored rows, in elements"};
}

/// Throws pleat::error if an extent is negative or a leading dimension is shorter than its rows.
template <class T, class To> inline void gemm_check(gemm_arguments<T, To> const& g) {
  if (g.m < 0) gemm_refuse("m", g.m, 0);
  if (g.n < 0) gemm_refuse("n", g.n, 0);
  if (g.k < 0) gemm_refuse("k", g.k, 0);
  index_t const a = g.ta == transpose::no ? g.k : g.m, b = g.tb == transpose::no ? g.n : g.k;
  if (g.lda < a && g.m > 1 && g.k > 1) gemm_refuse("lda", g.lda, a);
  if (g.ldb < b && g.n > 1 && g.k > 1) gemm_refuse("ldb", g.ldb, b);
  if (g.ldc < g.n && g.m > 1) gemm_refuse("ldc", g.ldc, g.n);
  if (g.after.mask && g.after.ldmask < g.n && g.m > 1) gemm_refuse("ldmask", g.after.ldmask, g.n);
}

}  // namespace detail
}  // namespace pleat::compute
