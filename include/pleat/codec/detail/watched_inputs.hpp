// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What calibration counts of the inputs of a product, wherever they lie.
#pragma once

#include <span>
#include <vector>

#include <pleat/base/as_span.hpp>
#include <pleat/base/context.hpp>
#include <pleat/codec/magnitude_histogram.hpp>
#include <pleat/compute/for_each.hpp>
#include <pleat/tensor/tensor.hpp>

namespace pleat::codec::detail {

/// \param x n numbers in the space's memory
template <class Space> void watch_inputs(context<Space>& c, float const* x, index_t n, magnitude_histogram& to) {
  if constexpr (compute::is_host_space_v<Space>) {
    c.fence();
    to.add(std::span<float const>(x, static_cast<std::size_t>(n)));
  } else {
    std::vector<float> host(static_cast<std::size_t>(n));
    // wrap has one spelling; nothing is written
    copy_to_host(c, tensor<float, Space>::wrap(const_cast<float*>(x), {n}), host.data());
    to.add(as_span(host));
  }
}

}  // namespace pleat::codec::detail
