// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The bit logic of N numbers of each group of M. Needs no Kokkos.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <pleat/base/error.hpp>
#include <pleat/base/math.hpp>
#include <pleat/codec/detail/at_level.hpp>
#include <pleat/codec/detail/block_formats.hpp>
#include <pleat/codec/detail/cut_bits.hpp>
#include <pleat/codec/detail/host_bits.hpp>
#include <pleat/codec/detail/sparse_view.hpp>
#include <pleat/codec/detail/turn_two_of_four.hpp>
#include <pleat/codec/error_norms.hpp>

namespace pleat::codec::detail {

/// Exactly N numbers of each group of M neighbouring columns, and where they lie, ⌈log₂ M⌉ bits each, rows on byte
/// borders.
template <int N, int M> struct n_m_logic : recoded<n_m_logic<N, M>> {
  static_assert(1 <= N && N <= M && M <= 64, "pleat: codec::n_m keeps N of M numbers, 1 <= N <= M <= 64");
  static constexpr int width = std::bit_width(static_cast<unsigned>(M - 1));
  static constexpr std::array<char, 8> text = [] {
    std::array<char, 8> t{};
    int at = 0;
    for (int v : {N, -1, M}) {
      if (v < 0) t[static_cast<std::size_t>(at++)] = ':';
      if (v >= 10) t[static_cast<std::size_t>(at++)] = static_cast<char>('0' + v / 10);
      if (v >= 0) t[static_cast<std::size_t>(at++)] = static_cast<char>('0' + v % 10);
    }
    return t;
  }();
  static constexpr std::string_view name{text.data()};
  struct options {};

  /// Keeps the N largest magnitudes of each group, the first ones where several are equal. Exact if a group has no more
  /// numbers than N.
  static std::vector<file_tensor> encode(extents const& shape, std::span<float const> values, options const&) {
    demand_columns("encode", shape);
    demand_finite(name, shape, values);
    index_t const groups = columns_of(shape) / M;
    std::vector<float> kept(static_cast<std::size_t>(rows_of(shape) * groups * N));
    std::vector<std::uint8_t> where(static_cast<std::size_t>(rows_of(shape) * row_bytes(shape)), 0);
    float* to = kept.data();
    for (index_t r = 0; r < rows_of(shape); ++r) {
      std::uint8_t* const row = where.data() + r * row_bytes(shape);
      for (index_t g = 0; g < groups; ++g) {
        float const* const x = values.data() + r * columns_of(shape) + g * M;
        int order[M];
        largest(x, order);
        for (int i = 0; i < N; ++i, ++to) {
          *to = x[order[i]];
          put(row, g * N + i, static_cast<unsigned>(order[i]));
        }
      }
    }
    return {part_of(".values", {rows_of(shape), groups * N}, kept),
            part_of(".index", {rows_of(shape), row_bytes(shape)}, where)};
  }
  static void check(extents const& shape, std::span<file_tensor const> parts) {
    auto const call = call_of(name, "from_file");
    demand_columns("from_file", shape);
    demand_only(call.c_str(), parts, {".values", ".index"});
    index_t const each = columns_of(shape) / M * N;
    for (float v :
         values_of<float>(demand_part(call.c_str(), parts, ".values", dtype::f32, {rows_of(shape), each}).bytes))
      if (!std::isfinite(v)) throw error{call, "a stored number is NaN or infinite", remedy::copy_again};
    auto const& where = demand_part(call.c_str(), parts, ".index", dtype::u8, {rows_of(shape), row_bytes(shape)});
    for (index_t r = 0; r < rows_of(shape); ++r)
      for (index_t i = 0; i < each; ++i) {
        auto const* const row = reinterpret_cast<byte_t const*>(where.bytes.data()) + r * row_bytes(shape);
        if (at(row, i) >= M)
          throw error{call,
                      "row " + std::to_string(r) + " has the place " + std::to_string(at(row, i)) + " in a group of " +
                          std::to_string(M),
                      remedy::copy_again};
        if (i % N != 0 && at(row, i) <= at(row, i - 1))
          throw error{call, "the places of a group in row " + std::to_string(r) + " do not ascend", remedy::copy_again};
      }
  }
  static constexpr bool in_sixteens = M > 1 && 16 % M == 0;
  /// The places as a bit per element, sixteen columns at a time: what vector units expand by.
  static std::vector<file_tensor> derive(extents const& shape, std::span<file_tensor const> parts) {
    index_t const sixteens = columns_of(shape) / 16;
    std::vector<std::uint16_t> masks(in_sixteens ? static_cast<std::size_t>(rows_of(shape) * sixteens) : 0, 0);
    auto const* const where = reinterpret_cast<byte_t const*>(find_part(parts, ".index")->bytes.data());
    for (index_t r = 0; in_sixteens && r < rows_of(shape); ++r)
      for (index_t i = 0; i < sixteens * 16 / M * N; ++i) {
        index_t const k = i / N * M + at(where + r * row_bytes(shape), i);
        auto& m = masks[static_cast<std::size_t>(r * sixteens + k / 16)];
        m = static_cast<std::uint16_t>(m | 1u << (k % 16));
      }
    return {part_of(".masks", masks)};
  }
  struct view : sparse_view<view> {
    static constexpr int block = 1;
    float const* value = nullptr;
    byte_t const* where = nullptr;
    std::uint16_t const* masks = nullptr;
    index_t each = 0, bytes = 0, rows = 0, sixteens = 0;
#if defined(__x86_64__)
    /// Columns [first, last), multiples of 16, where groups divide 16.
    static constexpr bool has_decode_avx512 = in_sixteens;
    PLEAT_TARGET_AVX512 void decode_avx512(index_t r, index_t first, index_t last, float* out) const {
      float const* v = value + r * each + first / M * N;
      std::uint16_t const* const mask = masks + r * sixteens;
      // may read past the last value: the block is longer
      for (index_t k = first; k < last; k += 16, out += 16, v += 16 / M * N)
        _mm512_storeu_ps(out, _mm512_maskz_expand_ps(static_cast<__mmask16>(mask[k / 16]), _mm512_loadu_ps(v)));
    }
    bool turn(bool wide, index_t row, index_t k0, index_t k1, float* to, index_t stride, index_t ahead) const
      requires in_sixteens
    {
      if constexpr (N == 2 && M == 4) {
        turn_two_of_four_rows(wide, values_of(row), {where + row * bytes, bytes}, ahead, k0, k1, to, stride);
        return true;
      } else {
        if (!wide || sixteens * 16 / M * N != each) return false;  // the end of a row may have no mask
        turn_units_avx512(turn_n_of_m<N, M>{values_of(row), masks + row * sixteens, sixteens, 4 * ahead / M * N}, k0,
                          k1, to, stride);
        return true;
      }
    }
    [[nodiscard]] sixteen_rows values_of(index_t row) const {
      return {reinterpret_cast<unsigned char const*>(value + row * each), static_cast<index_t>(sizeof(float)) * each};
    }
#endif
    /// Whole groups without branches; the chains of the decoded product are those of the sparse one.
    PLEAT_INLINE void decode(index_t r, index_t first, index_t last, float* out) const {
      if (first % M != 0 || last % M != 0) return sparse_view<view>::decode(r, first, last, out);
      float const* const v = value + r * each;
      byte_t const* const row = where + r * bytes;
      for (index_t g = first / M; g < last / M; ++g, out += M) {
        for (int j = 0; j < M; ++j) out[j] = 0;
        for (int i = 0; i < N; ++i) out[at(row, g * N + i)] = v[g * N + i];
      }
    }
    template <class F> PLEAT_INLINE void nonzeros(index_t r, F const& f) const {
      float const* const v = value + r * each;
      byte_t const* const row = where + r * bytes;
      for (index_t g = 0; g * N < each; ++g)
        for (int i = 0; i < N; ++i) f(g * M + at(row, g * N + i), v[g * N + i]);
    }
    [[nodiscard]] double work() const { return static_cast<double>(rows * each); }
  };
  template <class Parts> static view open(extents const& shape, Parts const& p) {
    view v;
    v.value = p.template find<float>(".values");
    v.where = p.template find<byte_t>(".index");
    v.each = columns_of(shape) / M * N;
    v.bytes = row_bytes(shape);
    v.rows = rows_of(shape);
    v.masks = p.template find<std::uint16_t>(".masks");
    v.sixteens = columns_of(shape) / 16;
    return v;
  }
  static cut_unit granularity(extents const&) { return {1, M}; }
  static std::vector<file_tensor> slice(extents const&, std::span<file_tensor const> parts, index_t first,
                                        index_t last) {
    return {part_rows(*find_part(parts, ".values"), first, last), part_rows(*find_part(parts, ".index"), first, last)};
  }
  /// Exactly what the choice leaves out.
  static error_norms predict(extents const&, std::span<float const> values, std::span<file_tensor const>) {
    error_norms e;
    for (std::size_t g = 0; g + M <= values.size(); g += M) {
      float v[M];
      std::transform(values.begin() + static_cast<std::ptrdiff_t>(g),
                     values.begin() + static_cast<std::ptrdiff_t>(g) + M, v, [](float x) { return std::fabs(x); });
      std::sort(v, v + M);
      for (int i = 0; i < M - N; ++i) e.add(static_cast<double>(v[i]));
    }
    return e;
  }
  /// The place that entry i of a row's list has in its group.
  [[nodiscard]] PLEAT_INLINE static int at(byte_t const* row, index_t i) {
    if constexpr (width == 0) {
      return 0;
    } else if constexpr (8 % width == 0) {
      return (row[i * width >> 3] >> (i * width & 7)) & ((1 << width) - 1);
    } else {
      index_t const bit = i * width;
      int v = row[bit >> 3] >> (bit & 7);
      if ((bit & 7) + width > 8) v |= row[(bit >> 3) + 1] << (8 - (bit & 7));
      return v & ((1 << width) - 1);
    }
  }

 private:
  /// order[0 … N): the places of the N largest magnitudes, ascending; of equal ones the first.
  static void largest(float const* x, int (&order)[M]) {
    if constexpr (M <= 16) {  // how many come before an element: no branch that could not be foreseen
      float magnitude[M];
      for (int i = 0; i < M; ++i) magnitude[i] = std::fabs(x[i]);
      int kept = 0;
      for (int i = 0; i < M; ++i) {
        int before = 0;
        for (int j = 0; j < M; ++j) before += j < i ? magnitude[j] >= magnitude[i] : magnitude[j] > magnitude[i];
        order[kept] = i;
        kept += kept < M - 1 && before < N;
      }
    } else {
      for (int i = 0; i < M; ++i) order[i] = i;
      std::stable_sort(order, order + M, [&](int a, int b) { return std::fabs(x[a]) > std::fabs(x[b]); });
      std::sort(order, order + N);
    }
  }
  static void put(byte_t* row, index_t i, unsigned place) {
    if constexpr (width > 0 && 8 % width == 0) {
      row[i * width >> 3] = static_cast<byte_t>(row[i * width >> 3] | place << (i * width & 7));
    } else {
      for (int b = 0; b < width; ++b)
        if (place >> b & 1u)
          row[(i * width + b) >> 3] = static_cast<byte_t>(row[(i * width + b) >> 3] | 1u << ((i * width + b) & 7));
    }
  }
  [[nodiscard]] static index_t row_bytes(extents const& shape) noexcept {
    return bit_bytes(columns_of(shape) / M * N * width);
  }
  static void demand_columns(char const* function, extents const& shape) {
    if (columns_of(shape) % M != 0)
      throw error{call_of(name, function),
                  "a weight of shape " + shape.to_string() + " has " + std::to_string(columns_of(shape)) +
                      " columns, expected a multiple of " + std::to_string(M),
                  "Leave this weight out, or choose groups that divide its columns"};
  }
};

}  // namespace pleat::codec::detail
