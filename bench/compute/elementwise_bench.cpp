// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Elementwise kernels, reductions, losses and updates: bytes per second of what they must read and write.
#include <pleat/compute/elementwise.hpp>
#include <pleat/compute/optimizer.hpp>
#include <pleat/compute/quantized.hpp>
#include <pleat/compute/reduce.hpp>
#include <pleat/compute/softmax.hpp>

#include <benchmark/benchmark.h>

#include <string>
#include <vector>

namespace {

namespace pc = pleat::compute;
using pleat::index_t;
using host = Kokkos::DefaultHostExecutionSpace;

host with_threads([[maybe_unused]] int threads) {
#if defined(KOKKOS_ENABLE_OPENMP)
  if constexpr (std::is_same_v<host, Kokkos::OpenMP>) return Kokkos::OpenMP(threads);
#endif
  return host{};
}

struct buffers {
  explicit buffers(index_t n)
      : x(static_cast<std::size_t>(n), 0.5f), y(x), m(x), v(x), q(x.size()), labels(x.size(), 3) {}
  std::vector<float> x, y, m, v;
  std::vector<std::int8_t> q;
  std::vector<std::int32_t> labels;
};

template <class F> void add(std::string const& name, index_t n, double bytes_per_element, F const& f) {
  for (int const threads : {1, 2})
    benchmark::RegisterBenchmark(
        (name + "/" + std::to_string(n) + "/threads:" + std::to_string(threads)).c_str(), [=](benchmark::State& state) {
          auto const space = with_threads(threads);
          buffers b(n);
          for (auto _ : state) f(space, b, n);
          state.counters["bytes"] = benchmark::Counter(bytes_per_element * static_cast<double>(n),
                                                       benchmark::Counter::kIsIterationInvariantRate);
        });
}

int const registered = [] {
  for (index_t const n : {index_t{4096}, index_t{266240}, index_t{4194304}}) {
    add("relu/f32", n, 8, [](host const& s, buffers& b, index_t k) { pc::relu(s, k, b.x.data(), b.y.data()); });
    add("gelu/f32", n, 8, [](host const& s, buffers& b, index_t k) { pc::gelu(s, k, b.x.data(), b.y.data()); });
    add("gelu_backward/f32", n, 12,
        [](host const& s, buffers& b, index_t k) { pc::gelu_backward(s, k, b.x.data(), b.v.data(), b.y.data()); });
    add("tanh/f32", n, 8,
        [](host const& s, buffers& b, index_t k) { pc::tanh_activation(s, k, b.x.data(), b.y.data()); });
    add("sigmoid/f32", n, 8, [](host const& s, buffers& b, index_t k) { pc::sigmoid(s, k, b.x.data(), b.y.data()); });
    add("squared_norm/f32", n, 4,
        [](host const& s, buffers& b, index_t k) { pc::squared_norm(s, k, b.x.data(), b.y.data()); });
    add("column_sum/f32/256", n, 4, [](host const& s, buffers& b, index_t k) {
      pc::column_sum(s, 256, b.x.data(), 256, b.y.data(), pc::lanes::whole(k / 256));
    });
    add("cross_entropy/f32/16", n, 12, [](host const& s, buffers& b, index_t k) {
      pc::cross_entropy(s, k / 16, 16, b.x.data(), b.labels.data(), 1.0f, b.y.data(), b.m.data(), nullptr);
    });
    add("quantize_rows/f32/256", n, 5, [](host const& s, buffers& b, index_t k) {
      pc::quantize_rows(s, k / 256, 256, b.x.data(), 256, b.q.data(), 256, b.y.data(), nullptr);
    });
    add("sgd_momentum/f32", n, 20, [](host const& s, buffers& b, index_t k) {
      pc::update_chunk const c{0, k, 1, 1e-4f, false, nullptr};
      pc::sgd_settings<float> o;
      o.momentum = 0.9f;
      pc::sgd_update(s, &c, 1, k, o, b.x.data(), b.y.data(), b.m.data());
    });
    add("adamw/f32", n, 28, [](host const& s, buffers& b, index_t k) {
      pc::update_chunk const c{0, k, 1, 1e-4f, false, nullptr};
      pc::adam_update(s, &c, 1, k, pc::adam_settings<float>{}, b.x.data(), b.y.data(), b.m.data(), b.v.data());
    });
  }
  return 0;
}();

}  // namespace
