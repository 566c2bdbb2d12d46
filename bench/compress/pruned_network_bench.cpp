// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Whole networks that lost half of their multiply-adds by losing channels: pruned/<net>/batch:N. One thread.
// whole_over_this is the quotient of processor times, for which both run by turns in this process; multiply_adds is the
// share that stays.
#include <pleat/compress/pipeline.hpp>
#include <pleat/compress/prune_channels.hpp>
#include <pleat/comm/self.hpp>
#include <pleat/nn/activations.hpp>
#include <pleat/nn/batch_norm.hpp>
#include <pleat/nn/conv2d.hpp>
#include <pleat/nn/flatten.hpp>
#include <pleat/nn/linear.hpp>
#include <pleat/nn/pooling.hpp>
#include <pleat/nn/residual.hpp>
#include <pleat/nn/sequential.hpp>

#include <support/clock.hpp>

#include <benchmark/benchmark.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace {

namespace pl = pleat;
namespace nn = pleat::nn;
namespace shrink = pleat::compress;
using space = Kokkos::DefaultExecutionSpace;

auto mlp_1200() {
  return nn::sequential(nn::linear("fc1", 784, 1200), nn::relu(), nn::linear("fc2", 1200, 1200), nn::relu(),
                        nn::linear("fc3", 1200, 10));
}
auto lenet_5() {
  return nn::sequential(nn::conv2d("conv1", 1, 20, 5), nn::relu(), nn::max_pool2d(2), nn::conv2d("conv2", 20, 50, 5),
                        nn::relu(), nn::max_pool2d(2), nn::flatten(), nn::linear("ip1", 800, 500), nn::relu(),
                        nn::linear("ip2", 500, 10));
}
auto residual_64() {
  auto const body = [](std::string const& n) {
    return nn::residual(nn::sequential(nn::conv2d(n + "a", 64, 64, 3, {.padding = 1}), nn::batch_norm(n + "n", 64),
                                       nn::relu(), nn::conv2d(n + "b", 64, 64, 3, {.padding = 1})));
  };
  return nn::sequential(nn::conv2d("stem", 1, 64, 3, {.padding = 1}), nn::relu(), body("r1"), nn::relu(),
                        nn::max_pool2d(2), body("r2"), nn::relu(), nn::max_pool2d(2), nn::flatten(),
                        nn::linear("head", 64 * 49, 10));
}

double median(std::vector<double> v) {
  std::nth_element(v.begin(), v.begin() + static_cast<std::ptrdiff_t>(v.size() / 2), v.end());
  return v[v.size() / 2];
}

template <class Net>
void answer(benchmark::State& state, Net const& net, pl::extents const& sample, pl::index_t batch) {
  pl::world w(pl::comm::communicator(pl::comm::self{}), 1);
  auto const whole = pl::parallel::build(net, pl::plan::plan{.global_batch = batch}, w, {.seed = 1});
  shrink::channel_report report;
  auto const small = whole | shrink::prune_channels{.multiply_adds = 0.5,
                                                    .input = sample,
                                                    .scope = shrink::scope::layer,
                                                    .on_report = [&](auto const& r) { report = r; }};
  std::vector<pl::index_t> e{batch};
  for (int i = 0; i < sample.rank(); ++i) e.push_back(sample[i]);
  auto const input = [&](auto const& m) {
    auto const x = pl::tensor<float, space>::allocate(m.context(), pl::extents(std::span<pl::index_t const>(e)));
    std::vector<float> host(static_cast<std::size_t>(x.size()));
    pl::random::stream const s(1, 1);
    for (std::size_t i = 0; i < host.size(); ++i) host[i] = s.uniform(i);
    pl::copy_from_host(m.context(), host.data(), x);
    return x;
  };
  auto const x = input(whole), y = input(small);
  auto const once = [](auto const& m, auto const& in) {
    auto const begin = bench::process_seconds();
    for (int i = 0; i < 4; ++i) benchmark::DoNotOptimize(m.predict(in).data());
    m.context().fence();
    return (bench::process_seconds() - begin) / 4;
  };
  once(whole, x), once(small, y);
  std::vector<double> before, after;
  for (auto _ : state) {
    before.push_back(once(whole, x));
    after.push_back(once(small, y));
    state.SetIterationTime(after.back());
  }
  state.counters["whole_over_this"] = median(before) / median(after);
  state.counters["multiply_adds"] = report.multiply_adds_after / report.multiply_adds_before;
  state.counters["parameters"] =
      static_cast<double>(report.parameters_after) / static_cast<double>(report.parameters_before);
  state.counters["samples/s"] = static_cast<double>(batch) / median(after);
  if (median(before) < median(after)) state.SetLabel("loses to the whole network");
}

template <class Net> void add(char const* name, Net (*net)(), pl::extents const& sample) {
  for (pl::index_t const batch : {1, 64})
    benchmark::RegisterBenchmark((std::string("pruned/") + name + "/batch:" + std::to_string(batch)).c_str(),
                                 [=](benchmark::State& state) { answer(state, net(), sample, batch); })
        ->UseManualTime()
        ->Unit(benchmark::kMicrosecond);
}

int const registered = [] {
  add("mlp-1200", mlp_1200, {784});
  add("lenet-5", lenet_5, {1, 28, 28});
  add("residual-64", residual_64, {1, 28, 28});
  return 0;
}();

}  // namespace
