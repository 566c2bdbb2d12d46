// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/nn/hard_concrete.hpp>

#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/comm/self.hpp>
#include <pleat/nn/check_gradients.hpp>
#include <pleat/nn/linear.hpp>
#include <pleat/nn/sequential.hpp>
#include <pleat/parallel/model.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cmath>
#include <vector>

namespace {

namespace nn = pleat::nn;
using pleat::extents;
using pleat::index_t;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using space = Kokkos::DefaultExecutionSpace;

TEST_CASE("hard_concrete: gradients of the draw, for rows, sequences, images and volumes") {
  nn::check_options o;
  o.elements = 0;
  for (extents const& in : {extents{3, 5}, extents{2, 3, 5}, extents{2, 5, 2, 3}, extents{2, 5, 2, 3, 2}})
    nn::demand_correct_gradients(nn::hard_concrete<double>("g", 5, {.start = 0.3}), in, o);
}

TEST_CASE("hard_concrete: the gate of inference and the probability of being open, by their formulas") {
  nn::hard_concrete<> const g("g", 2);
  CHECK(g.gate(-10) == 0);
  CHECK(g.gate(10) == 1);
  CHECK(std::abs(g.gate(0) - 0.5) < 1e-15);
  // P(s̄ > 0) = sigmoid(log α − β·log(−γ/ζ)), Louizos et al., equation 12.
  CHECK(std::abs(g.open(0.7) - 1 / (1 + std::exp(-(0.7 - 2.0 / 3 * std::log(0.1 / 1.1))))) < 1e-15);
}

/// One pass of `rows` samples with all dy = 0: what is left in the gradient is the penalty's.
std::vector<float> penalty_gradient(double penalty, std::vector<index_t> const& cuts) {
  pleat::world w(pleat::comm::communicator(pleat::comm::self{}), 1);
  pleat::plan::plan p;
  p.global_batch = 8;
  p.deterministic = true;
  p.micro_batches = static_cast<index_t>(cuts.size());
  auto m = pleat::parallel::build(
      nn::sequential(nn::linear("a", 3, 4), nn::hard_concrete("g", 4, {.penalty = penalty, .start = 0.5})), p, w,
      {.seed = 1});
  m.zero_grad(8);
  for (auto const& micro : m.share().micro_batches()) {
    auto const x = pleat::tensor<float, space>::allocate(m.context(), {micro.rows.size(), 3});
    std::vector<float> const ones(static_cast<std::size_t>(x.size()), 1.0f),
        none(static_cast<std::size_t>(micro.rows.size() * 4), 0.0f);
    pleat::copy_from_host(m.context(), ones.data(), x);
    auto [y, saved] = m.forward(x);
    auto const dy = pleat::tensor<float, space>::allocate(m.context(), y.shape());
    pleat::copy_from_host(m.context(), none.data(), dy);
    m.backward(saved, dy);
  }
  m.reduce();
  std::vector<float> out(4);
  m.net().for_each_parameter([&](auto& x) {
    if (x.name == "g.log_alpha")
      pleat::copy_to_host(m.context(), pleat::tensor<float, space>::wrap(x.gradient(), x.shape), out.data());
  });
  return out;
}

TEST_CASE("hard_concrete: the penalty's gradient comes out once, however the batch is cut") {
  nn::hard_concrete<> const g("g", 4);
  double const open = g.open(0.5), expected = 0.25 * open * (1 - open);
  for (auto const& cuts : {std::vector<index_t>{8}, std::vector<index_t>{4, 4}, std::vector<index_t>{2, 2, 2, 2}})
    // a dozen roundings of 2⁻²⁴
    for (float const x : penalty_gradient(0.25, cuts)) CHECK(std::abs(x - expected) < 1e-6 * expected + 1e-8);
  for (float const x : penalty_gradient(0, {8})) CHECK(x == 0);
}

TEST_CASE("hard_concrete: one draw per step for all samples; another step, another draw; inference is the middle") {
  pleat::context<space> c(pleat::make_instance<space>(1));
  nn::hard_concrete<> g("g", 64, {.start = 0.0});
  std::vector<float> alpha(64, 0.0f);
  g.for_each_parameter([&](auto& w) { w.values = alpha.data(); });
  if constexpr (!pleat::compute::is_host_space_v<space>) return;
  auto const run = [&](std::uint64_t step, bool training, index_t first) {
    nn::pass<space> p;
    p.where = &c;
    p.training = training;
    p.step = step;
    p.first_sample = first;
    auto const x = pleat::tensor<float, space>::allocate(c, {2, 64});
    std::vector<float> const ones(128, 1.0f);
    pleat::copy_from_host(c, ones.data(), x);
    std::vector<float> y(128);
    pleat::copy_to_host(c, g.forward(p, x).y, y.data());
    return y;
  };
  auto const a = run(3, true, 0), b = run(3, true, 6), other = run(4, true, 0), still = run(3, false, 0);
  CHECK(a == b);
  CHECK(a != other);
  int zero = 0, one = 0;
  for (std::size_t i = 0; i < 64; ++i) {
    CHECK(a[i] == a[64 + i]);
    CHECK((a[i] >= 0 && a[i] <= 1));
    zero += a[i] == 0, one += a[i] == 1;
    CHECK(std::abs(still[i] - 0.5f) < 1e-6f);
  }
  // with log α = 0 a sixth of the draws is closed, a sixth open: 64 draws, keyed, so this never varies
  CHECK(zero > 0);
  CHECK(one > 0);
}

TEST_CASE("hard_concrete: what makes no sense is refused in words") {
  CHECK_THROWS_MATCHES(nn::hard_concrete("g", 0), pleat::error,
                       MessageMatches(ContainsSubstring("expected at least one feature, found 0")));
  CHECK_THROWS_MATCHES(nn::hard_concrete("g", 2, {.penalty = -1}), pleat::error,
                       MessageMatches(ContainsSubstring("penalty must not be negative")));
  CHECK_THROWS_MATCHES(nn::hard_concrete("g", 2).shape({3, 5}), pleat::error,
                       MessageMatches(ContainsSubstring("expected 2 features, found an input of shape")));
}

}  // namespace
