// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Weights with shared values: a codebook of 2 to 256 centroids, plain or entropy-coded with restart points.
#pragma once

#include <pleat/codec/detail/apply_coded.hpp>
#include <pleat/codec/detail/codebook_bits.hpp>
#include <pleat/codec/detail/coded_bits.hpp>
#include <pleat/codec/stored.hpp>

namespace pleat::codec {

namespace detail {
struct codebook_bits : codebook_logic {
  using kernel = decoded_kernel;
};
struct coded_bits : coded_logic {
  using kernel = coded_kernel;
};
}  // namespace detail

/// Every element is one of a few values: k-means per weight or per group of rows (`codebook_options`), ⌈log₂ entries⌉
/// bits an element. Where a group holds zeros, one entry is exactly 0: what was pruned stays pruned. |w − ŵ| is at most
/// half the gap of the two entries around w (`Bits::predict`). The product decodes while it packs and multiplies in
/// float: the bits of the dense product with ŵ. A file holds ".codebook" F32 [groups, entries], ".layout" U32 [5] and
/// ".codes" U8 [rows, bytes].
template <class T> using codebook = stored<T, detail::codebook_bits>;

/// Pruning, shared values and entropy coding (S. Han et al., Deep Compression, 2016): survivors have a relative index
/// of index_bits (5 or 8) and a code; each stream is written in canonical Huffman codes, by a range coder, or plain,
/// whichever is smallest, and starts anew about every 4096 survivors at a row's border, so that rows decode side by
/// side. Zeros are exact; survivors as in `codebook`. The product decodes a chunk into the second cache and multiplies
/// what is there: the bits of the dense product with ŵ, for finite activations. A file holds ".codebook", ".layout",
/// ".tables" U8, ".restart" U32 [chunks, 3] and ".bytes" U8.
template <class T> using coded = stored<T, detail::coded_bits>;

#ifdef PLEAT_FORM  // of these pleat::kernels has the code (compute/instances.hpp)
PLEAT_FORM template struct detail::stored_weight<detail::codebook_bits, Kokkos::DefaultExecutionSpace>;
PLEAT_FORM template struct detail::stored_weight<detail::coded_bits, Kokkos::DefaultExecutionSpace>;
#endif

}  // namespace pleat::codec
