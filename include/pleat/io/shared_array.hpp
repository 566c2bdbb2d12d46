// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Values that are only read: a vector's, or those of a mapped file, of which a process has in memory what it touches.
/// Needs no Kokkos.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace pleat::io {

/// A read-only array with whatever keeps it alive. Copies share it.
template <class T> class shared_array {
 public:
  shared_array() = default;
  /// Takes the vector's values over.
  shared_array(std::vector<T> values)
      : shared_array(std::make_shared<std::vector<T> const>(std::move(values)), nullptr) {}
  /// \param keep owns the memory of `values`: a mapped file
  shared_array(std::shared_ptr<void const> keep, std::span<T const> values) : keep_(std::move(keep)), values_(values) {}
  shared_array(shared_array const&) = default;
  shared_array& operator=(shared_array const&) = default;
  /// What was moved from is empty.
  shared_array(shared_array&& o) noexcept : keep_(std::move(o.keep_)), values_(std::exchange(o.values_, {})) {}
  shared_array& operator=(shared_array&& o) noexcept {
    keep_ = std::move(o.keep_);
    values_ = std::exchange(o.values_, {});
    return *this;
  }
  ~shared_array() = default;

  [[nodiscard]] T const* data() const noexcept { return values_.data(); }
  [[nodiscard]] std::size_t size() const noexcept { return values_.size(); }
  [[nodiscard]] bool empty() const noexcept { return values_.empty(); }
  [[nodiscard]] T const& operator[](std::size_t i) const noexcept { return values_[i]; }
  [[nodiscard]] auto begin() const noexcept { return values_.begin(); }
  [[nodiscard]] auto end() const noexcept { return values_.end(); }
  [[nodiscard]] std::span<T const> span() const noexcept { return values_; }

 private:
  shared_array(std::shared_ptr<std::vector<T> const> values, std::nullptr_t)
      : keep_(values), values_(values->data(), values->size()) {}

  std::shared_ptr<void const> keep_;
  std::span<T const> values_;
};

}  // namespace pleat::io
