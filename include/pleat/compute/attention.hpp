// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Scaled dot-product attention (Vaswani et al., arXiv:1706.03762) without the matrix of weights: a block of queries at
/// a time is weighed, used and forgotten, and backward weighs it again (Dao et al., arXiv:2205.14135).
///
/// Every score, output and gradient is one chain of fused multiply-adds over ascending elements, keys, or (heads of a
/// group, then) queries; a query's weights are summed in 32 interleaved chains folded by halves. So the bits depend on
/// the sequence alone (16-bit numbers are computed with in float, rounded when they are stored): not on its neighbours
/// in the batch, the threads, the instruction set or the space.
#pragma once

#include <string>

#include <pleat/base/config.hpp>
#include <pleat/base/math.hpp>
#include <pleat/compute/attention_shape.hpp>
#include <pleat/compute/detail/attention_host.hpp>
#include <pleat/compute/detail/attention_portable.hpp>

namespace pleat::compute {

namespace detail {
PLEAT_LAZY inline void attention_check(char const* call, attention_shape const& s) {
  if (s.batch < 0 || s.positions < 0 || s.groups < 1 || s.group_heads < 1 || s.head_size < 1)
    throw error{call,
                "batch " + std::to_string(s.batch) + ", positions " + std::to_string(s.positions) + ", groups " +
                    std::to_string(s.groups) + ", heads per group " + std::to_string(s.group_heads) + ", head size " +
                    std::to_string(s.head_size) + ": heads and their size must be positive",
                "Give at least one group, one head in each, and a head size of 1 or more; 0 samples are allowed"};
}
template <class T> [[nodiscard]] wide_t<T> attention_scale(attention_shape const& s) {
  return static_cast<wide_t<T>>(1.0 / std::sqrt(static_cast<double>(s.head_size)));
}
}  // namespace detail

/// out = softmax(q·kᵀ/√head_size)·v for every head; scores of positions that must not be seen do not exist.
/// \param qkv    [batch, positions, width] packed (attention_shape.hpp), finite: a number that is not spoils the positions that see it and may spoil
///               those before it in the same block of 64 (masked weights are zeros that are multiplied)
/// \param out    [batch, positions, out_width]
/// \param logsum [batch, heads, positions]: log Σ exp(score), what backward needs
template <class Space, class T>
void attention_forward(Space const& space, attention_shape const& shape, T const* qkv, T* out, wide_t<T>* logsum) {
  detail::attention_check("compute::attention_forward", shape);
  auto const scale = detail::attention_scale<T>(shape);
  if constexpr (is_host_space_v<Space>) {
    double const work = 2.0 * static_cast<double>(detail::attention_block * shape.positions * shape.head_size);
    for_each_row(space, shape.batch * shape.heads() * detail::attention_blocks(shape),
                 detail::attention_forward_host<T>{shape, scale, qkv, out, logsum,
                                                   detail::small_product<wide_t<T>>(isa::best())},
                 work);
  } else {
    detail::attention_forward_on_space(space, shape, scale, qkv, out, logsum);
  }
}

/// dqkv, packed like qkv.
/// \param out, logsum what forward gave
/// \param dout        gradient of out
/// \param delta       [batch, heads, positions], work space
template <class Space, class T>
void attention_backward(Space const& space, attention_shape const& shape, T const* qkv, T const* out,
                        wide_t<T> const* logsum, T const* dout, wide_t<T>* delta, T* dqkv) {
  detail::attention_check("compute::attention_backward", shape);
  auto const scale = detail::attention_scale<T>(shape);
  if constexpr (is_host_space_v<Space>) {
    for_each_row(space, shape.batch * shape.heads() * shape.positions,
                 detail::attention_delta_body<T>{shape, out, dout, delta}, 2.0 * static_cast<double>(shape.head_size));
    double const work =
        5.0 * static_cast<double>(shape.positions * shape.positions * shape.head_size * shape.group_heads);
    for_each_row(space, shape.batch * shape.groups,
                 detail::attention_backward_host<T>{shape, scale, qkv, logsum, delta, dout, dqkv,
                                                    detail::small_product<wide_t<T>>(isa::best())},
                 work);
  } else {
    detail::attention_backward_on_space(space, shape, scale, qkv, out, logsum, dout, delta, dqkv);
  }
}

}  // namespace pleat::compute
