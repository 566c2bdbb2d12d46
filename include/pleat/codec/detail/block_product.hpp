// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What a product with a block format is asked to do, and its definition, element by element. Needs no Kokkos.
#pragma once

#include <pleat/codec/detail/block_formats.hpp>
#include <pleat/compute/math.hpp>

namespace pleat::codec::detail {

/// sums[m, n] = x[m, k] · Ŵᵀ, x in pieces of 32 codes with a scale each. Element: one chain over the pieces, ascending:
///     acc = fma(scale · x_scale, float(Σ (code − offset)·x_code), acc);   with a base also: acc = fma(base, x_scale · float(Σ x_code), acc).
/// The sums in the bracket are exact, so the bits depend on neither the instruction set, nor the threads, nor m.
struct block_product {
  index_t n = 0, k = 0, m = 0, row_bytes = 0;
  byte_t const* w = nullptr;
  signed char const* x = nullptr;       ///< [m, k]
  float const* x_scale = nullptr;       ///< [m, k/32]
  std::int32_t const* start = nullptr;  ///< [m, k/32, 2]: −offset · Σ x_code of the first and the second half
  float const* x_sum = nullptr;         ///< [m, k/32]: x_scale · float(Σ x_code)
};

template <class F> PLEAT_FUNCTION float block_element(block_product const& p, index_t i, index_t j) {
  index_t const pieces = p.k / 32;
  byte_t const* const row = p.w + j * p.row_bytes;
  float acc = 0;
  for (index_t q = 0; q < pieces; ++q) {
    byte_t const* const b = row + q * 32 / F::block * F::bytes;
    int const piece = static_cast<int>(q * 32 % F::block) / 32;
    signed char const* const x = p.x + i * p.k + q * 32;
    std::int32_t half[2] = {p.start[2 * (i * pieces + q)], p.start[2 * (i * pieces + q) + 1]};
    for (int l = 0; l < 32; ++l) half[l / 16] += F::code(b, piece, l) * x[l];
    std::int32_t const sum = half[0] * F::multiplier(b, piece, 0) + half[1] * F::multiplier(b, piece, 1);
    acc = compute::fma(F::scale(b, piece) * p.x_scale[i * pieces + q], static_cast<float>(sum), acc);
    if (F::has_base) acc = compute::fma(F::base(b, piece), p.x_sum[i * pieces + q], acc);
  }
  return acc;
}

}  // namespace pleat::codec::detail
