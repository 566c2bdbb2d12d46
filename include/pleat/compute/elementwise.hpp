// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Elementwise kernels: fill, copy, arithmetic, activations forward and backward, bias, dropout, row gather,
/// normalisation. Output may be the input itself (same pointer) everywhere; partly overlapping buffers are not allowed.
///
/// Arithmetic, bias, activations and dropout take 16-bit types too: computed in float, rounded once per element
/// (element.hpp).
#pragma once

#include <cstdint>
#include <type_traits>

#include <pleat/compute/detail/widen.hpp>
#include <pleat/compute/element.hpp>
#include <pleat/compute/for_each.hpp>
#include <pleat/compute/math.hpp>

namespace pleat::compute {

namespace detail {

template <class T> struct fill_body {
  T* y;
  T value;
  PLEAT_INLINE void operator()(index_t i) const { y[i] = value; }
};
template <class S, class T> struct copy_body {
  S const* x;
  T* y;
  PLEAT_INLINE void operator()(index_t i) const { y[i] = static_cast<T>(x[i]); }
};
template <class T> struct scale_body {
  wide_t<T> a;
  source_t<T> x;
  target_t<T> y;
  PLEAT_INLINE void operator()(index_t i) const { y[i] = a * x[i]; }
};
template <class T> struct axpy_body {
  wide_t<T> a;
  source_t<T> x;
  target_t<T> y;
  PLEAT_INLINE void operator()(index_t i) const { y[i] = fma(a, x[i], y[i]); }
};
template <class T> struct add_body {
  source_t<T> a;
  source_t<T> b;
  target_t<T> y;
  PLEAT_INLINE void operator()(index_t i) const { y[i] = a[i] + b[i]; }
};
template <class T> struct multiply_body {
  source_t<T> a;
  source_t<T> b;
  target_t<T> y;
  PLEAT_INLINE void operator()(index_t i) const { y[i] = a[i] * b[i]; }
};

/// y = F(x): F is an empty functor.
template <class F, class T> struct map_body {
  source_t<T> x;
  target_t<T> y;
  PLEAT_INLINE void operator()(index_t i) const { y[i] = F{}(x[i]); }
};
/// dx = dy · G(s), where s is what the activation saved (its input or its output).
template <class G, class T> struct chain_body {
  source_t<T> saved;
  source_t<T> dy;
  target_t<T> dx;
  PLEAT_INLINE void operator()(index_t i) const { dx[i] = dy[i] * G{}(saved[i]); }
};
/// y = F(x) and the slope F'(x) at once, which costs little more than one of them.
template <class F, class T> struct map_with_slope_body {
  source_t<T> x;
  target_t<T> y;
  target_t<T> slope;
  PLEAT_INLINE void operator()(index_t i) const {
    wide_t<T> d;
    wide_t<T> const v = F{}(x[i], d);
    y[i] = v;
    slope[i] = d;
  }
};
template <class T> struct relu_backward_body {
  source_t<T> y;
  source_t<T> dy;
  target_t<T> dx;
  PLEAT_INLINE void operator()(index_t i) const { dx[i] = y[i] > wide_t<T>(0) ? dy[i] : wide_t<T>(0); }
};

struct relu_value {
  template <class T> PLEAT_INLINE T operator()(T x) const { return x < T(0) ? T(0) : x; }  // NaN stays NaN
};
struct tanh_value {
  template <class T> PLEAT_INLINE T operator()(T x) const { return math::tanh(x); }
};
struct tanh_slope {  // from y
  template <class T> PLEAT_INLINE T operator()(T y) const { return fma(-y, y, T(1)); }
};
struct sigmoid_value {
  template <class T> PLEAT_INLINE T operator()(T x) const { return math::sigmoid(x); }
};
struct sigmoid_slope {  // from y
  template <class T> PLEAT_INLINE T operator()(T y) const { return fma(-y, y, y); }
};
struct gelu_value {
  template <class T> PLEAT_INLINE T operator()(T x) const { return math::gelu(x); }
  template <class T> PLEAT_INLINE T operator()(T x, T& slope) const { return math::gelu(x, slope); }
};
struct gelu_tanh_value {
  /// 2·sqrt(2/π)·(x + 0.044715 x³)
  template <class T> PLEAT_INLINE static T inner(T x) { return T(1.5957691216057307) * fma(T(0.044715) * x * x, x, x); }
  template <class T> PLEAT_INLINE T operator()(T x) const {
    return x * math::sigmoid(inner(x));  // tanh(u)/2 + 1/2 = sigmoid(2u)
  }
  template <class T> PLEAT_INLINE T operator()(T x, T& slope) const {
    T product;
    T const s = math::sigmoid(inner(x), product);
    T const du = T(1.5957691216057307) * fma(T(3 * 0.044715) * x, x, T(1));
    slope = fma(x * du, product, s);
    return x * s;
  }
};
struct silu_value {
  template <class T> PLEAT_INLINE T operator()(T x) const { return x * math::sigmoid(x); }
  template <class T> PLEAT_INLINE T operator()(T x, T& slope) const {
    T product;
    T const s = math::sigmoid(x, product);
    slope = fma(x, product, s);
    return x * s;
  }
};
/// The slope alone, of a value that offers both.
template <class F> struct slope_of {
  template <class T> PLEAT_INLINE T operator()(T x) const {
    T slope;
    static_cast<void>(F{}(x, slope));
    return slope;
  }
};

template <class T> struct add_bias_body {
  index_t columns, ldy;
  source_t<T> bias;
  target_t<T> y;
  PLEAT_INLINE void operator()(index_t r) const {
    auto const row = y + r * ldy;
    for (index_t j = 0; j < columns; ++j) row[j] = row[j] + bias[j];
  }
};
template <class T> struct add_channel_bias_body {
  index_t channels, pixels;
  source_t<T> bias;
  target_t<T> y;
  PLEAT_INLINE void operator()(index_t plane) const {
    wide_t<T> const b = bias[plane % channels];
    target_t<T> const row = y + plane * pixels;
    for (index_t j = 0; j < pixels; ++j) row[j] = row[j] + b;
  }
};
template <class T, class Keep> struct dropout_body {
  wide_t<T> factor;
  source_t<T> x;
  target_t<T> y;
  Keep keep;
  PLEAT_INLINE void operator()(index_t i) const { y[i] = keep(i) ? x[i] * factor : wide_t<T>(0); }
};
template <class T, class Index> struct gather_rows_body {
  index_t columns, ldx, ldy;
  T const* x;
  Index const* index;
  T* y;
  PLEAT_INLINE void operator()(index_t r) const {
    T const* const from = x + static_cast<index_t>(index[r]) * ldx;
    T* const to = y + r * ldy;
    for (index_t j = 0; j < columns; ++j) to[j] = from[j];
  }
};
template <class T> struct normalize_body {
  std::uint8_t const* x;
  T scale, shift;
  T* y;
  PLEAT_INLINE void operator()(index_t i) const { y[i] = fma(static_cast<T>(x[i]), scale, shift); }
};
template <class T, class Index> struct gather_normalize_body {
  index_t columns;
  std::uint8_t const* x;
  Index const* index;
  T scale, shift;
  T* y;
  PLEAT_INLINE void operator()(index_t r) const {
    std::uint8_t const* const from = x + static_cast<index_t>(index[r]) * columns;
    T* const to = y + r * columns;
    for (index_t j = 0; j < columns; ++j) to[j] = fma(static_cast<T>(from[j]), scale, shift);
  }
};

inline constexpr double transcendental_work = 8;  // against 1 for a copy

}  // namespace detail

/// y[i] = value, i < n.
template <class Space, class T> void fill(Space const& space, index_t n, T value, T* y) {
  for_each(space, n, detail::fill_body<T>{y, value});
}
/// y[i] = x[i], converted to y's type.
template <class Space, class S, class T> void copy(Space const& space, index_t n, S const* x, T* y) {
  if constexpr (is_host_space_v<Space> && ((std::is_same_v<S, half> && std::is_same_v<T, float>) ||
                                           (std::is_same_v<S, float> && std::is_same_v<T, half>))) {
    if (n <= 0) return;
    int const tasks = tasks_for(space, static_cast<double>(n));
    for_tasks(space, tasks, detail::convert_task<S, T>{n, tasks, isa::best(), x, y});
  } else {
    for_each(space, n, detail::copy_body<S, T>{x, y});
  }
}
/// y[i] = a·x[i].
template <class Space, class T>
void scale(Space const& space, index_t n, std::type_identity_t<wide_t<T>> a, T const* x, T* y) {
  for_each(space, n, detail::scale_body<T>{a, x, y});
}
/// y[i] = fma(a, x[i], y[i]).
template <class Space, class T>
void axpy(Space const& space, index_t n, std::type_identity_t<wide_t<T>> a, T const* x, T* y) {
  for_each(space, n, detail::axpy_body<T>{a, x, y});
}
/// y[i] = a[i] + b[i].
template <class Space, class T> void add(Space const& space, index_t n, T const* a, T const* b, T* y) {
  for_each(space, n, detail::add_body<T>{a, b, y});
}
/// y[i] = a[i]·b[i].
template <class Space, class T> void multiply(Space const& space, index_t n, T const* a, T const* b, T* y) {
  for_each(space, n, detail::multiply_body<T>{a, b, y});
}

/// y = max(x, 0); NaN stays NaN.
template <class Space, class T> void relu(Space const& space, index_t n, T const* x, T* y) {
  for_each(space, n, detail::map_body<detail::relu_value, T>{x, y});
}
/// dx = dy where y > 0, else 0; y is the forward output. dx may be dy.
template <class Space, class T> void relu_backward(Space const& space, index_t n, T const* y, T const* dy, T* dx) {
  for_each(space, n, detail::relu_backward_body<T>{y, dy, dx});
}
/// y = x·Φ(x), the exact form of Hendrycks and Gimpel (arXiv:1606.08415).
template <class Space, class T> void gelu(Space const& space, index_t n, T const* x, T* y) {
  for_each(space, n, detail::map_body<detail::gelu_value, T>{x, y}, detail::transcendental_work);
}
/// dx = dy·(Φ(x) + x·φ(x)); x is the forward input.
template <class Space, class T> void gelu_backward(Space const& space, index_t n, T const* x, T const* dy, T* dx) {
  for_each(space, n, detail::chain_body<detail::slope_of<detail::gelu_value>, T>{x, dy, dx},
           detail::transcendental_work);
}
/// y = gelu(x), and the slope that backward multiplies by: two for little more than the price of one. y or slope may be
/// x.
template <class Space, class T> void gelu_with_slope(Space const& space, index_t n, T const* x, T* y, T* slope) {
  for_each(space, n, detail::map_with_slope_body<detail::gelu_value, T>{x, y, slope}, detail::transcendental_work);
}
/// y = x·(1 + tanh(sqrt(2/π)·(x + 0.044715 x³)))/2, the form of the same paper that GPT-2 uses.
template <class Space, class T> void gelu_tanh(Space const& space, index_t n, T const* x, T* y) {
  for_each(space, n, detail::map_body<detail::gelu_tanh_value, T>{x, y}, detail::transcendental_work);
}
/// dx = dy·(the derivative of the form with tanh); x is the forward input.
template <class Space, class T> void gelu_tanh_backward(Space const& space, index_t n, T const* x, T const* dy, T* dx) {
  for_each(space, n, detail::chain_body<detail::slope_of<detail::gelu_tanh_value>, T>{x, dy, dx},
           detail::transcendental_work);
}
/// y = gelu_tanh(x), and the slope that backward multiplies by: two for little more than the price of one. y or slope
/// may be x.
template <class Space, class T> void gelu_tanh_with_slope(Space const& space, index_t n, T const* x, T* y, T* slope) {
  for_each(space, n, detail::map_with_slope_body<detail::gelu_tanh_value, T>{x, y, slope}, detail::transcendental_work);
}
/// y = x / (1 + e^−x) (Elfwing, Uchibe, Doya, arXiv:1702.03118).
template <class Space, class T> void silu(Space const& space, index_t n, T const* x, T* y) {
  for_each(space, n, detail::map_body<detail::silu_value, T>{x, y}, detail::transcendental_work);
}
/// dx = dy·(s + x·s·(1 − s)), s = 1 / (1 + e^−x); x is the forward input.
template <class Space, class T> void silu_backward(Space const& space, index_t n, T const* x, T const* dy, T* dx) {
  for_each(space, n, detail::chain_body<detail::slope_of<detail::silu_value>, T>{x, dy, dx},
           detail::transcendental_work);
}
/// y = silu(x), and the slope that backward multiplies by: two for little more than the price of one. y or slope may be
/// x.
template <class Space, class T> void silu_with_slope(Space const& space, index_t n, T const* x, T* y, T* slope) {
  for_each(space, n, detail::map_with_slope_body<detail::silu_value, T>{x, y, slope}, detail::transcendental_work);
}
/// y = tanh(x).
template <class Space, class T> void tanh_activation(Space const& space, index_t n, T const* x, T* y) {
  for_each(space, n, detail::map_body<detail::tanh_value, T>{x, y}, detail::transcendental_work);
}
/// dx = dy·(1 − y²); y is the forward output.
template <class Space, class T>
void tanh_activation_backward(Space const& space, index_t n, T const* y, T const* dy, T* dx) {
  for_each(space, n, detail::chain_body<detail::tanh_slope, T>{y, dy, dx});
}
/// y = 1 / (1 + e^−x).
template <class Space, class T> void sigmoid(Space const& space, index_t n, T const* x, T* y) {
  for_each(space, n, detail::map_body<detail::sigmoid_value, T>{x, y}, detail::transcendental_work);
}
/// dx = dy·y·(1 − y); y is the forward output.
template <class Space, class T> void sigmoid_backward(Space const& space, index_t n, T const* y, T const* dy, T* dx) {
  for_each(space, n, detail::chain_body<detail::sigmoid_slope, T>{y, dy, dx});
}

/// y[r, j] += bias[j] for a rows×columns matrix whose rows are ldy apart.
template <class Space, class T>
void add_bias(Space const& space, index_t rows, index_t columns, T const* bias, T* y, index_t ldy) {
  for_each_row(space, rows, detail::add_bias_body<T>{columns, ldy, bias, y}, static_cast<double>(columns));
}
/// y[b, c, p] += bias[c] for an NCHW block of `batch` samples.
template <class Space, class T>
void add_channel_bias(Space const& space, index_t batch, index_t channels, index_t pixels, T const* bias, T* y) {
  for_each_row(space, batch * channels, detail::add_channel_bias_body<T>{channels, pixels, bias, y},
               static_cast<double>(pixels));
}

/// y[i] = keep(i) ? x[i]·factor : 0. `keep` is a functor `bool operator()(index_t) const` (PLEAT_INLINE), usually a
/// counter-based random number of the global element: forward and backward then draw the same mask without storing it.
template <class Space, class T, class Keep>
void dropout(Space const& space, index_t n, Keep const& keep, std::type_identity_t<wide_t<T>> factor, T const* x,
             T* y) {
  for_each(space, n, detail::dropout_body<T, Keep>{factor, x, y, keep}, 4 * detail::transcendental_work);
}

/// y[r, :] = x[index[r], :] for r < rows. Indices are not checked.
template <class Space, class T, class Index>
void gather_rows(Space const& space, index_t rows, index_t columns, T const* x, index_t ldx, Index const* index, T* y,
                 index_t ldy) {
  for_each_row(space, rows, detail::gather_rows_body<T, Index>{columns, ldx, ldy, x, index, y},
               static_cast<double>(columns));
}

/// y[i] = fma(x[i], scale, shift): bytes of an image to numbers.
template <class Space, class T>
void normalize(Space const& space, index_t n, std::uint8_t const* x, T scale, T shift, T* y) {
  for_each(space, n, detail::normalize_body<T>{x, scale, shift, y});
}
/// y[r, j] = fma(x[index[r], j], scale, shift): a batch of images picked by a sampler.
template <class Space, class T, class Index>
void gather_normalize(Space const& space, index_t rows, index_t columns, std::uint8_t const* x, Index const* index,
                      T scale, T shift, T* y) {
  for_each_row(space, rows, detail::gather_normalize_body<T, Index>{columns, x, index, scale, shift, y},
               static_cast<double>(columns));
}

}  // namespace pleat::compute
