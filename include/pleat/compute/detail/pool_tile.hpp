// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Max pooling of planes by vectors of windows, for every instruction set. Needs no Kokkos.
#pragma once

#include <cstdint>

#include <pleat/base/isa.hpp>
#include <pleat/compute/detail/pool_shape.hpp>

namespace pleat::compute::detail {

/// One plane of shape.height × shape.width. Offsets within a window are carried as values of T, so kernel_h * width
/// must be below 2^24. stride_w is 1 or 2.
template <class T> struct max_plane_arguments {
  pool2d_shape shape;
  T const* x;
  T* y;
  std::int32_t* where;  ///< or null
};

/// The kernel of an instruction set, for float and double.
template <class T>
[[nodiscard]] auto max_plane_of(isa::level level) noexcept -> void (*)(max_plane_arguments<T> const&);

}  // namespace pleat::compute::detail

#if defined(PLEAT_HAS_VECTORS)
#include <pleat/compute/detail/pool_vectors.hpp>
#endif
