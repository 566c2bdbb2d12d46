// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Floats to 16-bit numbers and to 8-bit codes on the host, for every instruction set with the same bits. Needs no
/// Kokkos.
#pragma once

#include <cstdint>

#include <pleat/base/config.hpp>
#include <pleat/base/isa.hpp>
#include <pleat/codec/detail/int8_codes.hpp>
#include <pleat/tensor/dtype.hpp>

namespace pleat::codec::detail {

/// Magnitude bits from which on a float rounds to infinity: bfloat16 and half.
inline constexpr std::uint32_t too_large_for_bfloat16 = 0x7f7f8000u, too_large_for_half = 0x477ff000u;

/// \return the largest bits of a magnitude: what is at least 0x7f800000 is NaN or infinite
PLEAT_ONCE [[nodiscard]] std::uint32_t largest_magnitude_at(isa::level level, index_t n, float const* from);

/// Rounded to the nearest, ties to even; what is NaN, infinite or too large becomes any number. \return as
/// largest_magnitude_at
PLEAT_ONCE [[nodiscard]] std::uint32_t narrow_to_sixteen(isa::level level, bool half, index_t n, float const* from,
                                                         std::uint16_t* to);

/// to[i] = int8_code(from[i], scale), of finite numbers. \return how many are not zero
PLEAT_ONCE index_t int8_codes_at(isa::level level, index_t n, float const* from, float scale, std::int8_t* to);

}  // namespace pleat::codec::detail

#if defined(PLEAT_HAS_VECTORS)
#include <pleat/codec/detail/narrow_row_vectors.hpp>
#endif

namespace pleat::codec::detail {

PLEAT_COMPILED_ONCE(std::uint32_t largest_magnitude_at(isa::level level, index_t n, float const* from));
PLEAT_COMPILED_ONCE(std::uint32_t narrow_to_sixteen(isa::level level, bool half, index_t n, float const* from,
                                                    std::uint16_t* to));
PLEAT_COMPILED_ONCE(index_t int8_codes_at(isa::level level, index_t n, float const* from, float scale,
                                          std::int8_t* to));

}  // namespace pleat::codec::detail
