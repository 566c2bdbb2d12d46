// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The plain form: every number stored, in the arena.
#pragma once

#include <pleat/codec/detail/parts.hpp>
#include <pleat/codec/form.hpp>
#include <pleat/compute/convolution.hpp>
#include <pleat/compute/elementwise.hpp>
#include <pleat/compute/gemm.hpp>
#include <pleat/tensor/tensor.hpp>

namespace pleat::codec {

namespace detail {

/// y[m, rows] = x[m, cols] · Wᵀ for a dense W[rows, cols].
template <class Space, class T>
void apply_dense(context<Space>& c, extents const& shape, T const* w, index_t m, T const* x, T* y,
                 compute::epilogue<T> const& after) {
  index_t const n = rows_of(shape), k = columns_of(shape);
  compute::gemm(c.space(), compute::gemm_arguments<T>{.m = m,
                                                      .n = n,
                                                      .k = k,
                                                      .a = x,
                                                      .lda = k,
                                                      .b = w,
                                                      .ldb = k,
                                                      .tb = compute::transpose::yes,
                                                      .c = y,
                                                      .ldc = n,
                                                      .after = after});
}

/// dx[m, cols] = dy[m, rows] · W; with a mask (same shape as dx) elements whose mask is not positive become zero.
template <class Space, class T>
void apply_dense_transposed(context<Space>& c, extents const& shape, T const* w, index_t m, T const* dy, T* dx,
                            T const* mask) {
  index_t const n = columns_of(shape), k = rows_of(shape);
  compute::gemm(c.space(), compute::gemm_arguments<T>{.m = m,
                                                      .n = n,
                                                      .k = k,
                                                      .a = dy,
                                                      .lda = k,
                                                      .b = w,
                                                      .ldb = n,
                                                      .c = dx,
                                                      .ldc = n,
                                                      .after = {.mask = mask, .ldmask = n}});
}

/// n numbers as kernels of images take them: 16 bits as floats in pooled memory, others where they are.
template <class Space, class T>
[[nodiscard]] tensor<wide_t<T>, Space> widened(context<Space>& c, T const* x, index_t n) {
  if constexpr (is_reduced_v<T>) {
    auto w = tensor<float, Space>::allocate(c, {n});
    compute::copy(c.space(), n, x, w.data());
    return w;
  } else {
    return tensor<T, Space>::wrap(const_cast<T*>(x), {n});  // wrap has one spelling; nothing is written
  }
}

/// y = act(x ∗ W + bias) for a dense W, NCHW. 16-bit numbers are convolved as floats; an element of y is rounded once.
template <class Space, class T>
void convolve_dense(context<Space>& c, compute::conv2d_shape const& g, T const* w, T const* x, T const* bias, T* y,
                    compute::activation act) {
  if constexpr (is_reduced_v<T>) {
    index_t const outs = g.batch * g.out_channels * g.out_height() * g.out_width();
    auto const wide_x = widened(c, x, g.batch * g.in_channels * g.height * g.width),
               wide_w = widened(c, w, g.out_channels * g.weights_per_output());
    auto const wide_bias = bias ? widened(c, bias, g.out_channels) : tensor<float, Space>{};
    auto const wide_y = tensor<float, Space>::allocate(c, {outs});
    compute::conv2d_forward(c.space(), g, static_cast<float const*>(wide_x.data()),
                            static_cast<float const*>(wide_w.data()), static_cast<float const*>(wide_bias.data()),
                            wide_y.data(), act);
    compute::copy(c.space(), outs, static_cast<float const*>(wide_y.data()), y);
  } else {
    compute::conv2d_forward(c.space(), g, x, w, bias, y, act);
  }
}
/// dx of the convolution.
template <class Space, class T>
void convolve_dense_transposed(context<Space>& c, compute::conv2d_shape const& g, T const* w, T const* dy, T* dx) {
  if constexpr (is_reduced_v<T>) {
    index_t const ins = g.batch * g.in_channels * g.height * g.width;
    auto const wide_dy = widened(c, dy, g.batch * g.out_channels * g.out_height() * g.out_width()),
               wide_w = widened(c, w, g.out_channels * g.weights_per_output());
    auto const wide_dx = tensor<float, Space>::allocate(c, {ins});
    compute::conv2d_backward_input(c.space(), g, static_cast<float const*>(wide_dy.data()),
                                   static_cast<float const*>(wide_w.data()), wide_dx.data());
    compute::copy(c.space(), ins, static_cast<float const*>(wide_dx.data()), dx);
  } else {
    compute::conv2d_backward_input(c.space(), g, dy, w, dx);
  }
}

/// Copies n values between two places of the space's memory.
template <class Space, class T> void copy_values(context<Space>& c, T const* from, T* to, index_t n) {
  if (n == 0 || from == to) return;
  using in = Kokkos::View<T const*, typename Space::memory_space, Kokkos::MemoryUnmanaged>;
  using out = Kokkos::View<T*, typename Space::memory_space, Kokkos::MemoryUnmanaged>;
  Kokkos::deep_copy(c.space(), out(to, static_cast<std::size_t>(n)), in(from, static_cast<std::size_t>(n)));
}

}  // namespace detail

/// Dense values of type T in the arena. Exact.
template <class T> struct dense {
  using value_type = T;
  static constexpr std::string_view name = "dense";
  static constexpr bool trainable = true;
  static constexpr bool plain = true;  ///< decode() copies what is there

  /// What a weight of this form holds: its numbers, in memory that the arena owns.
  template <class Space> struct storage {
    T* values = nullptr;
    void attach(T* v) noexcept { values = v; }
  };

  /// Copies `values` into the arena's memory.
  template <class Space>
  static void encode(context<Space>& c, extents const& shape, T const* values, storage<Space>& s) {
    detail::copy_values(c, values, s.values, shape.size());
  }
  template <class Space> static void decode(context<Space>& c, extents const& shape, storage<Space> const& s, T* out) {
    detail::copy_values(c, static_cast<T const*>(s.values), out, shape.size());
  }
  template <class Space>
  static void apply(context<Space>& c, extents const& shape, storage<Space> const& s, index_t m, T const* x, T* y,
                    compute::epilogue<T> const& after) {
    detail::apply_dense(c, shape, static_cast<T const*>(s.values), m, x, y, after);
  }
  template <class Space>
  static void apply_transposed(context<Space>& c, extents const& shape, storage<Space> const& s, index_t m, T const* dy,
                               T* dx, T const* mask) {
    detail::apply_dense_transposed(c, shape, static_cast<T const*>(s.values), m, dy, dx, mask);
  }
  /// y = x ∗ W + bias, NCHW.
  template <class Space>
  static void convolve(context<Space>& c, compute::conv2d_shape const& g, storage<Space> const& s, T const* x,
                       T const* bias, T* y, compute::activation act) {
    detail::convolve_dense(c, g, static_cast<T const*>(s.values), x, bias, y, act);
  }
  /// dx of the convolution.
  template <class Space>
  static void convolve_transposed(context<Space>& c, compute::conv2d_shape const& g, storage<Space> const& s,
                                  T const* dy, T* dx) {
    detail::convolve_dense_transposed(c, g, static_cast<T const*>(s.values), dy, dx);
  }
  template <class Space> [[nodiscard]] static index_t bytes(extents const& shape, storage<Space> const&) noexcept {
    return shape.size() * static_cast<index_t>(sizeof(T));
  }
  template <class Space>
  [[nodiscard]] static std::vector<file_tensor> to_file(context<Space>& c, extents const& shape,
                                                        storage<Space> const& s) {
    std::vector<std::byte> b(static_cast<std::size_t>(shape.size()) * sizeof(T));
    copy_to_host(c, tensor<T, Space>::wrap(s.values, shape), reinterpret_cast<T*>(b.data()));
    std::vector<file_tensor> parts;  // a list in braces would copy the numbers
    parts.push_back({"", dtype_of<T>, shape, std::move(b)});
    return parts;
  }
  template <class Space>
  static void from_file(context<Space>& c, extents const& shape, std::span<file_tensor const> parts,
                        storage<Space>& s) {
    constexpr char const* call = "codec::dense::from_file";
    detail::demand_only(call, parts, {""});
    auto const& bytes = detail::demand_part(call, parts, "", dtype_of<T>, shape).bytes;
    copy_from_host(c, reinterpret_cast<T const*>(bytes.data()), tensor<T, Space>::wrap(s.values, shape));
  }
};

}  // namespace pleat::codec
