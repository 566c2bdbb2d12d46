// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What an int8 convolution works on. Needs no Kokkos.
#pragma once

#include <cstdint>

#include <pleat/compute/activation.hpp>
#include <pleat/compute/detail/conv_shape.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::compute::detail {

struct int8_conv_arguments {
  conv2d_shape s;
  std::int8_t const* x;
  float const* x_scale;
  std::int8_t const* w;
  float const* w_scale;
  float const* bias;
  float* y;
  activation act;
  bool pooled = false;  ///< y holds the largest of every 2 × 2 outputs side by side (detail/int8_conv_pooled.hpp)

  /// What y holds of a plane, and how much of it is computed together.
  [[nodiscard]] index_t outputs() const noexcept {
    return pooled ? (s.out_height() / 2) * (s.out_width() / 2) : s.out_height() * s.out_width();
  }
  [[nodiscard]] index_t together() const noexcept { return pooled ? 16 : 64; }
};

}  // namespace pleat::compute::detail
