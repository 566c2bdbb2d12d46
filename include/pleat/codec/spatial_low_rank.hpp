// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Kernels of convolutions as pairs of thin ones, first down the columns of the image, then along its rows.
#pragma once

#include <pleat/codec/detail/spatial_bits.hpp>
#include <pleat/codec/stored.hpp>
#include <pleat/compute/convolution.hpp>

namespace pleat::codec {

namespace detail {

struct spatial_kernel {
  /// A product with the kernel as a matrix decodes it: nothing in the library asks for it often.
  template <class Space>
  static void apply(context<Space>& c, extents const& shape, spatial_logic::view const& v, index_t m, float const* x,
                    float* y, compute::epilogue<float> const& after) {
    auto const w = tensor<float, Space>::allocate(c, shape);
    compute::for_each_row(c.space(), rows_of(shape),
                          decode_rows_body<spatial_logic::view>{v, columns_of(shape), w.data()},
                          static_cast<double>(columns_of(shape) * v.rank));
    apply_dense(c, shape, static_cast<float const*>(w.data()), m, x, y, after);
  }
  /// Of the two convolutions with thin kernels, where convolve() chooses them.
  [[nodiscard]] static std::optional<double> multiply_adds(extents const& shape, spatial_logic::view const& v,
                                                           std::span<placed_parts::piece const>,
                                                           product_places const& at) {
    spatial_logic::sides const k(shape);
    double const down = at.between * static_cast<double>(v.rank * k.tall()),
                 along = at.outputs * static_cast<double>(v.rank * k.wide());
    if (at.groups != 1 || down + along >= at.outputs * static_cast<double>(shape.size())) return std::nullopt;
    return down + along;
  }
  /// `rank` kernels of height × 1, then one of 1 × width; false where that is more work.
  template <class Space>
  static bool convolve(context<Space>& c, compute::conv2d_shape const& g, spatial_logic::view const& v, float const* x,
                       float const* bias, float* y, compute::activation act) {
    if (g.groups != 1) return false;
    auto down = g;
    down.out_channels = v.rank;
    down.kernel_w = down.stride_w = down.dilation_w = 1;
    down.padding_w = 0;
    auto along = g;
    along.in_channels = v.rank;
    along.height = g.out_height();
    along.kernel_h = along.stride_h = along.dilation_h = 1;
    along.padding_h = 0;
    if (down.flops() + along.flops() >= g.flops()) return false;
    auto const inner = tensor<float, Space>::allocate(c, {g.batch, v.rank, along.height, g.width});
    compute::conv2d_forward(c.space(), down, x, v.vertical, static_cast<float const*>(nullptr), inner.data(),
                            compute::activation::none);
    compute::conv2d_forward(c.space(), along, static_cast<float const*>(inner.data()), v.horizontal, bias, y, act);
    return true;
  }
};

struct spatial_bits : spatial_logic {
  using kernel = spatial_kernel;
};

}  // namespace detail

/// W[o, c, y, x] ≈ Σₖ vertical[k, c, y]·horizontal[o, k, x], by the singular values of the matrix [in·height,
/// out·width] (spatial SVD: M. Jaderberg, A. Vedaldi, A. Zisserman, "Speeding up convolutional neural networks with low
/// rank expansions", BMVC 2014): the best of its rank in the Frobenius norm. A convolution is one to `rank` channels
/// with kernels of height × 1, and one of 1 × width: rank·(in·height + out·width) multiply-adds a place, about. Options
/// as codec::low_rank's. For kernels [out, in, height, width] alone; grouped ones keep the answers of the decoded
/// kernel. A file holds ".vertical" F32 [rank, in, height] and ".horizontal" F32 [out, rank, width]. Cut by outputs
/// `vertical` stays whole, cut by inputs `horizontal` does.
template <class T> using spatial_low_rank = stored<T, detail::spatial_bits>;

#ifdef PLEAT_FORM  // of these pleat::kernels has the code (compute/instances.hpp)
PLEAT_FORM template struct detail::stored_weight<detail::spatial_bits, Kokkos::DefaultExecutionSpace>;
#endif

}  // namespace pleat::codec
