// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Pruned weights without their zeros: compressed rows, a bit per element, N of M, blocks of neighbours. Products touch
/// what is stored only.
#pragma once

#include <pleat/codec/detail/apply_sparse.hpp>
#include <pleat/codec/stored.hpp>

namespace pleat::codec {

namespace detail {
template <class Logic> struct sparse_bits : Logic {
  using kernel = sparse_kernel;
};
template <int N, int M> struct n_m_bits : n_m_logic<N, M> {
  using kernel = decoded_kernel;  // of a quarter and more survivors: vector lanes full of some zeros beat lists
};
}  // namespace detail

/// Compressed sparse rows: exact on every number (−0 becomes 0). A file holds ".row" U32 [rows + 1], ".column" U16 (U32
/// above 65536 columns) and ".values" F32. Six bytes a survivor: smaller than dense from a third of zeros on.
///
/// Every sparse form multiplies survivors only, one chain per result over ascending columns: for finite activations the
/// bits of the dense product with the same numbers, whatever the threads, the instruction set, the batch and the
/// device. (A dense product makes NaN of 0 · infinity; a sparse one does not see the zero.) Not trainable:
/// codec::masked is the form that trains.
template <class T> using csr = stored<T, detail::sparse_bits<detail::compressed_rows_logic<1>>>;

/// One bit per element and the survivors: exact. ".mask" U8 [rows, ⌈columns/8⌉], ".values" F32. Smaller than csr above
/// 6 % survivors; its product reads the bits on the way and is slower than csr's.
template <class T> using bitmask = stored<T, detail::sparse_bits<detail::bitmask_logic>>;

/// The N largest magnitudes of every M neighbouring columns: exact if no group holds more, else the others are dropped
/// (‖W − Ŵ‖ is what they held). ".values" F32 [rows, columns/M·N], ".index" U8: ⌈log₂ M⌉ bits a survivor. Columns must
/// be a multiple of M. Groups are spread out again in the first cache, on the way into the dense product.
template <class T, int N = 2, int M = 4> using n_m = stored<T, detail::n_m_bits<N, M>>;

/// Blocks of B neighbouring columns, kept whole where one number is not zero: exact. ".row" U32, ".column" U16 or U32
/// (of blocks), ".values" F32 [blocks, B]. One index serves B numbers.
template <class T, int B = 4> using block_sparse = stored<T, detail::sparse_bits<detail::compressed_rows_logic<B>>>;

#ifdef PLEAT_FORM  // of these pleat::kernels has the code (compute/instances.hpp)
PLEAT_FORM template struct detail::stored_weight<detail::sparse_bits<detail::compressed_rows_logic<1>>,
                                                 Kokkos::DefaultExecutionSpace>;
PLEAT_FORM template struct detail::stored_weight<detail::sparse_bits<detail::compressed_rows_logic<4>>,
                                                 Kokkos::DefaultExecutionSpace>;
PLEAT_FORM template struct detail::stored_weight<detail::sparse_bits<detail::bitmask_logic>,
                                                 Kokkos::DefaultExecutionSpace>;
PLEAT_FORM template struct detail::stored_weight<detail::n_m_bits<1, 4>, Kokkos::DefaultExecutionSpace>;
PLEAT_FORM template struct detail::stored_weight<detail::n_m_bits<2, 4>, Kokkos::DefaultExecutionSpace>;
#endif

}  // namespace pleat::codec
