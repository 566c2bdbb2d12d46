// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The gradient of the step by which a product rounds its inputs, summed while batches go back. Exact sums
/// (exact_sum.hpp): whatever rank sees which sample, in whatever order, the bits are the same.
#pragma once

#include <cstddef>
#include <cstdint>

#include <pleat/base/config.hpp>
#include <pleat/base/context.hpp>
#include <pleat/base/pooled_array.hpp>
#include <pleat/codec/detail/exact_sum.hpp>
#include <pleat/compute/for_each.hpp>
#include <pleat/compute/math.hpp>
#include <pleat/compute/quantized.hpp>
#include <pleat/tensor/tensor.hpp>

namespace pleat::codec::detail {

/// Σ dL/dx̂·∂x̂/∂step over the inputs that came by since it was last taken.
struct input_shares {
  exact_sum sum{};
  std::int64_t nonfinite = 0;  ///< shares that are NaN or infinite, and not in the sum

  /// As whole numbers, which ranks add up.
  static constexpr std::size_t width = exact_sum::limbs + 1;
  void put(std::int64_t* to) const noexcept {
    for (std::size_t k = 0; k + 1 < width; ++k) to[k] = sum.limb[k];
    to[width - 1] = nonfinite;
  }
  /// \param from width numbers; what they add up to must have room (exact_sum::carry)
  void add(std::int64_t const* from) noexcept {
    for (std::size_t k = 0; k + 1 < width; ++k) sum.limb[k] += from[k];
    nonfinite += from[width - 1];
  }
};

/// Shares of a chunk of neighbours: x̂ = step·clamp(round(v)), v = x/step, has ∂x̂/∂step = round(v) − v inside, and ±127
/// where v is at the last code or beyond (S. K. Esser et al., Learned step size quantization, ICLR 2020, equation 3).
struct input_share_body {
  static constexpr index_t chunk = 512;
  float const *x, *dx;
  float step;
  index_t n;
  std::int64_t* out;  ///< [chunks, input_shares::width]
  PLEAT_INLINE void operator()(index_t k) const {
    std::int64_t all[input_shares::width] = {};
    index_t const end = (k + 1) * chunk < n ? (k + 1) * chunk : n;
    for (index_t i = k * chunk; i < end; ++i) {
      float const v = x[i] / step;
      float const slope = v >= 127.0f    ? 127.0f
                          : v <= -127.0f ? -127.0f
                                         : static_cast<float>(compute::detail::code_of(v)) - v;
      float const share = dx[i] * slope;
      if (share - share == 0.0f) add_exactly(share, all);
      else ++all[input_shares::width - 1];
    }
    for (std::size_t j = 0; j < input_shares::width; ++j)
      out[static_cast<std::size_t>(k) * input_shares::width + j] = all[j];
  }
};

/// \param x inputs \param dx the gradients of what they were rounded to: n elements each, in the space's memory
template <class Space>
void add_input_shares(context<Space>& c, index_t n, float const* x, float const* dx, float step, input_shares& to) {
  if (n == 0) return;
  index_t const chunks = (n + input_share_body::chunk - 1) / input_share_body::chunk;
  constexpr auto width = static_cast<index_t>(input_shares::width);
  auto const out = tensor<std::int64_t, Space>::allocate(c, {chunks, width});
  compute::for_each_row(c.space(), chunks, input_share_body{x, dx, step, n, out.data()},
                        12.0 * static_cast<double>(input_share_body::chunk));
  pooled_array<std::int64_t> const host(c.host_pool(), static_cast<std::size_t>(chunks * width));
  copy_to_host(c, out, host.data());
  for (std::size_t k = 0; k < host.size(); k += input_shares::width) to.add(host.data() + k);
  to.sum.carry();
}

}  // namespace pleat::codec::detail
