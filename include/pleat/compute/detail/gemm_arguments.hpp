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

[[noreturn]] __attribute__((noinline, cold)) inline void gemm_refuse(char const* name, index_t found, index_t least,
                                                                     char const* remedy) {
  throw error{"compute::gemm",
              std::string(name) + " is " + std::to_string(found) + ", expected at least " + std::to_string(least),
              remedy};
}

/// Throws pleat::error if an extent is negative or a leading dimension is shorter than its rows.
template <class T, class To> inline void gemm_check(gemm_arguments<T, To> const& g) {
  auto const extent = [](char const* name, index_t n) {
    if (n < 0) gemm_refuse(name, n, 0, "Give extents of 0 or more");
  };
  auto const distance = [](char const* name, index_t ld, index_t rows, index_t columns) {
    if (ld < columns && rows > 1)
      gemm_refuse(name, ld, columns, "Give the distance of two stored rows in elements: their length, if without gaps");
  };
  extent("m", g.m);
  extent("n", g.n);
  extent("k", g.k);
  bool const ta = g.ta == transpose::yes, tb = g.tb == transpose::yes;
  distance("lda", g.lda, ta ? g.k : g.m, ta ? g.m : g.k);
  distance("ldb", g.ldb, tb ? g.n : g.k, tb ? g.k : g.n);
  distance("ldc", g.ldc, g.m, g.n);
  if (g.after.mask) distance("ldmask", g.after.ldmask, g.m, g.n);
}

}  // namespace detail
}  // namespace pleat::compute
