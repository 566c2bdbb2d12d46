// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Version and the function markers. Needs no Kokkos, so that pure headers stay pure.
#pragma once

#include <compare>

#define PLEAT_VERSION_MAJOR 0
#define PLEAT_VERSION_MINOR 1
#define PLEAT_VERSION_PATCH 0

/// Callable on host and device; empty where no device compiler runs.
#if defined(__CUDACC__) || defined(__HIPCC__)
#define PLEAT_FUNCTION __host__ __device__ inline
#define PLEAT_INLINE __host__ __device__ inline __attribute__((always_inline))
#else
#define PLEAT_FUNCTION inline
#define PLEAT_INLINE inline __attribute__((always_inline))
#endif

/// A function that is not worth inlining and that few translation units call: files, reports, words of errors. Not for
/// what a call of the hot path passes through. The word goes first, before attributes: `PLEAT_ONCE [[nodiscard]]
/// std::string words_of(...)`. It makes a template of the function, with a parameter that nobody names, so that a
/// translation unit that does not call it compiles nothing of what the body needs. Hence not for virtual functions,
/// operators and destructors, nor for what is passed by its address. Defined outside of its class, it begins with
/// `template <class>`.
#define PLEAT_ONCE template <class = void> [[gnu::noinline]]

/// Behind the definition of a PLEAT_ONCE function that many programs call: `PLEAT_COMPILED_ONCE(std::string words_of(...))`
/// leaves its code to pleat::kernels in a program that links that target (PLEAT_ONCE_ELSEWHERE), and says nothing in
/// others. Such a function is not inline, hence defined outside of its class: a compiler compiles inline ones all the
/// same. Without the line a function stays as right; whoever calls it compiles it.
#if defined(PLEAT_ONCE_HERE)  // a source of pleat::kernels
#define PLEAT_COMPILED_ONCE(...) template __VA_ARGS__
#elif defined(PLEAT_ONCE_ELSEWHERE)
#define PLEAT_COMPILED_ONCE(...) extern template __VA_ARGS__
#else
#define PLEAT_COMPILED_ONCE(...) static_assert(true)
#endif

/// Whether this translation unit holds the host code that is written in vector intrinsics (`detail/*_vectors.hpp`). A
/// program that links pleat::kernels finds it there, for what depends on no type of the program's own: <immintrin.h> is
/// a fifth of the lines that it would read otherwise. PLEAT_KERNEL and PLEAT_ONCE_HERE: a source of pleat::kernels.
#if !defined(PLEAT_ONCE_ELSEWHERE) || defined(PLEAT_KERNEL) || defined(PLEAT_ONCE_HERE)
#define PLEAT_HAS_VECTORS
#endif

/// A function that stays inline but is no accessor: PLEAT_ONCE without the rest. A template of nothing, so that who
/// includes it and does not call it compiles nothing of what the body needs (members of containers, lambdas, tables).
/// Hence not for virtual functions, destructors, operators, nor for what is passed by its address. The word goes first:
/// `PLEAT_LAZY [[nodiscard]] constexpr int sum_of(...)`.
#define PLEAT_LAZY template <class = void>

namespace pleat {

/// The library's version, as numbers that a program can compare at run time.
struct version_number {
  int major, minor, patch;
  friend constexpr auto operator<=>(version_number const&, version_number const&) = default;
};

[[nodiscard]] constexpr version_number version() noexcept {
  return {PLEAT_VERSION_MAJOR, PLEAT_VERSION_MINOR, PLEAT_VERSION_PATCH};
}

}  // namespace pleat
