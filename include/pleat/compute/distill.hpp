// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Learning from another network's scores: soft targets at a temperature, and the loss against them with its gradient
/// in the same pass. A row's bits depend on the row alone. G. Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge in
/// a Neural Network", arXiv:1503.02531.
#pragma once

#include <cstdint>

#include <pleat/compute/softmax.hpp>

namespace pleat::compute {

namespace detail {

template <class T> struct soft_targets_body {
  index_t classes;
  T const* logits;
  T inverse_temperature, weight;
  bool accumulate;
  T* work;
  T* p;
  PLEAT_INLINE void operator()(index_t r) const {
    T const* const x = logits + r * classes;
    T* const e = work + r * classes;
    T* const to = p + r * classes;
    for (index_t j = 0; j < classes; ++j) e[j] = x[j] * inverse_temperature;
    T const factor = weight / row_exp(e, row_max(e, classes), e, classes);
    if (accumulate)
      for (index_t j = 0; j < classes; ++j) to[j] = fma(e[j], factor, to[j]);
    else
      for (index_t j = 0; j < classes; ++j) to[j] = e[j] * factor;
  }
};

template <class T> struct distillation_body {
  index_t classes;
  T const* logits;
  std::int32_t const* labels;
  T* targets;
  T temperature, hard, soft, scale;
  T* dlogits;
  T* loss;

  PLEAT_INLINE void operator()(index_t r) const {
    T const* const x = logits + r * classes;
    T* const p = targets + r * classes;
    T* const d = dlogits + r * classes;
    T const inverse = T(1) / temperature;
    // T²·KL(p‖softmax(x/T)); its gradient is T·(softmax(x/T) − p).
    for (index_t j = 0; j < classes; ++j) d[j] = x[j] * inverse;
    T const warm_max = row_max(d, classes), warm_total = row_exp(d, warm_max, d, classes),
            warm_log = math::log(warm_total);
    T divergence = T(0);
    for (index_t j = 0; j < classes; ++j)
      if (p[j] > T(0)) divergence = fma(p[j], math::log(p[j]) - (fma(x[j], inverse, -warm_max) - warm_log), divergence);
    T const pull = soft * temperature * scale;
    for (index_t j = 0; j < classes; ++j) p[j] = pull * (d[j] / warm_total - p[j]);
    T lost = soft * temperature * temperature * divergence;
    index_t const label = labels[r];
    if (hard != T(0) && label >= 0 && label < classes) {
      T const m = row_max(x, classes), total = row_exp(x, m, d, classes), factor = hard * scale / total;
      for (index_t j = 0; j < classes; ++j) d[j] = fma(d[j], factor, p[j]);
      d[label] = fma(-hard, scale, d[label]);
      lost = fma(hard, math::log(total) - (x[label] - m), lost);
    } else {
      for (index_t j = 0; j < classes; ++j) d[j] = p[j];
    }
    if (loss != nullptr) loss[r] = lost;
  }
};

}  // namespace detail

/// p[r, :] = weight·softmax(logits[r, :]/temperature), or that is added to p: a teacher's opinion among several.
/// \param work [rows, classes]; may be p where nothing is added
template <class Space, class T>
void soft_targets(Space const& space, index_t rows, index_t classes, T const* logits, T temperature, T weight,
                  bool accumulate, T* work, T* p) {
  for_each_row(space, rows,
               detail::soft_targets_body<T>{classes, logits, T(1) / temperature, weight, accumulate, work, p},
               12.0 * static_cast<double>(classes));
}

/// hard·CE(labels[r], softmax(z)) + soft·T²·KL(targets[r, :]‖softmax(z/T)) of z = logits[r, :], and its gradient times
/// `scale`.
///
/// \param targets  [rows, classes], each row a distribution; used as work space and spoilt
/// \param labels   [rows]; a negative one (or one ≥ classes) has no hard part: samples without a label may be distilled
/// \param dlogits  [rows, classes]; not the logits
/// \param loss     [rows], unscaled; may be null
template <class Space, class T>
void distillation(Space const& space, index_t rows, index_t classes, T const* logits, std::int32_t const* labels,
                  T* targets, T temperature, T hard, T soft, T scale, T* dlogits, T* loss) {
  for_each_row(
      space, rows,
      detail::distillation_body<T>{classes, logits, labels, targets, temperature, hard, soft, scale, dlogits, loss},
      40.0 * static_cast<double>(classes));
}

}  // namespace pleat::compute
