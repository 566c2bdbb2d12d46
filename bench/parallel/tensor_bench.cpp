// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A training step of a transformer block on a tensor axis of two ranks (threads) beside two ranks that compute the same
// halves and do not talk: their communicator swallows everything. `share` is the quotient: 1 means that all-reduces
// cost nothing. `speedup` is over one rank. Two ranks need two idle processors; under load compare the counters of one
// run only.
#include <pleat/comm/local.hpp>
#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/nn.hpp>
#include <pleat/parallel/model.hpp>

#include <benchmark/benchmark.h>

#include <algorithm>
#include <barrier>
#include <chrono>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace {

namespace pl = pleat;
namespace nn = pleat::nn;
using space = Kokkos::DefaultExecutionSpace;
using tensor = pl::tensor<float, space>;
using pl::index_t;

constexpr index_t width = 384, heads = 6, positions = 256, batch = 4;

auto block() {
  return nn::sequential(
      nn::residual(nn::sequential(
          nn::layer_norm("norm1", width), nn::linear("qkv", width, nn::attention_width(heads, width / heads)),
          nn::attention("attention", heads, width / heads), nn::linear("project", width, width))),
      nn::residual(nn::sequential(nn::layer_norm("norm2", width), nn::linear("fc1", width, 4 * width), nn::gelu(),
                                  nn::linear("fc2", 4 * width, width))));
}

// A rank of two that never meets the other: what it would receive is what it sent.
class mute {
 public:
  explicit mute(int rank) : rank_(rank) {}
  int rank() const { return rank_; }
  int size() const { return 2; }
  void barrier() {}
  void broadcast(pl::comm::buffer, int) {}
  void all_reduce(pl::comm::const_buffer in, pl::comm::buffer out, pl::comm::reduction) {
    copy(in, out.data, in.bytes());
  }
  void all_gather(pl::comm::const_buffer in, pl::comm::buffer out) {
    for (int r = 0; r < 2; ++r) copy(in, static_cast<std::byte*>(out.data) + r * in.bytes(), in.bytes());
  }
  void reduce_scatter(pl::comm::const_buffer in, pl::comm::buffer out, pl::comm::reduction) {
    copy(in, out.data, out.bytes());
  }
  std::unique_ptr<mute> split(int, int) { return std::make_unique<mute>(rank_); }

 private:
  static void copy(pl::comm::const_buffer in, void* out, index_t bytes) {
    if (in.data != out && bytes > 0) std::memcpy(out, in.data, static_cast<std::size_t>(bytes));
  }
  int rank_;
};

/// Seconds of a step, the least of `repeats`: the others were disturbed. \param talk false: ranks are mute
double seconds_of(int ranks, bool talk, bool sequence, int repeats) {
  std::vector<double> slowest(static_cast<std::size_t>(repeats), 0);
  std::mutex guard;
  std::barrier meet(ranks);
  pl::comm::run_local(ranks, [&](pl::comm::communicator c) {
    int const rank = c.rank();
    pl::world w(talk ? std::move(c) : pl::comm::communicator(mute(rank)), 1);
    w.set_sink({});
    auto m = pl::parallel::build(pl::parallel::megatron(block(), {.sequence = sequence, .vocabulary = false}),
                                 {.global_batch = batch, .tensor_ranks = ranks}, w, {.seed = 1});
    auto x = tensor::allocate(m.context(), {batch, positions, width}), dy = tensor::allocate(m.context(), x.shape());
    std::vector<float> h(static_cast<std::size_t>(x.size()));
    nn::draw(nn::initializer::normal(1), 1, "x", 0, x.size(), h.data());
    pl::copy_from_host(m.context(), h.data(), x);
    pl::copy_from_host(m.context(), h.data(), dy);
    for (int i = -2; i < repeats; ++i) {
      meet.arrive_and_wait();
      auto const t = std::chrono::steady_clock::now();
      m.zero_grad(batch);
      auto [y, saved] = m.forward(x);
      m.backward(saved, dy);
      m.context().fence();
      double const s = std::chrono::duration<double>(std::chrono::steady_clock::now() - t).count();
      m.reduce();
      if (i < 0) continue;
      std::lock_guard const lock(guard);
      slowest[static_cast<std::size_t>(i)] = std::max(slowest[static_cast<std::size_t>(i)], s);
    }
  });
  return *std::min_element(slowest.begin(), slowest.end());
}

void tensor_axis(benchmark::State& state, bool sequence) {
  constexpr int repeats = 15;
  double talking = 0, silent = 0, alone = 0;
  for (auto _ : state) {
    silent = seconds_of(2, false, sequence, repeats);
    talking = seconds_of(2, true, sequence, repeats);
    alone = seconds_of(1, true, sequence, repeats);
    state.SetIterationTime(talking);
  }
  state.counters["share"] = silent / talking;
  state.counters["speedup"] = alone / talking;
  state.counters["silent_ms"] = silent * 1e3;
}
// Names are made of these very characters.
// clang-format off
BENCHMARK_CAPTURE(tensor_axis, block_384/ranks:2, false)
    ->UseManualTime()
    ->Iterations(1)
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(tensor_axis, block_384_by_sequence/ranks:2, true)
    ->UseManualTime()
    ->Iterations(1)
    ->Unit(benchmark::kMillisecond);
// clang-format on

}  // namespace
