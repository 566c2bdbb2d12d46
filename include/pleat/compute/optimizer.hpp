// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Optimizer steps as one fused pass over a flat parameter buffer. Decay, rate and masks come from a table of chunks.
///
/// Every element is computed alone from fused multiply-adds, correctly rounded divisions and square roots: its bits
/// depend on neither threads nor instruction set.
#pragma once

#include <cstdint>

#include <pleat/compute/detail/optimizer_blocks.hpp>
#include <pleat/compute/for_each.hpp>
#include <pleat/compute/math.hpp>

namespace pleat::compute {

/// Stochastic gradient descent, as PyTorch defines it: g = grad·grad_scale + decay·value; b = momentum·b + (1 −
/// dampening)·g (b = g on the first step); value −= lr·lr_scale·(nesterov ? g + momentum·b : b).
template <class T> struct sgd_settings {
  T lr = T(0.01), momentum = 0, dampening = 0, grad_scale = 1;
  bool nesterov = false, first_step = false;
};

/// Adam (Kingma and Ba, arXiv:1412.6980) and AdamW (Loshchilov and Hutter, arXiv:1711.05101).
/// g = grad·grad_scale (+ decay·value unless decoupled); m = β1·m + (1 − β1)·g; v = β2·v + (1 − β2)·g²;
/// value −= lr·lr_scale·(m/(1 − β1ᵗ)) / (sqrt(v/(1 − β2ᵗ)) + ε); decoupled: value is first multiplied by 1 −
/// lr·lr_scale·decay.
template <class T> struct adam_settings {
  T lr = T(0.001), beta1 = T(0.9), beta2 = T(0.999), epsilon = T(1e-8), grad_scale = 1;
  T correction1 = 1;  ///< 1 − β1ᵗ
  T correction2 = 1;  ///< 1 − β2ᵗ
  bool decoupled = true;
};

/// One element of a parameter in the hands of a rule of one's own. N: buffers that its optimizer keeps.
template <class T, int N> struct update_element {
  T value;                 ///< what the rule moves
  T gradient;              ///< summed over all ranks, and clipped
  T state[N > 0 ? N : 1];  ///< what the buffers hold: zero before the first step
  T rate;                  ///< the learning rate times the schedule's factor and that of the parameter's groups
  T decay;                 ///< the parameter's weight decay
};

namespace detail {

template <class T> struct sgd_rule {
  static constexpr bool has_root = false;
  static constexpr int moments = 1;
  sgd_settings<T> s;
  T const* grad;
  T* value;
  T* moment;  // may be null without momentum

  // blocks work on local copies of W elements: [0] value, [1] grad, [2] moment
  template <int W> PLEAT_INLINE void before(T (*x)[W], T*, update_chunk const& c) const {
    T const decay = static_cast<T>(c.weight_decay), rate = -(s.lr * static_cast<T>(c.lr_scale));
    T const keep = T(1) - s.dampening;
    if (moment == nullptr) {
      for (int j = 0; j < W; ++j) x[0][j] = fma(rate, fma(x[1][j], s.grad_scale, decay * x[0][j]), x[0][j]);
      return;
    }
    for (int j = 0; j < W; ++j) {
      T const g = fma(x[1][j], s.grad_scale, decay * x[0][j]);
      T const b = s.first_step ? g : fma(s.momentum, x[2][j], keep * g);
      x[2][j] = b;
      x[0][j] = fma(rate, s.nesterov ? fma(s.momentum, b, g) : b, x[0][j]);
    }
  }
  template <int W> PLEAT_INLINE void after(T (*)[W], T*, update_chunk const&) const {}
  PLEAT_INLINE T const* source() const { return grad; }
  PLEAT_INLINE T* state(int k) const { return k == 0 ? value : k == 1 ? moment : nullptr; }
};

template <class T> struct adam_rule {
  static constexpr bool has_root = true;
  static constexpr int moments = 2;
  adam_settings<T> s;
  T const* grad;
  T* value;
  T* m;
  T* v;
  // [0] value, [1] grad, [2] m, [3] v
  template <int W> PLEAT_INLINE void before(T (*x)[W], T* root, update_chunk const& c) const {
    T const decay = s.decoupled ? T(0) : static_cast<T>(c.weight_decay);
    T const rest1 = T(1) - s.beta1, rest2 = T(1) - s.beta2, inverse = T(1) / s.correction2;
    for (int j = 0; j < W; ++j) {
      T const g = fma(x[1][j], s.grad_scale, decay * x[0][j]);
      x[2][j] = fma(s.beta1, x[2][j], rest1 * g);
      x[3][j] = fma(s.beta2, x[3][j], rest2 * g * g);
      root[j] = x[3][j] * inverse;
    }
  }
  template <int W> PLEAT_INLINE void after(T (*x)[W], T* root, update_chunk const& c) const {
    T const rate = s.lr * static_cast<T>(c.lr_scale), step = -(rate / s.correction1);
    T const shrink = s.decoupled ? fma(-rate, static_cast<T>(c.weight_decay), T(1)) : T(1);
    for (int j = 0; j < W; ++j) {
      T const direction = x[2][j] / (root[j] + s.epsilon);
      x[0][j] = fma(step, direction, shrink * x[0][j]);
    }
  }
  PLEAT_INLINE T const* source() const { return grad; }
  PLEAT_INLINE T* state(int k) const { return k == 0 ? value : k == 1 ? m : k == 2 ? v : nullptr; }
};

/// A rule for one element as one for blocks. The products go through fma, so that no compiler makes them part of the
/// rule's own sums: bits do not depend on the instruction set.
template <class F, class T, int N> struct element_rule {
  static constexpr bool has_root = false;
  static constexpr int moments = N;
  F f;
  T lr, grad_scale;
  T const* grad;
  T* value;
  T* kept[N > 0 ? N : 1];

  template <int W> PLEAT_INLINE void before(T (*x)[W], T*, update_chunk const& c) const {
    T const rate = fma(lr, static_cast<T>(c.lr_scale), T(0)), decay = static_cast<T>(c.weight_decay);
    for (int j = 0; j < W; ++j) {
      update_element<T, N> e{x[0][j], fma(x[1][j], grad_scale, T(0)), {}, rate, decay};
      for (int k = 0; k < N; ++k) e.state[k] = x[k + 2][j];
      f(e);
      x[0][j] = e.value;
      for (int k = 0; k < N; ++k) x[k + 2][j] = e.state[k];
    }
  }
  template <int W> PLEAT_INLINE void after(T (*)[W], T*, update_chunk const&) const {}
  PLEAT_INLINE T const* source() const { return grad; }
  PLEAT_INLINE T* state(int k) const { return k == 0 ? value : kept[k - 1]; }
};

}  // namespace detail

/// One step of a rule of one's own over `chunks`.
/// \param f a copyable functor at namespace scope with `PLEAT_INLINE void operator()(update_element<T, N>&) const`; it
/// says compute::fma where a product feeds a sum
/// \param state N flat buffers beside value and grad
template <int N, class Space, class T, class F>
void element_update(Space const& space, update_chunk const* chunks, index_t chunk_count, index_t n, F const& f, T lr,
                    T grad_scale, T* value, T const* grad, T* const* state) {
  detail::element_rule<F, T, N> rule{f, lr, grad_scale, grad, value, {}};
  for (int k = 0; k < N; ++k) rule.kept[k] = state[k];
  detail::run_update(space, chunks, chunk_count, n, rule);
}

/// One SGD step over `chunks`; `moment` may be null if momentum is 0.
/// \param n length of the flat buffers
template <class Space, class T>
void sgd_update(Space const& space, update_chunk const* chunks, index_t chunk_count, index_t n,
                sgd_settings<T> const& settings, T* value, T const* grad, T* moment) {
  detail::run_update(space, chunks, chunk_count, n,
                     detail::sgd_rule<T>{settings, grad, value, settings.momentum != T(0) ? moment : nullptr});
}

/// One Adam or AdamW step over `chunks`; m and v hold the moments (zero before the first step).
template <class Space, class T>
void adam_update(Space const& space, update_chunk const* chunks, index_t chunk_count, index_t n,
                 adam_settings<T> const& settings, T* value, T const* grad, T* m, T* v) {
  detail::run_update(space, chunks, chunk_count, n, detail::adam_rule<T>{settings, grad, value, m, v});
}

}  // namespace pleat::compute
