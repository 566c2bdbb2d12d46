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
#include <pleat/codec/error_norms.hpp>

namespace pleat::codec::detail {

/// encode_row_body for formats whose encoder is no loop for vector units.
template <class F> inline constexpr bool searched = F::block == 256 && !std::is_same_v<F, int4_format<256>>;

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
        for (int i = 0; i < 16; ++i) v[i] = scale * static_cast<float>(F::code(b, piece, 16 * half + i) - F::offset);  // exact
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
  struct options {};
  using view = block_view<F>;

  [[nodiscard]] static index_t row_bytes(extents const& shape) noexcept { return columns_of(shape) / F::block * F::bytes; }
  [[nodiscard]] static extents image_shape(extents const& shape) { return {rows_of(shape), row_bytes(shape)}; }
  /// The only part of the image.
  [[nodiscard]] static file_tensor image(extents const& shape) { return {".blocks", dtype::u8, image_shape(shape), {}}; }

  static void demand_columns(char const* function, extents const& shape) {
    if (columns_of(shape) % F::block != 0)
      throw error{call_of(name, function), "a weight of shape " + shape.to_string() + " has " + std::to_string(columns_of(shape)) + " columns, expected a multiple of " + std::to_string(F::block),
                  F::block > 32 ? "Leave this weight out, or choose a form of smaller blocks, e.g. q8_0 (32)" : "Leave this weight out, or choose a form without blocks, e.g. int8"};
  }

  /// Blocks of all rows to `out` (rows · row_bytes bytes). \throws error for NaN, infinity, and numbers whose scale a half cannot hold
  static void encode_into(extents const& shape, std::span<float const> values, options const&, byte_t* out) {
    demand_columns("encode", shape);
    if (static_cast<index_t>(values.size()) != shape.size())
      throw error{call_of(name, "encode"), "expected " + std::to_string(shape.size()) + " values, found " + std::to_string(values.size())};
    constexpr index_t together = 16;  // rows, so that what was just checked is still in the cache
    for (index_t r = 0; r < rows_of(shape); r += together) {
      index_t const some = std::min(together, rows_of(shape) - r);
      float const* const from = values.data() + r * columns_of(shape);
      encode_row_body<F> const body{from, out + r * row_bytes(shape), columns_of(shape)};
      std::uint32_t most = 0;
      run_at(isa::best(), 0, 1, largest_body{from, some * columns_of(shape), &most});
      if (most >= 0x7f800000u) demand_finite(name, shape, values);
      bool done = false;
#if defined(__x86_64__)
      if constexpr (has_encode_avx512<F>)
        if (isa::best() == isa::level::avx512) {
          encode_blocks_avx512(F{}, from, some * columns_of(shape) / F::block, body.out);
          done = true;
        }
      if constexpr (has_encode_avx2<F>)
        if (isa::best() == isa::level::avx2) {
          encode_blocks_avx2(F{}, from, some * columns_of(shape) / F::block, body.out);
          done = true;
        }
#endif
      if (done) {
      } else if constexpr (searched<F>)
        for (index_t i = 0; i < some; ++i) body(i);  // reference arithmetic: not for other instruction sets
      else
        run_at(isa::best(), 0, some, body);
      index_t bad = bad_block(body.out, some * columns_of(shape) / F::block);
      if (searched<F> && __builtin_bit_cast(float, most) > 65504.0f * static_cast<float>(F::multipliers ? 128 * 32 : 63 * 15)) bad = first_above(from, some * columns_of(shape)) / F::block;
      if (bad >= 0) {
        index_t const at = r * columns_of(shape) + bad * F::block;
        throw error{call_of(name, "encode"), "the numbers from row " + std::to_string(at / columns_of(shape)) + ", column " + std::to_string(at % columns_of(shape)) +
                                                 " on are too large: their scale is above 65504, the largest 16-bit float",
                    "Train again with a lower learning rate, or choose codec::int8, whose scales are floats"};
      }
    }
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
    if (index_t const bad = bad_block(reinterpret_cast<byte_t const*>(p.bytes.data()), shape.size() / F::block); bad >= 0)
      throw error{call, "the scale of block " + std::to_string(bad) + " is NaN or infinite", remedy::copy_again};
  }
  template <class Parts> static view open(extents const& shape, Parts const& p) { return {p.template find<byte_t>(".blocks"), row_bytes(shape)}; }
  static cut_unit granularity(extents const&) { return {1, F::block}; }
  static std::vector<file_tensor> slice(extents const&, std::span<file_tensor const> parts, index_t first, index_t last) { return {part_rows(parts[0], first, last)}; }
  static std::vector<file_tensor> slice_columns(extents const& shape, extents const& part, std::span<file_tensor const> parts, index_t first, index_t last) {
    return {{".blocks", dtype::u8, image_shape(part), cut_matrix(parts[0].bytes, rows_of(shape), first / F::block * F::bytes, last / F::block * F::bytes)}};
  }
  static std::vector<file_tensor> join(extents const& shape, int dim, std::span<weight_piece const> pieces) {
    return {{".blocks", dtype::u8, image_shape(shape), join_matrix(rows_of(shape), dim, bytes_of_all(pieces, ".blocks"))}};
  }

  /// What the stored scales allow, without a look at the codes: half a step, or the way to the nearest end of the range for what lies outside
  /// (searched scales clip on purpose); and, as codes are found with a step that is rounded to 16 bits afterwards, that rounding times the
  /// largest code. The 10⁻⁵ pays for the float arithmetic of the codes.
  static error_norms predict(extents const& shape, std::span<float const> values, std::span<file_tensor const> parts) {
    error_norms e;
    byte_t const* b = reinterpret_cast<byte_t const*>(parts[0].bytes.data());
    for (std::size_t at = 0; at < values.size(); at += F::block, b += F::bytes)
      for (int i = 0; i < F::block; ++i) {
        int const piece = i / 32;
        double step = F::scale(b, piece), base = F::base(b, piece);
        if (F::multipliers) step *= F::multiplier(b, piece, i % 32 / 16);
        double const one = base - step * F::offset, other = base + step * (F::most - F::offset), x = values[at + static_cast<std::size_t>(i)];
        double const outside = std::max({std::min(one, other) - x, x - std::max(one, other), 0.0});
        double const largest = std::max(F::offset, F::most - F::offset);
        double const rounding = searched<F> ? 0.0 : largest * std::max(std::fabs(step) * 0x1p-10, 0x1p-24) + (F::has_base ? std::max(std::fabs(base) * 0x1p-10, 0x1p-24) : 0.0);
        e.add(std::max(std::fabs(step) / 2, outside) * (1 + 1e-5) + rounding + std::fabs(x) * 0x1p-22);
      }
    static_cast<void>(shape);
    return e;
  }

 private:
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
  static index_t first_above(float const* x, index_t n) {
    return std::find_if(x, x + n, [](float v) { return std::fabs(v) > 65504.0f * static_cast<float>(F::multipliers ? 128 * 32 : 63 * 15); }) - x;
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
