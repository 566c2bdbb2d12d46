// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Picking elements that satisfy a predicate, in their order, through Thrust. Not in the umbrella.
/// A predicate is a functor `bool operator()(T const&) const` marked PLEAT_FUNCTION.
#pragma once

#include <pleat/compute/detail/thrust_policy.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::compute {

namespace detail {

template <class T, class Predicate> struct select_work {
  using result = index_t;
  index_t n;
  T const* x;
  Predicate keep;
  T* y;
  template <class Policy> index_t operator()(Policy const& policy) const {
    return static_cast<index_t>(thrust::copy_if(policy, x, x + n, y, keep) - y);
  }
};
template <class T, class Predicate> struct select_indices_work {
  using result = index_t;
  index_t n;
  T const* x;
  Predicate keep;
  index_t* y;
  template <class Policy> index_t operator()(Policy const& policy) const {
    thrust::counting_iterator<index_t> const first(0);
    return static_cast<index_t>(thrust::copy_if(policy, first, first + n, x, y, keep) - y);
  }
};
template <class T, class Predicate> struct partition_work {
  using result = index_t;
  index_t n;
  T const* x;
  Predicate keep;
  T* kept;
  T* rest;
  template <class Policy> index_t operator()(Policy const& policy) const {
    return static_cast<index_t>(thrust::stable_partition_copy(policy, x, x + n, kept, rest, keep).first - kept);
  }
};
template <class T, class Predicate> struct count_if_work {
  using result = index_t;
  index_t n;
  T const* x;
  Predicate keep;
  template <class Policy> index_t operator()(Policy const& policy) const {
    return static_cast<index_t>(thrust::count_if(policy, x, x + n, keep));
  }
};

}  // namespace detail

/// y = the elements of x that satisfy `keep`, in order; y has room for n and does not overlap x.
/// \returns how many. Waits for the instance.
template <class Space, class T, class Predicate>
index_t select_if(Space const& space, index_t n, T const* x, Predicate const& keep, T* y) {
  if (n <= 0) return 0;
  return detail::with_thrust(space, 2.0 * static_cast<double>(n), detail::select_work<T, Predicate>{n, x, keep, y});
}

/// y = the indices i for which keep(x[i]), ascending; y has room for n.
/// \returns how many. Waits for the instance.
template <class Space, class T, class Predicate>
index_t select_indices(Space const& space, index_t n, T const* x, Predicate const& keep, index_t* y) {
  if (n <= 0) return 0;
  return detail::with_thrust(space, 2.0 * static_cast<double>(n),
                             detail::select_indices_work<T, Predicate>{n, x, keep, y});
}

/// kept = the elements that satisfy `keep`, rest = the others, each in order; both have room for n.
/// \returns how many are kept. Waits for the instance.
template <class Space, class T, class Predicate>
index_t partition(Space const& space, index_t n, T const* x, Predicate const& keep, T* kept, T* rest) {
  if (n <= 0) return 0;
  return detail::with_thrust(space, 2.0 * static_cast<double>(n),
                             detail::partition_work<T, Predicate>{n, x, keep, kept, rest});
}

/// How many elements satisfy `keep`. Waits for the instance.
template <class Space, class T, class Predicate>
[[nodiscard]] index_t count_if(Space const& space, index_t n, T const* x, Predicate const& keep) {
  if (n <= 0) return 0;
  return detail::with_thrust(space, static_cast<double>(n), detail::count_if_work<T, Predicate>{n, x, keep});
}

}  // namespace pleat::compute
