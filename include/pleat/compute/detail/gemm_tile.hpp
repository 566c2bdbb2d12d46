// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What the register-tile kernels of every instruction set share: their arguments and the table through which the
/// blocking loops (gemm_host.hpp) call them. Needs no Kokkos.
#pragma once

#include <pleat/tensor/extents.hpp>

namespace pleat::compute::detail {

/// A column of register tiles of C, one below the other, each `rows` × `columns` elements, each element a chain of
/// fused multiply-adds over ascending k. Nothing is set beforehand: a small product feels it.
template <class T> struct tile_arguments {
  T const* a;  ///< element (i, k) at a[i * a_row + k * a_k]
  index_t a_row, a_k;
  index_t a_next;  ///< from one tile's A to the next one's
  index_t tiles;   ///< at least 1
  T const* b;      ///< element (k, j) at b[k * b_stride + j]; whole vectors are readable unless masked_b
  index_t b_stride;
  T* c;
  index_t ldc;
  index_t columns;      ///< columns that exist; the last vector may be partial
  index_t const* cuts;  ///< chain s runs over k in [cuts[s], cuts[s + 1])
  int chains;           ///< a power of two; more than one: summed over a binary tree
  T* stack;             ///< room for 6 tiles, where chains > 1
  bool from_c;          ///< the (only) chain starts from what C holds
  bool prefetch;        ///< C is not in the first cache, and k is long enough to hide requests for the next tile's
  bool relu;
  T const* bias;  ///< [columns]
  T const* mask;  ///< C = mask > 0 ? C : 0
  index_t ldmask;
};

template <class T> using tile_function = void(tile_arguments<T> const&);

/// Copies a K × n piece of an operand to dst[k * stride + j].
/// Columns are written in whole vectors; what lies beyond n is readable and never reaches a result.
template <class T> using pack_function = void(T const* from, index_t ld, index_t k, index_t n, T* to, index_t stride);

constexpr int narrow_columns = 10, narrow_stride = 16;

/// `rows` rows of a product of at most `narrow_columns` columns, one chain from zero over k in [0, cuts[1]).
/// a_k = 1; B is packed with narrow_stride columns, those beyond `columns` readable.
template <class T> using narrow_function = void(tile_arguments<T> const&, index_t rows);

/// The kernels of one instruction set for one type.
template <class T> struct tile_kernels {
  static constexpr int most_rows = 12, most_vectors = 3;
  int width = 0;    ///< elements of a vector
  int rows = 0;     ///< rows of the largest tile of whole vectors
  int vectors = 0;  ///< vectors of the largest tile
  /// Columns of a shorter vector, whose sums cost half as much, and rows of its largest tile: the last columns, where
  /// they are no more than these, have tiles of their own. 0: there is none that pays.
  int short_width = 0, short_rows = 0;
  /// Chains of fewer terms have tiles of few rows: the next tile's sums then fit beside the stores of this one.
  index_t brief_k = 0;
  /// Whether B's partial vectors are read under a mask (free with AVX-512; with AVX2 it costs a tenth of the speed).
  bool masked_b = false;
  /// Block lengths in elements: a sliver of B (k × one tile's columns) streams from the first or second cache, a block
  /// of A (m × k) stays in the second, a panel of B (n × k) in the third.
  index_t block_k = 0, block_m = 0, block_n = 0;
  /// [vectors][rows - 1]; 0 vectors: the short one
  tile_function<T>* tile[most_vectors + 1][most_rows] = {};
  pack_function<T>* copy_b = nullptr;  ///< from [k, n] storage
  pack_function<T>* turn_b = nullptr;  ///< from [n, k] storage
  pack_function<T>* copy_a = nullptr;
  pack_function<T>* turn_a = nullptr;
  narrow_function<T>* narrow = nullptr;
};

}  // namespace pleat::compute::detail
