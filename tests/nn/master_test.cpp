// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// 16-bit values with float masters: the optimizer's arithmetic is that of a float model, the values are its rounding.
#include <pleat/nn/optimizer.hpp>

#include <pleat/base/context.hpp>
#include <pleat/codec/dense.hpp>
#include <pleat/nn/weight.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>

#include <cstring>
#include <vector>

#include "nn/own_momentum.hpp"

namespace pl = pleat;
using pl::index_t;
using space = Kokkos::DefaultExecutionSpace;

namespace {
// Two parameters and nothing that computes: what an arena and an optimizer need.
template <class T> struct only_weights {
  using value_type = T;
  using execution_space = space;
  pl::nn::values<T, space> a{"a", pl::extents{9000}, pl::nn::initializer::normal(1)},
      b{"b", pl::extents{3}, pl::nn::initializer::constant(1)};
  void for_each_parameter(auto&& f) { f(a), f(b); }
};

template <class T> std::vector<float> floats(pl::context<space>& where, T* p, index_t n) {
  std::vector<T> host(static_cast<std::size_t>(n));
  pl::copy_to_host(where, pl::tensor<T, space>::wrap(p, {n}), host.data());
  std::vector<float> all;
  for (auto const x : host) all.push_back(static_cast<float>(x));
  return all;
}
}  // namespace

TEMPLATE_TEST_CASE("masters: values of 16 bits are the rounding of masters that a float optimizer moves", "",
                   pl::bfloat16, pl::half) {
  using T = TestType;
  for (auto const& settings : {pl::nn::optimizer(pl::nn::sgd{.learning_rate = 1e-3, .momentum = 0.9}),
                               pl::nn::optimizer(pl::nn::adamw{.learning_rate = 1e-5}),
                               pl::nn::optimizer(pl::test::own_momentum{.learning_rate = 1e-3})}) {
    pl::context<space> where(pl::make_instance<space>(1));
    only_weights<T> narrow;
    only_weights<float> wide;
    pl::nn::arena<T, space> memory(where, narrow, 7);
    pl::nn::arena<float, space> oracle(where, wide, 7);
    memory.reserve_gradients(narrow, 1);
    oracle.reserve_gradients(wide, 1);
    pl::nn::optimizer_state<T, space> optimizer(where, memory, settings);
    pl::nn::optimizer_state<float, space> reference(where, oracle, settings);
    CHECK(memory.masters() != nullptr);
    CHECK(memory.value_bytes() == 2 * memory.size());
    CHECK(memory.state_bytes() == 4 * memory.size() * (1 + optimizer.buffers()));  // masters and moments
    CHECK(memory.gradient_bytes() == 4 * memory.size());
    // The first values are a float model's, rounded; the oracle starts from the same.
    auto const& na = memory.entries()[0];
    auto const& wa = oracle.entries()[0];
    auto const start = floats(where, memory.values() + na.begin, 9000),
               drawn = floats(where, oracle.values() + wa.begin, 9000);
    bool rounded = true;
    for (std::size_t i = 0; i < start.size(); ++i) rounded = rounded && start[i] == static_cast<float>(T(drawn[i]));
    CHECK(rounded);
    pl::copy_from_host(where, start.data(), pl::tensor<float, space>::wrap(oracle.values() + wa.begin, {9000}));
    auto const first = floats(where, memory.values() + na.begin, 9000);
    for (int step = 0; step < 50; ++step) {
      std::vector<float> g(9000);
      for (std::size_t i = 0; i < g.size(); ++i) g[i] = static_cast<float>(i % 11) * 0.01f - 0.04f;
      pl::copy_from_host(where, g.data(), pl::tensor<float, space>::wrap(memory.gradients() + na.begin, {9000}));
      pl::copy_from_host(where, g.data(), pl::tensor<float, space>::wrap(oracle.gradients() + wa.begin, {9000}));
      optimizer.apply(where, memory);
      reference.apply(where, oracle);
    }
    auto const masters = floats(where, memory.masters() + na.begin, 9000),
               want = floats(where, oracle.values() + wa.begin, 9000);
    CHECK(masters == want);  // the same bits: nothing is lost in 50 steps far below the values' spacing
    auto const now = floats(where, memory.values() + na.begin, 9000);
    bool follows = true, moved = false;
    for (std::size_t i = 0; i < now.size(); ++i)
      follows = follows && now[i] == static_cast<float>(T(masters[i])), moved = moved || now[i] != first[i];
    CHECK(follows);
    CHECK(moved);
  }
}

TEST_CASE("masters: pieces of sharded state have their own masters") {
  pl::context<space> where(pl::make_instance<space>(1));
  only_weights<pl::bfloat16> net;
  for (int stage : {1, 2, 3})
    for (int shard : {0, 1}) {
      pl::nn::arena<pl::bfloat16, space> memory(where, net, 7, {stage, 2, shard, 1 << 19});
      pl::nn::optimizer_state<pl::bfloat16, space> optimizer(where, memory, pl::nn::adamw{});
      CHECK(memory.state_bytes() == 4 * 3 * memory.owned());
      CHECK(memory.value_bytes() == 2 * (stage == 3 ? memory.owned() : memory.size()));
      for (auto const& p : memory.pieces())
        if (p.size() > 0)
          CHECK(floats(where, memory.masters() + p.packed, p.size()) ==
                floats(where, memory.owned_values(p), p.size()));
    }
}
