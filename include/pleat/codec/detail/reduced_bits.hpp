// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Sixteen bits per number: bfloat16 and IEEE half. Needs no Kokkos.
#pragma once

#include <pleat/codec/detail/narrow_row.hpp>
#include <pleat/codec/detail/one_tensor.hpp>
#include <pleat/codec/detail/turn_reduced.hpp>
#include <pleat/codec/error_norms.hpp>

namespace pleat::codec::detail {

/// E: pleat::bfloat16 or pleat::half.
template <class E> struct reduced_logic : one_tensor_logic<reduced_logic<E>, E> {
  static constexpr bool is_half = std::is_same_v<E, half>;
  static constexpr std::string_view name = is_half ? "f16" : "bf16";
  struct options {};

  [[nodiscard]] static float number(E code) { return static_cast<float>(code); }
  /// The only part of the image.
  [[nodiscard]] static file_tensor image(extents const& shape) { return {"", dtype_of<E>, shape, {}}; }
  /// All numbers to `out` (2 · size bytes). \throws error for NaN, infinity, and a value that rounds to infinity
  static void encode_into(extents const& shape, std::span<float const> values, options const&, unsigned char* out) {
    if (static_cast<index_t>(values.size()) != shape.size()) demand_finite(name, shape, values);
    constexpr std::size_t together = 4096;
    for (std::size_t i = 0; i < values.size(); i += together) {
      auto const some = std::min(together, values.size() - i);
      auto const most = narrow_to_sixteen(isa::best(), is_half, static_cast<index_t>(some), values.data() + i,
                                          reinterpret_cast<std::uint16_t*>(out) + i);
      if (most >= (is_half ? too_large_for_half : too_large_for_bfloat16)) refuse(shape, values);
    }
  }
  /// The same as a file.
  static std::vector<file_tensor> encode(extents const& shape, std::span<float const> values, options const& o) {
    auto part = image(shape);
    part.bytes.resize(2 * values.size());
    encode_into(shape, values, o, reinterpret_cast<unsigned char*>(part.bytes.data()));
    return {std::move(part)};
  }
  struct view {
    E const* values = nullptr;
    index_t columns = 0;
#if defined(__x86_64__)
    bool turn(bool wide, index_t row, index_t k0, index_t k1, float* to, index_t stride, index_t ahead) const {
      turn_reduced_rows(wide, is_half, {reinterpret_cast<unsigned char const*>(values + row * columns), 2 * columns},
                        ahead, k0, k1, to, stride);
      return true;
    }
#endif
    PLEAT_INLINE void decode(index_t r, index_t first, index_t last, float* out) const {
      E const* const from = values + r * columns;
      for (index_t k = first; k < last; ++k) {
        if constexpr (is_half) out[k - first] = wide(from[k].bits);
        else out[k - first] = static_cast<float>(from[k]);
      }
    }
    /// Half to float without branches, so that loops over it vectorise; exact (subnormals by a product that does not
    /// round).
    PLEAT_INLINE static float wide(std::uint16_t h) {
      std::uint32_t const magnitude = static_cast<std::uint32_t>(h & 0x7fffu) << 13,
                          sign = static_cast<std::uint32_t>(h & 0x8000u) << 16;
      float const v = __builtin_bit_cast(float, magnitude) * 0x1p112f;
      return __builtin_bit_cast(float, __builtin_bit_cast(std::uint32_t, v) | sign);
    }
  };
  /// Half a unit of the last place: 2⁻⁸·|w| (bfloat16), 2⁻¹¹·|w| (half); below the normal range half the spacing.
  static error_norms predict(extents const&, std::span<float const> values, std::span<file_tensor const>) {
    double const relative = is_half ? 0x1p-11 : 0x1p-8, least = is_half ? 0x1p-25 : 0x1p-134;
    error_norms e;
    for (float w : values) e.add(w == 0 ? 0 : std::max(std::fabs(static_cast<double>(w)) * relative, least));
    return e;
  }

 private:
  [[noreturn]] static void refuse(extents const& shape, std::span<float const> values) {
    demand_finite(name, shape, values);
    std::size_t i = 0;
    while (std::isfinite(static_cast<float>(E(values[i])))) ++i;
    refuse_overflow(
        name, shape, static_cast<index_t>(i), values[i],
        is_half ? "Choose bf16, which has the exponents of float" : "Train again with a lower learning rate");
  }
};

}  // namespace pleat::codec::detail
