// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What products run from the stored form cost, beside the float product: one processor, a weight of 4096 × 4096,
// batches of 1 to 64.
//   stored/<form>/apply/M       y[M, 4096] = x · Ŵᵀ (quantizing x inside the timing); `bytes`: of the form in a file; `float_over_this`: the
//                               dense form's least processor time over this form's, by turns in this process; below 1 the label says "loses to float"
//   stored/<form>/encode, /decode
//   float/apply/M               the dense form;  peer/openblas/apply/M: cblas_sgemm, where it is found (bench/peers/openblas.hpp)
//   memory/copy                 memcpy of the float weight: what encoding is measured against;  weights_per_second · 4 is bytes of weights
//   stored/low_rank/apply/M     factors of rank 256: an eighth of the bytes; …/factor/NxN: encoding a weight of that size (a decomposition);
//                               sparse_low_rank: with a twentieth of the elements beside them; low_rank_int8, …: factors that are stored so
//   stored/int8_integer/apply/M 8-bit codes in, 8-bit codes out (codec::apply_integer), beside the float product of floats
//   stored_convolution/<form>/<outputs>x<inputs>x<kernel>@<extent>/batch:N: from the stored kernel, beside the decoded one's in float;
//                               spatial_low_rank at half the full rank's cost; forms without a convolution of their own decode the kernel
//                               at every call, which `float_over_this` shows: below 1 the label says so
// Sparse forms hold 90 % zeros (block_1x4 in whole blocks; csr_at_50 … 50 % …), 2:4 its half.
#include <pleat/codec.hpp>

#include <pleat/base/random.hpp>
#include <pleat/codec/blocks.hpp>
#include <pleat/codec/codebook.hpp>
#include <pleat/codec/factors.hpp>
#include <pleat/codec/int8.hpp>
#include <pleat/codec/int8_integer.hpp>
#include <pleat/codec/low_rank.hpp>
#include <pleat/codec/reduced.hpp>
#include <pleat/codec/sparse.hpp>
#include <pleat/codec/spatial_low_rank.hpp>
#include <pleat/compute/convolution.hpp>

#include <peers/openblas.hpp>
#include <support/clock.hpp>
#include <support/repeat.hpp>

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace {

namespace codec = pleat::codec;
using pleat::extents;
using pleat::index_t;
using host = Kokkos::DefaultHostExecutionSpace;

constexpr index_t side = 4096;

/// `zeros` of the runs of `run` neighbours are zero.
std::vector<float> numbers(index_t n, double zeros, index_t run) {
  pleat::random::stream const s(1, 2), keep(1, 3);
  std::vector<float> v(static_cast<std::size_t>(n));
  for (index_t i = 0; i < n; ++i) {
    auto const u = static_cast<std::uint64_t>(i);
    float const x = 2 * s.uniform(u) - 1;
    v[static_cast<std::size_t>(i)] = keep.uniform(static_cast<std::uint64_t>(i / run)) < zeros ? 0.0f : x * x * x;
  }
  return v;
}

/// The numbers of a weight, drawn once.
std::vector<float> const& weight_numbers(double zeros, index_t run) {
  static std::map<std::pair<double, index_t>, std::vector<float>> drawn;
  auto& v = drawn[{zeros, run}];
  if (v.empty()) v = numbers(side * side, zeros, run);
  return v;
}

template <class F> struct weight {
  pleat::context<host> where{pleat::make_instance<host>(1)};
  extents shape{side, side};
  std::vector<float> const& values;
  std::vector<float> arena;
  typename F::template storage<host> storage;
  weight(double zeros, index_t run) : values(weight_numbers(zeros, run)) {
    if constexpr (F::trainable) {
      arena.resize(values.size());
      storage.attach(arena.data());
    }
    F::encode(where, shape, values.data(), storage);
  }
};

/// Made once for all rows with the same key, of which Google Benchmark calls each several times. Let go before Kokkos
/// ends, as it holds an instance of it.
template <class T, class Key, class... A> T& kept(Key const& key, A const&... made_of) {
  static std::map<Key, T> all;
  if (all.empty()) Kokkos::push_finalize_hook([] { all.clear(); });
  return all.try_emplace(key, made_of...).first->second;
}
template <class F> weight<F>& weight_of(double zeros, index_t run) {
  return kept<weight<F>>(std::pair{zeros, run}, zeros, run);
}

/// Says whether a product gains or loses beside the float one: the quotient of the least times of both, by turns.
template <class Float, class Product>
void compare(benchmark::State& state, Float const& in_float, Product const& product) {
  double least_float = 1e30, least = 1e30;
  auto const began = bench::process_seconds();
  for (int turn = 0; turn < 5 || bench::process_seconds() - began < 0.1; ++turn) {
    auto const t0 = bench::process_seconds();
    in_float();
    auto const t1 = bench::process_seconds();
    product();
    least_float = std::min(least_float, t1 - t0), least = std::min(least, bench::process_seconds() - t1);
  }
  state.counters["float_over_this"] = least_float / least;
  if (least_float < least) state.SetLabel("loses to float");
}
/// Beside the dense form's product with as many columns.
template <class Product>
void compare_with_float(benchmark::State& state, index_t m, std::vector<float> const& x, Product const& product) {
  auto& dense = weight_of<codec::dense<float>>(0, 1);
  std::vector<float> y(static_cast<std::size_t>(m * side));
  compare(
      state, [&] { codec::dense<float>::apply(dense.where, dense.shape, dense.storage, m, x.data(), y.data(), {}); },
      product);
}

void rate(benchmark::State& state) {
  state.counters["weights_per_second"] =
      benchmark::Counter(static_cast<double>(side * side), benchmark::Counter::kIsIterationInvariantRate);
}

template <class F> void register_form(std::string const& form, double zeros = 0, index_t run = 1) {
  for (index_t const m : {1, 8, 32, 64})
    benchmark::RegisterBenchmark((form + "/apply/" + std::to_string(m)).c_str(), [=](benchmark::State& state) {
      auto& w = weight_of<F>(zeros, run);
      auto const x = numbers(m * side, 0, 1);
      std::vector<float> y(static_cast<std::size_t>(m * side));
      auto const product = [&] { F::apply(w.where, w.shape, w.storage, m, x.data(), y.data(), {}); };
      bench::repeat(state, product);
      if (!form.starts_with("float")) compare_with_float(state, m, x, product);
      state.counters["flops"] =
          benchmark::Counter(2.0 * static_cast<double>(m * side * side), benchmark::Counter::kIsIterationInvariantRate);
      state.counters["bytes"] = static_cast<double>(F::bytes(w.shape, w.storage));
    })->Unit(benchmark::kMillisecond);
  if (form.starts_with("float")) return;
  benchmark::RegisterBenchmark((form + "/encode").c_str(), [=](benchmark::State& state) {
    auto& w = weight_of<F>(zeros, run);
    bench::repeat(state, [&] { F::encode(w.where, w.shape, w.values.data(), w.storage); });
    rate(state);
  })->Unit(benchmark::kMillisecond);
  // The bit logic alone, to memory that is there already: what the block formats' aim speaks of.
  if constexpr (requires { F::bits::image(extents{}); })
    benchmark::RegisterBenchmark((form + "/encode_into").c_str(), [=](benchmark::State& state) {
      auto& w = weight_of<F>(zeros, run);
      bench::repeat(state, [&] { F::bits::encode_into(w.shape, w.values, {}, w.storage.block.data()); });
      rate(state);
    })->Unit(benchmark::kMillisecond);
  if constexpr (requires(typename F::bits::options o) { o.search; })
    benchmark::RegisterBenchmark((form + "/encode_into/no_search").c_str(), [=](benchmark::State& state) {
      auto& w = weight_of<F>(zeros, run);
      bench::repeat(state, [&] { F::bits::encode_into(w.shape, w.values, {.search = false}, w.storage.block.data()); });
      rate(state);
    })->Unit(benchmark::kMillisecond);
  benchmark::RegisterBenchmark((form + "/decode").c_str(), [=](benchmark::State& state) {
    auto& w = weight_of<F>(zeros, run);
    std::vector<float> out(w.values.size());
    bench::repeat(state, [&] { F::decode(w.where, w.shape, w.storage, out.data()); });
    rate(state);
  })->Unit(benchmark::kMillisecond);
}

void product_rate(benchmark::State& state, index_t m, index_t bytes) {
  state.counters["flops"] =
      benchmark::Counter(2.0 * static_cast<double>(m * side * side), benchmark::Counter::kIsIterationInvariantRate);
  state.counters["bytes"] = static_cast<double>(bytes);
}

/// Factors of one's own: what a product costs does not depend on what they hold, and decomposing a weight of this size
/// takes long. \param stored a form of both factors, or "" for floats; \param apart share of the elements beside them
template <class form> void register_factors(std::string const& name, std::string const& stored, double apart) {
  constexpr index_t rank = 256;
  for (index_t const m : {1, 8, 32, 64})
    benchmark::RegisterBenchmark(("stored/" + name + "/apply/" + std::to_string(m)).c_str(), [=](benchmark::State&
                                                                                                     state) {
      pleat::context<host> c{pleat::make_instance<host>(1)};
      extents const shape{side, side};
      typename form::template storage<host> w;
      auto const numbers_of_factors = numbers(side * rank, 0, 1);
      std::vector<codec::file_tensor> parts{codec::detail::part_of(".left", {side, rank}, numbers_of_factors),
                                            codec::detail::part_of(".right", {rank, side}, numbers_of_factors)};
      if (apart > 0)
        for (auto& p : codec::detail::compressed_rows_logic<1>::encode(shape, weight_numbers(1 - apart, 1), {}))
          parts.push_back(std::move(p));
      w.from_file(c, shape, parts);
      if constexpr (requires { form::factor_form(stored); })
        for (bool const left : {true, false}) w.encode_factor(c, shape, left, form::factor_form(stored), {});
      auto const x = numbers(m * side, 0, 1);
      std::vector<float> y(static_cast<std::size_t>(m * side));
      auto const product = [&] { form::apply(c, shape, w, m, x.data(), y.data(), {}); };
      bench::repeat(state, product);
      compare_with_float(state, m, x, product);
      product_rate(state, m, form::bytes(shape, w));
    })->Unit(benchmark::kMillisecond);
}

void register_decomposition() {
  using form = codec::low_rank<float>;
  for (index_t const n : {128, 256})
    benchmark::RegisterBenchmark(("stored/low_rank/factor/" + std::to_string(n) + "x" + std::to_string(n)).c_str(),
                                 [=](benchmark::State& state) {
                                   pleat::context<host> c{pleat::make_instance<host>(1)};
                                   auto const values = numbers(n * n, 0, 1);
                                   form::storage<host> w;
                                   for (auto _ : state) form::encode(c, {n, n}, values.data(), w);
                                 })
        ->Unit(benchmark::kMillisecond);
}

/// A layer in integers alone: no float is read or written.
void register_integers() {
  using form = codec::int8<float>;
  for (index_t const m : {1, 8, 32, 64})
    benchmark::RegisterBenchmark(("stored/int8_integer/apply/" + std::to_string(m)).c_str(), [=](benchmark::State&
                                                                                                     state) {
      auto& w = weight_of<form>(0, 1);
      auto const x = numbers(m * side, 0, 1);
      std::vector<std::int8_t> codes(x.size()), out(static_cast<std::size_t>(m * side));
      for (std::size_t i = 0; i < x.size(); ++i) codes[i] = static_cast<std::int8_t>(127 * x[i]);
      auto const r = codec::requantizer<host>::make(w.where, w.shape, w.storage, 1 / 127.0f, 0.1f, nullptr,
                                                    pleat::compute::activation::relu);
      auto const product = [&] { codec::apply_integer(w.where, w.shape, w.storage, r, m, codes.data(), out.data()); };
      bench::repeat(state, product);
      compare_with_float(state, m, x, product);
      product_rate(state, m, form::bytes(w.shape, w.storage));
    })->Unit(benchmark::kMillisecond);
}

template <class F> struct kernel {
  pleat::context<host> where{pleat::make_instance<host>(1)};
  typename F::template storage<host> storage;
  template <class Encode> kernel(Encode const& encode, extents const& shape) {
    encode(where, shape, numbers(shape.size(), 0, 1), storage);
  }
};

/// A convolution with a stored kernel beside the one with its decoded kernel.
template <class F, class Encode> void register_convolution(std::string const& form, Encode const& encode) {
  struct layer {
    index_t outputs, inputs, kernel, extent;
  };
  for (layer const l : {layer{64, 64, 3, 32}, layer{128, 128, 5, 16}})
    for (index_t const batch : {1, 16}) {
      std::string const name = "stored_convolution/" + form + "/" + std::to_string(l.outputs) + "x" +
                               std::to_string(l.inputs) + "x" + std::to_string(l.kernel) + "@" +
                               std::to_string(l.extent);
      benchmark::RegisterBenchmark((name + "/batch:" + std::to_string(batch)).c_str(), [=](benchmark::State& state) {
        pleat::compute::conv2d_shape const g{batch,    l.inputs, l.extent, l.extent,     l.outputs,   l.kernel,
                                             l.kernel, 1,        1,        l.kernel / 2, l.kernel / 2};
        extents const shape{l.outputs, l.inputs, l.kernel, l.kernel};
        auto& [c, w] = kept<kernel<F>>(l.outputs, encode, shape);
        auto const x = numbers(batch * l.inputs * l.extent * l.extent, 0, 1);
        std::vector<float> y(static_cast<std::size_t>(batch * l.outputs * l.extent * l.extent)),
            decoded(static_cast<std::size_t>(shape.size()));
        F::decode(c, shape, w, decoded.data());
        auto const stored = [&] {
          F::convolve(c, g, w, x.data(), nullptr, y.data(), pleat::compute::activation::none);
        };
        bench::repeat(state, stored);
        compare(
            state,
            [&] {
              pleat::compute::conv2d_forward(c.space(), g, x.data(), static_cast<float const*>(decoded.data()),
                                             static_cast<float const*>(nullptr), y.data());
            },
            stored);
        state.counters["flops"] = benchmark::Counter(g.flops(), benchmark::Counter::kIsIterationInvariantRate);
        state.counters["bytes"] = static_cast<double>(F::bytes(shape, w));
      })->Unit(benchmark::kMillisecond);
    }
}

template <class F> void register_decoded_convolution(std::string const& form, double zeros) {
  register_convolution<F>(form, [zeros](auto& c, extents const& shape, std::vector<float> const&, auto& w) {
    F::encode(c, shape, numbers(shape.size(), zeros, 1).data(), w);
  });
}

int const registered = [] {
  benchmark::RegisterBenchmark("memory/copy", [](benchmark::State& state) {
    auto const& from = weight_numbers(0, 1);
    std::vector<float> to(from.size());
    bench::repeat(state, [&] {
      std::memcpy(to.data(), from.data(), from.size() * sizeof(float));
      benchmark::DoNotOptimize(to.data());
      benchmark::ClobberMemory();
    });
    rate(state);
  })->Unit(benchmark::kMillisecond);
  for (int const m : {1, 8, 32, 64})
    benchmark::RegisterBenchmark(("peer/openblas/apply/" + std::to_string(m)).c_str(), [m](benchmark::State& state) {
      pleat::bench::openblas const blas;
      if (!blas.found()) {
        state.SkipWithError("no OpenBLAS found: PLEAT_OPENBLAS_LIB may name one");
        return;
      }
      blas.set_threads(1);
      auto const& w = weight_numbers(0, 1);
      auto const x = numbers(m * side, 0, 1);
      std::vector<float> y(static_cast<std::size_t>(m * side));
      constexpr int n = static_cast<int>(side);
      bench::repeat(state, [&] { blas.gemm(false, true, m, n, n, x.data(), n, w.data(), n, y.data(), n); });
      state.counters["flops"] =
          benchmark::Counter(2.0 * m * static_cast<double>(side * side), benchmark::Counter::kIsIterationInvariantRate);
    })->Unit(benchmark::kMillisecond);
  register_form<codec::dense<float>>("float");
  register_form<codec::bf16<float>>("stored/bf16");
  register_form<codec::f16<float>>("stored/f16");
  register_form<codec::int8<float>>("stored/int8");
  register_form<codec::q8_0<float>>("stored/q8_0");
  register_form<codec::q4_0<float>>("stored/q4_0");
  register_form<codec::q4_1<float>>("stored/q4_1");
  register_form<codec::q5_0<float>>("stored/q5_0");
  register_form<codec::q5_1<float>>("stored/q5_1");
  register_form<codec::q4_k<float>>("stored/q4_K");
  register_form<codec::q6_k<float>>("stored/q6_K");
  register_form<codec::int4<float>>("stored/int4_g128");
  register_form<codec::csr<float>>("stored/csr", 0.9);
  register_form<codec::csr<float>>("stored/csr_at_50", 0.5);
  register_form<codec::csr<float>>("stored/csr_at_67", 0.67);
  register_form<codec::csr<float>>("stored/csr_at_80", 0.8);
  register_form<codec::bitmask<float>>("stored/bitmask", 0.9);
  register_form<codec::block_sparse<float>>("stored/block_1x4", 0.9, 4);
  register_form<codec::n_m<float>>("stored/2:4");
  register_form<codec::codebook<float>>("stored/codebook");
  register_form<codec::coded<float>>("stored/coded", 0.9);
  register_factors<codec::low_rank<float>>("low_rank", "", 0);
  register_factors<codec::sparse_low_rank<float>>("sparse_low_rank", "", 0.05);
  for (auto const* stored : {"int8", "q8_0", "q4_0"})
    register_factors<codec::factors<float>>(std::string("low_rank_") + stored, stored, 0);
  register_decomposition();
  register_integers();
  register_convolution<codec::spatial_low_rank<float>>(
      "spatial_low_rank", [](auto& c, extents const& shape, std::vector<float> const& values, auto& w) {
        // rank·(inputs·height + outputs·width) multiply-adds a place against outputs·inputs·height·width
        codec::spatial_low_rank<float>::encode_with(
            c, shape, values.data(), {.rank = shape.size() / (2 * (shape[1] * shape[2] + shape[0] * shape[3]))}, w);
      });
  register_convolution<codec::int8<float>>(
      "int8", [](auto& c, extents const& shape, std::vector<float> const& values, auto& w) {
        codec::int8<float>::encode(c, shape, values.data(), w);
      });
  // Of these every call decodes the whole kernel and convolves in float.
  register_decoded_convolution<codec::bf16<float>>("bf16", 0);
  register_decoded_convolution<codec::q8_0<float>>("q8_0", 0);
  register_decoded_convolution<codec::q4_0<float>>("q4_0", 0);
  register_decoded_convolution<codec::csr<float>>("csr", 0.9);
  register_decoded_convolution<codec::coded<float>>("coded", 0.9);
  return 0;
}();

}  // namespace
