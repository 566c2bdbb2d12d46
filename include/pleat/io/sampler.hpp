// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Which sample comes when: an order that depends on (seed, epoch) alone, cut into batches. Which rank takes which rows
/// of a batch is parallel/share.hpp. Needs no Kokkos.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/base/random.hpp>
#include <pleat/tensor/index_set.hpp>

namespace pleat::io {

/// How an epoch runs over the samples.
struct sampler_options {
  std::uint64_t seed = 0;  ///< keys the order together with the epoch
  bool shuffle = true;     ///< false: the order of the data set, every epoch
  bool drop_last = false;  ///< true: a last batch that is not full is left out
};

/// Every rank builds the same sampler, computes the same order, and takes its block of each batch (block_range): every
/// sample comes exactly once per epoch, on any number of ranks, without a message.
class sampler {
 public:
  /// \param size         number of samples, ≥ 0
  /// \param global_batch samples per step over all ranks, ≥ 1 (may exceed size: one short batch)
  /// \param options      seed, shuffle, drop_last
  PLEAT_ONCE sampler(index_t size, index_t global_batch, sampler_options options = {});

  [[nodiscard]] index_t size() const noexcept { return size_; }
  [[nodiscard]] index_t global_batch() const noexcept { return global_batch_; }
  [[nodiscard]] sampler_options const& options() const noexcept { return options_; }
  /// Short last batch included, unless drop_last.
  [[nodiscard]] index_t batches_per_epoch() const noexcept {
    return size_ / global_batch_ + (!options_.drop_last && size_ % global_batch_ != 0 ? 1 : 0);
  }

  /// The positions in the epoch's order that batch `b` takes; the last may be short.
  PLEAT_ONCE [[nodiscard]] index_range batch(index_t b) const;

  /// Where training is: what a checkpoint stores and resume continues from.
  struct cursor {
    index_t epoch = 0, batch = 0;
    friend constexpr bool operator==(cursor const&, cursor const&) = default;
  };
  /// The epoch and batch of a step counted from 0. Requires at least one batch per epoch.
  PLEAT_ONCE [[nodiscard]] cursor at(index_t step) const;
  /// The number, over all epochs, of the first sample of a batch: keys random numbers that belong to samples.
  [[nodiscard]] index_t first_sample(cursor c) const noexcept { return c.epoch * size_ + c.batch * global_batch_; }

  /// order[p] = the sample at position p of the epoch: a permutation of 0 … size−1. Allocates only if `order` is too
  /// small.
  ///
  /// Fisher–Yates; the exchange at position i draws from Philox under (seed, epoch, i), without bias (rejection after
  /// Lemire, "Fast random integer generation in an interval", 2019).
  PLEAT_ONCE void order(index_t epoch, std::vector<index_t>& order) const;
  /// The same as a new vector.
  PLEAT_ONCE [[nodiscard]] std::vector<index_t> order(index_t epoch) const;

 private:
  /// Uniform in {0, …, i}; attempt a of position i reads block i + a·2^48, so that no two draws share a block.
  PLEAT_LAZY [[nodiscard]] static std::uint64_t below(random::stream const& draws, std::uint64_t i) noexcept {
    std::uint64_t const n = i + 1, reject_under = (0 - n) % n;
    for (std::uint64_t attempt = 0;; ++attempt) {
      auto const words = draws.block(i + (attempt << 48));
      for (int half = 0; half < 2; ++half) {
        std::uint64_t const x = static_cast<std::uint64_t>(words[2 * static_cast<std::size_t>(half) + 1]) << 32 |
                                words[2 * static_cast<std::size_t>(half)];
        __extension__ using wide = unsigned __int128;
        wide const product = static_cast<wide>(x) * n;
        if (static_cast<std::uint64_t>(product) >= reject_under) return static_cast<std::uint64_t>(product >> 64);
      }
    }
  }

  index_t size_, global_batch_;
  sampler_options options_;
};

template <class>
sampler::sampler(index_t size, index_t global_batch, sampler_options options)
    : size_(size), global_batch_(global_batch), options_(options) {
  if (size < 0)
    throw error{"io::sampler", "a data set of " + std::to_string(size) + " samples",
                "Give the size of a data set, which is 0 or more"};
  if (global_batch < 1)
    throw error{"io::sampler", "a global batch of " + std::to_string(global_batch) + ", expected 1 or more",
                "Set the batch to 1 or more"};
}
PLEAT_COMPILED_ONCE(sampler::sampler(index_t size, index_t global_batch, sampler_options options));

template <class> index_range sampler::batch(index_t b) const {
  if (b < 0 || b >= batches_per_epoch())
    throw error{"io::sampler::batch", "batch " + std::to_string(b) + " of " + std::to_string(batches_per_epoch()),
                "Ask for a batch below batches_per_epoch()"};
  return {b * global_batch_, std::min(size_, (b + 1) * global_batch_)};
}
PLEAT_COMPILED_ONCE(index_range sampler::batch(index_t b) const);

template <class> sampler::cursor sampler::at(index_t step) const {
  index_t const per = batches_per_epoch();
  if (per == 0)
    throw error{"io::sampler::at",
                "an epoch of " + std::to_string(size_) + " samples has no batch of " + std::to_string(global_batch_),
                "Choose a smaller batch, more data, or drop_last = false"};
  return {step / per, step % per};
}
PLEAT_COMPILED_ONCE(sampler::cursor sampler::at(index_t step) const);

template <class> void sampler::order(index_t epoch, std::vector<index_t>& order) const {
  order.resize(static_cast<std::size_t>(size_));
  for (index_t i = 0; i < size_; ++i) order[static_cast<std::size_t>(i)] = i;
  if (!options_.shuffle) return;
  random::stream const draws(options_.seed, random::hash("io::sampler") + static_cast<std::uint64_t>(epoch));
  for (index_t i = size_ - 1; i > 0; --i)
    std::swap(order[static_cast<std::size_t>(i)],
              order[static_cast<std::size_t>(below(draws, static_cast<std::uint64_t>(i)))]);
}
PLEAT_COMPILED_ONCE(void sampler::order(index_t epoch, std::vector<index_t>& order) const);

template <class> std::vector<index_t> sampler::order(index_t epoch) const {
  std::vector<index_t> result;
  order(epoch, result);
  return result;
}
PLEAT_COMPILED_ONCE(std::vector<index_t> sampler::order(index_t epoch) const);

}  // namespace pleat::io
