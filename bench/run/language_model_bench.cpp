// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A whole training step of a GPT (examples/07_language_model): forward, loss, backward, AdamW on tokens that lie in
// memory. The peer is bench/peers/pytorch_steps.py --filter gpt: scaled_dot_product_attention, eager.
#include <pleat/pleat.hpp>

#include <benchmark/benchmark.h>
#include <support/repeat.hpp>
#include <sys/resource.h>

#include <string>
#include <vector>

#include "../../examples/07_language_model/network.hpp"

namespace {

namespace pl = pleat;
using space = Kokkos::DefaultExecutionSpace;

double cpu_seconds() {
  rusage u{};
  getrusage(RUSAGE_SELF, &u);
  auto const seconds = [](timeval t) { return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec); };
  return seconds(u.ru_utime) + seconds(u.ru_stime);
}

void step(benchmark::State& state, gpt::sizes const& sizes, pl::index_t batch, int threads, bool deterministic) {
  pl::world w(pl::comm::communicator(pl::comm::self{}), threads);
  auto const net = gpt::network(sizes);
  auto model = pl::parallel::build(
      net, pl::plan::search(net, w, {.global_batch = batch, .deterministic = deterministic}), w, {.seed = 1});
  pl::nn::optimizer_state<float, space> optimizer(model.context(), model.arena(), pl::nn::adamw{.learning_rate = 1e-5});
  auto x = pl::tensor<float, space>::allocate(model.context(), {batch, sizes.context});
  auto labels = pl::tensor<std::int32_t, space>::allocate(model.context(), x.shape());
  std::vector<float> tokens;
  std::vector<std::int32_t> next;
  for (pl::index_t i = 0; i < x.size(); ++i) {
    tokens.push_back(static_cast<float>(i * i % sizes.vocabulary));
    next.push_back(static_cast<std::int32_t>((i + 1) * (i + 1) % sizes.vocabulary));
  }
  pl::copy_from_host(model.context(), tokens.data(), x);
  pl::copy_from_host(model.context(), next.data(), labels);
  auto const once = [&] {
    model.zero_grad(batch);
    auto [y, saved] = model.forward(x);
    auto dy = model.cross_entropy(std::move(y), labels).dy;
    model.backward(saved, std::move(dy));
    model.reduce();
    model.step(optimizer);
    model.context().fence();
  };
  once();
  double const before = cpu_seconds();
  bench::repeat(state, once);  // and one call before the iterations
  state.counters["cpu_ms/step"] = (cpu_seconds() - before) * 1e3 / static_cast<double>(state.iterations() + 1);
  state.counters["tokens/s"] =
      benchmark::Counter(static_cast<double>(batch * sizes.context), benchmark::Counter::kIsIterationInvariantRate);
  rusage u{};
  getrusage(RUSAGE_SELF, &u);
  state.counters["peak_MB"] = static_cast<double>(u.ru_maxrss) / 1024;
  state.counters["model_MB"] =
      static_cast<double>(model.arena().bytes() +
                          static_cast<pl::index_t>(model.context().pool().statistics().bytes_held)) /
      1048576;
}

int const registered = [] {
  gpt::sizes const sizes{};
  for (int threads : {1, 2})
    benchmark::RegisterBenchmark(("train_step/gpt-6x384/batch:4/adamw/threads:" + std::to_string(threads)).c_str(),
                                 [=](benchmark::State& s) { step(s, sizes, 4, threads, false); })
        ->Unit(benchmark::kMicrosecond)
        ->UseRealTime();
  benchmark::RegisterBenchmark("train_step/gpt-6x384/batch:4/adamw/deterministic/threads:1",
                               [=](benchmark::State& s) { step(s, sizes, 4, 1, true); })
      ->Unit(benchmark::kMicrosecond)
      ->UseRealTime();
  return 0;
}();

}  // namespace
