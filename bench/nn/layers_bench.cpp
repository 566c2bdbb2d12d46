// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// One layer at a time, forward, as a model answers: layer/<kind>/<shape>/threads:1. peer/pytorch/… are the same layers
// there (bench/peers/pytorch_layers.py). build/<network> is the time from a description to a model whose parameters are
// drawn.
#include <pleat/comm/self.hpp>
#include <pleat/nn/activations.hpp>
#include <pleat/nn/attention.hpp>
#include <pleat/nn/batch_norm.hpp>
#include <pleat/nn/layer_norm.hpp>
#include <pleat/nn/linear.hpp>
#include <pleat/nn/pooling.hpp>
#include <pleat/nn/repeat.hpp>
#include <pleat/nn/residual.hpp>
#include <pleat/nn/sequential.hpp>
#include <pleat/parallel/model.hpp>

#include <benchmark/benchmark.h>

#include <support/repeat.hpp>

#include <span>
#include <string>
#include <vector>

namespace {

namespace pl = pleat;
namespace nn = pleat::nn;
using space = Kokkos::DefaultExecutionSpace;

template <class Net> auto build(Net const& net, pl::world& w) {
  return pl::parallel::build(net, pl::plan::plan{.global_batch = 4}, w, {.seed = 1});
}

template <class Net> void forward(benchmark::State& state, Net const& net, pl::extents const& x) {
  pl::world w(pl::comm::communicator(pl::comm::self{}), 1);
  auto const model = build(net, w);
  auto const in = pl::tensor<float, space>::allocate(model.context(), x);
  std::vector<float> host(static_cast<std::size_t>(in.size()));
  pl::random::stream const s(1, 1);
  for (std::size_t i = 0; i < host.size(); ++i) host[i] = s.uniform(i) - 0.5f;
  pl::copy_from_host(model.context(), host.data(), in);
  bench::repeat(state, [&] {
    benchmark::DoNotOptimize(model.predict(in).data());
    model.context().fence();
  });
  state.counters["elements"] =
      benchmark::Counter(static_cast<double>(in.size()), benchmark::Counter::kIsIterationInvariantRate);
}

template <class Net> void add(std::string const& name, Net (*net)(), pl::extents const& x) {
  benchmark::RegisterBenchmark(("layer/" + name + "/threads:1").c_str(), [=](benchmark::State& s) {
    forward(s, net(), x);
  })->UseRealTime();
}

auto mlp() {
  return nn::sequential(nn::linear("fc1", 784, 300), nn::relu(), nn::linear("fc2", 300, 100), nn::relu(),
                        nn::linear("fc3", 100, 10));
}
auto deep() {
  return nn::sequential(nn::repeat("block", 64, nn::residual(nn::sequential(nn::linear("fc", 256, 256), nn::relu()))));
}

template <class Net> void describe(std::string const& name, Net (*net)()) {
  benchmark::RegisterBenchmark(("build/" + name).c_str(),
                               [=](benchmark::State& s) {
                                 pl::world w(pl::comm::communicator(pl::comm::self{}), 1);
                                 for (auto _ : s) benchmark::DoNotOptimize(build(net(), w).arena().bytes());
                               })
      ->UseRealTime()
      ->Unit(benchmark::kMillisecond);
}

int const registered = [] {
  add("linear/1024x384x1536", +[] { return nn::sequential(nn::linear("fc", 384, 1536)); }, {4, 256, 384});
  add("linear_gelu/1024x384x1536", +[] { return nn::sequential(nn::linear("fc", 384, 1536), nn::gelu()); },
      {4, 256, 384});
  add("layer_norm/1024x384", +[] { return nn::sequential(nn::layer_norm("norm", 384)); }, {4, 256, 384});
  add("attention/4x256x6x64", +[] { return nn::sequential(nn::attention("attention", 6, 64)); },
      {4, 256, nn::attention_width(6, 64)});
  add("batch_norm/32x64x32x32", +[] { return nn::sequential(nn::batch_norm("norm", 64)); }, {32, 64, 32, 32});
  add("max_pool2d/32x64x32x32", +[] { return nn::sequential(nn::max_pool2d(2)); }, {32, 64, 32, 32});
  add("gelu/1572864", +[] { return nn::sequential(nn::gelu()); }, {4, 256, 1536});
  describe("lenet-300-100", mlp);
  describe("residual-64x256", deep);
  return 0;
}();

}  // namespace
