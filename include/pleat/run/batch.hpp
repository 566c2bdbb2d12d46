// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Samples of a data set as tensors on a model's space.
#pragma once

#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/compute/detail/host.hpp>
#include <pleat/io/dataset.hpp>
#include <pleat/tensor/tensor.hpp>

namespace pleat::run {

/// Extents of a batch of n samples. \throws error for samples of so many extents that a batch has one too many
PLEAT_ONCE [[nodiscard]] inline extents batch_shape(io::dataset const& data, index_t n) {
  if (data.sample.rank() >= extents::max_rank)
    throw error{"run::batch_shape",
                "a sample of '" + data.name + "' has " + std::to_string(data.sample.rank()) +
                    " extents, and a batch of them one more: at most " + std::to_string(extents::max_rank),
                "Put extents together, as in [channels, height, width]"};
  std::array<index_t, extents::max_rank> dims{n};
  std::copy(data.sample.begin(), data.sample.end(), dims.begin() + 1);
  return extents(std::span<index_t const>(dims.data(), static_cast<std::size_t>(data.sample.rank()) + 1));
}

/// Turns sample numbers into tensors. Keeps its staging memory, so a steady state allocates nothing.
template <class T, class Space> class batch_loader {
 public:
  /// Samples and their labels where the model computes.
  struct batch {
    tensor<T, Space> x;                  ///< [n, sample…]
    tensor<std::int32_t, Space> labels;  ///< [n]
  };

  explicit batch_loader(io::dataset const& data) : data_(&data) {}

  /// The samples with these numbers, in this order.
  [[nodiscard]] batch load(context<Space>& where, std::span<index_t const> samples) {
    auto const n = static_cast<index_t>(samples.size());
    extents const shape = batch_shape(*data_, n);
    batch b{tensor<T, Space>::allocate(where, shape), tensor<std::int32_t, Space>::allocate(where, extents{n})};
    if constexpr (compute::is_host_space_v<Space> && std::is_same_v<T, float>) {
      data_->gather(samples, b.x.data(), b.labels.data());
    } else {
      pixels_.resize(static_cast<std::size_t>(b.x.size()));
      labels_.resize(samples.size());
      data_->gather(samples, pixels_.data(), labels_.data());
      converted_.resize(pixels_.size());
      std::transform(pixels_.begin(), pixels_.end(), converted_.begin(), [](float x) { return static_cast<T>(x); });
      copy_from_host(where, converted_.data(), b.x);
      copy_from_host(where, labels_.data(), b.labels);
    }
    return b;
  }

 private:
  io::dataset const* data_;
  std::vector<float> pixels_;
  std::vector<T> converted_;
  std::vector<std::int32_t> labels_;
};

}  // namespace pleat::run
