// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The door to LAPACK: its decompositions where the caller links one (CMake: LAPACK::LAPACK). The library works without
/// it; its own are in svd.hpp and qr.hpp, and are the ones whose bits do not depend on which LAPACK is installed, or on
/// its threads.
#pragma once

#include <algorithm>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include <pleat/compute/svd.hpp>

// LAPACK's own names, as Fortran compilers spell them; 32-bit integers.
extern "C" void dgesdd_(char const* job, int const* m, int const* n, double* a, int const* lda, double* s, double* u,
                        int const* ldu, double* vt, int const* ldvt, double* work, int const* lwork, int* iwork,
                        int* info);

namespace pleat::compute::lapack {

namespace detail {
/// As many numbers as LAPACK asked for. \throws error if it cannot count them itself
[[nodiscard]] inline int workspace(index_t m, index_t n, double asked) {
  if (!(asked <= std::numeric_limits<int>::max()))
    throw error{"compute::lapack::svd",
                "a matrix of " + std::to_string(m) + " × " + std::to_string(n) +
                    " asks for a workspace of more numbers than LAPACK can count",
                "Use compute::randomized_svd"};
  return std::max(1, static_cast<int>(asked));
}
}  // namespace detail

/// All singular values by divide and conquer (dgesdd): a compute::svd_solver. \throws error if it did not converge
[[nodiscard]] inline thin_svd svd(index_t m, index_t n, std::span<double const> a) {
  if (m < 1 || n < 1 || static_cast<index_t>(a.size()) != m * n || std::max(m, n) > std::numeric_limits<int>::max())
    throw error{"compute::lapack::svd",
                "expected a matrix of " + std::to_string(m) + " × " + std::to_string(n) + ", found " +
                    std::to_string(a.size()) + " numbers",
                "Hand over a row-major matrix of m·n numbers, with extents from 1 to 2^31 - 1"};
  // Row-major A is column-major Aᵀ = V·s·Uᵀ: what comes back as "u" are V's columns, and "vt" holds U by columns.
  int const rows = static_cast<int>(n), columns = static_cast<int>(m), r = std::min(rows, columns);
  std::vector<double> copy(a.begin(), a.end()), vt(static_cast<std::size_t>(r) * static_cast<std::size_t>(columns));
  thin_svd out{m,
               n,
               r,
               std::vector<double>(vt.size()),
               std::vector<double>(static_cast<std::size_t>(r)),
               std::vector<double>(static_cast<std::size_t>(r) * static_cast<std::size_t>(rows))};
  std::vector<int> iwork(static_cast<std::size_t>(8 * r));
  int info = 0, ask = -1;
  double best = 0;
  dgesdd_("S", &rows, &columns, copy.data(), &rows, out.s.data(), out.v.data(), &rows, vt.data(), &r, &best, &ask,
          iwork.data(), &info);
  int const size = detail::workspace(m, n, best);
  std::vector<double> work(static_cast<std::size_t>(size));
  if (info == 0)
    dgesdd_("S", &rows, &columns, copy.data(), &rows, out.s.data(), out.v.data(), &rows, vt.data(), &r, work.data(),
            &size, iwork.data(), &info);
  if (info != 0)
    throw error{"compute::lapack::svd",
                "dgesdd ended with " + std::to_string(info) +
                    (info > 0 ? ": it did not converge" : ": an argument was refused (NaN?)"),
                "Use compute::svd"};
  for (index_t k = 0; k < r; ++k)
    for (index_t i = 0; i < m; ++i)
      out.u[static_cast<std::size_t>(k * m + i)] = vt[static_cast<std::size_t>(i * r + k)];
  return out;
}

}  // namespace pleat::compute::lapack
