// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Whole networks that answer, float beside int8 with dynamic and with static activations: network/<net>/<form>/batch:N.
// One thread. float_over_this is the quotient of processor times, for which both run by turns in this process: above 1
// the form gains, below it loses. PLEAT_ISA=avx2 shows the path without VNNI.
#include <pleat/compress.hpp>
#include <pleat/comm/self.hpp>
#include <pleat/nn/activations.hpp>
#include <pleat/nn/conv2d.hpp>
#include <pleat/nn/flatten.hpp>
#include <pleat/nn/linear.hpp>
#include <pleat/nn/pooling.hpp>
#include <pleat/nn/sequential.hpp>

#include <support/clock.hpp>

#include <benchmark/benchmark.h>

#include <string>
#include <vector>

namespace {

namespace pl = pleat;
namespace nn = pleat::nn;
namespace shrink = pleat::compress;
using space = Kokkos::DefaultExecutionSpace;
using tensor = pl::tensor<float, space>;

auto lenet_300_100() {
  return nn::sequential(nn::linear("fc1", 784, 300), nn::relu(), nn::linear("fc2", 300, 100), nn::relu(),
                        nn::linear("fc3", 100, 10));
}
auto lenet_5() {
  return nn::sequential(nn::conv2d("conv1", 1, 20, 5), nn::relu(), nn::max_pool2d(2), nn::conv2d("conv2", 20, 50, 5),
                        nn::relu(), nn::max_pool2d(2), nn::flatten(), nn::linear("ip1", 800, 500), nn::relu(),
                        nn::linear("ip2", 500, 10));
}
auto mlp_1024() {
  return nn::sequential(nn::linear("fc1", 1024, 1024), nn::relu(), nn::linear("fc2", 1024, 1024), nn::relu(),
                        nn::linear("fc3", 1024, 1024));
}

/// Images of noise, for ranges.
pl::io::dataset noise(pl::extents const& sample) {
  pl::io::dataset d;
  d.name = "noise";
  d.sample = sample;
  d.size = 64;
  d.classes = 10;
  d.scale = 1.0f / 255;
  pl::random::stream const s(1, 1);
  for (pl::index_t i = 0; i < d.size * sample.size(); ++i)
    d.pixels.push_back(static_cast<std::uint8_t>(s.below(static_cast<std::uint64_t>(i), 256)));
  d.labels.assign(static_cast<std::size_t>(d.size), 0);
  return d;
}

enum class form { dense, dynamic_int8, static_int8 };

template <class Net>
void answer(benchmark::State& state, Net const& net, pl::extents const& sample, pl::index_t batch, form f) {
  pl::world w(pl::comm::communicator(pl::comm::self{}), 1);
  auto const data = noise(sample);
  auto const dense = pl::parallel::build(net, pl::plan::plan{.global_batch = batch}, w, {.seed = 1});
  std::optional<shrink::static_activations> calibration;
  if (f == form::static_int8) calibration = shrink::static_activations{.data = shrink::calibration(data)};
  auto const small = dense | shrink::quantize<>{.activations = calibration};
  pl::run::batch_loader<float, space> loader(data);
  std::vector<pl::index_t> some;
  for (pl::index_t i = 0; i < batch; ++i) some.push_back(i % data.size);
  auto const x = loader.load(dense.context(), some).x, x8 = loader.load(small.context(), some).x;
  auto const once = [&](bool quantized) {
    auto const begin = bench::process_seconds();
    for (int i = 0; i < 4; ++i) {
      if (quantized) benchmark::DoNotOptimize(small.predict(x8).data());
      else benchmark::DoNotOptimize(dense.predict(x).data());
    }
    small.context().fence();
    dense.context().fence();
    return (bench::process_seconds() - begin) / 4;
  };
  once(false), once(true);
  std::vector<double> plain, quantized;
  for (auto _ : state) {
    if (f == form::dense) {
      plain.push_back(once(false));
    } else {
      plain.push_back(once(false));
      quantized.push_back(once(true));
    }
    state.SetIterationTime(f == form::dense ? plain.back() : quantized.back());
  }
  auto const median = [](std::vector<double> v) {
    std::nth_element(v.begin(), v.begin() + static_cast<std::ptrdiff_t>(v.size() / 2), v.end());
    return v[v.size() / 2];
  };
  if (f != form::dense) {
    state.counters["float_over_this"] = median(plain) / median(quantized);
    if (median(plain) < median(quantized)) state.SetLabel("loses to float");
  }
  state.counters["samples/s"] =
      benchmark::Counter(static_cast<double>(batch) / median(f == form::dense ? plain : quantized));
}

template <class Net> void add(char const* name, Net (*net)(), pl::extents const& sample) {
  for (pl::index_t const batch : {1, 64})
    for (auto const& [what, f] :
         {std::pair{"float", form::dense}, {"int8_dynamic", form::dynamic_int8}, {"int8_static", form::static_int8}})
      benchmark::RegisterBenchmark(
          (std::string("network/") + name + "/" + what + "/batch:" + std::to_string(batch)).c_str(),
          [=, f = f](benchmark::State& state) { answer(state, net(), sample, batch, f); })
          ->UseManualTime()
          ->Unit(benchmark::kMicrosecond);
}

int const registered = [] {
  add("lenet-300-100", lenet_300_100, {1, 28, 28});
  add("lenet-5", lenet_5, {1, 28, 28});
  add("mlp-1024", mlp_1024, {1, 32, 32});
  return 0;
}();

}  // namespace
