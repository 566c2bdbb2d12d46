// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Weights in small integers with a scale per block: ggml's block types, byte for byte, and int4 by groups.
#pragma once

#include <pleat/codec/detail/apply_blocks.hpp>
#include <pleat/codec/stored.hpp>

namespace pleat::codec {

namespace detail {
template <class F> struct block_bits : block_logic<F> {
  using kernel = block_kernel;
};
}  // namespace detail

/// The block types of ggml: a file holds ".blocks" U8 [rows, bytes of a row], the same bytes that ggml's reference
/// quantizers write for the same numbers, and the product runs on these bytes. Columns must be a multiple of the block,
/// 32 (K-types: 256); numbers whose 16-bit scale would overflow are refused. Not trainable.
///
/// A product quantizes each 32 activations to 8 bits with a float scale of their own (finer than ggml's, whose K-types
/// share one scale among 256): |x − x̂| ≤ amax/254, so |y − x·ŵ| ≤ Σ over pieces of amax/254 · Σ|ŵ|, beside float
/// rounding. Codes are multiplied exactly in integers; scaled sums are one chain over ascending pieces. The bits of y
/// depend on neither the instruction set, nor the threads, nor the batch, and a device computes the same ones. A piece
/// that holds NaN or infinity makes y NaN. apply_transposed and convolutions decode and multiply in float.
/// `Bits::predict` bounds |w − ŵ| from the stored scales. 8.5 bits a number: half d, 32 codes
template <class T> using q8_0 = stored<T, detail::block_bits<detail::q8_0_format>>;
/// 4.5 bits: half d, 16 bytes; ŵ = d·(code − 8)
template <class T> using q4_0 = stored<T, detail::block_bits<detail::q4_0_format>>;
template <class T> using q4_1 = stored<T, detail::block_bits<detail::q4_1_format>>;  ///< 5 bits: half d and minimum
template <class T> using q5_0 = stored<T, detail::block_bits<detail::q5_0_format>>;  ///< 5.5 bits
template <class T> using q5_1 = stored<T, detail::block_bits<detail::q5_1_format>>;  ///< 6 bits
/// "q4_K", 4.5 bits: 256 numbers, 8 searched scales and minima (.search = false: their ranges, and not ggml's bytes)
template <class T> using q4_k = stored<T, detail::block_bits<detail::q4_k_format>>;
/// "q6_K", 6.5625 bits: 256 numbers, 16 searched scales (or their ranges)
template <class T> using q6_k = stored<T, detail::block_bits<detail::q6_k_format>>;

/// Four bits by groups of GroupSize columns, symmetric: ŵ = d·code, codes in ±7, d = amax/7 rounded to a half; zero
/// stays exactly zero. (4 + 16/GroupSize) bits a number. Groups that do not divide the columns are refused: choose a
/// smaller GroupSize (32, 64, 128, 256). The product is that of the block types.
template <class T, int GroupSize = 128> using int4 = stored<T, detail::block_bits<detail::int4_format<GroupSize>>>;

#ifdef PLEAT_FORM  // of these pleat::kernels has the code (compute/instances.hpp)
PLEAT_FORM template struct detail::stored_weight<detail::block_bits<detail::q8_0_format>,
                                                 Kokkos::DefaultExecutionSpace>;
PLEAT_FORM template struct detail::stored_weight<detail::block_bits<detail::q4_0_format>,
                                                 Kokkos::DefaultExecutionSpace>;
PLEAT_FORM template struct detail::stored_weight<detail::block_bits<detail::q4_1_format>,
                                                 Kokkos::DefaultExecutionSpace>;
PLEAT_FORM template struct detail::stored_weight<detail::block_bits<detail::q5_0_format>,
                                                 Kokkos::DefaultExecutionSpace>;
PLEAT_FORM template struct detail::stored_weight<detail::block_bits<detail::q5_1_format>,
                                                 Kokkos::DefaultExecutionSpace>;
PLEAT_FORM template struct detail::stored_weight<detail::block_bits<detail::q4_k_format>,
                                                 Kokkos::DefaultExecutionSpace>;
PLEAT_FORM template struct detail::stored_weight<detail::block_bits<detail::q6_k_format>,
                                                 Kokkos::DefaultExecutionSpace>;
PLEAT_FORM template struct detail::stored_weight<detail::block_bits<detail::int4_format<32>>,
                                                 Kokkos::DefaultExecutionSpace>;
PLEAT_FORM template struct detail::stored_weight<detail::block_bits<detail::int4_format<64>>,
                                                 Kokkos::DefaultExecutionSpace>;
PLEAT_FORM template struct detail::stored_weight<detail::block_bits<detail::int4_format<128>>,
                                                 Kokkos::DefaultExecutionSpace>;
#endif

}  // namespace pleat::codec
