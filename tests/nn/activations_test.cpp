// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <catch2/catch_test_macros.hpp>

#include <cmath>

#include <pleat/nn/activations.hpp>
#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/nn/check_gradients.hpp>

#include "nn/nn_support.hpp"

using namespace pleat;
using namespace pleat::test;

namespace {
template <class L, class F> void follows(L layer, F const& f) {
  context<space> c{make_instance<space>(2)};
  auto const x = random_tensor<double>(c, {5, 7}, 1);
  nn::pass<space> p;
  p.where = &c;
  auto const y = to_host(c, nn::call(p, layer, x).y), in = to_host(c, x);
  // The kernels round a few operations, each to half an ulp of values below 2.
  for (std::size_t i = 0; i < y.size(); ++i) CHECK(std::abs(y[i] - f(in[i])) <= 8 * 2.2e-16);
}
}  // namespace

TEST_CASE("activations are the functions that they are named after") {
  follows(nn::relu<double>(), [](double x) { return x > 0 ? x : 0; });
  follows(nn::tanh_activation<double>(), [](double x) { return std::tanh(x); });
  follows(nn::sigmoid<double>(), [](double x) { return 1 / (1 + std::exp(-x)); });
  follows(nn::gelu<double>(), [](double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); });
}

TEST_CASE("activations' gradients are their derivatives") {
  extents const in{6, 5};
  nn::demand_correct_gradients(nn::relu<double>(), in, {.elements = 0, .tolerance = 1e-9});
  nn::demand_correct_gradients(nn::tanh_activation<double>(), in, {.elements = 0, .tolerance = 1e-9, .input_scale = 3});
  nn::demand_correct_gradients(nn::sigmoid<double>(), in, {.elements = 0, .tolerance = 1e-9, .input_scale = 3});
  nn::demand_correct_gradients(nn::gelu<double>(), in, {.elements = 0, .tolerance = 1e-9, .input_scale = 3});
}

TEST_CASE("an activation writes in place only where nobody else needs the input") {
  context<space> c{make_instance<space>(1)};
  nn::pass<space> p;
  p.where = &c;
  SECTION("alone, it takes no memory") {
    auto x = random_tensor<float>(c, {4, 4}, 1);
    auto const at = x.data();
    CHECK(nn::call(p, nn::relu(), std::move(x)).y.data() == at);
  }
  SECTION("shared, it leaves the input alone") {
    auto x = random_tensor<float>(c, {4, 4}, 1);
    auto const before = to_host(c, x);
    auto const y = nn::call(p, nn::relu(), x).y;
    CHECK(y.data() != x.data());
    CHECK(same_bits(before, to_host(c, x)));
  }
  SECTION("gelu keeps its slope where its input was while it trains") {
    p.training = true;
    auto x = random_tensor<float>(c, {4, 4}, 1);
    auto const at = x.data();
    auto const out = nn::call(p, nn::gelu(), std::move(x));
    CHECK(out.y.data() != at);
    CHECK(out.saved.t.data() == at);
  }
  SECTION("an input that somebody holds stays as it is while gelu trains") {
    p.training = true;
    auto x = random_tensor<float>(c, {4, 4}, 1);
    auto const before = to_host(c, x);
    auto const out = nn::call(p, nn::gelu(), x);
    CHECK(out.saved.t.data() != x.data());
    CHECK(same_bits(before, to_host(c, x)));
    p.training = false;
    CHECK(same_bits(to_host(c, out.y), to_host(c, nn::call(p, nn::gelu(), x).y)));
  }
  SECTION("memory of the caller's is never written") {
    std::vector<float> mine{-1, 2};
    auto x = tensor<float, space>::wrap(mine.data(), {1, 2});
    if constexpr (Kokkos::SpaceAccessibility<Kokkos::HostSpace, space::memory_space>::accessible) {
      (void)nn::call(p, nn::relu(), x);
      c.fence();
      CHECK(mine[0] == -1);
    }
  }
}
