// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The networks that the main job knows.
#pragma once

#include <pleat/codec.hpp>
#include <pleat/nn.hpp>

#include <string>
#include <vector>

namespace networks {

// Weights that are trained, and weights that may be stored in any form that shrinking uses.
using dense = pleat::codec::forms<pleat::codec::dense<float>>;
using stored = pleat::codec::forms<pleat::codec::dense<float>, pleat::codec::masked<float>, pleat::codec::int8<float>>;

}  // namespace networks

// The widths of "mlp:784-300-100-10", of which the first must be the number of inputs. In mlp.cpp.
std::vector<pleat::index_t> widths_of(std::string const& text, pleat::index_t inputs);

// Fully connected layers with ReLU between them; the depth is a run-time number. "mlp:784-300-100-10" is LeNet-300-100
// (LeCun, Bottou, Bengio, Haffner, Proc. IEEE 86(11), 1998).
template <class Forms> auto mlp(std::vector<pleat::index_t> const& widths) {
  namespace nn = pleat::nn;
  using linear = nn::linear<Forms>;
  using block = nn::sequential<linear, nn::relu<>>;
  std::vector<block> hidden;
  for (std::size_t i = 1; i + 1 < widths.size(); ++i)
    hidden.emplace_back(linear("fc" + std::to_string(i), widths[i - 1], widths[i]), nn::relu<>());
  std::size_t const last = widths.size() - 1;
  return nn::sequential(nn::repeat<block>("hidden", std::move(hidden)),
                        linear("fc" + std::to_string(last), widths[last - 1], widths[last]));
}

// LeNet-5 as Caffe has it: 20 and 50 filters of 5x5 with max pooling, then 500 and 10 outputs. Images of 8x8 get
// padding, so that something is left to pool.
template <class Forms> auto lenet_5(pleat::extents const& sample) {
  namespace nn = pleat::nn;
  using linear = nn::linear<Forms>;
  using conv2d = nn::conv2d<Forms>;
  if (sample.rank() != 3)
    throw pleat::error{"--model",
                       "lenet-5 takes images [channels, height, width], a sample of this data is " + sample.to_string(),
                       "Use --data with images, or --model mlp:…"};
  pleat::index_t const padding = sample[1] < 28 ? 2 : 0;
  auto const half = [&](pleat::index_t n) { return (n + 2 * padding - 4) / 2; };
  pleat::index_t const features = 50 * half(half(sample[1])) * half(half(sample[2]));
  return nn::sequential(conv2d("conv1", sample[0], 20, 5, {.padding = padding}), nn::relu(), nn::max_pool2d(2),
                        conv2d("conv2", 20, 50, 5, {.padding = padding}), nn::relu(), nn::max_pool2d(2), nn::flatten(),
                        linear("fc1", features, 500), nn::relu(), linear("fc2", 500, 10));
}
