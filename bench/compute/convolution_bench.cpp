// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Convolutions at the shapes of small networks: conv2d/<pass>/<in>x<out>x<kernel>@<extent>/…/batch:N/threads:T.
/// bench/peers/pytorch_conv.py measures PyTorch under the same names.
#include <benchmark/benchmark.h>

#include <pleat/compute/convolution.hpp>

#include <support/repeat.hpp>

#include <random>
#include <string>
#include <vector>

namespace {

using namespace pleat;
using namespace pleat::compute;
#if defined(KOKKOS_ENABLE_OPENMP)
using host = Kokkos::OpenMP;
host instance(int threads) { return host(threads); }
#else
using host = Kokkos::DefaultHostExecutionSpace;
host instance(int) { return {}; }
#endif

enum class pass { forward, backward_input, backward_weight, lanes8, bias };

std::string name(char const* what, conv2d_shape const& s, int threads) {
  auto const n = [](index_t v) { return std::to_string(v); };
  std::string text = "conv2d/" + std::string(what) + "/" + n(s.in_channels) + "x" + n(s.out_channels) + "x" +
                     n(s.kernel_h) + "x" + n(s.kernel_w) + "@" + n(s.height);
  if (s.stride_h != 1) text += "/stride:" + n(s.stride_h);
  if (s.padding_h != 0) text += "/padding:" + n(s.padding_h);
  if (s.groups != 1) text += "/groups:" + n(s.groups);
  return text + "/batch:" + n(s.batch) + "/threads:" + std::to_string(threads);
}

void run(benchmark::State& state, conv2d_shape s, pass what, int threads) {
  if (threads > host().concurrency()) {
    state.SkipWithError("more threads than this machine lends");
    return;
  }
  host const space = instance(threads);
  std::mt19937 r(1);
  std::uniform_real_distribution<float> d(-1, 1);
  auto const fill = [&](index_t n) {
    std::vector<float> v(static_cast<std::size_t>(n) + 16);
    for (auto& e : v) e = d(r);
    return v;
  };
  auto const aligned = [](std::vector<float>& v) {
    return reinterpret_cast<float*>((reinterpret_cast<std::uintptr_t>(v.data()) + 63) / 64 * 64);
  };
  auto xs = fill(s.batch * s.in_channels * s.height * s.width), ws = fill(s.out_channels * s.weights_per_output());
  auto ys = fill(s.batch * s.out_channels * s.out_height() * s.out_width()), bs = fill(s.out_channels);
  float *const x = aligned(xs), *const w = aligned(ws), *const y = aligned(ys), *const b = aligned(bs);
  lanes l = lanes::whole(s.batch);
  if (what == pass::lanes8) {
    l.count = 8;
    for (std::size_t i = 0; i <= 8; ++i) l.row[i] = s.batch * static_cast<index_t>(i) / 8;
  }
  bench::repeat(state, [&] {
    switch (what) {
      case pass::forward:
        conv2d_forward(space, s, x, w, b, y);
        break;
      case pass::backward_input:
        conv2d_backward_input(space, s, y, w, x);
        break;
      case pass::bias:
        conv2d_backward_bias(space, s, y, b, l);
        break;
      default:
        conv2d_backward_weight(space, s, y, x, w, l);
    }
    benchmark::ClobberMemory();
  });
  if (what != pass::bias)
    state.counters["GF/s"] = benchmark::Counter(s.flops() * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
}

// batch, in, height, width, out, kernel h, w, stride h, w, padding h, w, dilation h, w, groups; the list of
// pytorch_conv.py
conv2d_shape const shapes[] = {
    {32, 1, 28, 28, 20, 5, 5},
    {32, 20, 12, 12, 50, 5, 5},
    {32, 3, 32, 32, 16, 3, 3, 1, 1, 1, 1},
    {32, 16, 32, 32, 16, 3, 3, 1, 1, 1, 1},
    {32, 16, 32, 32, 32, 3, 3, 1, 1, 1, 1},
    {32, 16, 32, 32, 32, 3, 3, 2, 2, 1, 1},
    {32, 16, 32, 32, 32, 1, 1, 2, 2},
    {32, 32, 16, 16, 32, 3, 3, 1, 1, 1, 1},
    {32, 32, 16, 16, 64, 3, 3, 2, 2, 1, 1},
    {32, 32, 16, 16, 64, 1, 1, 2, 2},
    {32, 64, 8, 8, 64, 3, 3, 1, 1, 1, 1},
    {32, 32, 32, 32, 32, 3, 3, 1, 1, 1, 1},
    {32, 64, 32, 32, 64, 3, 3, 1, 1, 1, 1},
    {32, 64, 16, 16, 64, 1, 1},
    {32, 64, 16, 16, 64, 3, 3, 1, 1, 1, 1, 1, 1, 64},
};

struct {
  char const* name;
  pass what;
} const passes[] = {{"forward", pass::forward},
                    {"backward_input", pass::backward_input},
                    {"backward_weight", pass::backward_weight},
                    {"backward_weight_lanes8", pass::lanes8},
                    {"backward_bias", pass::bias}};

[[maybe_unused]] bool const registered = [] {
  for (auto const& s : shapes)
    for (auto const& p : passes)
      for (int threads : {1, 2})
        benchmark::RegisterBenchmark(name(p.name, s, threads).c_str(), run, s, p.what, threads)
            ->Unit(benchmark::kMicrosecond);
  return true;
}();

}  // namespace
