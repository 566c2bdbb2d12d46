// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Stable sorting: numbers on few host threads digit by digit, all else through Thrust (OpenMP on the host, CUDA on the
/// device). Not in the umbrella: include it where it is needed. Equal keys keep their order, and NaN is larger than
/// every number, so the result is one and the same everywhere.
#pragma once

#include <pleat/compute/detail/radix_sort.hpp>
#include <pleat/compute/detail/thrust_policy.hpp>

#include <pleat/base/config.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::compute {

enum class order : char { ascending, descending };

namespace detail {

/// a before b, for numbers of any kind; comparing a NaN with itself is spelled so that integers fit too.
template <class T> struct number_less {
  PLEAT_FUNCTION bool operator()(T const& a, T const& b) const { return a < b || (b != b && a == a); }
};
template <class T> struct number_greater {
  PLEAT_FUNCTION bool operator()(T const& a, T const& b) const { return b < a || (a != a && b == b); }
};

template <class K, class Less> struct sort_work {
  using result = void;
  index_t n;
  K* keys;
  template <class Policy> void operator()(Policy const& policy) const {
    thrust::stable_sort(policy, keys, keys + n, Less{});
  }
};
template <class K, class V, class Less> struct sort_pairs_work {
  using result = void;
  index_t n;
  K* keys;
  V* values;
  template <class Policy> void operator()(Policy const& policy) const {
    thrust::stable_sort_by_key(policy, keys, keys + n, values, Less{});
  }
};
template <class K> struct count_runs_work {
  using result = index_t;
  index_t n;
  K const* keys;
  K* unique;
  index_t* counts;
  template <class Policy> index_t operator()(Policy const& policy) const {
    auto const end =
        thrust::reduce_by_key(policy, keys, keys + n, thrust::constant_iterator<index_t>(1), unique, counts);
    return static_cast<index_t>(end.first - unique);
  }
};

inline constexpr double sort_work_per_element = 20;

/// Whether one thread that looks at digits is ahead of all threads of the instance that compare.
template <class K, class Space> [[nodiscard]] bool sorts_by_digits(Space const& space, index_t n) {
  if constexpr (is_host_space_v<Space> && has_digits_v<K>) {
    constexpr index_t few_elements = 2048;
    constexpr int few_threads = 8;
    return n >= few_elements && concurrency_of(space) <= few_threads;
  } else {
    static_cast<void>(space), static_cast<void>(n);
    return false;
  }
}

}  // namespace detail

/// Sorts keys[0 … n) in place.
template <class Space, class K> void sort(Space const& space, index_t n, K* keys, order o = order::ascending) {
  if (n <= 1) return;
  if constexpr (is_host_space_v<Space> && detail::has_digits_v<K>)
    if (detail::sorts_by_digits<K>(space, n))
      return detail::radix_sort(n, keys, static_cast<detail::no_values*>(nullptr), o == order::descending);
  double const amount = detail::sort_work_per_element * static_cast<double>(n);
  if (o == order::ascending) detail::with_thrust(space, amount, detail::sort_work<K, detail::number_less<K>>{n, keys});
  else detail::with_thrust(space, amount, detail::sort_work<K, detail::number_greater<K>>{n, keys});
}

/// Sorts keys[0 … n) and takes values[0 … n) along.
template <class Space, class K, class V>
void sort_pairs(Space const& space, index_t n, K* keys, V* values, order o = order::ascending) {
  if (n <= 1) return;
  if constexpr (is_host_space_v<Space> && detail::has_digits_v<K> && std::is_trivially_copyable_v<V> &&
                std::is_default_constructible_v<V>)
    if (detail::sorts_by_digits<K>(space, n)) return detail::radix_sort(n, keys, values, o == order::descending);
  double const amount = detail::sort_work_per_element * static_cast<double>(n);
  if (o == order::ascending)
    detail::with_thrust(space, amount, detail::sort_pairs_work<K, V, detail::number_less<K>>{n, keys, values});
  else detail::with_thrust(space, amount, detail::sort_pairs_work<K, V, detail::number_greater<K>>{n, keys, values});
}

/// Runs of equal neighbours in `keys` (sorted: every distinct key once): unique[r] and counts[r], up to n each.
/// \returns how many runs. Waits for the instance.
template <class Space, class K>
index_t count_runs(Space const& space, index_t n, K const* keys, K* unique, index_t* counts) {
  if (n <= 0) return 0;
  return detail::with_thrust(space, static_cast<double>(n), detail::count_runs_work<K>{n, keys, unique, counts});
}

}  // namespace pleat::compute
