// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Samples that a transform looks at, without labels.
#pragma once

#include <algorithm>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <pleat/base/as_span.hpp>
#include <pleat/base/config.hpp>
#include <pleat/io/dataset.hpp>
#include <pleat/io/text.hpp>
#include <pleat/run/batch.hpp>
#include <pleat/tensor/tensor.hpp>
#include <pleat/tensor/token.hpp>

namespace pleat::compress {

/// `subset_size` samples of a data set, evenly spread over it, so that no order of the file shows. Which ones depends
/// on nothing else. The data is kept by reference: it must live as long as this.
///
///     compress::calibration(data.train, 300)
class calibration {
 public:
  /// Writes the samples with these numbers, one after the other.
  using gather = std::function<void(std::span<index_t const> samples, float* out)>;

  /// Nothing to look at: what a transform that needs samples refuses.
  calibration() = default;
  /// \param sample extents of one sample; \param size how many there are
  PLEAT_ONCE calibration(std::string name, extents sample, index_t size, gather from, index_t subset_size);
  PLEAT_ONCE explicit calibration(io::dataset const& data, index_t subset_size = 128);
  /// Windows of tokens.
  PLEAT_ONCE explicit calibration(io::token_dataset const& data, index_t subset_size = 128);
  explicit calibration(io::dataset&&, index_t = 0) = delete;
  explicit calibration(io::token_dataset&&, index_t = 0) = delete;

  [[nodiscard]] index_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] extents const& sample() const noexcept { return sample_; }
  /// "128 of 60000 samples"
  friend std::string words_of(calibration const& c) {
    return c.empty() ? "none" : std::to_string(c.size_) + " of " + std::to_string(c.of_) + " samples";
  }

  /// Samples [first, first + n) of the subset as a batch.
  template <class T, class Space>
  [[nodiscard]] tensor<T, Space> load(context<Space>& where, index_t first, index_t n) const {
    auto x = tensor<T, Space>::allocate(where, run::batch_shape(name_, sample_, n));
    std::vector<index_t> numbers(static_cast<std::size_t>(n));
    for (index_t i = 0; i < n; ++i) numbers[static_cast<std::size_t>(i)] = (first + i) * of_ / size_;
    std::vector<float> floats(static_cast<std::size_t>(x.size()));
    from_(as_span(numbers), floats.data());
    std::vector<T> converted(floats.size());
    std::transform(floats.begin(), floats.end(), converted.begin(),
                   [this](float v) { return input_value<T>(v, tokens_); });
    copy_from_host(where, converted.data(), x);
    return x;
  }

 private:
  std::string name_;
  extents sample_;
  index_t of_ = 0, size_ = 0;
  gather from_;
  bool tokens_ = false;  // what is gathered are numbers of tokens (tensor/token.hpp)
};

template <class>
calibration::calibration(std::string name, extents sample, index_t size, gather from, index_t subset_size)
    : name_(std::move(name)), sample_(sample), of_(size), size_(std::min(size, subset_size)), from_(std::move(from)) {
  if (size_ < 1)
    throw error{"compress::calibration",
                "no sample to look at: '" + name_ + "' has " + std::to_string(size) + ", of which " +
                    std::to_string(subset_size) + " are asked for",
                "Give at least one sample; 128 to 300 are usual"};
  (void)run::batch_shape(name_, sample_, 1);  // throws where a batch cannot be
}
PLEAT_COMPILED_ONCE(calibration::calibration(std::string name, extents sample, index_t size, gather from,
                                             index_t subset_size));

template <class>
calibration::calibration(io::dataset const& data, index_t subset_size)
    : calibration(
          data.name, data.sample, data.size,
          [&data](std::span<index_t const> s, float* out) { data.gather(s, out, nullptr); }, subset_size) {
  data.demand_whole(false);
  tokens_ = data.windows != nullptr;
}
PLEAT_COMPILED_ONCE(calibration::calibration(io::dataset const& data, index_t subset_size));

template <class>
calibration::calibration(io::token_dataset const& data, index_t subset_size)
    : calibration(
          data.name, extents{data.context}, data.size(),
          [&data](std::span<index_t const> s, float* out) { data.gather(s, out, nullptr); }, subset_size) {
  tokens_ = true;
}
PLEAT_COMPILED_ONCE(calibration::calibration(io::token_dataset const& data, index_t subset_size));

}  // namespace pleat::compress
