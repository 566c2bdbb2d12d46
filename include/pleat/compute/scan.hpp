// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Prefix sums through Thrust. Not in the umbrella. On the host floating-point sums run in one thread, from left to
/// right, so that their bits depend on the data alone; sums of integers use all threads. On a device the order is
/// Thrust's.
#pragma once

#include <pleat/compute/detail/thrust_policy.hpp>

#include <type_traits>

#include <pleat/base/config.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::compute {

namespace detail {

/// Sums are taken in the result's type.
template <class R> struct widen_to {
  template <class T> PLEAT_FUNCTION R operator()(T const& x) const { return static_cast<R>(x); }
};

template <class T, class R> struct exclusive_scan_work {
  using result = void;
  index_t n;
  T const* x;
  R first;
  R* y;
  template <class Policy> void operator()(Policy const& policy) const {
    auto const from = thrust::transform_iterator<widen_to<R>, T const*, R, R>(x, widen_to<R>{});
    thrust::exclusive_scan(policy, from, from + n, y, first);
  }
};
template <class T, class R> struct inclusive_scan_work {
  using result = void;
  index_t n;
  T const* x;
  R* y;
  template <class Policy> void operator()(Policy const& policy) const {
    auto const from = thrust::transform_iterator<widen_to<R>, T const*, R, R>(x, widen_to<R>{});
    thrust::inclusive_scan(policy, from, from + n, y);
  }
};

template <class R> [[nodiscard]] constexpr double scan_amount(index_t n) noexcept {
  return std::is_floating_point_v<R> ? 0.0 : static_cast<double>(n);  // 0: below the serial cut-off
}

}  // namespace detail

/// y[i] = first + x[0] + … + x[i − 1]. y may be x.
template <class Space, class T, class R> void exclusive_scan(Space const& space, index_t n, T const* x, R first, R* y) {
  if (n > 0) detail::with_thrust(space, detail::scan_amount<R>(n), detail::exclusive_scan_work<T, R>{n, x, first, y});
}

/// y[i] = x[0] + … + x[i]. y may be x.
template <class Space, class T, class R> void inclusive_scan(Space const& space, index_t n, T const* x, R* y) {
  if (n > 0) detail::with_thrust(space, detail::scan_amount<R>(n), detail::inclusive_scan_work<T, R>{n, x, y});
}

}  // namespace pleat::compute
