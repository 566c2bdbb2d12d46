// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// How far a stored weight is from the original, ‖W − Ŵ‖ in two norms, measured or predicted. Needs no Kokkos.
#pragma once

#include <algorithm>
#include <span>
#include <string>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/base/math.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::codec {

/// ‖W − Ŵ‖: the largest element and the root of the sum of squares.
struct error_norms {
  double max = 0, frobenius = 0;

  /// One more element whose error is e (or, for a prediction, at most e).
  PLEAT_LAZY void add(double e, index_t times = 1) noexcept {
    max = std::max(max, e);
    squares_ += e * e * static_cast<double>(times);
    frobenius = std::sqrt(squares_);
  }

 private:
  double squares_ = 0;
};

/// The error of `decoded` against `values`. \throws error if the lengths differ
PLEAT_ONCE [[nodiscard]] error_norms measure_error(std::span<float const> values, std::span<float const> decoded) {
  if (values.size() != decoded.size())
    throw error{"codec::measure_error",
                "compares " + std::to_string(values.size()) + " values with " + std::to_string(decoded.size()),
                "Compare a weight with what was decoded of its own form and shape"};
  error_norms e;
  double squares = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    double const d = std::fabs(static_cast<double>(values[i]) - static_cast<double>(decoded[i]));
    e.max = std::max(e.max, d);
    squares += d * d;
  }
  e.frobenius = std::sqrt(squares);
  return e;
}
PLEAT_COMPILED_ONCE(error_norms measure_error(std::span<float const> values, std::span<float const> decoded));

}  // namespace pleat::codec
