// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The norm of what a layer multiplies with, as a triangular matrix.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include <pleat/base/error.hpp>
#include <pleat/base/math.hpp>
#include <pleat/compute/qr.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::compress::detail {

/// Lower Cholesky factor of C + dampening·mean(diag)·1, row-major, with what is needed to undo it. Small and rare: one
/// chain per element.
class whitening {
 public:
  whitening(index_t n, std::span<double const> gram, double scale, double dampening)
      : n_(n), l_(gram.begin(), gram.end()) {
    double mean = 0;
    for (index_t i = 0; i < n; ++i) mean += at(i, i) * scale / static_cast<double>(n);
    double const extra = mean > 0 ? dampening * mean : 1.0;
    for (index_t i = 0; i < n; ++i)
      for (index_t j = 0; j <= i; ++j) {
        double sum = at(i, j) * scale + (i == j ? extra : 0.0);
        sum -= compute::detail::dot_of(l_.data() + i * n, l_.data() + j * n, j);
        if (i == j && !(sum > 0))
          throw error{"", "the inputs' matrix is not positive definite at column " + std::to_string(i),
                      "Raise .dampening_frac"};
        at(i, j) = i == j ? std::sqrt(sum) : sum / at(j, j);
      }
    for (index_t i = 0; i < n; ++i)
      for (index_t j = i + 1; j < n; ++j) at(i, j) = 0;
  }
  /// w·L of a row.
  void apply(double const* w, double* out) const {
    std::fill(out, out + n_, 0.0);
    for (index_t i = 0; i < n_; ++i) compute::detail::add_multiple(w[i], l_.data() + i * n_, out, i + 1);
  }
  /// v·L⁻¹ of a row, in place.
  void undo(double* v) const {
    for (index_t j = n_ - 1; j >= 0; --j) {
      v[j] /= l_[static_cast<std::size_t>(j * n_ + j)];
      compute::detail::add_multiple(-v[j], l_.data() + j * n_, v, j);
    }
  }

 private:
  [[nodiscard]] double& at(index_t i, index_t j) noexcept { return l_[static_cast<std::size_t>(i * n_ + j)]; }
  index_t n_;
  std::vector<double> l_;
};

}  // namespace pleat::compress::detail
