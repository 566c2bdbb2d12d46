// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <catch2/catch_test_macros.hpp>

#include "nn/nn_nets.hpp"
#include "nn/nn_support.hpp"

using namespace pleat;
using namespace pleat::test;

namespace {
/// Bytes that the pool's users hold after a training forward, less what they held before.
template <class Net> void bytes_agree(char const* what, Net const& net, extents const& in, bool recompute = false) {
  context<space> c{make_instance<space>(1)};
  trained t(c, net);
  auto const x = random_tensor<float>(c, in, 1);
  auto const s = whole(in[0]);
  auto const before = c.pool().statistics().bytes_requested_in_use;
  auto p = t.pass({&s, 1}, in[0]);
  p.recompute = recompute;
  auto const out = nn::call(p, t.net, x);
  auto const held = c.pool().statistics().bytes_requested_in_use - before;
  INFO(what);
  CHECK(nn::describe(net, in, recompute).activation_bytes() == static_cast<index_t>(held));
}
}  // namespace

TEST_CASE("the description's activation bytes are exactly what a training forward holds") {
  extents const images{3, 2, 8, 8}, rows{5, 16};
  bytes_agree("linear", nn::linear("l", 16, 3), rows);
  bytes_agree("relu first", nn::relu(), rows);
  bytes_agree("gelu", nn::sequential(nn::linear("l", 16, 8), nn::gelu(), nn::linear("k", 8, 3)), rows);
  bytes_agree("two relus", nn::sequential(nn::linear("l", 16, 8), nn::relu(), nn::relu()), rows);
  bytes_agree("tanh, relu",
              nn::sequential(nn::linear("l", 16, 8), nn::tanh_activation(), nn::relu(), nn::linear("k", 8, 3)), rows);
  bytes_agree("dropout",
              nn::sequential(nn::linear("l", 16, 8), nn::dropout("d", 0.5), nn::linear("k", 8, 3), nn::relu(),
                             nn::dropout("e", 0.5)),
              rows);
  bytes_agree("no dropout", nn::sequential(nn::linear("l", 16, 8), nn::dropout("d", 0)), rows);
  bytes_agree("pools",
              nn::sequential(nn::conv2d("c", 2, 4, 3), nn::max_pool2d(2), nn::conv2d("d", 4, 4, 1), nn::avg_pool2d(3),
                             nn::flatten()),
              images);
  bytes_agree("batch norm",
              nn::sequential(nn::conv2d("c", 2, 4, 3), nn::batch_norm("b", 4), nn::relu(), nn::flatten(),
                             nn::linear("l", 144, 3)),
              images);
  bytes_agree("residual",
              nn::sequential(nn::linear("l", 16, 16), nn::residual(nn::sequential(nn::linear("a", 16, 16), nn::relu())),
                             nn::relu()),
              rows);
  bytes_agree("residual that ends in a product", nn::residual(nn::sequential(nn::relu(), nn::linear("a", 16, 16))),
              rows);
  bytes_agree("residual of nothing kept", nn::sequential(nn::linear("l", 16, 16), nn::residual(nn::dropout("d", 0.5))),
              rows);
  bytes_agree("residual with a shortcut",
              nn::residual(nn::sequential(nn::linear("a", 16, 8), nn::relu()), nn::linear("b", 16, 8)), rows);
  bytes_agree("concatenation", nn::branch(nn::linear("a", 16, 8), nn::relu(), nn::dropout("d", 0.5)), rows);
  bytes_agree("sum",
              nn::sequential(nn::linear("l", 16, 16), nn::branch(nn::merge::sum, nn::linear("a", 16, 16),
                                                                 nn::tanh_activation(), nn::dropout("d", 0.5))),
              rows);
  bytes_agree("repeat", nn::repeat("r", 4, nn::residual(nn::sequential(nn::linear("l", 16, 16), nn::gelu()))), rows);
  bytes_agree("everything", image_net<float>(), images);
  bytes_agree("everything else", cut_net<float>(), images);
}

TEST_CASE(
    "the description's activation bytes are exactly what a training forward holds that computes again what is cheap") {
  extents const rows{5, 16}, sequences{2, 6, 16};
  auto const body = [] {
    return nn::sequential(nn::layer_norm("n", 16), nn::linear("a", 16, 48), nn::gelu(), nn::dropout("d", 0.5),
                          nn::linear("b", 48, 16));
  };
  bytes_agree("a norm and a product", nn::sequential(nn::layer_norm("n", 16), nn::linear("a", 16, 48)), rows, true);
  bytes_agree("two runs", body(), rows, true);
  bytes_agree("residual", nn::sequential(nn::linear("l", 16, 16), nn::residual(body()), nn::layer_norm("m", 16)), rows,
              true);
  bytes_agree("runs that end in nothing", nn::sequential(nn::linear("l", 16, 16), nn::gelu(), nn::layer_norm("m", 16)),
              rows, true);
  bytes_agree("fused",
              nn::sequential(nn::layer_norm("n", 16), nn::linear("a", 16, 8), nn::relu(), nn::linear("b", 8, 4),
                             nn::dropout("d", 0), nn::linear("c", 4, 4)),
              rows, true);
  bytes_agree("repeat", nn::repeat("r", 3, nn::residual(body())), rows, true);
  bytes_agree("attention",
              nn::residual(nn::sequential(nn::rms_norm("n", 16), nn::linear("qkv", 16, 48),
                                          nn::attention("t", 4, 4, {.rotary = true}), nn::linear("out", 16, 16))),
              sequences, true);
  CHECK(nn::describe(body(), rows, true).activation_bytes() < nn::describe(body(), rows).activation_bytes());
}

TEST_CASE("a description counts parameters and operations") {
  auto const net = nn::sequential(nn::linear("a", 784, 300), nn::relu(), nn::linear("b", 300, 10),
                                  nn::linear("c", 10, 10, {.bias = false, .tied_to = "c0"}));
  auto const d = nn::describe(net, {64, 784});
  REQUIRE(d.layers.size() == 4);
  CHECK(d.parameters() == 784 * 300 + 300 + 300 * 10 + 10);  // the tied weight is somebody else's
  CHECK(d.parameter_bytes() == 4 * d.parameters());
  CHECK(d.layers[0].forward_flops == 2.0 * 64 * 784 * 300);
  CHECK(d.layers[0].out == extents{64, 300});
  CHECK(d.layers[1].kind == "relu");
  // per multiply-add 2; the first layer's input gradient is left out, those of relu and of everything after the first
  // weights are in
  double rest = 0;
  for (auto const& l : d.layers)
    rest += l.kind == "linear" ? 0 : l.forward_flops + l.backward_input_flops + l.backward_weight_flops;
  double biases = 0;
  for (auto const& l : d.layers)
    if (l.kind == "linear") biases += l.backward_weight_flops - l.forward_flops;
  CHECK(d.training_flops() == 2.0 * 64 * (2 * 784 * 300 + 3 * 300 * 10 + 3 * 10 * 10) + rest + biases);
}

TEST_CASE("input gradients are needed from behind the first layer with parameters on, whatever its forward costs") {
  auto const d =
      nn::describe(nn::sequential(nn::embedding("e", 100, 64), nn::linear("l", 64, 64, {.bias = false})), {4, 8});
  CHECK(d.layers[0].forward_flops == 0);
  // 4·8 rows: the linear forward, its weights' gradient, its input's gradient, which the embedding adds up
  CHECK(d.training_flops() == 3 * 2.0 * 32 * 64 * 64 + 32 * 64);
  auto const late = nn::describe(nn::sequential(nn::relu(), nn::linear("l", 64, 64, {.bias = false})), {4, 64});
  // nobody asks for relu's, nor for what it would need
  CHECK(late.training_flops() == late.layers[0].forward_flops + 2 * 2.0 * 4 * 64 * 64);
}
