// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Weights as a product of two thin factors, alone or with a sparse matrix beside them.
#pragma once

#include <pleat/codec/detail/apply_sparse.hpp>
#include <pleat/codec/detail/low_rank_bits.hpp>
#include <pleat/codec/stored.hpp>

namespace pleat::codec {

template <class T> struct factors;  // codec/factors.hpp

namespace detail {

template <bool Sparse> struct low_rank_kernel {
  using view_type = typename low_rank_logic<Sparse>::view;
  template <class Space> static void decode(context<Space>& c, extents const& shape, view_type const& v, float* out) {
    index_t const m = rows_of(shape), n = columns_of(shape);
    if constexpr (Sparse)
      compute::for_each_row(c.space(), m, decode_rows_body<decltype(v.apart)>{v.apart, n, out}, static_cast<double>(n));
    compute::gemm(c.space(), compute::gemm_arguments<float>{.m = m,
                                                            .n = n,
                                                            .k = v.rank,
                                                            .a = v.left,
                                                            .lda = v.rank,
                                                            .b = v.right,
                                                            .ldb = n,
                                                            .c = out,
                                                            .ldc = n,
                                                            .accumulate = Sparse});
  }
  /// (x·Rᵀ)·Lᵀ; with a sparse part that comes first and the factors' part is added to it.
  template <class Space>
  static void apply(context<Space>& c, extents const& shape, view_type const& v, index_t m, float const* x, float* y,
                    compute::epilogue<float> const& after) {
    index_t const n = rows_of(shape), k = columns_of(shape);
    auto const inner = tensor<float, Space>::allocate(c, {m, v.rank});
    apply_dense(c, extents{v.rank, k}, v.right, m, x, inner.data(), compute::epilogue<float>{});
    if constexpr (Sparse) sparse_kernel::apply(c, extents{n, k}, v.apart, m, x, y, compute::epilogue<float>{});
    compute::gemm(c.space(), compute::gemm_arguments<float>{.m = m,
                                                            .n = n,
                                                            .k = v.rank,
                                                            .a = inner.data(),
                                                            .lda = v.rank,
                                                            .b = v.left,
                                                            .ldb = v.rank,
                                                            .tb = compute::transpose::yes,
                                                            .c = y,
                                                            .ldc = n,
                                                            .accumulate = Sparse,
                                                            .after = after});
  }
  /// Of the two thin products, and of the numbers beside them; a convolution as convolve() chooses.
  [[nodiscard]] static std::optional<double> multiply_adds(extents const& shape, view_type const& v,
                                                           std::span<placed_parts::piece const> pieces,
                                                           product_places const& at) {
    index_t const m = rows_of(shape), n = columns_of(shape);
    if (shape.rank() == 4 && !convolves(v.rank, m, n, at.groups)) return std::nullopt;
    double numbers = static_cast<double>(v.rank) * static_cast<double>(m + n);
    for (auto const& p : pieces)
      if (Sparse && p.suffix == ".values") numbers += static_cast<double>(p.shape.size());
    return at.outputs * numbers;
  }
  /// Whether a convolution is one to `rank` channels and a 1×1 one.
  [[nodiscard]] static bool convolves(index_t rank, index_t rows, index_t columns, index_t groups) noexcept {
    return !Sparse && groups == 1 && rank * (rows + columns) < rows * columns;
  }
  /// `rank` kernels, then a 1×1 convolution.
  template <class Space>
  static bool convolve(context<Space>& c, compute::conv2d_shape const& g, view_type const& v, float const* x,
                       float const* bias, float* y, compute::activation act) {
    if (!convolves(v.rank, g.out_channels, g.group_in() * g.kernel_h * g.kernel_w, g.groups)) return false;
    auto thin = g;
    thin.out_channels = v.rank;
    compute::conv2d_shape point;
    point.batch = g.batch;
    point.in_channels = v.rank;
    point.height = g.out_height();
    point.width = g.out_width();
    point.out_channels = g.out_channels;
    point.kernel_h = point.kernel_w = 1;
    auto const inner = tensor<float, Space>::allocate(c, {g.batch, v.rank, point.height, point.width});
    compute::conv2d_forward(c.space(), thin, x, v.right, static_cast<float const*>(nullptr), inner.data(),
                            compute::activation::none);
    compute::conv2d_forward(c.space(), point, static_cast<float const*>(inner.data()), v.left, bias, y, act);
    return true;
  }
};

template <bool Sparse> struct low_rank_bits : low_rank_logic<Sparse> {
  using kernel = low_rank_kernel<Sparse>;
  using refined = factors<float>;  ///< the form that weights take whose factors take forms of their own
};

}  // namespace detail

/// W ≈ L·R, L [rows, rank], R [rank, columns], by singular values (the best of its rank in the Frobenius norm: ‖W −
/// Ŵ‖_F = √(Σ of the dropped σ²), beside the factors' rounding); each factor takes √σ. Options choose rank, energy or
/// relative error; by default the largest rank that is smaller than the dense weight. A product is two thin ones, (rows
/// + columns)·rank multiply-adds a sample; a convolution is one to `rank` channels and a 1×1 one. A file holds ".left"
/// and ".right" F32. Cut by rows only L is cut; R stays whole. `set` with `bits::from_factors` takes factors of one's
/// own.
template <class T> using low_rank = stored<T, detail::low_rank_bits<false>>;

/// W ≈ S + L·R: the largest magnitudes (`sparse_share`) are stored as they are, in compressed rows, the rest is
/// factored: for weights with outliers. A file holds ".left", ".right", and csr's ".row", ".column", ".values".
template <class T> using sparse_low_rank = stored<T, detail::low_rank_bits<true>>;

#ifdef PLEAT_FORM  // of these pleat::kernels has the code (compute/instances.hpp)
PLEAT_FORM template struct detail::stored_weight<detail::low_rank_bits<false>, Kokkos::DefaultExecutionSpace>;
PLEAT_FORM template struct detail::stored_weight<detail::low_rank_bits<true>, Kokkos::DefaultExecutionSpace>;
#endif

}  // namespace pleat::codec
