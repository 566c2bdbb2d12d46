// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The convolution kernels in plain C++: the same chains, one element a "vector".
#pragma once

#include <cmath>
#include <utility>

#include <pleat/compute/detail/conv_tile.hpp>

namespace pleat::compute::detail::conv_scalar {

template <class T> struct vector_of {
  using value = T;
  using vec = T;
  using mask = bool;
  static constexpr int width = 1;
  static vec zero() { return T(0); }
  static vec load(T const* p) { return *p; }
  static void store(T* p, vec v) { *p = v; }
  static mask range(index_t from, index_t to) { return from <= 0 && to > 0; }
  static mask either(mask a, mask b) { return a || b; }
  static vec load_if(mask m, T const* p) { return m ? *p : T(0); }
  static void store_if(mask m, T* p, vec v) {
    if (m) *p = v;
  }
  static vec broadcast(T const* p) { return *p; }
  static vec fma(vec a, vec b, vec c) { return std::fma(a, b, c); }
  static vec add(vec a, vec b) { return a + b; }
  static vec relu(vec v) { return T(0) > v ? T(0) : v; }
  static vec even(vec a, vec) { return a; }
  static void turn(vec (&)[1]) {}
};

#define PLEAT_CONV_TARGET
#include <pleat/compute/detail/conv_tile_body.hpp>
#undef PLEAT_CONV_TARGET

template <class T> inline constexpr conv_kernels<T> kernels = make_kernels<vector_of<T>, 1, 4>();

}  // namespace pleat::compute::detail::conv_scalar
