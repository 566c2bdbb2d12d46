// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Counts the calls of `operator new` of the whole program, on any thread. Included by one source of a program: it replaces the
/// program's operators; others that read the count include support/allocation_count.hpp.
#pragma once

#include <cstdlib>
#include <new>

#include "support/allocation_count.hpp"

namespace pleat_test {
[[gnu::noinline]] inline void* allocate_and_count(std::size_t n) {
  if (counting_allocations.load(std::memory_order_relaxed)) counted_allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* p = std::malloc(n > 0 ? n : 1)) return p;
  throw std::bad_alloc();
}

/// How often `f` allocates.
template <class F>
long allocations_in(F const& f) {
  counted_allocations = 0;
  counting_allocations = true;
  f();
  counting_allocations = false;
  return counted_allocations;
}
}  // namespace pleat_test

void* operator new(std::size_t n) { return pleat_test::allocate_and_count(n); }
void* operator new[](std::size_t n) { return pleat_test::allocate_and_count(n); }
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t) noexcept { std::free(p); }
