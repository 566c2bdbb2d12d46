// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Counts the calls of `operator new` of the whole program, plain and aligned, on any thread. Included by one source of
/// a program: it replaces the program's operators; others that read the count include support/allocation_count.hpp.
#pragma once

#include <cstdlib>
#include <new>

#include <malloc.h>

#include "support/allocation_count.hpp"

namespace pleat_test {
inline void keep_larger(std::atomic<long>& most, long now) noexcept {
  long was = most.load(std::memory_order_relaxed);
  while (now > was && !most.compare_exchange_weak(was, now, std::memory_order_relaxed)) {
  }
}
[[gnu::noinline]] inline void* allocate_and_count(std::size_t n, std::size_t alignment = 0) noexcept {
  if (n == 0) n = 1;
  void* const p =
      alignment == 0 ? std::malloc(n) : std::aligned_alloc(alignment, (n + alignment - 1) / alignment * alignment);
  if (counting_allocations.load(std::memory_order_relaxed)) {
    counted_allocations.fetch_add(1, std::memory_order_relaxed);
    auto const bytes = static_cast<long>(malloc_usable_size(p));
    keep_larger(largest_bytes, bytes);
    keep_larger(most_live_bytes, live_bytes.fetch_add(bytes, std::memory_order_relaxed) + bytes);
  }
  return p;
}
[[gnu::noinline]] inline void free_and_count(void* p) noexcept {
  if (counting_allocations.load(std::memory_order_relaxed))
    live_bytes.fetch_sub(static_cast<long>(malloc_usable_size(p)), std::memory_order_relaxed);
  std::free(p);
}
[[gnu::noinline]] inline void* or_throw(void* p) {
  if (!p) throw std::bad_alloc();
  return p;
}
}  // namespace pleat_test

void* operator new(std::size_t n) { return pleat_test::or_throw(pleat_test::allocate_and_count(n)); }
void* operator new[](std::size_t n) { return pleat_test::or_throw(pleat_test::allocate_and_count(n)); }
void* operator new(std::size_t n, std::nothrow_t const&) noexcept { return pleat_test::allocate_and_count(n); }
void* operator new[](std::size_t n, std::nothrow_t const&) noexcept { return pleat_test::allocate_and_count(n); }
void* operator new(std::size_t n, std::align_val_t a) {
  return pleat_test::or_throw(pleat_test::allocate_and_count(n, static_cast<std::size_t>(a)));
}
void* operator new[](std::size_t n, std::align_val_t a) {
  return pleat_test::or_throw(pleat_test::allocate_and_count(n, static_cast<std::size_t>(a)));
}
void* operator new(std::size_t n, std::align_val_t a, std::nothrow_t const&) noexcept {
  return pleat_test::allocate_and_count(n, static_cast<std::size_t>(a));
}
void* operator new[](std::size_t n, std::align_val_t a, std::nothrow_t const&) noexcept {
  return pleat_test::allocate_and_count(n, static_cast<std::size_t>(a));
}
void operator delete(void* p) noexcept { pleat_test::free_and_count(p); }
void operator delete[](void* p) noexcept { pleat_test::free_and_count(p); }
void operator delete(void* p, std::size_t) noexcept { pleat_test::free_and_count(p); }
void operator delete[](void* p, std::size_t) noexcept { pleat_test::free_and_count(p); }
void operator delete(void* p, std::nothrow_t const&) noexcept { pleat_test::free_and_count(p); }
void operator delete[](void* p, std::nothrow_t const&) noexcept { pleat_test::free_and_count(p); }
void operator delete(void* p, std::align_val_t) noexcept { pleat_test::free_and_count(p); }
void operator delete[](void* p, std::align_val_t) noexcept { pleat_test::free_and_count(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { pleat_test::free_and_count(p); }
void operator delete[](void* p, std::size_t, std::align_val_t) noexcept { pleat_test::free_and_count(p); }
void operator delete(void* p, std::align_val_t, std::nothrow_t const&) noexcept { pleat_test::free_and_count(p); }
void operator delete[](void* p, std::align_val_t, std::nothrow_t const&) noexcept { pleat_test::free_and_count(p); }
