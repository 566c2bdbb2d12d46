// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Matrix products: gemm/TYPE/MxNxK[/FORM]/threads:N, lanes of a weight gradient, and OpenBLAS at the same shapes under
// peer/openblas/. Compare with --benchmark_enable_random_interleaving=true --benchmark_repetitions=20, or let this
// program do it: `gemm_bench --ratios [filter]` takes turns between the two and prints best-of-many and their quotient.
#include <pleat/compute/gemm.hpp>

#include <benchmark/benchmark.h>

#include <support/repeat.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "../peers/gemm_shapes.hpp"
#include "../peers/openblas.hpp"

namespace {

namespace pc = pleat::compute;
using pleat::index_t;
using pleat::bench::gemm_shape;
using host = Kokkos::DefaultHostExecutionSpace;

host with_threads([[maybe_unused]] int threads) {
#if defined(KOKKOS_ENABLE_OPENMP)
  if constexpr (std::is_same_v<host, Kokkos::OpenMP>) return Kokkos::OpenMP(threads);
#endif
  return host{};
}

/// Operands on 64-byte borders, filled with small numbers.
template <class T> class operands {
 public:
  explicit operands(gemm_shape const& s) : s_(s), a_(s.m * s.k), b_(s.k * s.n), c_(s.m * s.n) {
    std::mt19937 r(1);
    std::uniform_real_distribution<T> value(-1, 1);
    for (index_t i = 0; i < s.m * s.k; ++i) a()[i] = value(r);
    for (index_t i = 0; i < s.k * s.n; ++i) b()[i] = value(r);
    std::fill(c(), c() + s.m * s.n, T(0));
  }
  T* a() { return aligned(a_); }
  T* b() { return aligned(b_); }
  T* c() { return aligned(c_); }

  void ours(host const& space) {
    pc::gemm_arguments<T> g;
    g.m = s_.m, g.n = s_.n, g.k = s_.k;
    g.a = a(), g.lda = s_.ta() ? s_.m : s_.k, g.ta = s_.ta() ? pc::transpose::yes : pc::transpose::no;
    g.b = b(), g.ldb = s_.tb() ? s_.k : s_.n, g.tb = s_.tb() ? pc::transpose::yes : pc::transpose::no;
    g.c = c(), g.ldc = s_.n;
    pc::gemm(space, g);
  }
  void peer(pleat::bench::openblas const& blas) {
    blas.gemm<T>(s_.ta(), s_.tb(), s_.m, s_.n, s_.k, a(), s_.ta() ? s_.m : s_.k, b(), s_.tb() ? s_.k : s_.n, c(), s_.n);
  }
  void in_lanes(host const& space, int count) {
    pc::lanes l;
    l.count = count;
    for (int i = 0; i <= count; ++i) l.row[static_cast<std::size_t>(i)] = index_t{s_.k} * i / count;
    pc::gemm_lanes<host, T>(space, s_.m, s_.n, a(), s_.m, b(), s_.n, c(), s_.n, l);
  }
  [[nodiscard]] double flops() const { return 2.0 * s_.m * s_.n * s_.k; }

 private:
  struct block {
    explicit block(index_t n) : data(static_cast<std::size_t>(n) + 64 / sizeof(T)) {}
    std::vector<T> data;
  };
  static T* aligned(block& b) {
    auto const at = reinterpret_cast<std::uintptr_t>(b.data.data());
    return b.data.data() + (64 - at % 64) % 64 / sizeof(T);
  }
  gemm_shape s_;
  block a_, b_, c_;
};

/// Workers of the side that ran before spin for a while (OpenBLAS's for 2^26 cycles, 26 ms at 2.6 GHz): a row of several
/// threads waits until they sleep, or it would share its cores with them. Then its own are given time to spread over
/// the cores: two that spin on one take a time slice each. Once for a row, which Google Benchmark calls several times.
template <class F>
void measure(benchmark::State& state, std::string const& row, int threads, double flops, F const& f) {
  using clock = std::chrono::steady_clock;
  static std::string last;
  if (std::exchange(last, row) != row && threads > 1) {
    std::this_thread::sleep_for(std::chrono::milliseconds(60));
    for (auto const end = clock::now() + std::chrono::milliseconds(40); clock::now() < end;) f();
  }
  bench::repeat(state, f);
  state.counters["flops"] = benchmark::Counter(flops, benchmark::Counter::kIsIterationInvariantRate);
}

template <class T>
void register_all(std::string const& type, pleat::bench::openblas const& blas, std::vector<gemm_shape> const& shapes) {
  for (int threads : {1, 2})
    for (auto const& s : shapes) {
      std::string const tail = "gemm/" + type + "/" + s.name() + "/threads:" + std::to_string(threads);
      benchmark::RegisterBenchmark(tail.c_str(), [=](benchmark::State& state) {
        operands<T> o(s);
        auto const space = with_threads(threads);
        measure(state, tail, threads, o.flops(), [&] { o.ours(space); });
      });
      if (blas.found())
        benchmark::RegisterBenchmark(("peer/openblas/" + tail).c_str(), [=, &blas](benchmark::State& state) {
          operands<T> o(s);
          blas.set_threads(threads);
          measure(state, "peer/" + tail, threads, o.flops(), [&] { o.peer(blas); });
        });
    }
}

void register_lanes() {
  for (int batch : {64, 256})
    for (int count : {1, 8})
      benchmark::RegisterBenchmark(
          ("gemm_lanes/f32/300x784x" + std::to_string(batch) + "/lanes:" + std::to_string(count) + "/threads:1")
              .c_str(),
          [=](benchmark::State& state) {
            operands<float> o({300, 784, batch, "tn", true});
            auto const space = with_threads(1);
            measure(state, "lanes", 1, o.flops(), [&] { o.in_lanes(space, count); });
          });
}

/// Seconds of one call; `calls` are timed together.
template <class F> double once(int calls, F const& f) {
  auto const t0 = std::chrono::steady_clock::now();
  for (int i = 0; i < calls; ++i) f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - t0).count() / calls;
}

/// Best of many of both sides, in turns of about half a millisecond, so that other load meets both alike.
template <class T> void ratios(std::string const& type, pleat::bench::openblas const& blas, std::string const& filter) {
  auto const space = with_threads(1);
  blas.set_threads(1);
  double sum = 0;
  int count = 0;
  std::printf("%-28s %10s %10s %7s\n", (type + ", one thread").c_str(), "GF/s", "OpenBLAS", "ratio");
  for (auto const& s : pleat::bench::gemm_shapes()) {
    if (s.name().find(filter) == std::string::npos) continue;
    operands<T> o(s);
    int const calls = std::max(1, static_cast<int>(5e7 / o.flops()));
    int const rounds = static_cast<int>(std::clamp(6e10 / (o.flops() * calls), 6.0, 1000.0));
    double ours = 1, peer = 1;
    for (int i = 0; i < rounds; ++i) {
      ours = std::min(ours, once(calls, [&] { o.ours(space); }));
      peer = std::min(peer, once(calls, [&] { o.peer(blas); }));
    }
    if (s.training) sum += std::log(peer / ours), ++count;
    std::printf("%-28s %10.1f %10.1f %7.2f%s\n", s.name().c_str(), o.flops() / ours * 1e-9, o.flops() / peer * 1e-9,
                peer / ours, s.training ? " *" : "");
    std::fflush(stdout);
  }
  if (count) std::printf("geometric mean over the training shapes (*): %.3f\n", std::exp(sum / count));
}

}  // namespace

int main(int argc, char** argv) {
  Kokkos::ScopeGuard const guard(argc, argv);
  pleat::bench::openblas const blas;
  std::fprintf(stderr, "OpenBLAS: %s\n",
               blas.found() ? (blas.name() + ": " + blas.version()).c_str()
                            : "not found (set PLEAT_OPENBLAS_LIB); no peer/ rows");
  if (argc > 1 && std::strcmp(argv[1], "--ratios") == 0) {
    if (!blas.found()) return 1;
    ratios<float>("f32", blas, argc > 2 ? argv[2] : "");
    if (argc < 4) ratios<double>("f64", blas, argc > 2 ? argv[2] : "");
    return 0;
  }
  benchmark::Initialize(&argc, argv);
  // beside the figures that were compared with it
  benchmark::AddCustomContext("openblas", blas.found() ? blas.name() + ": " + blas.version() : "not found");
  register_all<float>("f32", blas, pleat::bench::gemm_shapes());
  register_all<double>("f64", blas, {{512, 512, 512, "nn", false}, {64, 300, 784, "nt", true}});
  register_lanes();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
