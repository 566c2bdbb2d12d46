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
/// what a call of the hot path passes through. The word goes first, before attributes: `PLEAT_ONCE [[nodiscard]] inline
/// std::string words_of(...)`. It makes a template of the function, with a parameter that nobody names, so that a
/// translation unit that does not call it compiles nothing of what the body needs. Hence not for virtual functions,
/// operators and destructors, nor for what is defined outside of its class or passed by its address. A program that
/// links pleat::kernels gets PLEAT_ONCE_ELSEWHERE defined: there it is no template, and its code is left to that
/// target, which is compiled with PLEAT_ONCE_HERE. No type's layout and no body depends on it.
#if defined(PLEAT_ONCE_HERE)
#define PLEAT_ONCE [[gnu::used, gnu::noinline]]
#elif defined(PLEAT_ONCE_ELSEWHERE) && defined(__GNUC__) && !defined(__clang__) && !defined(__CUDACC__)
#define PLEAT_ONCE [[gnu::gnu_inline, gnu::optimize("O0")]]
#else
#define PLEAT_ONCE template <class = void> [[gnu::noinline]]
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
