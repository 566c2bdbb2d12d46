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
#include <pleat/tensor/token.hpp>

namespace pleat::run {

/// Extents of n samples (or of n samples' targets) of `each` together. \param name of the data, for the message
/// \throws error for so many extents that a batch has one too many
PLEAT_ONCE [[nodiscard]] extents batch_shape(std::string const& name, extents const& each, index_t n) {
  if (each.rank() >= extents::max_rank)
    throw error{"run::batch_shape",
                "a sample of '" + name + "' has " + std::to_string(each.rank()) +
                    " extents, and a batch of them one more: at most " + std::to_string(extents::max_rank),
                "Put extents together, as in [channels, height, width]"};
  std::array<index_t, extents::max_rank> dims{n};
  std::copy(each.begin(), each.end(), dims.begin() + 1);
  return extents(std::span<index_t const>(dims.data(), static_cast<std::size_t>(each.rank()) + 1));
}
PLEAT_COMPILED_ONCE(extents batch_shape(std::string const& name, extents const& each, index_t n));
/// Extents of a batch of n samples.
PLEAT_LAZY [[nodiscard]] inline extents batch_shape(io::dataset const& data, index_t n) {
  return batch_shape(data.name, data.sample, n);
}

/// How much a call finds in these data, as lines that ranks compare (comm::agree_on_text): ranks that go through sets of
/// other sizes would wait for each other in vain. What the samples are is for the network to judge.
PLEAT_ONCE [[nodiscard]] std::string words_of_data(io::dataset const& data) {
  return std::to_string(data.size) + " samples\n" +
         (data.regression()
              ? "targets of " + data.target.to_string()
              : std::to_string(data.positions()) + " labels each of " + std::to_string(data.classes) + " classes");
}
PLEAT_COMPILED_ONCE(std::string words_of_data(io::dataset const& data));

/// Turns sample numbers into tensors. Keeps its staging memory, so a steady state allocates nothing.
template <class T, class Space> class batch_loader {
 public:
  /// Samples and their labels, or their targets, where the model computes.
  struct batch {
    tensor<T, Space> x;                  ///< [n, sample…]
    tensor<std::int32_t, Space> labels;  ///< [n], of windows [n, positions]; of rank 0 where there are none
    tensor<T, Space> targets;            ///< [n, target…]; of rank 0 where there are none
  };

  /// `data` is kept by reference. \param judged false: samples alone, and no labels or targets need be there
  /// \throws error if the data's members do not fit one another
  explicit batch_loader(io::dataset const& data, bool judged = true) : data_(&data), judged_(judged) {
    data.demand_whole(judged);
  }
  explicit batch_loader(io::dataset&&, bool = true) = delete;

  /// The samples with these numbers, in this order.
  [[nodiscard]] batch load(context<Space>& where, std::span<index_t const> samples) {
    auto const n = static_cast<index_t>(samples.size());
    bool const numbers = judged_ && data_->regression(), labelled = judged_ && !numbers;
    batch b{tensor<T, Space>::allocate(where, batch_shape(*data_, n)), {}, {}};
    if (numbers) b.targets = tensor<T, Space>::allocate(where, batch_shape(data_->name, data_->target, n));
    if (labelled)
      b.labels =
          tensor<std::int32_t, Space>::allocate(where, data_->windows ? extents{n, data_->positions()} : extents{n});
    if constexpr (compute::is_host_space_v<Space> && std::is_same_v<T, float>) {
      data_->gather(samples, b.x.data(), labelled ? b.labels.data() : nullptr);
      if (numbers) data_->gather_targets(samples, b.targets.data());
    } else {
      staged_.resize(static_cast<std::size_t>(b.x.size()));
      if (labelled) labels_.resize(static_cast<std::size_t>(b.labels.size()));
      data_->gather(samples, staged_.data(), labelled ? labels_.data() : nullptr);
      send(where, b.x);
      if (labelled) copy_from_host(where, labels_.data(), b.labels);
      if (!numbers) return b;
      staged_.resize(static_cast<std::size_t>(b.targets.size()));
      data_->gather_targets(samples, staged_.data());
      send(where, b.targets);
    }
    return b;
  }

 private:
  /// What is staged, as T.
  void send(context<Space>& where, tensor<T, Space>& to) {
    converted_.resize(staged_.size());
    bool const tokens = data_->windows != nullptr;
    std::transform(staged_.begin(), staged_.end(), converted_.begin(),
                   [tokens](float v) { return input_value<T>(v, tokens); });
    copy_from_host(where, converted_.data(), to);
  }

  io::dataset const* data_;
  bool judged_;
  std::vector<float> staged_;
  std::vector<T> converted_;
  std::vector<std::int32_t> labels_;
};

}  // namespace pleat::run
