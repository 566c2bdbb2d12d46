// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// An object of fixed address and its one owner, for members of classes that every program includes. What it has not
/// (deleters, arrays, order, hashes) is what g++ 12 spends 1.4 MB on for each std::unique_ptr<X> that such a class
/// names, whether or not anybody calls it. Templates that nobody instantiates by including them say std::unique_ptr.
#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

namespace pleat {

/// Empty, or the only owner of a T that was made by `make_owned`. Moves; does not copy.
template <class T> class owned_ptr {
 public:
  owned_ptr() noexcept = default;
  /// Of nothing.
  owned_ptr(std::nullptr_t) noexcept {}  // NOLINT: as a pointer is
  /// Of what `new` made.
  explicit owned_ptr(T* made) noexcept : at_(made) {}
  /// Of what `o` had, which has nothing then.
  owned_ptr(owned_ptr&& o) noexcept : at_(o.release()) {}
  /// The same, of a class derived from T, whose destructor is virtual.
  template <class Derived>
    requires(std::is_base_of_v<T, Derived>)
  owned_ptr(owned_ptr<Derived>&& o) noexcept : at_(o.release()) {  // NOLINT: as a pointer is
    static_assert(std::has_virtual_destructor_v<T>,
                  "pleat: an owner of a base class deletes through it: its destructor must be virtual");
  }
  /// Ends its own object and takes that of `o`.
  owned_ptr& operator=(owned_ptr&& o) noexcept {
    reset(o.release());
    return *this;
  }
  ~owned_ptr() { reset(); }

  /// Ends its object and owns `made`.
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
  /// The object; null if there is none.
  [[nodiscard]] T* get() const noexcept { return at_; }
  /// The object, which must be there.
  [[nodiscard]] T& operator*() const noexcept { return *at_; }
  /// The same.
  T* operator->() const noexcept { return at_; }
  /// Whether there is one.
  explicit operator bool() const noexcept { return at_ != nullptr; }

 private:
  T* at_ = nullptr;
};

/// The owner of a new T(args…).
template <class T, class... Args> [[nodiscard]] owned_ptr<T> make_owned(Args&&... args) {
  return owned_ptr<T>(new T(std::forward<Args>(args)...));
}

}  // namespace pleat
