// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The kernels for float (and those that the gradient check needs for double) on Kokkos' default space, as instances
/// that are compiled elsewhere: in the optional target pleat::kernels. Whoever links it includes this header (the
/// umbrella does it) and compiles layers, not matrix products. Nothing else changes: without it every program
/// instantiates what it uses.
#pragma once

#include <pleat/compute/attention.hpp>
#include <pleat/compute/convolution.hpp>
#include <pleat/compute/count.hpp>
#include <pleat/compute/elementwise.hpp>
#include <pleat/compute/embedding.hpp>
#include <pleat/compute/gemm.hpp>
#include <pleat/compute/int8_convolution.hpp>
#include <pleat/compute/int8_gemm.hpp>
#include <pleat/compute/layer_norm.hpp>
#include <pleat/compute/norm.hpp>
#include <pleat/compute/optimizer.hpp>
#include <pleat/compute/pooling.hpp>
#include <pleat/compute/quantized.hpp>
#include <pleat/compute/reduce.hpp>
#include <pleat/compute/rotary.hpp>
#include <pleat/compute/softmax.hpp>
#include <pleat/compute/statistics.hpp>

#ifdef PLEAT_KERNEL  // a source of pleat::kernels defines it, as nothing
#define PLEAT_KERNEL_IS_DEFINED
#else
#define PLEAT_KERNEL extern
// Forms are more than every program wants: at the end of their own headers they say which instances there are, if this
// header came before.
#define PLEAT_FORM extern
#endif

namespace pleat::compute {

namespace instances {
using space = Kokkos::DefaultExecutionSpace;  ///< whose kernels are compiled elsewhere
}

// Doxygen documents the templates, not where they are compiled.
/// \cond

#if !defined(PLEAT_KERNEL_IS_DEFINED) || defined(PLEAT_KERNELS_GEMM)
PLEAT_KERNEL template detail::tile_kernels<float> const* detail::kernels_at(isa::level) noexcept;
PLEAT_KERNEL template detail::tile_kernels<double> const* detail::kernels_at(isa::level) noexcept;
PLEAT_KERNEL template void gemm(instances::space const&, gemm_arguments<float> const&);
PLEAT_KERNEL template void gemm(instances::space const&, gemm_arguments<double> const&);
PLEAT_KERNEL template void gemm_lanes(instances::space const&, index_t, index_t, float const*, index_t, float const*,
                                      index_t, float*, index_t, lanes const&);
PLEAT_KERNEL template void gemm_lanes(instances::space const&, index_t, index_t, double const*, index_t, double const*,
                                      index_t, double*, index_t, lanes const&);
#endif

#if !defined(PLEAT_KERNEL_IS_DEFINED) || defined(PLEAT_KERNELS_CONVOLUTION)
PLEAT_KERNEL template detail::conv_kernels<float> const& detail::conv_kernels_of(isa::level) noexcept;
PLEAT_KERNEL template detail::conv_kernels<double> const& detail::conv_kernels_of(isa::level) noexcept;
PLEAT_KERNEL template void conv2d_forward(instances::space const&, conv2d_shape const&, float const*, float const*,
                                          float const*, float*, activation);
PLEAT_KERNEL template void conv2d_forward(instances::space const&, conv2d_shape const&, double const*, double const*,
                                          double const*, double*, activation);
PLEAT_KERNEL template void conv2d_backward_input(instances::space const&, conv2d_shape const&, float const*,
                                                 float const*, float*);
PLEAT_KERNEL template void conv2d_backward_input(instances::space const&, conv2d_shape const&, double const*,
                                                 double const*, double*);
PLEAT_KERNEL template void conv2d_backward_weight(instances::space const&, conv2d_shape const&, float const*,
                                                  float const*, float*, lanes const&);
PLEAT_KERNEL template void conv2d_backward_weight(instances::space const&, conv2d_shape const&, double const*,
                                                  double const*, double*, lanes const&);
PLEAT_KERNEL template void conv2d_backward_bias(instances::space const&, conv2d_shape const&, float const*, float*,
                                                lanes const&);
PLEAT_KERNEL template void conv2d_backward_bias(instances::space const&, conv2d_shape const&, double const*, double*,
                                                lanes const&);
#endif

#if !defined(PLEAT_KERNEL_IS_DEFINED) || defined(PLEAT_KERNELS_VECTOR)
PLEAT_KERNEL template auto detail::max_plane_of(isa::level) noexcept
    -> void (*)(detail::max_plane_arguments<float> const&);
PLEAT_KERNEL template auto detail::max_plane_of(isa::level) noexcept
    -> void (*)(detail::max_plane_arguments<double> const&);
#if defined(__x86_64__)
PLEAT_KERNEL template void detail::root_block_avx2(float*);
PLEAT_KERNEL template void detail::root_block_avx2(double*);
PLEAT_KERNEL template void detail::root_block_avx512(float*);
PLEAT_KERNEL template void detail::root_block_avx512(double*);
PLEAT_KERNEL template void detail::widen_halves_avx2(index_t, half const*, float*);
PLEAT_KERNEL template void detail::widen_halves_avx512(index_t, half const*, float*);
PLEAT_KERNEL template void detail::narrow_halves_avx2(index_t, float const*, half*);
PLEAT_KERNEL template void detail::narrow_halves_avx512(index_t, float const*, half*);
#endif
PLEAT_KERNEL template void max_pool2d_forward(instances::space const&, pool2d_shape const&, float const*, float*,
                                              std::int32_t*);
PLEAT_KERNEL template void max_pool2d_backward(instances::space const&, pool2d_shape const&, float const*,
                                               std::int32_t const*, float*);
PLEAT_KERNEL template void avg_pool2d_forward(instances::space const&, pool2d_shape const&, float const*, float*);
PLEAT_KERNEL template void avg_pool2d_backward(instances::space const&, pool2d_shape const&, float const*, float*);
PLEAT_KERNEL template void squared_norm(instances::space const&, index_t, float const*, double*);
PLEAT_KERNEL template void any_nonfinite(instances::space const&, index_t, float const*, int*);
PLEAT_KERNEL template void argmax_rows(instances::space const&, index_t, index_t, float const*, index_t, std::int32_t*);
PLEAT_KERNEL template void column_sum(instances::space const&, index_t, float const*, index_t, float*, lanes const&);
PLEAT_KERNEL template void column_sum(instances::space const&, index_t, double const*, index_t, double*, lanes const&);
PLEAT_KERNEL template void row_sum(instances::space const&, index_t, index_t, float const*, index_t, float*);
PLEAT_KERNEL template void channel_sum(instances::space const&, index_t, index_t, float const*, float*, lanes const&);
PLEAT_KERNEL template void cross_entropy(instances::space const&, index_t, index_t, float const*, std::int32_t const*,
                                         float, float*, float*, int*);
PLEAT_KERNEL template void mean_square(instances::space const&, index_t, index_t, float const*, float const*, float,
                                       float*, float*);
PLEAT_KERNEL template void batch_norm_statistics(instances::space const&, norm_shape, float const*, lanes const&,
                                                 float*, float*);
PLEAT_KERNEL template void batch_norm_forward(instances::space const&, index_t, norm_shape, float const*, lanes const&,
                                              float const*, float const*, float, float const*, float const*, float*);
PLEAT_KERNEL template void batch_norm_backward_sums(instances::space const&, norm_shape, float const*, float const*,
                                                    lanes const&, float const*, float const*, float, float*, float*);
PLEAT_KERNEL template void batch_norm_backward(instances::space const&, index_t, norm_shape, float const*, float const*,
                                               lanes const&, float const*, float const*, float, float const*,
                                               float const*, float const*, float const*, float*);
PLEAT_KERNEL template void sgd_update(instances::space const&, update_chunk const*, index_t, index_t,
                                      sgd_settings<float> const&, float*, float const*, float*);
PLEAT_KERNEL template void adam_update(instances::space const&, update_chunk const*, index_t, index_t,
                                       adam_settings<float> const&, float*, float const*, float*, float*);
PLEAT_KERNEL template void weigh_lanes(instances::space const&, index_t, lanes const&, index_t, index_t, bool, index_t,
                                       float const*, float*);
PLEAT_KERNEL template void running_update(instances::space const&, update_chunk const*, index_t, index_t, float*,
                                          float const*);
PLEAT_KERNEL template void first_bad_label(instances::space const&, index_t, std::int32_t const*, index_t, bool,
                                           index_t*);
PLEAT_KERNEL template void count_correct(instances::space const&, index_t, index_t, float const*, std::int32_t const*,
                                         index_t*);
PLEAT_KERNEL template void fill(instances::space const&, index_t, float, float*);
PLEAT_KERNEL template void scale(instances::space const&, index_t, float, float const*, float*);
PLEAT_KERNEL template void add(instances::space const&, index_t, float const*, float const*, float*);
PLEAT_KERNEL template void relu(instances::space const&, index_t, float const*, float*);
PLEAT_KERNEL template void relu_backward(instances::space const&, index_t, float const*, float const*, float*);
PLEAT_KERNEL template void gelu(instances::space const&, index_t, float const*, float*);
PLEAT_KERNEL template void gelu_backward(instances::space const&, index_t, float const*, float const*, float*);
PLEAT_KERNEL template void tanh_activation(instances::space const&, index_t, float const*, float*);
PLEAT_KERNEL template void tanh_activation_backward(instances::space const&, index_t, float const*, float const*,
                                                    float*);
PLEAT_KERNEL template void sigmoid(instances::space const&, index_t, float const*, float*);
PLEAT_KERNEL template void sigmoid_backward(instances::space const&, index_t, float const*, float const*, float*);
#endif

#if !defined(PLEAT_KERNEL_IS_DEFINED) || defined(PLEAT_KERNELS_ATTENTION)
PLEAT_KERNEL template void attention_forward(instances::space const&, attention_shape const&, float const*, float*,
                                             float*);
PLEAT_KERNEL template void attention_backward(instances::space const&, attention_shape const&, float const*,
                                              float const*, float const*, float const*, float*, float*);
PLEAT_KERNEL template void attention_forward(instances::space const&, attention_shape const&, double const*, double*,
                                             double*);
PLEAT_KERNEL template void attention_backward(instances::space const&, attention_shape const&, double const*,
                                              double const*, double const*, double const*, double*, double*);
PLEAT_KERNEL template void rotary(instances::space const&, attention_shape const&, rotary_frequencies const&, bool,
                                  float const*, float*);
PLEAT_KERNEL template void layer_norm_forward(instances::space const&, index_t, index_t, float const*, float,
                                              float const*, float const*, float*, float*, float*);
PLEAT_KERNEL template void rms_norm_forward(instances::space const&, index_t, index_t, float const*, float,
                                            float const*, float*, float*);
PLEAT_KERNEL template void row_norm_backward(instances::space const&, index_t, index_t, float const*, float const*,
                                             float const*, float const*, float const*, float*);
PLEAT_KERNEL template void row_norm_gradient(instances::space const&, index_t, float const*, float const*, float const*,
                                             float const*, float*, lanes const&);
PLEAT_KERNEL template void first_bad_token(instances::space const&, index_t, float const*, index_t, index_t*);
PLEAT_KERNEL template void embed(instances::space const&, index_t, index_t, index_t, float const*, float const*,
                                 float const*, float*);
PLEAT_KERNEL template void embed_gradient(instances::space const&, index_t, index_t, float const*, float const*, float*,
                                          lanes const&);
PLEAT_KERNEL template void gelu_with_slope(instances::space const&, index_t, float const*, float*, float*);
PLEAT_KERNEL template void multiply(instances::space const&, index_t, float const*, float const*, float*);
PLEAT_KERNEL template void gelu_tanh(instances::space const&, index_t, float const*, float*);
PLEAT_KERNEL template void gelu_tanh_backward(instances::space const&, index_t, float const*, float const*, float*);
PLEAT_KERNEL template void gelu_tanh_with_slope(instances::space const&, index_t, float const*, float*, float*);
PLEAT_KERNEL template void silu(instances::space const&, index_t, float const*, float*);
PLEAT_KERNEL template void silu_backward(instances::space const&, index_t, float const*, float const*, float*);
PLEAT_KERNEL template void silu_with_slope(instances::space const&, index_t, float const*, float*, float*);
#endif

#if !defined(PLEAT_KERNEL_IS_DEFINED) || defined(PLEAT_KERNELS_REDUCED)
PLEAT_KERNEL template void gemm(instances::space const&, gemm_arguments<bfloat16> const&);
PLEAT_KERNEL template void gemm_lanes(instances::space const&, index_t, index_t, bfloat16 const*, index_t,
                                      bfloat16 const*, index_t, float*, index_t, lanes const&);
PLEAT_KERNEL template void attention_forward(instances::space const&, attention_shape const&, bfloat16 const*,
                                             bfloat16*, float*);
PLEAT_KERNEL template void attention_backward(instances::space const&, attention_shape const&, bfloat16 const*,
                                              bfloat16 const*, float const*, bfloat16 const*, float*, bfloat16*);
PLEAT_KERNEL template void rotary(instances::space const&, attention_shape const&, rotary_frequencies const&, bool,
                                  bfloat16 const*, bfloat16*);
PLEAT_KERNEL template void layer_norm_forward(instances::space const&, index_t, index_t, bfloat16 const*, float,
                                              bfloat16 const*, bfloat16 const*, bfloat16*, float*, float*);
PLEAT_KERNEL template void rms_norm_forward(instances::space const&, index_t, index_t, bfloat16 const*, float,
                                            bfloat16 const*, bfloat16*, float*);
PLEAT_KERNEL template void row_norm_backward(instances::space const&, index_t, index_t, bfloat16 const*, float const*,
                                             float const*, bfloat16 const*, bfloat16 const*, bfloat16*);
PLEAT_KERNEL template void row_norm_gradient(instances::space const&, index_t, bfloat16 const*, float const*,
                                             float const*, bfloat16 const*, float*, lanes const&);
PLEAT_KERNEL template void embed(instances::space const&, index_t, index_t, index_t, bfloat16 const*, bfloat16 const*,
                                 bfloat16 const*, bfloat16*);
PLEAT_KERNEL template void embed_gradient(instances::space const&, index_t, index_t, bfloat16 const*, bfloat16 const*,
                                          float*, lanes const&);
PLEAT_KERNEL template void cross_entropy(instances::space const&, index_t, index_t, bfloat16 const*,
                                         std::int32_t const*, float, bfloat16*, float*, int*);
PLEAT_KERNEL template void column_sum(instances::space const&, index_t, bfloat16 const*, index_t, float*, lanes const&);
PLEAT_KERNEL template void add(instances::space const&, index_t, bfloat16 const*, bfloat16 const*, bfloat16*);
PLEAT_KERNEL template void multiply(instances::space const&, index_t, bfloat16 const*, bfloat16 const*, bfloat16*);
PLEAT_KERNEL template void gelu(instances::space const&, index_t, bfloat16 const*, bfloat16*);
PLEAT_KERNEL template void gelu_with_slope(instances::space const&, index_t, bfloat16 const*, bfloat16*, bfloat16*);
PLEAT_KERNEL template void copy(instances::space const&, index_t, bfloat16 const*, float*);
PLEAT_KERNEL template void copy(instances::space const&, index_t, float const*, bfloat16*);
PLEAT_KERNEL template void gemm(instances::space const&, gemm_arguments<half> const&);
PLEAT_KERNEL template void gemm_lanes(instances::space const&, index_t, index_t, half const*, index_t, half const*,
                                      index_t, float*, index_t, lanes const&);
PLEAT_KERNEL template void attention_forward(instances::space const&, attention_shape const&, half const*, half*,
                                             float*);
PLEAT_KERNEL template void attention_backward(instances::space const&, attention_shape const&, half const*, half const*,
                                              float const*, half const*, float*, half*);
PLEAT_KERNEL template void rotary(instances::space const&, attention_shape const&, rotary_frequencies const&, bool,
                                  half const*, half*);
PLEAT_KERNEL template void layer_norm_forward(instances::space const&, index_t, index_t, half const*, float,
                                              half const*, half const*, half*, float*, float*);
PLEAT_KERNEL template void rms_norm_forward(instances::space const&, index_t, index_t, half const*, float, half const*,
                                            half*, float*);
PLEAT_KERNEL template void row_norm_backward(instances::space const&, index_t, index_t, half const*, float const*,
                                             float const*, half const*, half const*, half*);
PLEAT_KERNEL template void row_norm_gradient(instances::space const&, index_t, half const*, float const*, float const*,
                                             half const*, float*, lanes const&);
PLEAT_KERNEL template void embed(instances::space const&, index_t, index_t, index_t, half const*, half const*,
                                 half const*, half*);
PLEAT_KERNEL template void embed_gradient(instances::space const&, index_t, index_t, half const*, half const*, float*,
                                          lanes const&);
PLEAT_KERNEL template void cross_entropy(instances::space const&, index_t, index_t, half const*, std::int32_t const*,
                                         float, half*, float*, int*);
PLEAT_KERNEL template void column_sum(instances::space const&, index_t, half const*, index_t, float*, lanes const&);
PLEAT_KERNEL template void add(instances::space const&, index_t, half const*, half const*, half*);
PLEAT_KERNEL template void multiply(instances::space const&, index_t, half const*, half const*, half*);
PLEAT_KERNEL template void gelu(instances::space const&, index_t, half const*, half*);
PLEAT_KERNEL template void gelu_with_slope(instances::space const&, index_t, half const*, half*, half*);
PLEAT_KERNEL template void copy(instances::space const&, index_t, half const*, float*);
PLEAT_KERNEL template void copy(instances::space const&, index_t, float const*, half*);
#endif

#if !defined(PLEAT_KERNEL_IS_DEFINED) || defined(PLEAT_KERNELS_INT8)
PLEAT_KERNEL template detail::int8_kernels const& detail::int8_best_kernels() noexcept;
PLEAT_KERNEL template std::int32_t detail::int8_sum(std::int8_t const*, index_t);
PLEAT_KERNEL template void detail::widen_int8(std::int8_t const*, index_t, std::int16_t*);
PLEAT_KERNEL template void detail::int8_conv_task<>::operator()(int) const;
PLEAT_KERNEL template void int8_pack(instances::space const&, index_t, index_t, std::int8_t const*, index_t, void*);
PLEAT_KERNEL template void int8_gemm_scaled(instances::space const&, index_t, index_t, index_t, std::int8_t const*,
                                            index_t, std::int8_t const*, index_t, int8_epilogue const&, float*,
                                            index_t);
PLEAT_KERNEL template void int8_gemm_scaled_packed(instances::space const&, index_t, index_t, index_t,
                                                   std::int8_t const*, index_t, void const*, int8_epilogue const&,
                                                   float*, index_t);
PLEAT_KERNEL template void int8_conv2d(instances::space const&, conv2d_shape const&, std::int8_t const*, float const*,
                                       std::int8_t const*, float const*, float const*, float*, activation);
PLEAT_KERNEL template bool int8_conv2d_pools(instances::space const&, conv2d_shape const&);
PLEAT_KERNEL template void int8_conv2d_pooled(instances::space const&, conv2d_shape const&, std::int8_t const*,
                                              float const*, std::int8_t const*, float const*, float const*, float*,
                                              activation);
PLEAT_KERNEL template void max_abs_rows(instances::space const&, index_t, index_t, float const*, index_t, float*);
PLEAT_KERNEL template void quantize_rows(instances::space const&, index_t, index_t, float const*, index_t, std::int8_t*,
                                         index_t, float*, int*);
PLEAT_KERNEL template void quantize_rows_by(instances::space const&, index_t, index_t, float const*, index_t, float,
                                            std::int8_t*, index_t, float*);
PLEAT_KERNEL template void quantize_channels(instances::space const&, index_t, index_t, float const*, float const*,
                                             std::int8_t*, float*, int*);
PLEAT_KERNEL template void dequantize_rows(instances::space const&, index_t, index_t, std::int8_t const*, index_t,
                                           float const*, float*, index_t);
#endif
/// \endcond

}  // namespace pleat::compute

#undef PLEAT_KERNEL
