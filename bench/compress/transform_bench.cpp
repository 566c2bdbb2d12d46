// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What shrinking itself takes, from a model to a smaller one: transform/<what>/mlp-1200/threads:1. peer/pytorch/… do the
// same to a copy of that network (bench/peers/pytorch_layers.py). copies is the time in copies of the weights, for which
// both run by turns.
#include <pleat/comm/self.hpp>
#include <pleat/compress/pipeline.hpp>
#include <pleat/compress/prune.hpp>
#include <pleat/compress/quantize.hpp>
#include <pleat/nn/activations.hpp>
#include <pleat/nn/linear.hpp>
#include <pleat/nn/sequential.hpp>

#include <support/clock.hpp>

#include <benchmark/benchmark.h>

#include <algorithm>
#include <string>
#include <vector>

namespace {

namespace pl = pleat;
namespace nn = pleat::nn;
namespace shrink = pleat::compress;

template <class Transform> void transform(benchmark::State& state, Transform const& t) {
  pl::world w(pl::comm::communicator(pl::comm::self{}), 1);
  auto const model =
      pl::parallel::build(nn::sequential(nn::linear("fc1", 784, 1200), nn::relu(), nn::linear("fc2", 1200, 1200),
                                         nn::relu(), nn::linear("fc3", 1200, 10)),
                          pl::plan::plan{.global_batch = 1}, w, {.seed = 1});
  constexpr std::size_t weights = 784 * 1200 + 1200 * 1200 + 1200 * 10;
  std::vector<float> const from(weights, 1.0f);
  std::vector<float> to(weights);
  double least = 1e30, copy = 1e30;
  auto const shrink_it = [&] {
    auto const small = model | t;
    small.context().fence();
    benchmark::DoNotOptimize(&small);
  };
  shrink_it();
  for (auto _ : state) {
    auto const begin = bench::process_seconds();
    shrink_it();
    auto const end = bench::process_seconds();
    std::copy(from.begin(), from.end(), to.begin());
    benchmark::DoNotOptimize(to.data());
    benchmark::ClobberMemory();
    copy = std::min(copy, bench::process_seconds() - end);
    least = std::min(least, end - begin);
    state.SetIterationTime(end - begin);
  }
  state.counters["least_ns"] = least * 1e9;
  state.counters["copies"] = least / copy;
  state.counters["elements"] = benchmark::Counter(weights, benchmark::Counter::kIsIterationInvariantRate);
}

template <class Transform> void add(char const* what, Transform const& t) {
  benchmark::RegisterBenchmark((std::string("transform/") + what + "/mlp-1200/threads:1").c_str(),
                               [t](benchmark::State& state) { transform(state, t); })
      ->UseManualTime()
      ->Unit(benchmark::kMicrosecond);
}

int const registered = [] {
  add("prune_global", shrink::prune{.sparsity = 0.9});
  add("prune_layer", shrink::prune{.sparsity = 0.9, .scope = shrink::scope::layer});
  add("quantize_int8", shrink::quantize<>{});
  return 0;
}();

}  // namespace
