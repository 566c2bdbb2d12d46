// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The networks that are timed, as bench/peers/pytorch_steps.py has them.
#pragma once

#include <pleat/nn.hpp>

#include <string>

namespace bench {

namespace nn = pleat::nn;

inline auto mlp() {
  return nn::sequential(nn::flatten(), nn::linear("fc1", 784, 300), nn::relu(), nn::linear("fc2", 300, 100), nn::relu(),
                        nn::linear("fc3", 100, 10));
}

inline auto lenet_5() {
  return nn::sequential(nn::conv2d("conv1", 1, 20, 5), nn::relu(), nn::max_pool2d(2), nn::conv2d("conv2", 20, 50, 5),
                        nn::relu(), nn::max_pool2d(2), nn::flatten(), nn::linear("fc1", 800, 500), nn::relu(),
                        nn::linear("fc2", 500, 10));
}

// He, Zhang, Ren, Sun, CVPR 2016: two 3x3 convolutions around a shortcut, which is a 1x1 convolution where the shape
// changes.
inline auto body(std::string const& name, pleat::index_t in, pleat::index_t out, pleat::index_t stride) {
  return nn::sequential(nn::conv2d(name + ".conv1", in, out, 3, {.stride = stride, .padding = 1, .bias = false}),
                        nn::batch_norm(name + ".norm1", out), nn::relu(),
                        nn::conv2d(name + ".conv2", out, out, 3, {.padding = 1, .bias = false}),
                        nn::batch_norm(name + ".norm2", out));
}
inline auto shortcut(std::string const& name, pleat::index_t in, pleat::index_t out) {
  return nn::sequential(nn::conv2d(name + ".conv0", in, out, 1, {.stride = 2, .bias = false}),
                        nn::batch_norm(name + ".norm0", out));
}
inline auto same(std::string const& name, pleat::index_t width) {
  return nn::sequential(nn::residual(body(name, width, width, 1)), nn::relu());
}
inline auto wider(std::string const& name, pleat::index_t in, pleat::index_t out) {
  return nn::sequential(nn::residual(body(name, in, out, 2), shortcut(name, in, out)), nn::relu());
}

inline auto resnet_20() {
  return nn::sequential(nn::conv2d("conv0", 3, 16, 3, {.padding = 1, .bias = false}), nn::batch_norm("norm0", 16),
                        nn::relu(), nn::repeat("stage1", 3, same("block", 16)), wider("stage2.0", 16, 32),
                        nn::repeat("stage2", 2, same("block", 32)), wider("stage3.0", 32, 64),
                        nn::repeat("stage3", 2, same("block", 64)), nn::avg_pool2d(8), nn::flatten(),
                        nn::linear("fc", 64, 10));
}

}  // namespace bench
