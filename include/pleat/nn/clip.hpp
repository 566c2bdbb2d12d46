// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Gradient clipping by the global norm.
#pragma once

#include <pleat/base/math.hpp>
#include <pleat/base/pooled_array.hpp>
#include <pleat/compute/elementwise.hpp>
#include <pleat/compute/reduce.hpp>
#include <pleat/nn/arena.hpp>

namespace pleat::nn {

/// Nothing is waited for.
struct nothing_awaited {
  void operator()(std::size_t) const noexcept {}
};

/// The squared 2-norm of each parameter's gradient in slot 0, of what would move a parameter (neither frozen, nor held
/// by a group of the optimizer, nor pruned), else 0, in double, in fixed chunks (compute/reduce.hpp): the same bits for
/// the same gradients on any number of ranks. \param out one number per entry of the arena
/// \param await called with the number of an entry before its gradient is read, from the last one on: gradients may
/// still come
template <class T, class Space, class Await = nothing_awaited>
void gradient_squares(context<Space>& where, arena<T, Space> const& memory, double* out, Await const& await = {}) {
  auto const& all = memory.entries();
  auto const n = static_cast<index_t>(all.size());
  auto squares = tensor<double, Space>::allocate(where, {n});
  compute::fill(where.space(), n, 0.0, squares.data());
  for (index_t i = n; i-- > 0;) {
    auto const& e = all[static_cast<std::size_t>(i)];
    if (e.kind != parameter_kind::trainable || !e.requires_grad || e.held) continue;
    await(static_cast<std::size_t>(i));
    compute::squared_norm(where.space(), e.end - e.begin, static_cast<master_t<T> const*>(memory.gradients() + e.begin),
                          e.mask_bits, squares.data() + i);
  }
  copy_to_host(where, squares, out);
}

/// The 2-norm of all gradients in slot 0 that would move a parameter. Squares are summed in double, per parameter in
/// fixed chunks (compute/reduce.hpp), the parameters in the order of the arena: the same bits for the same gradients on
/// any number of ranks.
template <class T, class Space>
[[nodiscard]] double gradient_norm(context<Space>& where, arena<T, Space> const& memory) {
  pooled_array<double> host(where.host_pool(), memory.entries().size());
  gradient_squares(where, memory, host.data());
  double sum = 0;
  for (double const s : host) sum += s;
  return std::sqrt(sum);
}

/// The factor that brings a global norm down to `max_norm` (Pascanu, Mikolov and Bengio, arXiv:1211.5063): min(1,
/// max_norm / norm). A norm that is not finite gives 1: scaling would not mend it.
[[nodiscard]] inline double clip_factor(double norm, double max_norm) noexcept {
  return std::isfinite(norm) && norm > max_norm ? max_norm / norm : 1.0;
}

/// The same for the gradients in slot 0.
template <class T, class Space>
[[nodiscard]] double clip_scale(context<Space>& where, arena<T, Space> const& memory, double max_norm) {
  return clip_factor(gradient_norm(where, memory), max_norm);
}

}  // namespace pleat::nn
