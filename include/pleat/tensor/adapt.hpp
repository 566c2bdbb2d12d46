// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Other people's arrays as tensors, without a copy: Kokkos::View, raw pointer with extents, mdspan (Kokkos' own, or
/// std's).
#pragma once

#include <Kokkos_Core.hpp>

#include <array>
#include <concepts>
#include <string>

#include <pleat/tensor/concepts.hpp>
#include <pleat/tensor/tensor.hpp>

namespace pleat {

/// Elements of a caller with their strides; owns nothing. `Memory` is the Kokkos memory space that they lie in.
template <class T, class Memory = Kokkos::HostSpace> class array_view {
 public:
  using element_type = T;
  using memory_space = Memory;

  array_view(T* data, extents const& shape, std::array<index_t, extents::max_rank> const& strides)
      : data_(data), shape_(shape), strides_(strides) {
    if (!data && shape.size() > 0)
      throw error{"adapt", "a null pointer for shape " + shape.to_string(), "Give it the memory of all elements"};
  }
  /// Row-major.
  array_view(T* data, extents const& shape) : array_view(data, shape, row_major(shape)) {}

  [[nodiscard]] T* data() const noexcept { return data_; }
  [[nodiscard]] extents const& shape() const noexcept { return shape_; }
  [[nodiscard]] index_t stride(int i) const noexcept { return strides_[static_cast<std::size_t>(i)]; }
  /// True if the elements lie one after the other in row-major order: what kernels work on.
  [[nodiscard]] bool contiguous() const noexcept {
    auto const wanted = row_major(shape_);
    if (shape_.size() == 0) return true;
    for (int i = 0; i < shape_.rank(); ++i)
      if (shape_[i] > 1 && stride(i) != wanted[static_cast<std::size_t>(i)]) return false;
    return true;
  }

  [[nodiscard]] static std::array<index_t, extents::max_rank> row_major(extents const& shape) noexcept {
    std::array<index_t, extents::max_rank> s{};
    index_t step = 1;
    for (int i = shape.rank() - 1; i >= 0; --i) {
      s[static_cast<std::size_t>(i)] = step;
      step *= shape[i];
    }
    return s;
  }

 private:
  T* data_;
  extents shape_;
  std::array<index_t, extents::max_rank> strides_;
};

/// A raw pointer to row-major host elements (name another memory space for device pointers).
template <class Memory = Kokkos::HostSpace, class T>
[[nodiscard]] array_view<T, Memory> adapt(T* data, extents const& shape) {
  return {data, shape};
}

/// A Kokkos::View of any layout. The View must outlive the result.
template <class D, class... P>
[[nodiscard]] auto adapt(Kokkos::View<D, P...> const& v)
    -> array_view<typename Kokkos::View<D, P...>::value_type, typename Kokkos::View<D, P...>::memory_space> {
  using view = Kokkos::View<D, P...>;
  constexpr int rank = static_cast<int>(view::rank());
  static_assert(rank <= extents::max_rank, "pleat::adapt: the View's rank is above pleat::extents::max_rank (6)");
  std::array<index_t, extents::max_rank> n{}, s{};
  for (int i = 0; i < rank; ++i) {
    n[static_cast<std::size_t>(i)] = static_cast<index_t>(v.extent(static_cast<std::size_t>(i)));
    s[static_cast<std::size_t>(i)] = static_cast<index_t>(v.stride(static_cast<std::size_t>(i)));
  }
  return {v.data(), extents(std::span<index_t const>(n.data(), static_cast<std::size_t>(rank))), s};
}

namespace detail {
template <class M>
concept mdspan_like = requires(M const& m) {
  typename M::element_type;
  typename M::extents_type;
  typename M::mapping_type;
  { M::rank() } -> std::convertible_to<std::size_t>;
  { m.data_handle() } -> std::convertible_to<typename M::element_type*>;
  requires std::same_as<typename M::reference, typename M::element_type&>;  // no accessor that computes
  m.stride(0);
};
}  // namespace detail

/// An mdspan with the default accessor over host elements, any strided layout.
template <detail::mdspan_like M> [[nodiscard]] array_view<typename M::element_type> adapt(M const& m) {
  static_assert(M::rank() <= extents::max_rank,
                "pleat::adapt: the mdspan's rank is above pleat::extents::max_rank (6)");
  std::array<index_t, extents::max_rank> n{}, s{};
  for (std::size_t i = 0; i < M::rank(); ++i) {
    n[i] = static_cast<index_t>(m.extent(i));
    s[i] = static_cast<index_t>(m.stride(i));
  }
  return {m.data_handle(), extents(std::span<index_t const>(n.data(), M::rank())), s};
}

/// The array as a tensor on `Space`, sharing its elements.
/// \throws error if the elements are not row-major without gaps: kernels would need a copy, which is not made behind
/// the user's back
template <class Space, class Array>
[[nodiscard]] tensor<std::remove_const_t<typename Array::element_type>, Space> as_tensor(Array const& a) {
  demand_strided_array<Array>();
  if constexpr (requires { typename Array::memory_space; })
    static_assert(Kokkos::SpaceAccessibility<Space, typename Array::memory_space>::accessible,
                  "pleat::as_tensor: this space cannot reach the array's memory; copy it to the space first");
  extents const shape = a.shape();
  auto const wanted = array_view<int>::row_major(shape);
  for (int i = 0; i < shape.rank() && shape.size() > 0; ++i)
    if (shape[i] > 1 && a.stride(i) != wanted[static_cast<std::size_t>(i)])
      throw error{"as_tensor",
                  "dimension " + std::to_string(i) + " of an array of shape " + shape.to_string() + " has stride " +
                      std::to_string(a.stride(i)) + ", row-major order needs " +
                      std::to_string(wanted[static_cast<std::size_t>(i)]),
                  "Use Kokkos::LayoutRight, or copy the array into row-major order"};
  using T = std::remove_const_t<typename Array::element_type>;
  return tensor<T, Space>::wrap(const_cast<T*>(a.data()), shape);
}

}  // namespace pleat
