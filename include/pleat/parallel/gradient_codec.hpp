// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Gradient codecs as values: top-k, int8 by groups, PowerSGD; which exchange each can travel by, and what a codec of
/// one's own must have. They work on the host, where messages are.
#pragma once

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <type_traits>

#include <pleat/base/error.hpp>
#include <pleat/base/math.hpp>
#include <pleat/base/number_text.hpp>
#include <pleat/base/random.hpp>
#include <pleat/parallel/coded_sum.hpp>

namespace pleat::parallel {

/// How coded gradients become one.
namespace exchanges {
struct all_gather {};  ///< everybody receives everybody's message and adds what it says, in rank order
struct all_reduce {};  ///< what is sent can be added by the transport
/// everybody receives the sum of its part: how sharded state is exchanged, which no codec does
struct reduce_scatter {};
}  // namespace exchanges

namespace detail {

template <class T> using magnitude_bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
/// |x| as an integer that sorts alike; NaN is the largest.
template <class T> [[nodiscard]] inline magnitude_bits<T> magnitude_of(T x) noexcept {
  return std::bit_cast<magnitude_bits<T>>(x) & (~magnitude_bits<T>{0} >> 1);
}

/// The k-th largest magnitude, by counting digits from the top; `above` receives how many are larger. Allocates
/// nothing. 1 ≤ k ≤ n.
template <class T>
[[nodiscard]] magnitude_bits<T> kth_magnitude(index_t n, T const* x, index_t k, index_t& above) noexcept {
  constexpr int digit = 8, all = 8 * static_cast<int>(sizeof(T));
  magnitude_bits<T> prefix = 0;
  above = 0;
  for (int shift = all - digit; shift >= 0; shift -= digit) {
    index_t counts[1 << digit] = {};
    for (index_t i = 0; i < n; ++i) {
      auto const m = magnitude_of(x[i]);
      if (shift + digit < all && (m >> (shift + digit)) != prefix) continue;
      ++counts[(m >> shift) & 255u];
    }
    int d = 255;
    while (d > 0 && above + counts[d] < k) above += counts[d--];
    prefix =
        static_cast<magnitude_bits<T>>((shift + digit < all ? prefix << digit : 0) | static_cast<magnitude_bits<T>>(d));
  }
  return prefix;
}

[[nodiscard]] constexpr index_t whole_words(index_t bytes) noexcept { return (bytes + 7) / 8 * 8; }

template <class U> inline void put(std::byte* to, index_t i, U const& u) noexcept {
  std::memcpy(to + i * static_cast<index_t>(sizeof(U)), &u, sizeof(U));
}
template <class U> [[nodiscard]] inline U get(std::byte const* from, index_t i) noexcept {
  U u;
  std::memcpy(&u, from + i * static_cast<index_t>(sizeof(U)), sizeof(U));
  return u;
}

/// Eight chains, so that it vectorises in one order.
template <class T> [[nodiscard]] inline T product_of(index_t n, T const* x, T const* y) noexcept {
  T sum[8] = {};
  index_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (int c = 0; c < 8; ++c) sum[c] += x[i + c] * y[i + c];
  for (; i < n; ++i) sum[0] += x[i] * y[i];
  return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

template <class C, class T>
concept gathers = requires(C const c, gradient_shape s, T* x, T const* y, std::byte* m, std::byte const* r) {
  { c.template bytes<T>(s) } -> std::same_as<index_t>;
  c.encode(s, y, m);
  c.add(s, r, T(1), x);
};
template <class C, class T>
concept factors = requires(C const c, gradient_shape s, T* x, T const* y) {
  { c.rank_of(s) } -> std::same_as<index_t>;
  c.draw(s, std::uint64_t{}, x);
  c.first(s, y, y, x);
  c.between(s, x);
  c.second(s, y, y, x);
  c.add(s, y, y, T(1), x);
  c.keep(s, y, std::uint64_t{}, x);
};

}  // namespace detail

/// Says what a gradient codec lacks, and refuses an exchange that it cannot travel by.
template <class Codec, class Exchange> constexpr void demand_gradient_codec() {
  static_assert(
      requires { typename Codec::exchange; },
      "pleat: a gradient codec says how it travels: using exchange = pleat::parallel::exchanges::all_gather (or "
      "all_reduce)");
  static_assert(
      requires(Codec const c) {
        { c.words() } -> std::convertible_to<std::string>;
      }, "pleat: a gradient codec has words(): its name and settings, for errors and for the comparison of ranks");
  static_assert(!std::is_same_v<Exchange, exchanges::reduce_scatter>,
                "pleat: no gradient codec travels by reduce_scatter: messages are those of whole gradients, whichever "
                "piece of the sum a rank wants; say exchanges::all_gather or exchanges::all_reduce");
  if constexpr (requires { typename Codec::exchange; }) {
    if constexpr (std::is_same_v<typename Codec::exchange, exchanges::all_gather>) {
      static_assert(!std::is_same_v<Exchange, exchanges::all_reduce>,
                    "pleat: messages of this gradient codec cannot be added (each rank has indices or scales of its "
                    "own): it travels by exchanges::all_gather");
      static_assert(detail::gathers<Codec, float>,
                    "pleat: a gradient codec that is gathered has bytes<T>(shape), encode(shape, T const*, std::byte*) "
                    "and add(shape, std::byte const*, T factor, T*)");
    } else {
      static_assert(!std::is_same_v<Exchange, exchanges::all_gather>,
                    "pleat: factors of this gradient codec must be summed before the next ones are known: it travels "
                    "by exchanges::all_reduce");
      static_assert(detail::factors<Codec, float>,
                    "pleat: a gradient codec that is reduced has rank_of, draw, first, between, second, add and keep, "
                    "as parallel::power_sgd");
    }
  }
}

/// Sends the `part` of a gradient's elements whose magnitudes are largest, with their indices: 4 bytes and a number
/// each. Of equal ones the first. Exact about what it sends. Error of one rank's gradient: no element off by more than
/// the smallest magnitude sent. Aji, Heafield, "Sparse communication for distributed gradient descent",
/// arXiv:1704.05021; with error feedback Stich et al., arXiv:1809.07599.
struct top_k {
  using exchange = exchanges::all_gather;
  double part = 0.01;  ///< of each gradient's elements, at least one; in (0, 1]

  [[nodiscard]] std::string words() const { return "top_k(part = " + pleat::detail::number_text(part) + ")"; }
  void check() const {
    if (!(part > 0 && part <= 1))
      throw error{"parallel::top_k", "the part must lie in (0, 1], found " + pleat::detail::number_text(part),
                  "Use 0.01 for one gradient of a hundred"};
  }
  [[nodiscard]] index_t count(index_t n) const noexcept {
    return std::clamp<index_t>(static_cast<index_t>(std::ceil(part * static_cast<double>(n))), n > 0 ? 1 : 0, n);
  }
  /// Bytes of a message; negative: it cannot be coded (indices have 32 bits).
  template <class T> [[nodiscard]] index_t bytes(gradient_shape s) const noexcept {
    if (s.size() > static_cast<index_t>(std::numeric_limits<std::uint32_t>::max())) return -1;
    return detail::whole_words(count(s.size()) * static_cast<index_t>(sizeof(T) + sizeof(std::uint32_t)));
  }
  template <class T> void encode(gradient_shape s, T const* x, std::byte* message) const noexcept {
    index_t const n = s.size(), k = count(n);
    if (k == 0) return;
    index_t above = 0;
    auto const limit = detail::kth_magnitude(n, x, k, above);
    index_t equal = k - above, at = 0;
    std::byte* const values = message + k * static_cast<index_t>(sizeof(std::uint32_t));
    for (index_t i = 0; i < n && at < k; ++i) {
      auto const m = detail::magnitude_of(x[i]);
      if (m < limit || (m == limit && equal == 0)) continue;
      if (m == limit) --equal;
      detail::put(message, at, static_cast<std::uint32_t>(i));
      detail::put(values, at, x[i]);
      ++at;
    }
  }
  /// y += factor · what the message says.
  template <class T> void add(gradient_shape s, std::byte const* message, T factor, T* y) const noexcept {
    index_t const k = count(s.size());
    std::byte const* const values = message + k * static_cast<index_t>(sizeof(std::uint32_t));
    for (index_t j = 0; j < k; ++j) y[detail::get<std::uint32_t>(message, j)] += factor * detail::get<T>(values, j);
  }
};

/// Sends integers of 8 bits, q = round(x/s), s = max|x|/127 of `group_size` elements: about a quarter of float. Error
/// of an element of one rank's gradient: at most s/2 and rounding.
struct int8_groups {
  using exchange = exchanges::all_gather;
  index_t group_size = 256;  ///< elements that share a scale

  [[nodiscard]] std::string words() const { return "int8_groups(group_size = " + std::to_string(group_size) + ")"; }
  void check() const {
    if (group_size < 1)
      throw error{"parallel::int8_groups",
                  "a group has at least one element, found group_size = " + std::to_string(group_size),
                  "Use group_size = 128"};
  }
  [[nodiscard]] index_t groups(index_t n) const noexcept { return (n + group_size - 1) / group_size; }
  template <class T> [[nodiscard]] index_t bytes(gradient_shape s) const noexcept {
    return detail::whole_words(groups(s.size()) * static_cast<index_t>(sizeof(T)) + s.size());
  }
  template <class T> void encode(gradient_shape s, T const* x, std::byte* message) const noexcept {
    index_t const n = s.size(), all = groups(n);
    std::byte* const codes = message + all * static_cast<index_t>(sizeof(T));
    for (index_t g = 0; g < all; ++g) {
      index_t const begin = g * group_size, end = std::min(n, begin + group_size);
      T largest = 0;
      for (index_t i = begin; i < end; ++i) largest = std::max(largest, std::abs(x[i]));
      T const scale = largest / T(127);
      detail::put(message, g, scale);
      for (index_t i = begin; i < end; ++i) {
        // a subnormal scale may be a little small
        T const q = scale > 0 ? std::clamp(std::nearbyint(x[i] / scale), T(-127), T(127)) : T(0);
        codes[i] = static_cast<std::byte>(static_cast<std::int8_t>(q));
      }
    }
  }
  template <class T> void add(gradient_shape s, std::byte const* message, T factor, T* y) const noexcept {
    index_t const n = s.size(), all = groups(n);
    std::byte const* const codes = message + all * static_cast<index_t>(sizeof(T));
    for (index_t g = 0; g < all; ++g) {
      T const scale = factor * detail::get<T>(message, g);
      for (index_t i = g * group_size; i < std::min(n, (g + 1) * group_size); ++i)
        y[i] += scale * static_cast<T>(static_cast<std::int8_t>(codes[i]));
    }
  }
};

/// Sends a gradient M [rows, columns] as two thin factors: P = Σ M·Q, made orthonormal, then Q = Σ Mᵀ·P; the sum is
/// taken as P·Qᵀ, which is the projection of Σ M onto the columns of P. One power iteration per step, which begins with
/// the last step's Q. rank·(rows + columns) numbers, summed by all-reduces. A rank's residual is M − P·(Mᵀ·P)ᵀ. Factors
/// are kept by columns: P [rank, rows], Q [rank, columns]. T. Vogels, S. P. Karimireddy, M. Jaggi, "PowerSGD", NeurIPS
/// 2019, arXiv:1905.13727, algorithm 1.
struct power_sgd {
  using exchange = exchanges::all_reduce;
  index_t rank = 2;
  std::uint64_t seed = 0;  ///< of the first Q; the same on every rank

  [[nodiscard]] std::string words() const {
    return "power_sgd(rank = " + std::to_string(rank) + ", seed = " + std::to_string(seed) + ")";
  }
  void check() const {
    if (rank < 1)
      throw error{"parallel::power_sgd", "the rank must be at least 1, found " + std::to_string(rank),
                  "Use a rank of 1 or more"};
  }
  /// Columns of the factors for a gradient of this shape; 0: a vector, which has no factors.
  [[nodiscard]] index_t rank_of(gradient_shape s) const noexcept {
    return s.rows > 1 && s.columns > 1 ? std::min({rank, s.rows, s.columns}) : 0;
  }
  /// The first Q.
  template <class T> void draw(gradient_shape s, std::uint64_t key, T* q) const noexcept {
    for (index_t c = 0; c < rank_of(s); ++c) draw_column(s, key, 0, c, q);
  }
  /// p = M·Q.
  template <class T> void first(gradient_shape s, T const* m, T const* q, T* p) const noexcept {
    for (index_t c = 0; c < rank_of(s); ++c)
      for (index_t i = 0; i < s.rows; ++i)
        p[c * s.rows + i] = detail::product_of(s.columns, m + i * s.columns, q + c * s.columns);
  }
  /// Columns of p made orthonormal: Gram–Schmidt, twice. One that depends on those before it becomes zero.
  template <class T> void between(gradient_shape s, T* p) const noexcept {
    index_t const n = s.rows;
    for (index_t c = 0; c < rank_of(s); ++c) {
      T* const x = p + c * n;
      double const before = norm(n, x);
      for (int pass = 0; pass < 2; ++pass)
        for (index_t d = 0; d < c; ++d) {
          T const* const y = p + d * n;
          double along = 0;
          for (index_t i = 0; i < n; ++i) along += static_cast<double>(x[i]) * static_cast<double>(y[i]);
          for (index_t i = 0; i < n; ++i)
            x[i] = static_cast<T>(static_cast<double>(x[i]) - along * static_cast<double>(y[i]));
        }
      double const after = norm(n, x);
      bool const depends = !(after > 16 * static_cast<double>(std::numeric_limits<T>::epsilon()) * before);
      for (index_t i = 0; i < n; ++i) x[i] = depends ? T(0) : static_cast<T>(static_cast<double>(x[i]) / after);
    }
  }
  /// q = Mᵀ·p.
  template <class T> void second(gradient_shape s, T const* m, T const* p, T* q) const noexcept {
    std::fill(q, q + rank_of(s) * s.columns, T(0));
    for (index_t i = 0; i < s.rows; ++i)
      for (index_t c = 0; c < rank_of(s); ++c)
        add_multiple(s.columns, p[c * s.rows + i], m + i * s.columns, q + c * s.columns);
  }
  /// y += factor · p·qᵀ.
  template <class T> void add(gradient_shape s, T const* p, T const* q, T factor, T* y) const noexcept {
    for (index_t i = 0; i < s.rows; ++i)
      for (index_t c = 0; c < rank_of(s); ++c)
        add_multiple(s.columns, factor * p[c * s.rows + i], q + c * s.columns, y + i * s.columns);
  }
  /// What the next step begins with: columns of the summed q, of length 1; a column of zeros is drawn anew, from how
  /// often it was kept
  template <class T> void keep(gradient_shape s, T const* q, std::uint64_t step_and_key, T* next) const noexcept {
    for (index_t c = 0; c < rank_of(s); ++c) {
      T const* const x = q + c * s.columns;
      double const length = norm(s.columns, x);
      if (!(length > 0 && length < std::numeric_limits<double>::infinity())) draw_column(s, step_and_key, 1, c, next);
      else
        for (index_t j = 0; j < s.columns; ++j)
          next[c * s.columns + j] = static_cast<T>(static_cast<double>(x[j]) / length);
    }
  }

 private:
  template <class T>
  void draw_column(gradient_shape s, std::uint64_t key, std::uint64_t salt, index_t c, T* q) const noexcept {
    random::stream const r(seed + salt, key);
    for (index_t j = 0; j < s.columns; ++j)
      q[c * s.columns + j] = static_cast<T>(2 * r.uniform(static_cast<std::uint64_t>(c * s.columns + j)) - 1);
  }
  template <class T> [[nodiscard]] static double norm(index_t n, T const* x) noexcept {
    double sum = 0;
    for (index_t i = 0; i < n; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    return std::sqrt(sum);
  }
  template <class T> static void add_multiple(index_t n, T a, T const* x, T* y) noexcept {
    for (index_t j = 0; j < n; ++j) y[j] += a * x[j];
  }
};

}  // namespace pleat::parallel
