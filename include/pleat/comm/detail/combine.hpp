// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Elementwise reductions over the buffers of several ranks, in ascending rank order.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include <pleat/comm/types.hpp>

namespace pleat::comm::detail {

/// Whether a reduction makes sense for an element type: bits of integers only, no sum or product of booleans.
[[nodiscard]] constexpr bool reducible(dtype t, reduction op) noexcept {
  bool const bits = op == reduction::bit_and || op == reduction::bit_or;
  bool const floating = t == dtype::f16 || t == dtype::bf16 || t == dtype::f32 || t == dtype::f64;
  if (t == dtype::boolean) return op != reduction::sum && op != reduction::prod;
  return !(bits && floating);
}

/// 16-bit floats are added in float; every other type in itself. Booleans are bytes.
template <class T>
using accumulator_t = std::conditional_t<std::is_same_v<T, half> || std::is_same_v<T, bfloat16>, float, T>;

template <reduction Op, class A>
[[nodiscard]] inline A combine(A a, A b) noexcept {
  if constexpr (Op == reduction::sum) {
    if constexpr (std::is_integral_v<A>) {  // wraps: signed overflow would be undefined
      using U = std::make_unsigned_t<A>;
      return static_cast<A>(static_cast<U>(static_cast<U>(a) + static_cast<U>(b)));
    } else {
      return a + b;
    }
  } else if constexpr (Op == reduction::prod) {
    if constexpr (std::is_integral_v<A>)
      return static_cast<A>(static_cast<std::uint64_t>(a) * static_cast<std::uint64_t>(b));
    else
      return a * b;
  } else if constexpr (Op == reduction::min) {
    return b < a ? b : a;
  } else if constexpr (Op == reduction::max) {
    return a < b ? b : a;
  } else if constexpr (std::is_integral_v<A>) {
    return static_cast<A>(Op == reduction::bit_and ? a & b : a | b);
  } else {
    return a;  // refused before it comes here
  }
}

/// Calls f.template operator()<T, Op>() for the run-time pair. Booleans travel as bytes of 0 or 1.
template <class T, class F>
inline void dispatch_op(reduction op, F&& f) {
  switch (op) {
    case reduction::sum:
      return f.template operator()<T, reduction::sum>();
    case reduction::min:
      return f.template operator()<T, reduction::min>();
    case reduction::max:
      return f.template operator()<T, reduction::max>();
    case reduction::prod:
      return f.template operator()<T, reduction::prod>();
    case reduction::bit_and:
      return f.template operator()<T, reduction::bit_and>();
    case reduction::bit_or:
      return f.template operator()<T, reduction::bit_or>();
  }
}
template <class F>
inline void dispatch(dtype t, reduction op, F&& f) {
  switch (t) {
    case dtype::boolean:
    case dtype::u8:
      return dispatch_op<std::uint8_t>(op, f);
    case dtype::i8:
      return dispatch_op<std::int8_t>(op, f);
    case dtype::i16:
      return dispatch_op<std::int16_t>(op, f);
    case dtype::u16:
      return dispatch_op<std::uint16_t>(op, f);
    case dtype::f16:
      return dispatch_op<half>(op, f);
    case dtype::bf16:
      return dispatch_op<bfloat16>(op, f);
    case dtype::i32:
      return dispatch_op<std::int32_t>(op, f);
    case dtype::u32:
      return dispatch_op<std::uint32_t>(op, f);
    case dtype::f32:
      return dispatch_op<float>(op, f);
    case dtype::f64:
      return dispatch_op<double>(op, f);
    case dtype::i64:
      return dispatch_op<std::int64_t>(op, f);
    case dtype::u64:
      return dispatch_op<std::uint64_t>(op, f);
  }
}

/// Block of the elementwise loops: accumulators of 512 doubles are 4 KiB and stay in the first-level cache.
inline constexpr index_t combine_block = 512;

/// source(r) = first byte of rank r's operand for element 0, target(i, bytes, src) stores. Sums ranks 0, 1, … in this
/// order; the result of an element is written only after every operand of it was read, so targets may be the sources
/// themselves.
template <class T, reduction Op>
struct fold {
  template <class Source, class Store>
  static void run(int ranks, index_t begin, index_t end, Source const& source, Store const& store) {
    using A = accumulator_t<T>;
    alignas(64) A acc[combine_block];
    alignas(64) T rounded[combine_block];
    for (index_t b = begin; b < end; b += combine_block) {
      index_t const n = std::min(combine_block, end - b);
      auto const* first = static_cast<T const*>(source(0)) + b;
      for (index_t i = 0; i < n; ++i) acc[i] = static_cast<A>(first[i]);
      for (int r = 1; r < ranks; ++r) {
        auto const* x = static_cast<T const*>(source(r)) + b;
        for (index_t i = 0; i < n; ++i) acc[i] = combine<Op>(acc[i], static_cast<A>(x[i]));
      }
      if constexpr (std::is_same_v<A, T>) {
        store(b, n * static_cast<index_t>(sizeof(T)), static_cast<void const*>(acc));
      } else {
        for (index_t i = 0; i < n; ++i) rounded[i] = T(acc[i]);
        store(b, n * static_cast<index_t>(sizeof(T)), static_cast<void const*>(rounded));
      }
    }
  }
};

/// memcpy that knows that a buffer may be its own copy, and that nothing may be null.
inline void copy_bytes(void* to, void const* from, index_t bytes) noexcept {
  if (bytes > 0 && to != from) std::memmove(to, from, static_cast<std::size_t>(bytes));
}

[[nodiscard]] inline std::byte const* at(void const* p, index_t elements, dtype t) noexcept {
  return static_cast<std::byte const*>(p) + elements * static_cast<index_t>(size_of(t));
}
[[nodiscard]] inline std::byte* at(void* p, index_t elements, dtype t) noexcept {
  return static_cast<std::byte*>(p) + elements * static_cast<index_t>(size_of(t));
}

}  // namespace pleat::comm::detail
