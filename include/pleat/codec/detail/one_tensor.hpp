// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Bit logic of forms whose file is one tensor of the weight's own shape. Needs no Kokkos.
#pragma once

#include <span>
#include <vector>

#include <pleat/base/error.hpp>
#include <pleat/base/math.hpp>
#include <pleat/codec/detail/cut_bits.hpp>
#include <pleat/tensor/dtype.hpp>

namespace pleat::codec::detail {

/// All but the encoder, the view {values, columns} and `float number(E)` of `Logic`, whose codes are of type E.
template <class Logic, class E> struct one_tensor_logic {
  static void check(extents const& shape, std::span<file_tensor const> parts) {
    auto const call = call_of(Logic::name, "from_file");
    demand_only(call.c_str(), parts, {""});
    for (E const v : values_of<E>(demand_part(call.c_str(), parts, "", dtype_of<E>, shape).bytes))
      if (!std::isfinite(Logic::number(v))) throw error{call, "a stored number is NaN or infinite", remedy::copy_again};
  }
  template <class Parts> static auto open(extents const& shape, Parts const& p) {
    return typename Logic::view{p.template find<E>(""), columns_of(shape)};
  }
  static cut_unit granularity(extents const&) { return {1, 1}; }
  static std::vector<file_tensor> slice(extents const&, std::span<file_tensor const> parts, index_t first,
                                        index_t last) {
    return {part_rows(parts[0], first, last)};
  }
  static std::vector<file_tensor> slice_columns(extents const& shape, extents const& part,
                                                std::span<file_tensor const> parts, index_t first, index_t last) {
    constexpr auto each = static_cast<index_t>(sizeof(E));
    return {{"", dtype_of<E>, part, cut_matrix(parts[0].bytes, rows_of(shape), first * each, last * each)}};
  }
  static std::vector<file_tensor> join(extents const& shape, int dim, std::span<weight_piece const> pieces) {
    return {{"", dtype_of<E>, shape, join_matrix(rows_of(shape), dim, bytes_of_all(pieces, ""))}};
  }
};

}  // namespace pleat::codec::detail
