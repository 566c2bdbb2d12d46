// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Packing buffers of host kernels: one per thread and kernel family, growing, kept until the thread ends. Needs no
/// Kokkos.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <new>

#include <pleat/base/huge_pages.hpp>

namespace pleat::compute::detail {

/// A block of raw bytes on a page border that only grows.
class scratch_block {
 public:
  scratch_block() noexcept = default;
  scratch_block(scratch_block const&) = delete;
  scratch_block& operator=(scratch_block const&) = delete;
  ~scratch_block() { std::free(data_); }

  /// At least `bytes` bytes; what was in the block is lost when it grows.
  [[nodiscard]] void* reserve(std::size_t bytes) {
    if (bytes > size_) grow(bytes);
    return data_;
  }

 private:
  __attribute__((noinline)) void grow(std::size_t bytes) {
    std::free(data_);
    data_ = nullptr;
    size_ = 0;
    constexpr std::size_t page = 4096, huge = std::size_t{1} << 21;
    std::size_t const wanted = bytes + bytes / 4, unit = wanted >= huge ? huge : page;
    std::size_t const whole = (wanted + unit - 1) / unit * unit;
    data_ = std::aligned_alloc(unit, whole);
    if (!data_) throw std::bad_alloc{};
    advise_huge_pages(data_, whole);  // a packed panel is walked often: fewer page look-ups
    size_ = whole;
  }

  void* data_ = nullptr;
  std::size_t size_ = 0;
};

/// This thread's block for the kernel family `Owner` (any tag type). Families that call each other have blocks of their
/// own, so a caller's block stays valid while the callee uses another; the same family must not nest.
template <class Owner> [[nodiscard]] inline void* scratch(std::size_t bytes) {
  thread_local scratch_block block;
  return block.reserve(bytes);
}

}  // namespace pleat::compute::detail
