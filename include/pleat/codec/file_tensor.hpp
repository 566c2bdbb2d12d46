// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// One tensor of a stored weight's file image; a weight's shape as a matrix; the unit at which a stored form may be
/// cut. Needs no Kokkos.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/tensor/dtype.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::codec {

/// One tensor of a stored weight's file image: "fc1.weight" + suffix. Host bytes, little-endian, row-major.
struct file_tensor {
  std::string suffix;
  dtype type;
  extents shape;
  std::vector<std::byte> bytes;
};

/// Rows (outputs) and columns (inputs per output) of a weight's shape.
[[nodiscard]] constexpr index_t rows_of(extents const& shape) noexcept { return shape.rank() ? shape[0] : 1; }
PLEAT_LAZY [[nodiscard]] constexpr index_t columns_of(extents const& shape) noexcept { return shape.size_from(1); }

/// A part of a weight: its shape, and what its form would write of it.
struct weight_piece {
  extents shape;
  std::vector<file_tensor> parts;
};

/// A stored weight may be cut (sharded, sliced) at multiples of this many rows and columns (the last piece may be
/// short).
struct cut_unit {
  index_t rows = 1, columns = 1;
  friend constexpr bool operator==(cut_unit const&, cut_unit const&) = default;
};

}  // namespace pleat::codec
