// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Numbers as what codes say of them: of weights, by a step for each row or group; of the inputs of a product, by one.
#pragma once

#include <cstdint>
#include <limits>

#include <pleat/base/config.hpp>
#include <pleat/codec/detail/block_formats.hpp>
#include <pleat/compute/math.hpp>
#include <pleat/compute/quantized.hpp>
#include <pleat/tensor/dtype.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::codec::detail {

/// Codes of one row or group; what is not wanted is null.
struct fake_quantize_body {
  index_t columns;
  float const* w;
  float const* steps;  ///< null: the largest magnitude decides
  std::int32_t low, high;
  bool half_steps;
  float* out;  ///< step·code
  std::int8_t* codes;
  float* used;  ///< the step

  PLEAT_INLINE static double code(float w, float step, std::int32_t low, std::int32_t high) {
    double const q = nearbyint(static_cast<double>(w) / static_cast<double>(step));
    return q < low ? low : q > high ? high : q;
  }
  PLEAT_INLINE void operator()(index_t i) const {
    float const* const from = w + i * columns;
    float step = 0;
    if (steps != nullptr) {
      step = steps[i];
    } else {
      for (index_t j = 0; j < columns; ++j) {
        float const a = from[j] < 0 ? -from[j] : from[j];
        step = a > step ? a : step;
      }
      step /= static_cast<float>(high);
      if (half_steps) step = half_float(pleat::detail::half_bits(step));
    }
    constexpr float none = std::numeric_limits<float>::quiet_NaN();
    bool counts = true;
    for (index_t j = 0; j < columns; ++j) {
      double const q = step > 0 ? code(from[j], step, low, high) : 0.0;
      bool const number = q == q && from[j] == from[j];  // infinity has no code of its own step
      counts = counts && number;
      if (codes != nullptr) codes[i * columns + j] = number ? static_cast<std::int8_t>(q) : std::int8_t{0};
      if (out != nullptr) out[i * columns + j] = number ? step * static_cast<float>(q) : none;
    }
    // No code says NaN, but the step that the codes are multiplied by does: training that diverged shows.
    if (used != nullptr) used[i] = counts || codes == nullptr ? step : none;
  }
};

/// x as int8 multiplies it by one static scale: scale·code, with the codes of compute::quantize_rows_by. What is not
/// finite becomes NaN, as its products are.
struct round_inputs_body {
  float const* x;
  float scale;
  float* out;
  PLEAT_INLINE void operator()(index_t i) const {
    out[i] = scale * static_cast<float>(compute::detail::code_of(x[i] / scale)) + (x[i] - x[i]);
  }
};
/// Straight-through: what lies beyond ±127 steps was cut, and gets no gradient.
struct mask_inputs_body {
  float const* x;
  float scale;
  float* dx;
  PLEAT_INLINE void operator()(index_t i) const {
    float const v = x[i] / scale;
    if (v > 127.0f || v < -127.0f) dx[i] = 0;
  }
};

}  // namespace pleat::codec::detail
