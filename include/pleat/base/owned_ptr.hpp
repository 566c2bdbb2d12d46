// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// An object of fixed address and its one owner, for members of classes that every program includes. What it has not
/// (deleters, arrays, order, hashes) is what g++ 12 spends 1.4 MB on for each std::unique_ptr<X> that such a class
/// names, whether or not anybody calls it. Templates that nobody instantiates by including them say std::unique_ptr.
#pragma once

#include <cstddef>
#include <utility>

namespace pleat {

/// Empty, or the only owner of a T that was made by `make_owned`. Moves; does not copy.
template <class T> class owned_ptr {
 public:
  owned_ptr() noexcept = default;
  owned_ptr(std::nullptr_t) noexcept {}  // NOLINT: as a pointer is
  explicit owned_ptr(T* made) noexcept : at_(made) {}
  owned_ptr(owned_ptr&& o) noexcept : at_(o.release()) {}
  template <class Derived> owned_ptr(owned_ptr<Derived>&& o) noexcept : at_(o.release()) {}  // NOLINT: as a pointer is
  owned_ptr& operator=(owned_ptr&& o) noexcept {
    reset(o.release());
    return *this;
  }
  ~owned_ptr() { reset(); }

  void reset(T* made = nullptr) noexcept {
    static_assert(sizeof(T) > 0, "pleat: the class must be complete where its owner may end it");
    T* const before = at_;
    at_ = made;
    delete before;
  }
  /// Hands the object to the caller, who deletes it.
  [[nodiscard]] T* release() noexcept {
    T* const p = at_;
    at_ = nullptr;
    return p;
  }
  [[nodiscard]] T* get() const noexcept { return at_; }
  [[nodiscard]] T& operator*() const noexcept { return *at_; }
  T* operator->() const noexcept { return at_; }
  explicit operator bool() const noexcept { return at_ != nullptr; }

 private:
  T* at_ = nullptr;
};

template <class T, class... Args> [[nodiscard]] owned_ptr<T> make_owned(Args&&... args) {
  return owned_ptr<T>(new T(std::forward<Args>(args)...));
}

}  // namespace pleat
