// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The bit logic of sparse weights: compressed rows (of single numbers or of blocks of neighbours), a bit per element,
/// N of M. Needs no Kokkos.
#pragma once

#include <algorithm>
#include <array>
#include <bit>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <pleat/codec/detail/at_level.hpp>
#include <pleat/codec/detail/block_formats.hpp>
#include <pleat/codec/detail/cut_bits.hpp>
#include <pleat/codec/detail/host_bits.hpp>
#include <pleat/codec/detail/turn_two_of_four.hpp>
#include <pleat/codec/error_norms.hpp>
#include <pleat/compute/math.hpp>

namespace pleat::codec::detail {

/// Some rows as lists of columns and values: row i of them is [start[i], start[i + 1]), in units of `Block`
/// neighbouring columns. A list's column c stands for the columns c·Block to c·Block + Block − 1.
template <class Index> struct row_lists {
  std::uint32_t const* start;
  Index const* column;
  float const* value;
};

/// What all sparse views do with the one thing they know: nonzeros(row, f) calls f(column, value) for the stored
/// elements, ascending.
template <class View> struct sparse_view {
  PLEAT_INLINE void decode(index_t r, index_t first, index_t last, float* out) const {
    for (index_t k = first; k < last; ++k) out[k - first] = 0;
    static_cast<View const*>(this)->nonzeros(r, place{out, first, last});
  }
  /// One element of a product: one chain over the stored elements.
  [[nodiscard]] PLEAT_INLINE float dot(index_t r, float const* x) const {
    float sum = 0;
    static_cast<View const*>(this)->nonzeros(r, chain{x, &sum});
    return sum;
  }

 private:
  struct place {
    float* out;
    index_t first, last;
    PLEAT_INLINE void operator()(index_t k, float v) const {
      if (k >= first && k < last) out[k - first] = v;
    }
  };
  struct chain {
    float const* x;
    float* sum;
    PLEAT_INLINE void operator()(index_t k, float v) const { *sum = compute::fma(v, x[k], *sum); }
  };
};

/// Row borders that a file claims: from 0, never falling, up to `total`. \throws error
inline void check_starts(std::string const& call, std::span<std::uint32_t const> starts, index_t total) {
  for (std::size_t r = 0; r + 1 < starts.size(); ++r)
    if (starts[r] > starts[r + 1])
      throw error{call, "row " + std::to_string(r) + " ends before it begins", remedy::copy_again};
  if (starts.front() != 0 || static_cast<index_t>(starts.back()) != total)
    throw error{call,
                "the rows' borders run from " + std::to_string(starts.front()) + " to " +
                    std::to_string(starts.back()) + ", expected 0 to " + std::to_string(total),
                remedy::copy_again};
}
/// Rows begin at 32-bit places. \throws error if more survive than those can say
inline void demand_countable(std::string const& call, extents const& shape, index_t survivors) {
  if (survivors > 0xffffffff)
    throw error{call,
                std::to_string(survivors) + " blocks or numbers survive in a weight of shape " + shape.to_string() +
                    ", expected fewer than 2^32",
                "Cut the weight over more ranks"};
}
/// The length of a list whose length the file decides.
[[nodiscard]] inline index_t list_length(std::span<file_tensor const> parts, std::string_view suffix) noexcept {
  auto const* const p = find_part(parts, suffix);
  return p && p->shape.rank() > 0 ? p->shape[0] : 0;
}

/// Compressed rows of blocks of B neighbours (B = 1: CSR). A block is stored if one of its numbers is not zero.
template <int B> struct compressed_rows_logic : recoded<compressed_rows_logic<B>> {
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

/// Where the bits of a byte are.
struct bit_place {
  std::uint8_t at[8], count;
};
inline constexpr std::array<bit_place, 256> bit_places = [] {
  std::array<bit_place, 256> t{};
  for (unsigned u = 0; u < 256; ++u)
    for (unsigned b = 0; b < 8; ++b)
      if (u >> b & 1u) t[u].at[t[u].count++] = static_cast<std::uint8_t>(b);
  return t;
}();

/// One bit per element, rows on byte borders, and the numbers that are not zero.
struct bitmask_logic : recoded<bitmask_logic> {
  static constexpr std::string_view name = "bitmask";
  struct options {};

  static std::vector<file_tensor> encode(extents const& shape, std::span<float const> values, options const&) {
    demand_finite(name, shape, values);
    std::vector<std::uint8_t> bits(static_cast<std::size_t>(rows_of(shape) * row_bytes(shape)), 0);
    std::vector<float> kept;
    for (index_t r = 0; r < rows_of(shape); ++r)
      for (index_t k = 0; k < columns_of(shape); ++k)
        if (float const v = values[static_cast<std::size_t>(r * columns_of(shape) + k)]; v != 0) {
          auto& byte = bits[static_cast<std::size_t>(r * row_bytes(shape) + k / 8)];
          byte = static_cast<std::uint8_t>(byte | 1u << (k % 8));
          kept.push_back(v);
        }
    demand_countable(call_of(name, "encode"), shape, static_cast<index_t>(kept.size()));
    return {part_of(".mask", {rows_of(shape), row_bytes(shape)}, bits), part_of(".values", kept)};
  }
  static void check(extents const& shape, std::span<file_tensor const> parts) {
    auto const call = call_of(name, "from_file");
    demand_only(call.c_str(), parts, {".mask", ".values"});
    auto const bits = values_of<std::uint8_t>(
        demand_part(call.c_str(), parts, ".mask", dtype::u8, {rows_of(shape), row_bytes(shape)}).bytes);
    auto const kept = values_of<float>(demand_list(call.c_str(), parts, ".values", dtype::f32, shape.size()).bytes);
    for (index_t r = 0; r < rows_of(shape); ++r)
      check_bits(call.c_str(),
                 std::span<std::uint8_t const>(bits).subspan(static_cast<std::size_t>(r * row_bytes(shape)),
                                                             static_cast<std::size_t>(row_bytes(shape))),
                 columns_of(shape),
                 count_bits(std::span<std::uint8_t const>(bits).subspan(static_cast<std::size_t>(r * row_bytes(shape)),
                                                                        static_cast<std::size_t>(row_bytes(shape)))));
    if (count_bits(bits) != static_cast<index_t>(kept.size()))
      throw error{call,
                  "the mask keeps " + std::to_string(count_bits(bits)) + " elements, but " +
                      std::to_string(kept.size()) + " values are stored",
                  remedy::copy_again};
    demand_countable(call, shape, static_cast<index_t>(kept.size()));
    for (float v : kept)
      if (!std::isfinite(v)) throw error{call, "a stored number is NaN or infinite", remedy::copy_again};
  }
  /// Where each row's numbers begin.
  static std::vector<file_tensor> derive(extents const& shape, std::span<file_tensor const> parts) {
    auto const* const bits = reinterpret_cast<std::uint8_t const*>(find_part(parts, ".mask")->bytes.data());
    std::vector<std::uint32_t> start{0};
    for (index_t r = 0; r < rows_of(shape); ++r)
      start.push_back(start.back() + static_cast<std::uint32_t>(count_bits(std::span<std::uint8_t const>(
                                         bits + r * row_bytes(shape), static_cast<std::size_t>(row_bytes(shape))))));
    return {part_of(".start", start)};
  }
  struct view : sparse_view<view> {
    static constexpr int block = 1;
    byte_t const* bits = nullptr;
    float const* value = nullptr;
    std::uint32_t const* start = nullptr;
    index_t bytes = 0, stored = 0;
    template <class F> PLEAT_INLINE void nonzeros(index_t r, F const& f) const {
      byte_t const* const row = bits + r * bytes;
      float const* v = value + start[r];
      for (index_t b = 0; b < bytes; ++b)
        for (unsigned left = row[b]; left != 0; left &= left - 1) f(8 * b + lowest(left), *v++);
    }
    /// The columns of row r to `to`, which has room for 64 more.
    PLEAT_INLINE void columns(index_t r, std::uint32_t* to) const {
      byte_t const* const row = bits + r * bytes;
      // eight at a time, without a branch that cannot be foreseen: the next byte overwrites what is too much
      for (index_t b = 0; b < bytes; ++b) {
        auto const& places = bit_places[row[b]];
        for (std::uint32_t i = 0; i < 8; ++i) to[i] = static_cast<std::uint32_t>(8 * b) + places.at[i];
        to += places.count;
      }
    }
#if defined(__x86_64__)
    /// The same, 16 columns at a time.
    PLEAT_TARGET_AVX512 void columns_avx512(index_t r, std::uint32_t* to) const {
      byte_t const* const row = bits + r * bytes;
      __m512i place = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
      for (index_t b = 0; b < bytes; b += 2) {
        auto const word = static_cast<std::uint16_t>(row[b] | (b + 1 < bytes ? row[b + 1] << 8 : 0));
        _mm512_storeu_si512(to, _mm512_maskz_compress_epi32(word, place));
        to += __builtin_popcount(word);
        place = _mm512_add_epi32(place, _mm512_set1_epi32(16));
      }
    }
#endif
    PLEAT_INLINE static int lowest(unsigned u) {
#if defined(__CUDA_ARCH__)
      return __ffs(static_cast<int>(u)) - 1;
#else
      return __builtin_ctz(u);
#endif
    }
    [[nodiscard]] double work() const { return 2.0 * static_cast<double>(stored); }
  };
  template <class Parts> static view open(extents const& shape, Parts const& p) {
    view v;
    v.bits = p.template find<byte_t>(".mask");
    v.value = p.template find<float>(".values");
    v.start = p.template find<std::uint32_t>(".start");
    v.bytes = row_bytes(shape);
    v.stored = p.count(".values");
    return v;
  }
  static cut_unit granularity(extents const&) { return {1, 1}; }
  static std::vector<file_tensor> slice(extents const& shape, std::span<file_tensor const> parts, index_t first,
                                        index_t last) {
    auto const start = values_of<std::uint32_t>(derive(shape, parts)[0].bytes);
    return {part_rows(*find_part(parts, ".mask"), first, last),
            part_rows(*find_part(parts, ".values"), start[static_cast<std::size_t>(first)],
                      start[static_cast<std::size_t>(last)])};
  }
  static error_norms predict(extents const&, std::span<float const>, std::span<file_tensor const>) { return {}; }

 private:
  [[nodiscard]] static index_t row_bytes(extents const& shape) noexcept { return bit_bytes(columns_of(shape)); }
};

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
