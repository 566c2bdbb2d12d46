// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The bit logic of compressed rows, of single numbers or of blocks of neighbours. Needs no Kokkos.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <pleat/base/error.hpp>
#include <pleat/base/math.hpp>
#include <pleat/codec/detail/cut_bits.hpp>
#include <pleat/codec/detail/host_bits.hpp>
#include <pleat/codec/detail/sparse_view.hpp>
#include <pleat/codec/error_norms.hpp>

namespace pleat::codec::detail {

/// Compressed rows of blocks of B neighbours (B = 1: CSR). A block is stored if one of its numbers is not zero.
template <int B> struct compressed_rows_logic : recoded<compressed_rows_logic<B>> {
  static_assert(B == 1 || B == 2 || B == 4 || B == 8 || B == 16,
                "pleat: a block of codec::block_sparse is of 2, 4, 8 or 16 columns");  // each has a name in files
  static constexpr std::string_view name = B == 1   ? "csr"
                                           : B == 2 ? "block_1x2"
                                           : B == 4 ? "block_1x4"
                                           : B == 8 ? "block_1x8"
                                                    : "block_1x16";
  struct options {};

  static std::vector<file_tensor> encode(extents const& shape, std::span<float const> values, options const&) {
    demand_columns("encode", shape);
    demand_finite(name, shape, values);
    index_t const blocks = columns_of(shape) / B;
    std::vector<std::uint32_t> start{0}, column;
    std::vector<float> kept;
    for (index_t r = 0; r < rows_of(shape); ++r) {
      float const* const row = values.data() + r * columns_of(shape);
      for (index_t k = 0; k < blocks; ++k)
        if (std::any_of(row + k * B, row + k * B + B, [](float v) { return v != 0; })) {
          column.push_back(static_cast<std::uint32_t>(k));
          kept.insert(kept.end(), row + k * B, row + k * B + B);
        }
      demand_countable(call_of(name, "encode"), shape, static_cast<index_t>(column.size()));
      start.push_back(static_cast<std::uint32_t>(column.size()));
    }
    auto const n = static_cast<index_t>(column.size());
    file_tensor const columns = narrow(shape)
                                    ? part_of(".column", std::vector<std::uint16_t>(column.begin(), column.end()))
                                    : part_of(".column", column);
    return {part_of(".row", start), columns, part_of(".values", value_shape(n), kept)};
  }
  static void check(extents const& shape, std::span<file_tensor const> parts) {
    auto const call = call_of(name, "from_file");
    demand_columns("from_file", shape);
    demand_only(call.c_str(), parts, {".row", ".column", ".values"});
    auto const start =
        values_of<std::uint32_t>(demand_part(call.c_str(), parts, ".row", dtype::u32, {rows_of(shape) + 1}).bytes);
    index_t const n = std::min(list_length(parts, ".column"), shape.size() / B);
    auto const& columns = demand_part(call.c_str(), parts, ".column", narrow(shape) ? dtype::u16 : dtype::u32, {n});
    auto const kept = values_of<float>(demand_part(call.c_str(), parts, ".values", dtype::f32, value_shape(n)).bytes);
    check_starts(call, start, n);
    std::vector<std::uint32_t> column;
    if (narrow(shape)) {
      auto const c = values_of<std::uint16_t>(columns.bytes);
      column.assign(c.begin(), c.end());
    } else {
      column = values_of<std::uint32_t>(columns.bytes);
    }
    for (index_t r = 0; r < rows_of(shape); ++r)
      for (auto i = start[static_cast<std::size_t>(r)]; i < start[static_cast<std::size_t>(r) + 1]; ++i) {
        if (static_cast<index_t>(column[i]) >= columns_of(shape) / B)
          throw error{call,
                      "row " + std::to_string(r) + " has the column " + std::to_string(column[i]) +
                          ", the last one is " + std::to_string(columns_of(shape) / B - 1),
                      remedy::copy_again};
        if (i > start[static_cast<std::size_t>(r)] && column[i] <= column[i - 1])
          throw error{call, "the columns of row " + std::to_string(r) + " do not ascend", remedy::copy_again};
      }
    for (float v : kept)
      if (!std::isfinite(v)) throw error{call, "a stored number is NaN or infinite", remedy::copy_again};
  }
  struct view : sparse_view<view> {
    static constexpr int block = B;
    std::uint32_t const* start = nullptr;
    std::uint16_t const* column16 = nullptr;
    std::uint32_t const* column32 = nullptr;
    float const* value = nullptr;
    index_t stored = 0;  ///< blocks
    template <class F> PLEAT_INLINE void nonzeros(index_t r, F const& f) const {
      for (auto i = start[r]; i < start[r + 1]; ++i) {
        index_t const k = column16 ? column16[i] : column32[i];
        for (int b = 0; b < B; ++b) f(k * B + b, value[static_cast<index_t>(i) * B + b]);
      }
    }
    [[nodiscard]] double work() const { return static_cast<double>(stored * B); }
  };
  template <class Parts> static view open(extents const& shape, Parts const& p) {
    view v;
    v.start = p.template find<std::uint32_t>(".row");
    if (narrow(shape)) v.column16 = p.template find<std::uint16_t>(".column");
    else v.column32 = p.template find<std::uint32_t>(".column");
    v.value = p.template find<float>(".values");
    v.stored = p.count(".column");
    return v;
  }
  static cut_unit granularity(extents const&) { return {1, B}; }
  static std::vector<file_tensor> slice(extents const&, std::span<file_tensor const> parts, index_t first,
                                        index_t last) {
    auto start = values_of<std::uint32_t>(find_part(parts, ".row")->bytes);
    start = {start.begin() + first, start.begin() + last + 1};
    auto const from = start.front(), to = start.back();
    for (auto& s : start) s -= from;
    return {part_of(".row", start), part_rows(*find_part(parts, ".column"), from, to),
            part_rows(*find_part(parts, ".values"), from, to)};
  }
  /// Exact: what is stored are all numbers that are not zero.
  static error_norms predict(extents const&, std::span<float const>, std::span<file_tensor const>) { return {}; }

 private:
  [[nodiscard]] static bool narrow(extents const& shape) noexcept { return columns_of(shape) / B <= 65536; }
  [[nodiscard]] static extents value_shape(index_t n) { return B == 1 ? extents{n} : extents{n, B}; }
  static void demand_columns(char const* function, extents const& shape) {
    if (columns_of(shape) % B != 0)
      throw error{call_of(name, function),
                  "a weight of shape " + shape.to_string() + " has " + std::to_string(columns_of(shape)) +
                      " columns, expected a multiple of " + std::to_string(B),
                  "Choose a pattern or a block that divides the columns, or store this weight as csr or bitmask"};
  }
};

}  // namespace pleat::codec::detail
