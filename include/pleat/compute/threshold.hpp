// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The exact k-th largest number, by counting digits of sortable keys from the top: three passes over floats, six over
/// doubles, no copy and no sort. Needs no Thrust.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <type_traits>

#include <pleat/compute/histogram.hpp>

namespace pleat::compute {

/// A run of numbers; several runs are ranked together (a network's prunable weights).
template <class T> struct number_run {
  T const* data = nullptr;
  index_t n = 0;
};

/// The k-th largest and how many lie above it and at it: above < k ≤ above + equal. To keep exactly k, keep all above
/// and the first k − above of those that are equal.
template <class T> struct ranked_value {
  T value;
  index_t above = 0, equal = 0;
};

namespace detail {

template <class T> using key_of = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;

/// |x| as an integer that sorts alike; NaN is the largest.
template <class T> struct magnitude_key {
  using value_type = T;
  PLEAT_INLINE static key_of<T> key(T x) { return __builtin_bit_cast(key_of<T>, x) & (~key_of<T>{0} >> 1); }
  PLEAT_INLINE static T value(key_of<T> k) { return __builtin_bit_cast(T, k); }
};
/// x as an integer that sorts alike: −0 equals 0, any NaN is the largest.
template <class T> struct value_key {
  using value_type = T;
  static constexpr key_of<T> sign = ~(~key_of<T>{0} >> 1);
  PLEAT_INLINE static key_of<T> key(T x) {
    if (x != x) return ~key_of<T>{0};
    key_of<T> const u = __builtin_bit_cast(key_of<T>, x == T(0) ? T(0) : x);
    return (u & sign) != 0 ? ~u : u | sign;
  }
  PLEAT_INLINE static T value(key_of<T> k) {
    if (k == ~key_of<T>{0}) return std::numeric_limits<T>::quiet_NaN();
    return __builtin_bit_cast(T, (k & sign) != 0 ? static_cast<key_of<T>>(k ^ sign) : static_cast<key_of<T>>(~k));
  }
};

inline constexpr int digit_bits = 11;

/// The digit below `shift + digit_bits` of keys that begin with `prefix`.
template <class Key> struct digit_bin {
  using T = typename Key::value_type;
  T const* x;
  key_of<T> prefix;
  int shift, top;  // bits at and above `top` are known (top = number of bits: none)
  PLEAT_INLINE index_t operator()(index_t i) const {
    key_of<T> const k = Key::key(x[i]);
    if (top < static_cast<int>(8 * sizeof(T)) && (k >> top) != prefix) return -1;
    return static_cast<index_t>((k >> shift) & ((key_of<T>{1} << (top - shift)) - 1));
  }
};

/// Where a device counts, once for all digits; a host counts where it reads.
template <class Space>
[[nodiscard]] auto device_counts([[maybe_unused]] Space const& space, [[maybe_unused]] index_t bins) {
  if constexpr (is_host_space_v<Space>) return nullptr;
  else
    return Kokkos::View<index_t*, typename Space::memory_space>(
        Kokkos::view_alloc(space, Kokkos::WithoutInitializing, "pleat"), bins);
}

/// The k-th largest key, 1 ≤ k ≤ total count.
template <class Key, class Space, class T>
ranked_value<T> select_kth(Space const& space, std::span<number_run<T> const> runs, index_t k) {
  constexpr int all_bits = 8 * sizeof(T);
  constexpr index_t bins = index_t{1} << digit_bits;
  index_t counts[bins];
  key_of<T> prefix = 0;
  index_t above = 0, here = 0;
  [[maybe_unused]] auto const there = device_counts(space, bins);
  for (int top = all_bits; top > 0;) {
    int const shift = top > digit_bits ? top - digit_bits : 0;
    for (index_t& c : counts) c = 0;
    if constexpr (is_host_space_v<Space>) {
      for (auto const& r : runs) count_into(space, r.n, digit_bin<Key>{r.data, prefix, shift, top}, bins, counts);
    } else {
      Kokkos::deep_copy(space, there, index_t{0});
      for (auto const& r : runs) count_into(space, r.n, digit_bin<Key>{r.data, prefix, shift, top}, bins, there.data());
      Kokkos::deep_copy(space, Kokkos::View<index_t*, Kokkos::HostSpace, Kokkos::MemoryUnmanaged>(counts, bins), there);
      space.fence("pleat");
    }
    index_t digit = (index_t{1} << (top - shift)) - 1;
    while (digit > 0 && above + counts[digit] < k) above += counts[digit--];
    here = counts[digit];
    prefix = static_cast<key_of<T>>((top == all_bits ? key_of<T>{0} : prefix << (top - shift)) |
                                    static_cast<key_of<T>>(digit));
    top = shift;
  }
  return {Key::value(prefix), above, here};
}

template <class T> [[nodiscard]] index_t total_count(std::span<number_run<T> const> runs) {
  index_t n = 0;
  for (auto const& r : runs) n += r.n;
  return n;
}

}  // namespace detail

/// The k-th largest |x| over all runs, exact: the threshold of magnitude pruning that keeps k numbers. NaN counts as
/// largest. k ≤ 0 gives +inf with nothing above or equal; k above the count is taken as the count. Waits for the
/// instance.
template <class Space, class T>
[[nodiscard]] ranked_value<T> threshold_of_top_k(Space const& space, std::span<number_run<T> const> runs, index_t k) {
  index_t const n = detail::total_count(runs);
  if (k <= 0 || n == 0) return {std::numeric_limits<T>::infinity(), 0, 0};
  return detail::select_kth<detail::magnitude_key<T>>(space, runs, k < n ? k : n);
}
template <class Space, class T>
[[nodiscard]] ranked_value<T> threshold_of_top_k(Space const& space, index_t n, T const* x, index_t k) {
  number_run<T> const one{x, n};
  return threshold_of_top_k(space, std::span<number_run<T> const>(&one, 1), k);
}

/// The same for x itself (not its magnitude).
template <class Space, class T>
[[nodiscard]] ranked_value<T> kth_largest(Space const& space, index_t n, T const* x, index_t k) {
  if (k <= 0 || n <= 0) return {std::numeric_limits<T>::infinity(), 0, 0};
  number_run<T> const one{x, n};
  return detail::select_kth<detail::value_key<T>>(space, std::span<number_run<T> const>(&one, 1), k < n ? k : n);
}

}  // namespace pleat::compute
