// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// One element as a "vector": what the vector kernels of convolution and pooling use where no instruction set is known.
#pragma once

#include <cstdint>

#include <pleat/base/math.hpp>
#include <pleat/tensor/extents.hpp>

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
  static vec load_or(mask m, T const* p, vec other) { return m ? *p : other; }
  static void store_places(mask m, std::int32_t* p, vec at, std::int32_t base, std::int32_t) {
    if (m) *p = base + static_cast<std::int32_t>(at);
  }
  static void keep_larger(vec& best, vec& at, vec value, vec where) {
    bool const take = value > best || (value != value && best == best);
    best = take ? value : best;
    at = take ? where : at;
  }
  static void turn(vec (&)[1]) {}
};

}  // namespace pleat::compute::detail::conv_scalar
