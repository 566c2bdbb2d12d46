// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The language model of this example, of bench/run and of tests: GPT-2 (Radford et al., 2019) at any size.
#pragma once

#include <cmath>

#include <pleat/nn.hpp>

#include "sizes.hpp"

namespace gpt {

namespace nn = pleat::nn;

// [block]
/// One block: attention, then two linear layers, each normalised before and added to its input.
template <class T = float, class Space = Kokkos::DefaultExecutionSpace> auto block(sizes const& s) {
  using F = pl::codec::forms<pl::codec::dense<T>>;
  pl::index_t const size = s.width / s.heads;
  auto const initial = nn::initializer::normal(0.02);
  // what is added 2·layers times starts smaller, so that the sum keeps its size
  auto const smaller = nn::initializer::normal(0.02 / std::sqrt(2.0 * static_cast<double>(s.layers)));
  return nn::sequential(
      nn::residual(
          nn::sequential(nn::layer_norm<T, Space>("norm1", s.width),
                         nn::linear<F, Space>("qkv", s.width, nn::attention_width(s.heads, size, s.key_value_heads),
                                              {.initial = initial}),
                         nn::attention<T, Space>("attention", s.heads, size, {.key_value_heads = s.key_value_heads}),
                         nn::linear<F, Space>("project", s.width, s.width, {.initial = smaller}))),
      nn::residual(nn::sequential(nn::layer_norm<T, Space>("norm2", s.width),
                                  nn::linear<F, Space>("fc1", s.width, 4 * s.width, {.initial = initial}),
                                  nn::gelu<T, Space>(),
                                  nn::linear<F, Space>("fc2", 4 * s.width, s.width, {.initial = smaller}))));
}
// [block]

/// Tokens [m, positions] → scores of the next token [m, positions, vocabulary]. The last layer's weight is the
/// embedding's. Units (what a pipeline may cut between): the embedding, each block, the last norm, the output layer.
template <class T = float, class Space = Kokkos::DefaultExecutionSpace> auto network(sizes const& s) {
  check(s);
  using F = pl::codec::forms<pl::codec::dense<T>>;
  return nn::sequential(
      nn::embedding<T, Space>("tokens", s.vocabulary, s.width, {.positions = s.context}),
      nn::repeat("block", s.layers, block<T, Space>(s)), nn::layer_norm<T, Space>("norm", s.width),
      nn::linear<F, Space>("output", s.width, s.vocabulary, {.bias = false, .tied_to = "tokens.weight"}));
}

}  // namespace gpt
