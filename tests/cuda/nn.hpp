// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Every layer, composite, loss, optimizer and metric for Kokkos::Cuda: a whole step. Compiled and linked, never run.
#pragma once

#include <pleat/nn.hpp>

namespace pleat::cuda_compile {

template <class T> void training_step(context<Kokkos::Cuda>& c) {
  using S = Kokkos::Cuda;
  using F = codec::forms<codec::dense<T>>;
  auto net = nn::sequential(
      nn::conv2d<F, S>("c1", 2, 4, 3, {.padding = 1}), nn::batch_norm<T, S>("bn1", 4), nn::relu<T, S>(),
      nn::max_pool2d<T, S>(2),
      nn::residual(nn::sequential(nn::conv2d<F, S>("c2", 4, 4, 3, {.padding = 1}), nn::relu<T, S>())),
      nn::branch(nn::conv2d<F, S>("b1", 4, 3, 1),
                 nn::sequential(nn::conv2d<F, S>("b2", 4, 2, 3, {.padding = 1}), nn::tanh_activation<T, S>())),
      nn::avg_pool2d<T, S>(2), nn::flatten<T, S>(), nn::linear<F, S>("fc1", 20, 16), nn::relu<T, S>(),
      nn::repeat("block", 3,
                 nn::residual(
                     nn::sequential(nn::linear<F, S>("l", 16, 16), nn::gelu<T, S>(), nn::dropout<T, S>("drop", 0.25)))),
      nn::branch(nn::merge::sum, nn::linear<F, S>("s1", 16, 6),
                 nn::sequential(nn::sigmoid<T, S>(), nn::linear<F, S>("s2", 16, 6))));
  nn::arena<T, S> memory(c, net, 1);
  memory.reserve_gradients(net, 1);
  nn::optimizer_state<T, S> optimizer(c, memory, nn::adamw{});
  nn::segment const s{0, compute::lanes::whole(8)};
  nn::pass<S> p;
  p.where = &c;
  nn::nonfinite_note note;
  p.training = true;
  p.nonfinite = &note;
  p.segments = {&s, 1};
  auto out = nn::call(p, net, tensor<T, S>::allocate(c, {8, 2, 8, 8}));
  auto const labels = tensor<std::int32_t, S>::allocate(c, {8});
  nn::confusion_matrix<S> confusions(c, 6);
  confusions.add(out.y, labels);
  nn::accuracy{}.add(c, out.y, labels);
  std::vector<std::int32_t> answers;
  nn::classify(c, out.y, answers);
  auto loss = nn::cross_entropy{}(p, out.y, labels);
  (void)nn::mean_square{}(p, out.y, loss.dy);
  nn::lane_sums(p, loss.rows, memory.gradients(), 1);
  (void)nn::call_backward(p, net, out.saved, std::move(loss.dy));
  auto again = nn::call(p, net, tensor<T, S>::allocate(c, {8, 2, 8, 8}));
  (void)nn::call_backward_input(p, net, again.saved, std::move(again.y));
  nn::call_backward_weight(p, net, again.saved);
  optimizer.apply(c, memory, 1, nn::clip_scale(c, memory, 1));
  (void)nn::describe(net, {8, 2, 8, 8});
}

/// Sequences: tokens, positions, attention in all its forms, both norms, a tied output layer.
template <class T> void sequence_step(context<Kokkos::Cuda>& c) {
  using S = Kokkos::Cuda;
  using F = codec::forms<codec::dense<T>>;
  auto net = nn::sequential(
      nn::embedding<T, S>("tokens", 11, 16, {.positions = 8}),
      nn::repeat(
          "block", 2,
          nn::sequential(
              nn::residual(nn::sequential(
                  nn::layer_norm<T, S>("norm1", 16), nn::linear<F, S>("qkv", 16, nn::attention_width(4, 4, 2)),
                  nn::attention<T, S>("attention", 4, 4, {.key_value_heads = 2, .rotary = true}),
                  nn::linear<F, S>("project", 16, 16))),
              nn::residual(nn::sequential(nn::rms_norm<T, S>("norm2", 16), nn::linear<F, S>("fc1", 16, 32),
                                          nn::gelu_tanh<T, S>(), nn::linear<F, S>("fc2", 32, 16), nn::silu<T, S>())))),
      nn::layer_norm<T, S>("norm", 16),
      nn::linear<F, S>("output", 16, 11, {.bias = false, .tied_to = "tokens.weight"}));
  nn::arena<T, S> memory(c, net, 1);
  memory.reserve_gradients(net, 1);
  nn::segment const s{0, compute::lanes::whole(2)};
  nn::pass<S> p;
  p.where = &c;
  p.training = true;
  p.segments = {&s, 1};
  auto out = nn::call(p, net, tensor<T, S>::allocate(c, {2, 8}));
  auto loss = nn::cross_entropy{}(p, std::move(out.y), tensor<std::int32_t, S>::allocate(c, {2, 8}));
  (void)nn::call_backward(p, net, out.saved, std::move(loss.dy));
  p.recompute = true;
  auto again = nn::call(p, net, tensor<T, S>::allocate(c, {2, 8}));
  (void)nn::call_backward_input(p, net, again.saved, std::move(again.y));
  nn::call_backward_weight(p, net, again.saved);
}

inline void all_of_nn(context<Kokkos::Cuda>& c) {
  sequence_step<float>(c);
  sequence_step<double>(c);
  sequence_step<bfloat16>(c);
  sequence_step<half>(c);
  training_step<float>(c);
  training_step<double>(c);
  using F = codec::forms<codec::dense<double>>;
  nn::demand_correct_gradients(nn::linear<F, Kokkos::Cuda>("l", 3, 2), {2, 3});
}

}  // namespace pleat::cuda_compile

// Layers of images in 16 bits, whose kernels are those of float but for what reads and writes elements.
template class pleat::nn::conv2d<pleat::codec::forms<pleat::codec::dense<pleat::half>>, Kokkos::Cuda>;
template class pleat::nn::max_pool2d<pleat::half, Kokkos::Cuda>;
template class pleat::nn::avg_pool2d<pleat::half, Kokkos::Cuda>;
template class pleat::nn::batch_norm<pleat::half, Kokkos::Cuda>;
