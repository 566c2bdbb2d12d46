// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What counts as a tensor at pleat's doors: anything that can say where its elements are, how many there are per
/// dimension and how far apart. Kokkos::View, mdspan, raw pointers with extents and pleat::tensor all do
/// (tensor/adapt.hpp).
#pragma once

#include <concepts>
#include <type_traits>

#include <pleat/tensor/extents.hpp>

namespace pleat {

namespace detail {
template <class A>
concept has_element_type = requires { typename A::element_type; };
template <class A>
concept has_data = requires(A const& a) {
  { a.data() } -> std::convertible_to<typename A::element_type*>;
};
template <class A>
concept has_shape = requires(A const& a) {
  { a.shape() } -> std::convertible_to<extents>;
};
template <class A>
concept has_strides = requires(A const& a, int i) {
  { a.stride(i) } -> std::convertible_to<index_t>;
};
}  // namespace detail

/// Strided elements in some memory: `element_type`, `data()`, `shape()`, `stride(i)` in elements. A minimal model:
/// struct { using element_type = float; float* data() const; extents shape() const; index_t stride(int) const; }.
template <class A>
concept strided_array =
    detail::has_element_type<A> && detail::has_data<A> && detail::has_shape<A> && detail::has_strides<A>;

/// Says in words what an array lacks (law 1).
template <class A> constexpr void demand_strided_array() {
  static_assert(detail::has_element_type<A>,
                "pleat: an array needs 'using element_type = T' (or an adaptor: pleat::adapt(view), "
                "pleat::adapt(mdspan), pleat::adapt(pointer, extents))");
  if constexpr (detail::has_element_type<A>)
    static_assert(detail::has_data<A>,
                  "pleat: an array needs 'element_type* data() const': the address of element (0, …, 0)");
  static_assert(detail::has_shape<A>,
                "pleat: an array needs 'pleat::extents shape() const': the number of elements per dimension");
  static_assert(detail::has_strides<A>,
                "pleat: an array needs 'index_t stride(int i) const': elements between neighbours of dimension i");
}

}  // namespace pleat
