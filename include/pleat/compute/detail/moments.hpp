// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What every normalisation computes: squares of distances from a mean, and what a deviation is divided by.
#pragma once

#include <pleat/base/config.hpp>
#include <pleat/base/math.hpp>
#include <pleat/compute/element.hpp>
#include <pleat/compute/math.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::compute::detail {

/// An operation of reduce.hpp: Σ (x − mean)².
template <class T> struct centred_square_op {
  using value_type = wide_t<T>;
  source_t<T> x;
  value_type mean;
  PLEAT_INLINE static value_type identity() { return value_type(0); }
  PLEAT_INLINE value_type step(index_t i, value_type acc) const {
    value_type const d = x[i] - mean;
    return fma(d, d, acc);
  }
  PLEAT_INLINE static value_type combine(value_type a, value_type b) { return a + b; }
};

template <class T> PLEAT_INLINE T inverse_deviation(T variance, T epsilon) {
  return T(1) / std::sqrt(variance + epsilon);
}

}  // namespace pleat::compute::detail
