// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The bit logic of sparse weights with a bit per element. Needs no Kokkos.
#pragma once

#include <array>
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
#include <pleat/codec/detail/bits.hpp>
#include <pleat/codec/detail/block_formats.hpp>
#include <pleat/codec/detail/cut_bits.hpp>
#include <pleat/codec/detail/host_bits.hpp>
#include <pleat/codec/detail/sparse_view.hpp>
#include <pleat/codec/error_norms.hpp>

namespace pleat::codec::detail {

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

}  // namespace pleat::codec::detail
