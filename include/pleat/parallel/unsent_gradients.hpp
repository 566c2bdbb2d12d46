// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What a rank has not sent yet of its gradients: codecs keep theirs, and what is nobody's goes with the next step, so
/// that nothing is lost.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/compute/elementwise.hpp>
#include <pleat/nn/arena.hpp>
#include <pleat/parallel/bucket_sum.hpp>

namespace pleat::parallel {

/// Of an arena's gradients, in its flat order.
template <class T, class Space> class unsent_gradients {
 public:
  using arena_type = nn::arena<T, Space>;
  using value_type = typename arena_type::master_type;
  using sums_type = std::vector<bucket_sum<value_type>>;

  /// \param arena must outlive this
  explicit unsent_gradients(arena_type const& arena) : arena_(&arena) {}

  /// Whether nothing is left that no codec keeps.
  [[nodiscard]] bool empty() const noexcept { return flat_.empty(); }

  /// All of it, on the host: what codecs keep, and what set gave to gradients that do not travel in one.
  [[nodiscard]] std::vector<value_type> get(sums_type const& sums) const {
    auto flat = empty() ? std::vector<value_type>(static_cast<std::size_t>(arena_->size())) : flat_;
    for (std::size_t b = 0; b < sums.size(); ++b)
      if (sums[b].coded()) sums[b].coded()->residual(flat.data() + buckets()[b].begin);
    return flat;
  }
  /// Codecs take theirs.
  void set(std::vector<value_type> const& flat, sums_type& sums) {
    flat_ = flat;
    for (std::size_t b = 0; b < sums.size(); ++b) {
      auto* const coded = sums[b].coded();
      if (!coded) continue;
      coded->set_residual(flat.data() + buckets()[b].begin);
      for (auto const& p : coded->parts())
        if (coded->keeps(p)) std::fill_n(flat_.begin() + buckets()[b].begin + p.begin, p.shape.size(), value_type(0));
    }
    drop_if_zero();
  }

  /// Adds what is left of bucket b to gradients, once. What every rank of the tensor axis has an addend of is summed
  /// over that axis afterwards: one of them adds what all of them have.
  /// \param part which rank of the tensor axis this is \param gradients of bucket b, asked for where something is left
  template <class Gradients>
  [[gnu::cold]] void add(context<Space>& where, std::size_t b, int part, Gradients&& gradients) {
    auto const& k = buckets()[b];
    auto const first = flat_.begin() + k.begin, last = flat_.begin() + k.end;
    if (std::all_of(first, last, [](value_type e) { return e == value_type(0); })) return;
    if (part > 0)
      for (std::size_t i = 0; i < arena_->entries().size(); ++i)
        if (auto const& e = arena_->entries()[i]; e.use.addend && arena_->layout().owner()[i] == static_cast<int>(b))
          std::fill(flat_.begin() + e.begin, flat_.begin() + e.end, value_type(0));
    auto const left = tensor<value_type, Space>::allocate(where, {k.size()});
    copy_from_host(where, static_cast<value_type const*>(flat_.data() + k.begin), left);
    value_type* const g = gradients();
    compute::add(where.space(), k.size(), static_cast<value_type const*>(g),
                 static_cast<value_type const*>(left.data()), g);
    where.fence();
    std::fill(first, last, value_type(0));
  }
  void drop_if_zero() {
    if (std::all_of(flat_.begin(), flat_.end(), [](value_type e) { return e == value_type(0); })) flat_.clear();
  }

 private:
  [[nodiscard]] std::vector<nn::bucket> const& buckets() const noexcept { return arena_->layout().buckets(); }

  arena_type const* arena_;
  std::vector<value_type> flat_;  // or empty: of gradients that travel in no codec, for the next step
};

}  // namespace pleat::parallel
