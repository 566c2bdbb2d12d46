// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The two loops of elementwise work: over elements (vectorised) and over rows (each row a little program).
///
/// A body is a copyable functor at namespace scope whose `operator()(index_t) const` is PLEAT_INLINE. On a host space
/// it is compiled three times (baseline, AVX2, AVX-512) and the version is chosen at run time; elsewhere it is a Kokkos
/// range. Its bits must not depend on the version: wherever a product feeds a sum, say so with compute::fma, because
/// compilers may contract `a * b + c` in one version and not in another.
#pragma once

#include <Kokkos_Core.hpp>

#include <pleat/base/config.hpp>
#include <pleat/base/profile.hpp>
#include <pleat/compute/detail/host.hpp>
#include <pleat/base/isa.hpp>
#include <pleat/compute/math.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::compute {

namespace detail {

/// 512-bit vectors even where the compiler's tuning prefers 256: these loops are wide and carry no dependence.
#if defined(__x86_64__)
#if defined(__clang__)
#define PLEAT_TARGET_WIDE PLEAT_TARGET_AVX512
#else
#define PLEAT_TARGET_WIDE \
  __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c,prefer-vector-width=512")))
#endif
#endif

#if defined(__clang__)
#define PLEAT_IVDEP _Pragma("clang loop vectorize(assume_safety)")
#else
#define PLEAT_IVDEP _Pragma("GCC ivdep")
#endif

/// Blocks of a constant 64 let -O2 vectorise too (its cost model refuses unknown trip counts).
template <class Body> [[gnu::always_inline]] inline void element_loop(index_t begin, index_t end, Body const& shared) {
  Body const body = shared;  // a local copy: stores through its pointers cannot change its members
  index_t i = begin;
  for (; i + 64 <= end; i += 64) {
    PLEAT_IVDEP
    for (index_t j = 0; j < 64; ++j) body(i + j);
  }
  PLEAT_IVDEP
  for (index_t j = i; j < end; ++j) body(j);
}

template <class Body> [[gnu::always_inline]] inline void row_loop(index_t begin, index_t end, Body const& shared) {
  Body const body = shared;
  for (index_t i = begin; i < end; ++i) body(i);
}

template <bool Rows, class Body>
[[gnu::always_inline]] inline void any_loop(index_t begin, index_t end, Body const& body) {
  if constexpr (Rows) row_loop(begin, end, body);
  else element_loop(begin, end, body);
}

template <bool Rows, class Body> void loop_scalar(index_t begin, index_t end, Body const& body) {
  any_loop<Rows>(begin, end, body);
}
#if defined(__x86_64__)
template <bool Rows, class Body> PLEAT_TARGET_AVX2 void loop_avx2(index_t begin, index_t end, Body const& body) {
  any_loop<Rows>(begin, end, body);
}
template <bool Rows, class Body> PLEAT_TARGET_WIDE void loop_avx512(index_t begin, index_t end, Body const& body) {
  any_loop<Rows>(begin, end, body);
}
#endif

/// body(begin) … body(end - 1) with the code of one instruction set.
template <bool Rows, class Body> void loop_at(isa::level level, index_t begin, index_t end, Body const& body) {
#if defined(__x86_64__)
  if (level == isa::level::avx512) return loop_avx512<Rows>(begin, end, body);
  if (level == isa::level::avx2) return loop_avx2<Rows>(begin, end, body);
#endif
  static_cast<void>(level);
  loop_scalar<Rows>(begin, end, body);
}

template <bool Rows, class Body> struct loop_task {
  using label = Body;
  Body const* body;
  index_t n;
  int tasks;
  void operator()(int t) const {
    constexpr index_t grain = Rows ? 1 : 64;
    index_t const blocks = (n + grain - 1) / grain;
    index_t const begin = blocks * t / tasks * grain, end = std::min(n, blocks * (t + 1) / tasks * grain);
    loop_at<Rows>(isa::best(), begin, end, *body);
  }
};

/// The portable path: what runs on a device.
template <class Space, class Body> void loop_portable(Space const& space, index_t n, Body const& body) {
  Kokkos::parallel_for(launch_label<Body>(), Kokkos::RangePolicy<Space, Kokkos::IndexType<index_t>>(space, 0, n), body);
}

template <bool Rows, class Space, class Body> void loop(Space const& space, index_t n, Body const& body, double work) {
  if (n <= 0) return;
  if constexpr (is_host_space_v<Space>) {
    int const tasks = static_cast<int>(std::min<index_t>(n, tasks_for(space, work * static_cast<double>(n))));
    for_tasks(space, tasks, loop_task<Rows, Body>{&body, n, tasks});
  } else {
    loop_portable(space, n, body);
  }
}

}  // namespace detail

/// body(i) for every i in [0, n), in no promised order, vectorised on the host.
/// \param work_per_element operations per element, for the decision whether threads pay
template <class Space, class Body>
void for_each(Space const& space, index_t n, Body const& body, double work_per_element = 1) {
  detail::loop<false>(space, n, body, work_per_element);
}

/// body(r) for every row in [0, rows): for bodies that have their own inner loops.
template <class Space, class Body>
void for_each_row(Space const& space, index_t rows, Body const& body, double work_per_row) {
  detail::loop<true>(space, rows, body, work_per_row);
}

}  // namespace pleat::compute
