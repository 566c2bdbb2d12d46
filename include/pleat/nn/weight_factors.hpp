// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Factors of a weight, as transforms ask for them: whatever the weight's set of forms.
#pragma once

#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <pleat/base/context.hpp>
#include <pleat/codec/form.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::nn {

/// The two factors that a weight is a product of, and how they get forms of their own (codec/factors.hpp), whatever it
/// is stored as. Points into the weight.
template <class Space> class factors_of_weight {
 public:
  /// A form of factors by position in the list of those that factors can take; −1: it stays as it is.
  struct choice {
    int form = -1;                   ///< position, or −1
    std::span<float const> range{};  ///< of its rows, for forms that take ranges
  };

  factors_of_weight() = default;
  factors_of_weight(factors_of_weight const&) = delete;
  factors_of_weight& operator=(factors_of_weight const&) = delete;
  virtual ~factors_of_weight() = default;

  /// False: the weight's set has no form whose factors have forms, and nothing else may be asked.
  [[nodiscard]] virtual bool storable() const = 0;
  /// Columns of the left factor, rows of the right one.
  [[nodiscard]] virtual index_t rank() const = 0;
  /// Whether a factor is in float still.
  [[nodiscard]] virtual bool is_plain(bool left) const = 0;
  /// Position of a form that factors can take, or −1.
  [[nodiscard]] virtual int factor_form(std::string_view form) const = 0;
  /// Columns at which its blocks begin.
  [[nodiscard]] virtual index_t block_of_form(int form) const = 0;
  /// The elements of a factor, row-major, on the host.
  [[nodiscard]] virtual std::vector<float> numbers(context<Space>& c, bool left) const = 0;
  /// The factors in other forms; the weight stays as it is. \throws error for what those forms cannot hold
  virtual void recode(context<Space>& c, choice const& left, choice const& right) = 0;
  /// What was recoded takes the place of what the weight had; of an absent one only the form.
  virtual void take() = 0;
};

namespace detail {
/// Factors that the set of a weight cannot store otherwise.
template <class Space> class fixed_factors final : public factors_of_weight<Space> {
 public:
  using typename factors_of_weight<Space>::choice;
  [[nodiscard]] bool storable() const final { return false; }
  [[nodiscard]] index_t rank() const final { return 0; }
  [[nodiscard]] bool is_plain(bool) const final { return false; }
  [[nodiscard]] int factor_form(std::string_view) const final { return -1; }
  [[nodiscard]] index_t block_of_form(int) const final { return 1; }
  [[nodiscard]] std::vector<float> numbers(context<Space>&, bool) const final { return {}; }
  void recode(context<Space>&, choice const&, choice const&) final {}
  void take() final {}
};
/// The factors of a weight whose form in use is From: To has forms for them.
template <class Weight, class From, class To>
class stored_factors final : public factors_of_weight<typename Weight::execution_space> {
  using Space = typename Weight::execution_space;
  using from_storage = typename From::template storage<Space>;
  using to_storage = typename To::template storage<Space>;

 public:
  using typename factors_of_weight<Space>::choice;
  stored_factors(Weight& w, from_storage& s) : w_(&w), s_(&s) {}

  [[nodiscard]] bool storable() const final { return true; }
  [[nodiscard]] index_t rank() const final { return To::rank_of(*s_); }
  [[nodiscard]] bool is_plain(bool left) const final { return To::is_plain(*s_, left); }
  [[nodiscard]] int factor_form(std::string_view form) const final { return To::factor_form(form); }
  [[nodiscard]] index_t block_of_form(int form) const final { return To::block_of_form(form); }
  [[nodiscard]] std::vector<float> numbers(context<Space>& c, bool left) const final {
    return plain(c).numbers(c, w_->shape, left);
  }
  void recode(context<Space>& c, choice const& left, choice const& right) final {
    fresh_ = To::recoded(c, w_->shape, plain(c), {left.form, left.range}, {right.form, right.range});
    plain_.reset();
  }
  void take() final {
    if (!w_->absent) {
      *s_ = {};  // the numbers that it had
      w_->storage_of(codec::form_tag<To>{}) = std::move(fresh_);
    }
    w_->template use_form<To>();
    w_->follow_form(false);
  }

 private:
  /// What the weight has, as To stores it: made once, by the first who asks.
  [[nodiscard]] to_storage const& plain(context<Space>& c) const {
    if (!plain_) plain_.emplace(To::of(c, w_->shape, *s_));
    return *plain_;
  }

  Weight* w_;
  from_storage* s_;
  mutable std::optional<to_storage> plain_;
  to_storage fresh_;
};
}  // namespace detail

}  // namespace pleat::nn
