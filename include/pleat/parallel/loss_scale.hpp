// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The loss scale of training in half: gradients are computed of a multiple of the loss, so that small ones do not
/// vanish, and divided by it before the optimizer sees them. Too large a multiple overflows: such a step is skipped, by
/// all ranks or by none.
///
/// Rule (Micikevicius et al., "Mixed precision training", arXiv:1710.03740, section 3.2): after `interval` good steps
/// in a row the scale grows by `growth`; after a step with an infinite or undefined gradient it shrinks by `backoff`.
/// Powers of two, so that scaling rounds nothing.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <string>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/base/number_text.hpp>
#include <pleat/comm/communicator.hpp>
#include <pleat/compute/reduce.hpp>
#include <pleat/nn/arena.hpp>

namespace pleat::parallel {

/// How a loss scale begins, grows and shrinks.
struct loss_scale_options {
  double initial = 65536;  ///< 2^16
  double growth = 2;
  double backoff = 0.5;
  std::int64_t interval = 2000;             ///< good steps before it grows
  double smallest = 1, largest = 16777216;  ///< 2^24
  friend bool operator==(loss_scale_options const&, loss_scale_options const&) = default;
};

/// A dynamic loss scale. A value; every rank has an equal one, because update() asks all of them. A parallel::model of
/// half has one and does this in its step:
///
///     the loss multiplies dy by scale.value()
///     model.reduce();
///     if (scale.update(found_nonfinite(where, arena), ranks)) move the parameters by the gradient / the scale of this step;
class loss_scale {
 public:
  loss_scale() = default;
  /// \throws error for a rule that cannot work
  PLEAT_ONCE explicit loss_scale(loss_scale_options o);

  /// What the loss of the step under way is multiplied by.
  [[nodiscard]] double value() const noexcept { return value_; }
  /// Good steps since the scale changed last.
  [[nodiscard]] std::int64_t good_steps() const noexcept { return good_; }
  /// Steps skipped since the beginning.
  [[nodiscard]] std::int64_t skipped() const noexcept { return skipped_; }
  [[nodiscard]] loss_scale_options const& options() const noexcept { return o_; }
  /// From a checkpoint.
  void set(double value, std::int64_t good_steps, std::int64_t skipped) noexcept {
    value_ = value, good_ = good_steps, skipped_ = skipped;
  }

  /// Ends a step: true if the optimizer may step. Collective: a rank that found nothing skips with one that did.
  /// \param nonfinite whether this rank's part of the summed gradient holds a NaN or infinity
  /// \throws error on every rank alike if the gradient is not finite even at the smallest scale: the scale is not what
  /// is wrong
  PLEAT_ONCE [[nodiscard]] bool update(bool nonfinite, comm::communicator& ranks);

 private:
  loss_scale_options o_{};
  double value_ = loss_scale_options{}.initial;
  std::int64_t good_ = 0, skipped_ = 0;
};

template <class> loss_scale::loss_scale(loss_scale_options o) : o_(o), value_(o.initial) {
  auto const demand = [](bool good, char const* what, double found) {
    if (!good)
      throw error{"parallel::loss_scale", std::string(what) + ", found " + pleat::detail::number_text(found),
                  "Leave it out for its default"};
  };
  demand(o.smallest > 0, "the smallest scale must be positive", o.smallest);
  demand(o.largest >= o.smallest, "the largest scale must not be below the smallest", o.largest);
  demand(o.initial >= o.smallest && o.initial <= o.largest,
         "the initial scale must lie between the smallest and the largest", o.initial);
  demand(o.growth > 1, "the growth must be above 1", o.growth);
  demand(o.backoff > 0 && o.backoff < 1, "the backoff must lie between 0 and 1", o.backoff);
  demand(o.interval >= 1, "the scale grows after at least one good step", static_cast<double>(o.interval));
}
PLEAT_COMPILED_ONCE(loss_scale::loss_scale(loss_scale_options o));

template <class> bool loss_scale::update(bool nonfinite, comm::communicator& ranks) {
  bool const bad = ranks.all_reduce_value(nonfinite ? 1 : 0, comm::reduction::max) != 0;
  if (bad) {
    if (value_ <= o_.smallest)
      throw error{"parallel::loss_scale",
                  "the gradient holds NaN or infinity at the smallest scale, " + std::to_string(o_.smallest) +
                      ", after " + std::to_string(skipped_) + " skipped steps",
                  "Lower the learning rate, or look at the data; model.find_nonfinite names the layer"};
    value_ = std::max(o_.smallest, value_ * o_.backoff);
    good_ = 0;
    ++skipped_;
    return false;
  }
  if (++good_ >= o_.interval) {
    value_ = std::min(o_.largest, value_ * o_.growth);
    good_ = 0;
  }
  return true;
}
PLEAT_COMPILED_ONCE(bool loss_scale::update(bool nonfinite, comm::communicator& ranks));

/// What rank 0 says of a step that moved nothing. \param step number of the step, from 1
PLEAT_ONCE [[nodiscard]] std::string skipped_step(std::int64_t step, loss_scale const& s) {
  char text[160];
  std::snprintf(text, sizeof text,
                "step %lld skipped: a gradient overflowed, the loss scale is now %g (%lld skipped so far)",
                static_cast<long long>(step), s.value(), static_cast<long long>(s.skipped()));
  return text;
}
PLEAT_COMPILED_ONCE(std::string skipped_step(std::int64_t step, loss_scale const& s));

/// Whether this rank's summed gradients hold a NaN or infinity. Not collective; loss_scale::update makes one answer of
/// all ranks'.
template <class T, class Space>
[[nodiscard]] bool found_nonfinite(context<Space>& where, nn::arena<T, Space> const& memory) {
  using W = typename nn::arena<T, Space>::master_type;
  auto found = tensor<int, Space>::allocate(where, {1});
  for (auto const& p : memory.pieces()) {
    int bad = 0;
    compute::any_nonfinite(where.space(), p.size(), static_cast<W const*>(memory.owned_gradients(p)), found.data());
    copy_to_host(where, found, &bad);
    if (bad != 0) return true;
  }
  return false;
}

}  // namespace pleat::parallel
