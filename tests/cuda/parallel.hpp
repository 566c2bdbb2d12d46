// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What lives on ranks, for Kokkos::Cuda. Compiled and linked, never run.
#pragma once

#include <pleat/nn.hpp>
#include <pleat/parallel.hpp>
#include <pleat/parallel/coded_exchange.hpp>

template class pleat::parallel::redistribute<float, Kokkos::Cuda>;
template class pleat::parallel::redistribute<double, Kokkos::Cuda>;
template class pleat::parallel::redistribute<pleat::bfloat16, Kokkos::Cuda>;

template class pleat::parallel::gradient_exchange<float, Kokkos::Cuda>;
template class pleat::parallel::gradient_exchange<double, Kokkos::Cuda>;
template class pleat::parallel::parameter_gather<float, Kokkos::Cuda>;
template class pleat::parallel::parameter_gather<double, Kokkos::Cuda>;
template class pleat::parallel::piece_step<float, Kokkos::Cuda>;
template class pleat::parallel::piece_step<pleat::half, Kokkos::Cuda>;
template class pleat::nn::arena<pleat::bfloat16, Kokkos::Cuda>;
template class pleat::nn::optimizer_state<pleat::bfloat16, Kokkos::Cuda>;
template class pleat::nn::optimizer_state<pleat::half, Kokkos::Cuda>;

namespace pleat::cuda_compile {

/// A step under a plan, its state sharded or not, and what looks at a model from outside.
void sharded_step(world& w, plan::plan const& p) {
  using S = Kokkos::Cuda;
  using F = codec::forms<codec::dense<float>>;
  auto m = parallel::build(
      nn::sequential(nn::linear<F, S>("a", 16, 16), nn::relu<float, S>(), nn::linear<F, S>("b", 16, 4)), p, w);
  nn::optimizer_state<float, S> optimizer(m.context(), m.arena(), nn::adamw{});
  m.zero_grad(8);
  auto [y, saved] = m.forward(tensor<float, S>::allocate(m.context(), {4, 16}));
  m.backward(saved, m.cross_entropy(y, tensor<std::int32_t, S>::allocate(m.context(), {4})).dy);
  m.reduce();
  parallel::loss_scale scale;
  if (scale.update(parallel::found_nonfinite(m.context(), m.arena()), m.ranks())) m.step(optimizer, 1, m.clip_scale(1));
  m.set_host_values(m.host_values());
  m.set_host_state(0, m.host_state(0));
  auto whole = m.unsharded();
  whole.take_values(whole.clone());
  m.demand_equal_replicas();
  (void)m.memory();
}

/// A model over the tensor axis: recipes, cutting, a step, a placed copy.
inline void tensor_axis(world& w) {
  using S = Kokkos::Cuda;
  using F = codec::forms<codec::dense<float>>;
  auto const net = parallel::megatron(
      nn::sequential(nn::linear<F, S>("fc1", 8, 16), nn::gelu<float, S>(), nn::linear<F, S>("fc2", 16, 8)));
  auto m = parallel::build(net, {.global_batch = 4, .tensor_ranks = 2}, w);
  m.zero_grad(4);
  auto [y, saved] = m.forward(tensor<float, S>::allocate(m.context(), {4, 8}));
  auto const dy = m.mean_square(y, m.whole(y)).dy;
  m.backward(saved, dy);
  m.reduce();
  (void)parallel::place(m, m.net(), m.plan(), w).predict(dy);
}

/// Gradients in a codec: it works on the copies on the host.
inline void coded_step(world& w) {
  using S = Kokkos::Cuda;
  using F = codec::forms<codec::dense<float>>;
  for (auto const& coding : {parallel::coded(parallel::top_k{}), parallel::coded(parallel::int8_groups{}),
                             parallel::coded(parallel::power_sgd{})}) {
    auto m = parallel::build(nn::sequential(nn::linear<F, S>("a", 16, 16)), {.global_batch = 8, .data_ranks = 2}, w,
                             {.gradients = coding});
    m.zero_grad(8);
    auto [y, saved] = m.forward(tensor<float, S>::allocate(m.context(), {4, 16}));
    m.backward(saved, m.mean_square(y, y).dy);
    m.reduce();
    m.set_gradient_residual(m.gradient_residual());
  }
}

/// A step over a pipeline: messages of device memory go through the host.
struct device_source {
  using S = Kokkos::Cuda;
  pleat::context<S>* where;
  tensor<float, S> input(parallel::micro_batch const& b) {
    return tensor<float, S>::allocate(*where, {b.rows.size(), 16});
  }
  tensor<float, S> loss(parallel::micro_batch const&, tensor<float, S> y) { return y; }
};
inline void pipelined_step(world& w, plan::plan const& p) {
  using S = Kokkos::Cuda;
  using F = codec::forms<codec::dense<float>>;
  auto const net = nn::sequential(nn::linear<F, S>("a", 16, 16), nn::repeat("r", 2, nn::linear<F, S>("b", 16, 16)),
                                  nn::linear<F, S>("c", 16, 16, {.tied_to = "a.weight"}));
  auto m = parallel::build(net, p, w, {.unit_costs = parallel::measure_units(net, p, {8, 16}, w)});
  nn::optimizer_state<float, S> optimizer(m.context(), m.arena(), nn::adamw{});
  m.trace().start();
  m.zero_grad(8);
  m.walk(device_source{&m.context()});
  m.reduce();
  m.step(optimizer, 1, m.clip_scale(1));
  (void)m.predict(tensor<float, S>::allocate(m.context(), {4, 16}));
  m.find_nonfinite(tensor<float, S>::allocate(m.context(), {4, 16}));
  parallel::write_trace(m, "trace.json");
}

}  // namespace pleat::cuda_compile
