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

#include <pleat/base/config.hpp>
#include <pleat/base/isa.hpp>
#include <pleat/comm/types.hpp>

namespace pleat::comm::detail {

/// Whether a reduction makes sense for an element type: bits of integers only, no sum or product of booleans.
PLEAT_LAZY [[nodiscard]] constexpr bool reducible(dtype t, reduction op) noexcept {
  bool const bits = op == reduction::bit_and || op == reduction::bit_or;
  bool const floating = t == dtype::f16 || t == dtype::bf16 || t == dtype::f32 || t == dtype::f64;
  if (t == dtype::boolean) return op != reduction::sum && op != reduction::prod;
  return !(bits && floating);
}

/// 16-bit floats are added in float; every other type in itself. Booleans are bytes.
template <class T>
using accumulator_t = std::conditional_t<std::is_same_v<T, half> || std::is_same_v<T, bfloat16>, float, T>;

template <reduction Op, class A> [[nodiscard]] inline A combine(A a, A b) noexcept {
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
    else return a * b;
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

/// to = a + b; `to` may be a or b themselves. The loop, for code of any instruction set: additions have the same bits.
template <class T> [[gnu::always_inline]] inline void add_loop(T* to, T const* a, T const* b, index_t n) noexcept {
#if defined(__clang__)
#pragma clang loop vectorize(assume_safety)
#elif defined(__GNUC__) && !defined(__CUDACC__)
#pragma GCC ivdep
#endif
  for (index_t i = 0; i < n; ++i) to[i] = a[i] + b[i];
}
#if defined(__x86_64__)
template <class T> PLEAT_TARGET_AVX2 void add_avx2(T* to, T const* a, T const* b, index_t n) noexcept {
  add_loop(to, a, b, n);
}
#endif
template <class T> inline void add_blocks(T* to, T const* a, T const* b, index_t n) noexcept {
#if defined(__x86_64__)
  if (isa::best() >= isa::level::avx2) return add_avx2(to, a, b, n);
#endif
  add_loop(to, a, b, n);
}

/// One block of a reduction at a time, behind function pointers: the loops exist once per (type, operation), whoever
/// stores the result.
struct block_operations {
  void (*load)(void* acc, void const* x, index_t n);                  ///< acc = x
  void (*first)(void* acc, void const* x, void const* y, index_t n);  ///< acc = x (op) y; may be one of them
  void (*combine)(void* acc, void const* x, index_t n);               ///< acc = acc (op) x
  void (*round)(void* out, void const* acc, index_t n);  ///< out = acc in the element type; null: acc has it already
};

template <class T> void load_block(void* acc, void const* x, index_t n) {
  auto* a = static_cast<accumulator_t<T>*>(acc);
  auto const* p = static_cast<T const*>(x);
  for (index_t i = 0; i < n; ++i) a[i] = static_cast<accumulator_t<T>>(p[i]);
}
template <class T, reduction Op> void first_block_of(void* acc, void const* x, void const* y, index_t n) {
  using A = accumulator_t<T>;
  auto* a = static_cast<A*>(acc);
  auto const *p = static_cast<T const*>(x), *q = static_cast<T const*>(y);
  if constexpr (Op == reduction::sum && std::is_floating_point_v<T>) return add_blocks<T>(a, p, q, n);
  for (index_t i = 0; i < n; ++i) a[i] = combine<Op>(static_cast<A>(p[i]), static_cast<A>(q[i]));
}
template <class T, reduction Op> void combine_block_of(void* acc, void const* x, index_t n) {
  using A = accumulator_t<T>;
  auto* a = static_cast<A*>(acc);
  auto const* p = static_cast<T const*>(x);
  for (index_t i = 0; i < n; ++i) a[i] = combine<Op>(a[i], static_cast<A>(p[i]));
}
template <class T> void round_block(void* out, void const* acc, index_t n) {
  auto const* a = static_cast<accumulator_t<T> const*>(acc);
  for (index_t i = 0; i < n; ++i) static_cast<T*>(out)[i] = T(a[i]);
}

template <class T> [[nodiscard]] block_operations operations_of(reduction op) {
  constexpr bool wide = !std::is_same_v<accumulator_t<T>, T>;
  constexpr void (*firsts[])(void*, void const*, void const*, index_t) = {
      first_block_of<T, reduction::sum>,  first_block_of<T, reduction::min>,     first_block_of<T, reduction::max>,
      first_block_of<T, reduction::prod>, first_block_of<T, reduction::bit_and>, first_block_of<T, reduction::bit_or>};
  constexpr void (*combiners[])(void*, void const*, index_t) = {
      combine_block_of<T, reduction::sum>,     combine_block_of<T, reduction::min>,
      combine_block_of<T, reduction::max>,     combine_block_of<T, reduction::prod>,
      combine_block_of<T, reduction::bit_and>, combine_block_of<T, reduction::bit_or>};
  auto const i = static_cast<std::size_t>(op);
  return {load_block<T>, firsts[i], combiners[i], wide ? round_block<T> : nullptr};
}

/// Booleans travel as bytes of 0 or 1.
PLEAT_ONCE [[nodiscard]] block_operations operations_of(dtype t, reduction op) {
  switch (t) {
    case dtype::boolean:
    case dtype::u8:
      return operations_of<std::uint8_t>(op);
    case dtype::i8:
      return operations_of<std::int8_t>(op);
    case dtype::i16:
      return operations_of<std::int16_t>(op);
    case dtype::u16:
      return operations_of<std::uint16_t>(op);
    case dtype::f16:
      return operations_of<half>(op);
    case dtype::bf16:
      return operations_of<bfloat16>(op);
    case dtype::i32:
      return operations_of<std::int32_t>(op);
    case dtype::u32:
      return operations_of<std::uint32_t>(op);
    case dtype::f32:
      return operations_of<float>(op);
    case dtype::f64:
      return operations_of<double>(op);
    case dtype::i64:
      return operations_of<std::int64_t>(op);
    case dtype::u64:
      return operations_of<std::uint64_t>(op);
  }
  return {};
}
PLEAT_COMPILED_ONCE(block_operations operations_of(dtype t, reduction op));

/// Block of the elementwise loops: accumulators of 512 doubles are 4 KiB and stay in the first-level cache.
inline constexpr index_t combine_block = 512;

/// memcpy that knows that a buffer may be its own copy, and that nothing may be null.
inline void copy_bytes(void* to, void const* from, index_t bytes) noexcept {
  if (bytes > 0 && to != from) std::memmove(to, from, static_cast<std::size_t>(bytes));
}

/// source(r) = first byte of rank r's operand for element 0; target(b) = where element b of the result goes. Combines
/// ranks 0, 1, … in this order. The last operation writes the result where it goes, after every operand of its element
/// was read, so targets may be the sources themselves. \param after(b, bytes, result) hears of every block
template <class Source, class Target, class After>
void fold(dtype t, reduction op, int ranks, index_t begin, index_t end, Source const& source, Target const& target,
          After const& after) {
  block_operations const block = operations_of(t, op);
  auto const size = static_cast<index_t>(size_of(t));
  alignas(64) std::byte acc[combine_block * 8];
  for (index_t b = begin; b < end; b += combine_block) {
    index_t const n = std::min(combine_block, end - b);
    auto const operand = [&](int r) { return static_cast<std::byte const*>(source(r)) + b * size; };
    void* const to = target(b);
    void const* sum = operand(0);  // of the ranks so far, in the element type where no rounding is due
    if (block.round && ranks == 1) block.load(acc, sum, n);
    for (int r = 1; r < ranks; ++r) {
      void* const here = r + 1 < ranks || block.round ? acc : to;
      if (r > 1 && here == acc) block.combine(acc, operand(r), n);
      else block.first(here, sum, operand(r), n);
      sum = here;
    }
    if (block.round) block.round(to, acc, n);
    else copy_bytes(to, sum, n * size);
    after(b, n * size, static_cast<void const*>(to));
  }
}

PLEAT_LAZY [[nodiscard]] inline std::byte const* at(void const* p, index_t elements, dtype t) noexcept {
  return static_cast<std::byte const*>(p) + elements * static_cast<index_t>(size_of(t));
}
PLEAT_LAZY [[nodiscard]] inline std::byte* at(void* p, index_t elements, dtype t) noexcept {
  return static_cast<std::byte*>(p) + elements * static_cast<index_t>(size_of(t));
}

}  // namespace pleat::comm::detail
