// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// One step of training. Included by one source for each precision.
#pragma once

#include <cmath>
#include <string>

#include "pieces.hpp"

namespace gpt {

// [step]
template <class T>
step_result train_step(model_of<T>& model, window_source<model_of<T>>& source, optimizer_of<T>& optimizer,
                       pl::index_t batch, double rate, double clip) {
  model.zero_grad(batch);
  model.walk(source);  // all micro-batches forward and backward, as the plan's schedule says
  model.reduce();      // the sum of the gradients of all ranks
  double const loss = model.loss();
  if (!std::isfinite(loss))
    pl::parallel::explain_nonfinite(model, source, "train_gpt", "Use a smaller --learning-rate or a smaller --clip");
  bool const moved = model.step(optimizer, rate, clip > 0 ? model.clip_scale(clip) : 1.0);
  model.context().fence();
  return {loss, moved};
}
// [step]

}  // namespace gpt
