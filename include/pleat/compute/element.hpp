// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// How kernels read and write elements of any type: arrays of float and double are plain pointers, arrays of 16-bit
/// types are read as float and written rounded to the nearest, ties to even. So a kernel is written once, computes in
/// wide_t<T>, and rounds once per element that it stores. Needs no Kokkos.
#pragma once

#include <pleat/base/config.hpp>
#include <pleat/tensor/dtype.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::compute {

/// Elements of a 16-bit type to be read.
template <class T> class narrow_source {
 public:
  narrow_source() = default;
  PLEAT_INLINE narrow_source(T const* p) noexcept : p_(p) {}
  PLEAT_INLINE float operator[](index_t i) const noexcept { return static_cast<float>(p_[i]); }
  PLEAT_INLINE friend narrow_source operator+(narrow_source a, index_t n) noexcept { return a.p_ + n; }
  PLEAT_INLINE friend bool operator==(narrow_source a, std::nullptr_t) noexcept { return a.p_ == nullptr; }
  [[nodiscard]] PLEAT_INLINE T const* data() const noexcept { return p_; }

 private:
  T const* p_ = nullptr;
};

/// Elements of a 16-bit type to be read and written.
template <class T> class narrow_target {
 public:
  /// One number of 16 bits that is assigned as a float.
  class element {
   public:
    PLEAT_INLINE explicit element(T* p) noexcept : p_(p) {}
    PLEAT_INLINE element const& operator=(float x) const noexcept {
      *p_ = T(x);
      return *this;
    }
    PLEAT_INLINE operator float() const noexcept { return static_cast<float>(*p_); }

   private:
    T* p_;
  };

  narrow_target() = default;
  PLEAT_INLINE narrow_target(T* p) noexcept : p_(p) {}
  PLEAT_INLINE element operator[](index_t i) const noexcept { return element(p_ + i); }
  PLEAT_INLINE operator narrow_source<T>() const noexcept { return p_; }
  PLEAT_INLINE friend narrow_target operator+(narrow_target a, index_t n) noexcept { return a.p_ + n; }
  PLEAT_INLINE friend bool operator==(narrow_target a, std::nullptr_t) noexcept { return a.p_ == nullptr; }
  [[nodiscard]] PLEAT_INLINE T* data() const noexcept { return p_; }

 private:
  T* p_ = nullptr;
};

namespace detail {
template <class T> struct element_access {
  using source = T const*;
  using target = T*;
};
template <class T>
  requires is_reduced_v<T>
struct element_access<T> {
  using source = narrow_source<T>;
  using target = narrow_target<T>;
};
}  // namespace detail

/// Where elements lie, of a pointer and of what stands for one.
template <class T> PLEAT_INLINE T const* address_of(T* p) noexcept { return p; }
template <class T> PLEAT_INLINE T const* address_of(narrow_source<T> p) noexcept { return p.data(); }
template <class T> PLEAT_INLINE T const* address_of(narrow_target<T> p) noexcept { return p.data(); }

/// What a kernel's functor holds for an array of T that it reads.
template <class T> using source_t = typename detail::element_access<T>::source;
/// The same for an array that it writes.
template <class T> using target_t = typename detail::element_access<T>::target;

}  // namespace pleat::compute
