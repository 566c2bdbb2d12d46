// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// An array of host objects whose memory comes back to a pool: a length known at run time without an allocation per
/// step.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <span>
#include <utility>

#include <pleat/base/pool.hpp>

namespace pleat {

/// `size` value-initialised objects in a block of a host pool. Movable; the pool must outlive it.
template <class T> class pooled_array {
  using host = Kokkos::DefaultHostExecutionSpace;
  static_assert(alignof(T) <= 64, "pleat::pooled_array: the pool aligns to 64 bytes");

 public:
  pooled_array() noexcept = default;
  pooled_array(pool<host>& from, std::size_t size) : block_(from.take(size * sizeof(T))) {
    for (; size_ < size; ++size_) ::new (static_cast<void*>(data() + size_)) T();
  }
  pooled_array(pooled_array&& o) noexcept : block_(std::move(o.block_)), size_(std::exchange(o.size_, 0)) {}
  pooled_array& operator=(pooled_array&& o) noexcept {
    clear();
    block_ = std::move(o.block_);
    size_ = std::exchange(o.size_, 0);
    return *this;
  }
  ~pooled_array() { clear(); }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] T* data() const noexcept { return static_cast<T*>(block_.data()); }
  [[nodiscard]] T& operator[](std::size_t i) const noexcept { return data()[i]; }
  [[nodiscard]] T* begin() const noexcept { return data(); }
  [[nodiscard]] T* end() const noexcept { return data() + size_; }

  void clear() noexcept {
    std::destroy_n(data(), size_);
    size_ = 0;
    block_ = {};
  }

 private:
  pool_handle<host> block_;
  std::size_t size_ = 0;
};

}  // namespace pleat
