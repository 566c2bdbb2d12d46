// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// int8 products beside float products of the same shape: int8_gemm/MxNxK/threads:N (B packed once), …/unpacked,
// …/scaled with the epilogue, and gemm/f32_for_int8/… for the quotient; int8_conv2d/… beside conv2d/f32_for_int8/….
// PLEAT_ISA=avx2 shows the other paths.
#include <pleat/compute/convolution.hpp>
#include <pleat/compute/gemm.hpp>
#include <pleat/compute/int8_convolution.hpp>
#include <pleat/compute/int8_gemm.hpp>

#include <support/repeat.hpp>

#include <benchmark/benchmark.h>

#include <cstdlib>
#include <memory>
#include <string>

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

struct freer {
  void operator()(void* p) const { std::free(p); }
};
template <class T> using block = std::unique_ptr<T, freer>;
template <class T> block<T> make(index_t n) {
  auto const bytes = (static_cast<std::size_t>(n) * sizeof(T) + 127) / 64 * 64;
  block<T> b(static_cast<T*>(std::aligned_alloc(64, bytes)));
  for (index_t i = 0; i < n; ++i) b.get()[i] = static_cast<T>(i * 37 % 255 - 127);
  return b;
}

struct shape {
  int m, n, k;
};

template <class F> void measure(benchmark::State& state, shape s, F const& f) {
  bench::repeat(state, f);
  state.counters["ops"] = benchmark::Counter(2.0 * s.m * s.n * s.k, benchmark::Counter::kIsIterationInvariantRate);
}

int const registered = [] {
  for (int const threads : {1, 2})
    for (shape const s : {shape{64, 300, 784},
                          {256, 300, 784},
                          {512, 512, 512},
                          {1024, 1024, 1024},
                          {256, 1536, 384},
                          {64, 4096, 4096},
                          {1, 4096, 4096}}) {
      std::string const tail = std::to_string(s.m) + "x" + std::to_string(s.n) + "x" + std::to_string(s.k);
      std::string const end = "/threads:" + std::to_string(threads);
      benchmark::RegisterBenchmark(("int8_gemm/" + tail + end).c_str(), [=](benchmark::State& state) {
        auto const space = with_threads(threads);
        auto const a = make<std::int8_t>(index_t{s.m} * s.k), b = make<std::int8_t>(index_t{s.n} * s.k);
        auto const c = make<std::int32_t>(index_t{s.m} * s.n);
        auto const packed = make<unsigned char>(pc::int8_packed_bytes<host>(s.n, s.k));
        pc::int8_pack(space, s.n, s.k, b.get(), s.k, packed.get());
        measure(state, s,
                [&] { pc::int8_gemm_packed(space, s.m, s.n, s.k, a.get(), s.k, packed.get(), c.get(), s.n); });
      });
      benchmark::RegisterBenchmark(("int8_gemm/" + tail + "/unpacked" + end).c_str(), [=](benchmark::State& state) {
        auto const space = with_threads(threads);
        auto const a = make<std::int8_t>(index_t{s.m} * s.k), b = make<std::int8_t>(index_t{s.n} * s.k);
        auto const c = make<std::int32_t>(index_t{s.m} * s.n);
        measure(state, s, [&] { pc::int8_gemm(space, s.m, s.n, s.k, a.get(), s.k, b.get(), s.k, c.get(), s.n); });
      });
      benchmark::RegisterBenchmark(("int8_gemm/" + tail + "/scaled" + end).c_str(), [=](benchmark::State& state) {
        auto const space = with_threads(threads);
        auto const a = make<std::int8_t>(index_t{s.m} * s.k), b = make<std::int8_t>(index_t{s.n} * s.k);
        auto const y = make<float>(index_t{s.m} * s.n), scales = make<float>(s.m + s.n);
        auto const packed = make<unsigned char>(pc::int8_packed_bytes<host>(s.n, s.k));
        pc::int8_pack(space, s.n, s.k, b.get(), s.k, packed.get());
        pc::int8_epilogue const e{scales.get(), scales.get(), scales.get(), pc::activation::relu};
        measure(state, s, [&] {
          pc::int8_gemm_scaled_packed(space, s.m, s.n, s.k, a.get(), s.k, packed.get(), e, y.get(), s.n);
        });
      });
      benchmark::RegisterBenchmark(("gemm/f32_for_int8/" + tail + end).c_str(), [=](benchmark::State& state) {
        auto const space = with_threads(threads);
        auto const a = make<float>(index_t{s.m} * s.k), b = make<float>(index_t{s.n} * s.k),
                   c = make<float>(index_t{s.m} * s.n);
        pc::gemm_arguments<float> g;
        g.m = s.m, g.n = s.n, g.k = s.k;
        g.a = a.get(), g.lda = s.k;
        g.b = b.get(), g.ldb = s.k, g.tb = pc::transpose::yes;
        g.c = c.get(), g.ldc = s.n;
        measure(state, s, [&] { pc::gemm(space, g); });
      });
    }
  struct layer {
    char const* name;
    pc::conv2d_shape s;
  };
  for (layer const& l : {layer{"20to50x5x5on12", {16, 20, 12, 12, 50, 5, 5}},
                         layer{"16to16x3x3on32", {16, 16, 32, 32, 16, 3, 3, 1, 1, 1, 1}},
                         layer{"64to64x3x3on32", {16, 64, 32, 32, 64, 3, 3, 1, 1, 1, 1}}}) {
    pc::conv2d_shape const s = l.s;
    index_t const in = s.batch * s.in_channels * s.height * s.width, weights = s.out_channels * s.weights_per_output(),
                  out = s.batch * s.out_channels * s.out_height() * s.out_width();
    benchmark::RegisterBenchmark(
        (std::string("int8_conv2d/") + l.name + "/threads:1").c_str(), [=](benchmark::State& state) {
          auto const space = with_threads(1);
          auto const x = make<std::int8_t>(in), w = make<std::int8_t>(weights);
          auto const y = make<float>(out), scales = make<float>(s.batch + s.out_channels);
          bench::repeat(state, [&] {
            pc::int8_conv2d(space, s, x.get(), scales.get(), w.get(), scales.get(), nullptr, y.get());
          });
          state.counters["ops"] = benchmark::Counter(s.flops(), benchmark::Counter::kIsIterationInvariantRate);
        });
    benchmark::RegisterBenchmark(
        (std::string("conv2d/f32_for_int8/") + l.name + "/threads:1").c_str(), [=](benchmark::State& state) {
          auto const space = with_threads(1);
          auto const x = make<float>(in), w = make<float>(weights), y = make<float>(out);
          bench::repeat(state, [&] {
            pc::conv2d_forward(space, s, x.get(), w.get(), static_cast<float const*>(nullptr), y.get());
          });
          state.counters["ops"] = benchmark::Counter(s.flops(), benchmark::Counter::kIsIterationInvariantRate);
        });
  }
  return 0;
}();

}  // namespace
