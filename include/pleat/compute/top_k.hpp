// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The k largest elements and where they stand. Not in the umbrella (Thrust); a threshold alone needs threshold.hpp
/// only.
#pragma once

#include <pleat/compute/detail/thrust_policy.hpp>
#include <pleat/compute/threshold.hpp>

namespace pleat::compute {

namespace detail {

template <class T> struct above_key {
  key_of<T> key;
  PLEAT_FUNCTION bool operator()(T const& x) const { return value_key<T>::key(x) > key; }
};
template <class T> struct at_key {
  key_of<T> key;
  PLEAT_FUNCTION bool operator()(T const& x) const { return value_key<T>::key(x) == key; }
};
/// Larger values first, then smaller indices.
template <class T> struct rank_before {
  T const* x;
  PLEAT_FUNCTION bool operator()(index_t a, index_t b) const {
    key_of<T> const ka = value_key<T>::key(x[a]), kb = value_key<T>::key(x[b]);
    return ka != kb ? ka > kb : a < b;
  }
};

/// `equal` (n indices of room) receives those at the threshold; of them the first k − above are taken.
template <class T> struct top_k_work {
  using result = void;
  index_t n, k, above;
  T threshold;
  T const* x;
  index_t* index;
  index_t* equal;
  template <class Policy> void operator()(Policy const& policy) const {
    key_of<T> const key = value_key<T>::key(threshold);
    thrust::counting_iterator<index_t> const first(0);
    thrust::copy_if(policy, first, first + n, x, index, above_key<T>{key});
    thrust::copy_if(policy, first, first + n, x, equal, at_key<T>{key});
    thrust::copy(policy, equal, equal + (k - above), index + above);
    thrust::stable_sort(policy, index, index + k, rank_before<T>{x});
  }
};

template <class T> struct take_body {
  T const* x;
  index_t const* index;
  T* y;
  PLEAT_INLINE void operator()(index_t i) const { y[i] = x[index[i]]; }
};

}  // namespace detail

/// values[0 … k) = the k largest of x[0 … n), descending; index[j] = where values[j] stands. Of equal values the
/// earlier ones are taken and come first; −0 equals 0; NaN is the largest. Waits for the instance; allocates room for the
/// elements that equal the k-th.
/// \param k at most n (else pleat::error)   \param values may be null
template <class Space, class T>
void top_k(Space const& space, index_t n, T const* x, index_t k, T* values, index_t* index) {
  if (k > n || k < 0)
    throw error{"compute::top_k", "k = " + std::to_string(k) + " of n = " + std::to_string(n) + " elements",
                "Ask for as many as there are, or fewer"};
  if (k == 0) return;
  auto const t = kth_largest(space, n, x, k);
  Kokkos::View<index_t*, typename Space::memory_space> const equal(
      Kokkos::view_alloc(Kokkos::WithoutInitializing, "pleat"), t.equal);
  detail::with_thrust(space, 2.0 * static_cast<double>(n),
                      detail::top_k_work<T>{n, k, t.above, t.value, x, index, equal.data()});
  if (values != nullptr) for_each(space, k, detail::take_body<T>{x, index, values});
  if constexpr (!is_host_space_v<Space>) space.fence("pleat");
}

}  // namespace pleat::compute
