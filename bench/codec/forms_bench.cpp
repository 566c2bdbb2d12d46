// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What a weight costs in each form: form/<name>/apply/MxNxK/threads:N (x[M, K] times W[N, K], quantizing x inside the
// timing), form/<name>/apply_transposed/…, form/<name>/encode/NxK and …/decode/NxK. `bytes` is the size in a file, at
// 90 % zeros.
#include <pleat/codec.hpp>

#include <pleat/base/random.hpp>

#include <support/repeat.hpp>

#include <benchmark/benchmark.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace {

namespace codec = pleat::codec;
using pleat::extents;
using pleat::index_t;
using host = Kokkos::DefaultHostExecutionSpace;

/// Drawn once.
std::vector<float> const& numbers(index_t n, double zeros) {
  static std::map<std::pair<index_t, double>, std::vector<float>> drawn;
  auto& v = drawn[{n, zeros}];
  if (!v.empty()) return v;
  pleat::random::stream const s(1, 2), keep(1, 3);
  v.resize(static_cast<std::size_t>(n));
  for (index_t i = 0; i < n; ++i) {
    auto const u = static_cast<std::uint64_t>(i);
    v[static_cast<std::size_t>(i)] = keep.uniform(u) < zeros ? 0.0f : 2 * s.uniform(u) - 1;
  }
  return v;
}

/// A weight at 90 % zeros in form F, with everything that its products need.
template <class F> struct weight {
  pleat::context<host> where;
  extents shape;
  std::vector<float> const& values;
  std::vector<float> arena;
  typename F::template storage<host> storage;

  weight(int threads, extents e)
      : where(pleat::make_instance<host>(threads)), shape(e), values(numbers(e.size(), 0.9)), arena(values.size()) {
    if constexpr (F::trainable) storage.attach(arena.data());
    F::encode(where, shape, values.data(), storage);
  }
  void say_bytes(benchmark::State& state) const {
    state.counters["bytes"] = static_cast<double>(F::bytes(shape, storage));
  }
};

template <class F> void register_form() {
  std::string const form = "form/" + std::string(F::name) + "/";
  struct product {
    index_t m, n, k;
  };
  for (int const threads : {1, 2})
    for (product const p : {product{1, 300, 784}, {64, 300, 784}, {256, 300, 784}, {1, 4096, 4096}, {64, 4096, 4096}}) {
      std::string const tail = std::to_string(p.m) + "x" + std::to_string(p.n) + "x" + std::to_string(p.k) +
                               "/threads:" + std::to_string(threads);
      auto const flops =
          benchmark::Counter(2.0 * static_cast<double>(p.m * p.n * p.k), benchmark::Counter::kIsIterationInvariantRate);
      benchmark::RegisterBenchmark((form + "apply/" + tail).c_str(), [=](benchmark::State& state) {
        weight<F> w(threads, {p.n, p.k});
        auto const& x = numbers(p.m * p.k, 0);
        std::vector<float> y(static_cast<std::size_t>(p.m * p.n));
        bench::repeat(state, [&] { F::apply(w.where, w.shape, w.storage, p.m, x.data(), y.data(), {}); });
        state.counters["flops"] = flops;
        w.say_bytes(state);
      });
      benchmark::RegisterBenchmark((form + "apply_transposed/" + tail).c_str(), [=](benchmark::State& state) {
        weight<F> w(threads, {p.n, p.k});
        auto const& dy = numbers(p.m * p.n, 0);
        std::vector<float> dx(static_cast<std::size_t>(p.m * p.k));
        bench::repeat(state,
                      [&] { F::apply_transposed(w.where, w.shape, w.storage, p.m, dy.data(), dx.data(), nullptr); });
        state.counters["flops"] = flops;
      });
    }
  for (extents const shape : {extents{300, 784}, extents{4096, 4096}}) {
    std::string const tail = std::to_string(shape[0]) + "x" + std::to_string(shape[1]);
    benchmark::RegisterBenchmark((form + "encode/" + tail).c_str(), [=](benchmark::State& state) {
      weight<F> w(1, shape);
      bench::repeat(state, [&] { F::encode(w.where, w.shape, w.values.data(), w.storage); });
      w.say_bytes(state);
    })->Unit(benchmark::kMillisecond);
    benchmark::RegisterBenchmark((form + "decode/" + tail).c_str(), [=](benchmark::State& state) {
      weight<F> w(1, shape);
      std::vector<float> out(w.values.size());
      bench::repeat(state, [&] { F::decode(w.where, w.shape, w.storage, out.data()); });
    })->Unit(benchmark::kMillisecond);
  }
}

int const registered = [] {
  register_form<codec::dense<float>>();
  register_form<codec::masked<float>>();
  register_form<codec::int8<float>>();
  return 0;
}();

}  // namespace
