// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The bit logic of a block format: a weight is rows of blocks, nothing else. Needs no Kokkos.
#pragma once

#include <pleat/codec/detail/block_encode_avx2.hpp>
#include <pleat/codec/detail/block_encode_avx512.hpp>
#include <pleat/codec/detail/cut_bits.hpp>
#include <pleat/codec/detail/host_bits.hpp>
#include <pleat/codec/detail/k_quants.hpp>
#include <pleat/codec/detail/k_quants_avx2.hpp>
#include <pleat/codec/detail/k_quants_avx512.hpp>
#include <pleat/codec/detail/k_quants_plain.hpp>
#include <pleat/codec/detail/k_quants_plain_avx2.hpp>
#include <pleat/codec/detail/k_quants_plain_avx512.hpp>
#include <pleat/codec/error_norms.hpp>

namespace pleat::codec::detail {

/// Formats whose scales are searched: codes may clip, and what is too large is seen from the numbers.
template <class F> inline constexpr bool searched = F::block == 256 && !std::is_same_v<F, int4_format<256>>;

/// How blocks are encoded.
template <bool Searched> struct block_options {};
template <> struct block_options<true> {
  bool search = true;  ///< false: a piece's scale is its range; many times faster, with a larger error
};

template <class F> struct block_view {
  byte_t const* blocks = nullptr;
  index_t row_bytes = 0;

  [[nodiscard]] PLEAT_INLINE byte_t const* row(index_t r) const { return blocks + r * row_bytes; }
  PLEAT_INLINE void decode(index_t r, index_t first, index_t last, float* out) const {
    for (index_t k = first / 32 * 32; k < last; k += 32) {
      byte_t const* const b = row(r) + k / F::block * F::bytes;
      int const piece = static_cast<int>(k % F::block) / 32;
      float const s = F::scale(b, piece), base = F::base(b, piece);
      for (int half = 0; half < 2; ++half) {
        float const scale = F::multipliers ? s * static_cast<float>(F::multiplier(b, piece, half)) : s;
        float v[16];
        // exact
        for (int i = 0; i < 16; ++i) v[i] = scale * static_cast<float>(F::code(b, piece, 16 * half + i) - F::offset);
        if (F::has_base)
          for (int i = 0; i < 16; ++i) v[i] += base;
        index_t const at = k + 16 * half;
        if (at >= first && at + 16 <= last)
          for (int i = 0; i < 16; ++i) out[at - first + i] = v[i];
        else
          for (int i = 0; i < 16; ++i)
            if (at + i >= first && at + i < last) out[at - first + i] = v[i];
      }
    }
  }
};

template <class F> struct block_logic {
  using format = F;
  static constexpr std::string_view name = F::name;
  using options = block_options<searched<F>>;
  using view = block_view<F>;

  [[nodiscard]] static index_t row_bytes(extents const& shape) noexcept {
    return columns_of(shape) / F::block * F::bytes;
  }
  [[nodiscard]] static extents image_shape(extents const& shape) { return {rows_of(shape), row_bytes(shape)}; }
  /// The only part of the image.
  [[nodiscard]] static file_tensor image(extents const& shape) {
    return {".blocks", dtype::u8, image_shape(shape), {}};
  }

  static void demand_columns(char const* function, extents const& shape) {
    if (columns_of(shape) % F::block != 0)
      throw error{call_of(name, function),
                  "a weight of shape " + shape.to_string() + " has " + std::to_string(columns_of(shape)) +
                      " columns, expected a multiple of " + std::to_string(F::block),
                  F::block > 32 && columns_of(shape) % 32 == 0
                      ? "Leave this weight out, or choose a form of smaller blocks, e.g. q8_0 (32)"
                      : "Leave this weight out, or choose a form without blocks, e.g. int8"};
  }

  /// Blocks of all rows to `out` (rows · row_bytes bytes). \throws error for NaN, infinity, and numbers whose scale a
  /// half cannot hold
  static void encode_into(extents const& shape, std::span<float const> values, options const& o, byte_t* out) {
    demand_columns("encode", shape);
    if (static_cast<index_t>(values.size()) != shape.size())
      throw error{call_of(name, "encode"),
                  "expected " + std::to_string(shape.size()) + " values, found " + std::to_string(values.size()),
                  "Hand over one number for every element of the shape"};
    for (index_t g = 0; g < groups(shape); ++g)
      if (!encode_group(shape, values.data(), g, o, out)) refuse_group(shape, values, g, out);
  }

  /// encode_into by groups of blocks, of which a thread may take any: what demand_columns and the number of values say
  /// must be known. blocks of a group: what was just checked is still in the cache
  static constexpr index_t together = 32768 / F::block > 0 ? 32768 / F::block : 1;
  /// For the decision whether threads pay.
  [[nodiscard]] static double work_per_element(options const& o) noexcept {
    if constexpr (searched<F>) return o.search ? 200 : 4;
    else return 4;
  }
  [[nodiscard]] static index_t groups(extents const& shape) noexcept {
    return (shape.size() / F::block + together - 1) / together;
  }
  /// \returns false if the group holds a number that cannot be stored; refuse_group says which
  [[nodiscard]] static bool encode_group(extents const& shape, float const* values, index_t group, options const& o,
                                         byte_t* out) {
    span_of_group const g(shape, group);
    float const* const from = values + g.first * F::block;
    byte_t* const to = out + g.first * F::bytes;
    std::uint32_t const most = largest_bits(from, g.blocks * F::block);
    if (most >= too_large) return false;
    encode_blocks(from, g.blocks, o, to);
    return bad_block(to, g.blocks) < 0;
  }
  /// \param out where encode_group wrote \throws error that names the first number of the group that cannot be stored
  [[noreturn]] static void refuse_group(extents const& shape, std::span<float const> values, index_t group,
                                        byte_t const* out) {
    span_of_group const g(shape, group);
    float const* const from = values.data() + g.first * F::block;
    std::uint32_t const most = largest_bits(from, g.blocks * F::block);
    if (most >= 0x7f800000u) demand_finite(name, shape, values);
    index_t bad = 0;  // block of the group
    if (most >= too_large)
      bad = (std::find_if(from, from + g.blocks * F::block,
                          [](float v) { return (__builtin_bit_cast(std::uint32_t, v) & 0x7fffffffu) >= too_large; }) -
             from) /
            F::block;
    else bad = bad_block(out + g.first * F::bytes, g.blocks);
    index_t const at = (g.first + bad) * F::block;
    throw error{call_of(name, "encode"),
                "the numbers from row " + std::to_string(at / columns_of(shape)) + ", column " +
                    std::to_string(at % columns_of(shape)) +
                    " on are too large: their scale is above 65504, the largest 16-bit float",
                "Train again with a lower learning rate, or choose codec::int8, whose scales are floats"};
  }
  static std::vector<file_tensor> encode(extents const& shape, std::span<float const> values, options const& o) {
    auto part = image(shape);
    part.bytes.resize(static_cast<std::size_t>(part.shape.size()));
    encode_into(shape, values, o, reinterpret_cast<byte_t*>(part.bytes.data()));
    return {std::move(part)};
  }
  static void check(extents const& shape, std::span<file_tensor const> parts) {
    auto const call = call_of(name, "from_file");
    demand_columns("from_file", shape);
    demand_only(call.c_str(), parts, {".blocks"});
    auto const& p = demand_part(call.c_str(), parts, ".blocks", dtype::u8, image_shape(shape));
    if (index_t const bad = bad_block(reinterpret_cast<byte_t const*>(p.bytes.data()), shape.size() / F::block);
        bad >= 0)
      throw error{call, "the scale of block " + std::to_string(bad) + " is NaN or infinite", remedy::copy_again};
  }
  template <class Parts> static view open(extents const& shape, Parts const& p) {
    return {p.template find<byte_t>(".blocks"), row_bytes(shape)};
  }
  static cut_unit granularity(extents const&) { return {1, F::block}; }
  static std::vector<file_tensor> slice(extents const&, std::span<file_tensor const> parts, index_t first,
                                        index_t last) {
    return {part_rows(parts[0], first, last)};
  }
  static std::vector<file_tensor> slice_columns(extents const& shape, extents const& part,
                                                std::span<file_tensor const> parts, index_t first, index_t last) {
    return {{".blocks", dtype::u8, image_shape(part),
             cut_matrix(parts[0].bytes, rows_of(shape), first / F::block * F::bytes, last / F::block * F::bytes)}};
  }
  static std::vector<file_tensor> join(extents const& shape, int dim, std::span<weight_piece const> pieces) {
    return {
        {".blocks", dtype::u8, image_shape(shape), join_matrix(rows_of(shape), dim, bytes_of_all(pieces, ".blocks"))}};
  }

  /// What the stored scales allow, without a look at the codes: half a step, or the way to the nearest end of the range
  /// for what lies outside (searched scales clip on purpose); and, as codes are found with a step that is rounded to 16
  /// bits afterwards, that rounding times the largest code. The 10⁻⁵ pays for the float arithmetic of the codes.
  static error_norms predict(extents const& shape, std::span<float const> values, std::span<file_tensor const> parts) {
    error_norms e;
    byte_t const* b = reinterpret_cast<byte_t const*>(parts[0].bytes.data());
    for (std::size_t at = 0; at < values.size(); at += F::block, b += F::bytes)
      for (int i = 0; i < F::block; ++i) {
        int const piece = i / 32;
        double step = F::scale(b, piece), base = F::base(b, piece);
        if (F::multipliers) step *= F::multiplier(b, piece, i % 32 / 16);
        double const one = base - step * F::offset, other = base + step * (F::most - F::offset),
                     x = values[at + static_cast<std::size_t>(i)];
        double const outside = std::max({std::min(one, other) - x, x - std::max(one, other), 0.0});
        double const largest = std::max(F::offset, F::most - F::offset);
        double const rounding = searched<F> ? 0.0
                                            : largest * std::max(std::fabs(step) * 0x1p-10, 0x1p-24) +
                                                  (F::has_base ? std::max(std::fabs(base) * 0x1p-10, 0x1p-24) : 0.0);
        e.add(std::max(std::fabs(step) / 2, outside) * (1 + 1e-5) + rounding + std::fabs(x) * 0x1p-22);
      }
    static_cast<void>(shape);
    return e;
  }

 private:
  /// Bits of a magnitude from which on a number is refused: of searched formats beside what a half times the largest
  /// codes can hold, else NaN and infinity.
  static constexpr std::uint32_t too_large =
      searched<F>
          ? __builtin_bit_cast(std::uint32_t, 65504.0f * static_cast<float>(F::multipliers ? 128 * 32 : 63 * 15)) + 1
          : 0x7f800000u;

  /// Where a group lies, in blocks.
  struct span_of_group {
    index_t first, blocks;
    span_of_group(extents const& shape, index_t group)
        : first(group * together), blocks(std::min(together, shape.size() / F::block - first)) {}
  };
  static void encode_blocks(float const* from, index_t blocks, [[maybe_unused]] options const& o, byte_t* to) {
    if constexpr (searched<F>)
      if (!o.search) return encode_plain_blocks(from, blocks, to);
#if defined(__x86_64__)
    if (isa::best() == isa::level::avx512) return encode_blocks_avx512(F{}, from, blocks, to);
    if (isa::best() == isa::level::avx2) return encode_blocks_avx2(F{}, from, blocks, to);
#endif
    run_scalar(0, blocks, encode_row_body<F>{from, to, F::block});
  }
  static void encode_plain_blocks(float const* from, index_t blocks, byte_t* to) {
#if defined(__x86_64__)
    if (isa::best() == isa::level::avx512) return encode_plain_avx512(F{}, from, blocks, to);
    if (isa::best() == isa::level::avx2) return encode_plain_avx2(F{}, from, blocks, to);
#endif
    run_scalar(0, blocks, encode_plain_body<F>{from, to});
  }
  /// The largest bits of a magnitude.
  struct largest_body {
    float const* x;
    index_t n;
    std::uint32_t* largest;
    PLEAT_INLINE void operator()(index_t) const {
      std::uint32_t most[16] = {};
      index_t i = 0;
      for (; i + 16 <= n; i += 16)
        for (int j = 0; j < 16; ++j) {
          std::uint32_t const u = __builtin_bit_cast(std::uint32_t, x[i + j]) & 0x7fffffffu;
          most[j] = most[j] > u ? most[j] : u;
        }
      for (int j = 0; j < 16; ++j) *largest = *largest > most[j] ? *largest : most[j];
    }
  };
  static std::uint32_t largest_bits(float const* x, index_t n) {
    std::uint32_t most = 0;
    run_at(isa::best(), 0, 1, largest_body{x, n, &most});
    return most;
  }
  /// The first block whose scale or base is not finite, or −1.
  static index_t bad_block(byte_t const* b, index_t blocks) {
    for (index_t i = 0; i < blocks; ++i, b += F::bytes)
      for (int h = 0; h < F::halves; ++h)
        if ((b[F::halves_at + 2 * h + 1] & 0x7c) == 0x7c) return i;
    return -1;
  }
};

}  // namespace pleat::codec::detail
