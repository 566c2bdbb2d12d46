// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Activations: row-major, run-time rank and extents, memory from a pool or from somebody else.
#pragma once

#include <Kokkos_Core.hpp>

#include <cstring>
#include <span>
#include <type_traits>

#include <pleat/base/context.hpp>
#include <pleat/tensor/axis_layout.hpp>
#include <pleat/tensor/detail/array_bytes.hpp>
#include <pleat/tensor/dtype.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat {

/// A contiguous row-major tensor on a space. Copying shares the block (a count); there is no hidden deep copy.
///
/// A tensor made by `allocate` holds its pooled block; one made by `wrap` only points at memory that somebody else
/// keeps alive. No tensor crosses contexts.
template <class T, class Space = Kokkos::DefaultExecutionSpace> class tensor {
 public:
  using value_type = T;
  using execution_space = Space;
  using memory_space = typename Space::memory_space;

  tensor() = default;

  /// Uninitialised memory of this shape from the context's pool.
  /// \throws pleat::error for a shape whose bytes no number counts
  [[nodiscard]] static tensor allocate(context<Space>& where, extents const& shape) {
    auto const bytes = detail::array_bytes(shape, sizeof(T));
    if (!bytes) [[unlikely]]
      detail::refuse_shape("tensor::allocate", shape);
    tensor t;
    t.shape_ = shape;
    t.block_ = pool_handle<Space>(where.pool().take(static_cast<std::size_t>(*bytes)));
    t.data_ = static_cast<T*>(t.block_.data());
    return t;
  }

  /// A tensor over memory of the caller's, who keeps it alive.
  /// \throws pleat::error for a null pointer to elements, and for a shape whose bytes no number counts
  [[nodiscard]] static tensor wrap(T* data, extents const& shape) {
    auto const bytes = detail::array_bytes(shape, sizeof(T));
    if (!bytes) [[unlikely]]
      detail::refuse_shape("tensor::wrap", shape);
    if (!data && *bytes > 0)
      throw error{"tensor::wrap", "a null pointer for shape " + shape.to_string(),
                  "Give it the memory of all elements"};
    tensor t;
    t.shape_ = shape;
    t.data_ = data;
    return t;
  }

  [[nodiscard]] extents const& shape() const noexcept { return shape_; }
  [[nodiscard]] index_t extent(int i) const noexcept { return shape_[i]; }
  [[nodiscard]] int rank() const noexcept { return shape_.rank(); }
  [[nodiscard]] index_t size() const noexcept { return shape_.size(); }
  /// Outermost extent: samples.
  [[nodiscard]] index_t batch() const noexcept { return shape_.rank() ? shape_[0] : 1; }
  /// Where it lives along the tensor axis of the mesh; its shape is this rank's part.
  [[nodiscard]] axis_layout const& layout() const noexcept { return layout_; }
  /// The extents of all ranks' parts together.
  [[nodiscard]] extents whole_shape() const noexcept {
    extents e = shape_;
    if (layout_.cut()) e[layout_.where.dim] = layout_.whole;
    return e;
  }
  /// The same memory, said to live so.
  [[nodiscard]] tensor with_layout(axis_layout const& l) const {
    tensor t = *this;
    t.layout_ = l;
    return t;
  }
  /// Address in the space's memory; not to be dereferenced by host code (law 12: use host_view).
  [[nodiscard]] T* data() const noexcept { return data_; }
  /// True if nobody else holds this block: an elementwise layer may then write in place.
  [[nodiscard]] bool sole_owner() const noexcept { return block_.uses() == 1; }

  /// The same elements under another shape. \throws error if the sizes differ, or a cut along the tensor axis would be
  /// lost.
  [[nodiscard]] tensor reshape(extents const& shape) const {
    if (!detail::array_bytes(shape, sizeof(T))) [[unlikely]]  // extents that would wrap around to as many elements
      detail::refuse_shape("tensor::reshape", shape);
    if (shape.size() != size())
      throw error{"tensor::reshape",
                  shape_.to_string() + " has " + std::to_string(size()) + " elements, " + shape.to_string() + " has " +
                      std::to_string(shape.size()),
                  "Only shapes of as many elements are the same memory"};
    auto const l = reshaped(layout_, shape_, shape);
    if (!l.fits)
      throw error{"tensor::reshape",
                  shape_.to_string() + " placed as " + layout_.to_string() +
                      " along the tensor axis cannot be seen as " + shape.to_string(),
                  "Keep the extents before the dimension that is cut"};
    tensor t = *this;
    t.shape_ = shape;
    t.layout_ = l.layout;
    return t;
  }

  /// Samples [begin, end) of the outermost dimension; shares the block.
  [[nodiscard]] tensor rows(index_t begin, index_t end) const {
    tensor t = *this;
    t.data_ = data_ + begin * shape_.size_from(1);
    t.shape_[0] = end - begin;
    return t;
  }

  /// An unmanaged Kokkos::View of the same memory.
  template <class DataType>
  [[nodiscard]] Kokkos::View<DataType, Kokkos::LayoutRight, memory_space, Kokkos::MemoryUnmanaged> view() const {
    using view_type = Kokkos::View<DataType, Kokkos::LayoutRight, memory_space, Kokkos::MemoryUnmanaged>;
    constexpr int r = static_cast<int>(view_type::rank());
    static_assert(view_type::rank_dynamic == view_type::rank(),
                  "name the View type with run-time extents only, e.g. float**");
    if (rank() != r)
      throw error{"tensor::view",
                  "the tensor has shape " + shape_.to_string() + ", the View has rank " + std::to_string(r),
                  "Ask for a View of as many dimensions, or reshape first"};
    typename view_type::array_layout layout;
    for (int i = 0; i < r; ++i) layout.dimension[i] = static_cast<std::size_t>(shape_[i]);
    return view_type(data_, layout);
  }

 private:
  extents shape_;
  axis_layout layout_;
  T* data_ = nullptr;
  pool_handle<Space> block_;
};

/// The elements as a span that host code may read and write. The only way (law 12).
template <class T, class Space> [[nodiscard]] std::span<T> host_view(tensor<T, Space> const& t) {
  static_assert(Kokkos::SpaceAccessibility<Kokkos::HostSpace, typename Space::memory_space>::accessible,
                "pleat::host_view: this tensor's memory cannot be read by host code. Copy it first: "
                "pleat::copy_to_host(context, t, out)");
  return {t.data(), static_cast<std::size_t>(t.size())};
}

/// Copies a tensor into host memory and waits. `out` has t.size() elements.
template <class T, class Space> void copy_to_host(context<Space> const& where, tensor<T, Space> const& t, T* out) {
  using host = Kokkos::View<T*, Kokkos::HostSpace, Kokkos::MemoryUnmanaged>;
  using device = Kokkos::View<T const*, typename Space::memory_space, Kokkos::MemoryUnmanaged>;
  auto const n = static_cast<std::size_t>(t.size());
  if (n == 0) return;
  if constexpr (Kokkos::SpaceAccessibility<Kokkos::HostSpace, typename Space::memory_space>::accessible) {
    where.fence();
    std::memcpy(out, t.data(), n * sizeof(T));
  } else {
    Kokkos::deep_copy(where.space(), host(out, n), device(t.data(), n));
    where.fence();
  }
}

/// Copies host memory into a tensor and waits. `in` has t.size() elements.
template <class T, class Space>
void copy_from_host(context<Space> const& where, T const* in, tensor<T, Space> const& t) {
  using host = Kokkos::View<T const*, Kokkos::HostSpace, Kokkos::MemoryUnmanaged>;
  using device = Kokkos::View<T*, typename Space::memory_space, Kokkos::MemoryUnmanaged>;
  auto const n = static_cast<std::size_t>(t.size());
  if (n == 0) return;
  if constexpr (Kokkos::SpaceAccessibility<Kokkos::HostSpace, typename Space::memory_space>::accessible) {
    where.fence();
    std::memcpy(t.data(), in, n * sizeof(T));
  } else {
    Kokkos::deep_copy(where.space(), device(t.data(), n), host(in, n));
    where.fence();
  }
}

}  // namespace pleat
