// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The calls of a form whose storage does the work.
#pragma once

#include <span>
#include <type_traits>

#include <pleat/base/context.hpp>
#include <pleat/codec/file_tensor.hpp>
#include <pleat/compute/convolution.hpp>
#include <pleat/compute/gemm.hpp>

namespace pleat::codec::detail {

/// What codec::stored and codec::factors hand on to their storages (S), all alike. Not trainable.
template <class T> struct handed_on {
  static_assert(std::is_same_v<T, float>, "pleat: this form multiplies float activations: say float");
  using value_type = T;
  static constexpr bool trainable = false;

  template <class Space, class S> static void decode(context<Space>& c, extents const& shape, S const& s, T* out) {
    s.decode(c, shape, out);
  }
  template <class Space, class S>
  static void apply(context<Space>& c, extents const& shape, S const& s, index_t m, T const* x, T* y,
                    compute::epilogue<T> const& after) {
    s.apply(c, shape, m, x, y, after);
  }
  template <class Space, class S>
  static void apply_transposed(context<Space>& c, extents const& shape, S const& s, index_t m, T const* dy, T* dx,
                               T const* mask) {
    s.apply_transposed(c, shape, m, dy, dx, mask);
  }
  template <class Space, class S>
  static void convolve(context<Space>& c, compute::conv2d_shape const& g, S const& s, T const* x, T const* bias, T* y,
                       compute::activation act) {
    s.convolve(c, g, x, bias, y, act);
  }
  template <class Space, class S>
  static void convolve_transposed(context<Space>& c, compute::conv2d_shape const& g, S const& s, T const* dy, T* dx) {
    s.convolve_transposed(c, g, dy, dx);
  }
  template <class Space, class S>
  static void from_file(context<Space>& c, extents const& shape, std::span<file_tensor const> parts, S& s) {
    s.from_file(c, shape, parts);
  }
};

}  // namespace pleat::codec::detail
