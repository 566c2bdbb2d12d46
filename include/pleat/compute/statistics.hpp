// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Running averages: what a lane contributes, and how an average takes in a batch.
#pragma once

#include <pleat/compute/optimizer.hpp>
#include <pleat/compute/reduce.hpp>

namespace pleat::compute {

namespace detail {

/// The batch value of a statistic as one lane sees it, weighted by the lane's share of the batch.
template <class T> struct weigh_lanes_body {
  index_t columns;
  lanes cut;
  T inverse_batch;
  index_t samples_per_row;
  bool unbias;
  index_t population;
  T const* in;
  T* out;
  PLEAT_INLINE void operator()(index_t i) const {
    int const l = static_cast<int>(i / columns);
    index_t const rows = cut.end(l) - cut.begin(l);
    index_t const n = population > 0 ? population : rows * samples_per_row;
    T const factor = unbias && n > 1 ? static_cast<T>(n) / static_cast<T>(n - 1) : T(1);
    out[i] = static_cast<T>(rows) * inverse_batch * (factor * in[i]);
  }
};

// The walk of an optimizer step with another rule: value ← value + momentum·(batch value − value).
template <class T> struct running_rule {
  static constexpr bool has_root = false;
  static constexpr int moments = 0;
  T const* grad;
  T* value;
  template <int W> PLEAT_INLINE void before(T (*x)[W], T*, update_chunk const& c) const {
    T const momentum = static_cast<T>(c.lr_scale);
    for (int j = 0; j < W; ++j) x[0][j] = fma(momentum, x[1][j], fma(-momentum, x[0][j], x[0][j]));
  }
  template <int W> PLEAT_INLINE void after(T (*)[W], T*, update_chunk const&) const {}
  PLEAT_INLINE T const* source() const { return grad; }
  PLEAT_INLINE T* state(int k) const { return k == 0 ? value : nullptr; }
};

}  // namespace detail

/// out[l, c] = in[l, c] · rows(l) / batch; with `unbias`, in is a variance and is made unbiased with n/(n−1) first.
/// \param population n; 0: the lane's own rows · samples_per_row
template <class Space, class T>
void weigh_lanes(Space const& space, index_t columns, lanes const& cut, index_t batch, index_t samples_per_row,
                 bool unbias, index_t population, T const* in, T* out) {
  for_each_row(space, columns * cut.count,
               detail::weigh_lanes_body<T>{columns, cut, T(1) / static_cast<T>(batch), samples_per_row, unbias,
                                           population, in, out},
               4);
}

/// value ← (1 − m)·value + m·grad over `chunks`, m being each chunk's lr_scale.
template <class Space, class T>
void running_update(Space const& space, update_chunk const* chunks, index_t chunk_count, index_t n, T* value,
                    T const* grad) {
  detail::run_update(space, chunks, chunk_count, n, detail::running_rule<T>{grad, value});
}

}  // namespace pleat::compute
