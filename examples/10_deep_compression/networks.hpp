// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The two networks of the literature. `Forms`: what their weights may be stored as.
#pragma once

#include <pleat/codec.hpp>
#include <pleat/codec/codebook.hpp>
#include <pleat/nn.hpp>

namespace networks {

// Weights that are trained, and weights as the compressed file has them.
using dense = pleat::codec::forms<pleat::codec::dense<float>>;
using stored = pleat::codec::forms<pleat::codec::dense<float>, pleat::codec::coded<float>>;

}  // namespace networks

// 300 and 100 hidden units (LeCun, Bottou, Bengio, Haffner, Proc. IEEE 86(11), 1998): 266 610 parameters on 28x28
// images.
template <class Forms> auto lenet_300_100(pleat::extents const& sample) {
  namespace nn = pleat::nn;
  using linear = nn::linear<Forms>;
  return nn::sequential(linear("fc1", sample.size(), 300), nn::relu(), linear("fc2", 300, 100), nn::relu(),
                        linear("fc3", 100, 10));
}

// LeNet-5 as Caffe has it: 20 and 50 filters of 5x5 with max pooling, then 500 and 10 outputs: 431 080 parameters on
// 28x28 images. Images of 8x8 get padding, so that something is left to pool.
template <class Forms> auto lenet_5(pleat::extents const& sample) {
  namespace nn = pleat::nn;
  using linear = nn::linear<Forms>;
  using conv2d = nn::conv2d<Forms>;
  pleat::index_t const padding = sample[1] < 28 ? 2 : 0;
  auto const half = [&](pleat::index_t n) { return (n + 2 * padding - 4) / 2; };
  pleat::index_t const features = 50 * half(half(sample[1])) * half(half(sample[2]));
  return nn::sequential(conv2d("conv1", sample[0], 20, 5, {.padding = padding}), nn::relu(), nn::max_pool2d(2),
                        conv2d("conv2", 20, 50, 5, {.padding = padding}), nn::relu(), nn::max_pool2d(2), nn::flatten(),
                        linear("fc1", features, 500), nn::relu(), linear("fc2", 500, 10));
}
