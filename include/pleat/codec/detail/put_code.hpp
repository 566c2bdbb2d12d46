// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Writing single codes into blocks whose scales stand already: what GPTQ and trained codes need. Needs no Kokkos.
#pragma once

#include <pleat/codec/detail/block_formats.hpp>

namespace pleat::codec::detail {

inline void put_nibble(byte_t* at, bool high, int u) noexcept {
  *at = static_cast<byte_t>(high ? (*at & 15) | (u & 15) << 4 : (*at & 0xf0) | (u & 15));
}
inline void put_bit(byte_t* bits, int i, int bit) noexcept {
  bits[i / 8] = static_cast<byte_t>((bits[i / 8] & ~(1 << (i % 8))) | (bit & 1) << (i % 8));
}

/// Code u (unsigned, as F::code gives it) of number i of a block.
inline void put_code(q8_0_format, byte_t* b, int i, int u) noexcept { b[2 + i] = static_cast<byte_t>(u ^ 0x80); }
inline void put_code(q4_0_format, byte_t* b, int i, int u) noexcept { put_nibble(b + 2 + i % 16, i >= 16, u); }
inline void put_code(q4_1_format, byte_t* b, int i, int u) noexcept { put_nibble(b + 4 + i % 16, i >= 16, u); }
inline void put_code(q5_0_format, byte_t* b, int i, int u) noexcept {
  put_bit(b + 2, i, u >> 4);
  put_nibble(b + 6 + i % 16, i >= 16, u);
}
inline void put_code(q5_1_format, byte_t* b, int i, int u) noexcept {
  put_bit(b + 4, i, u >> 4);
  put_nibble(b + 8 + i % 16, i >= 16, u);
}
inline void put_code(q4_k_format, byte_t* b, int i, int u) noexcept {
  put_nibble(b + 16 + i / 64 * 32 + i % 32, i / 32 % 2 == 1, u);
}
inline void put_code(q6_k_format, byte_t* b, int i, int u) noexcept {
  int const part = i / 128, quarter = i / 32 % 4, at = i % 32, shift = 2 * quarter;
  put_nibble(b + part * 64 + quarter % 2 * 32 + at, quarter >= 2, u);
  byte_t& high = b[128 + part * 32 + at];
  high = static_cast<byte_t>((high & ~(3 << shift)) | (u >> 4 & 3) << shift);
}
template <int G> void put_code(int4_format<G>, byte_t* b, int i, int u) noexcept {
  put_nibble(b + 2 + i / 32 * 16 + i % 16, i % 32 >= 16, u);
}

}  // namespace pleat::codec::detail
