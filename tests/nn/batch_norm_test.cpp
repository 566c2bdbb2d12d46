// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cmath>
#include <limits>
#include <thread>

#include <pleat/comm/local.hpp>
#include <pleat/nn/batch_norm.hpp>
#include <pleat/nn/check_gradients.hpp>
#include <pleat/nn/optimizer.hpp>

#include "nn/nn_support.hpp"

using namespace pleat;
using namespace pleat::test;
using Catch::Matchers::ContainsSubstring;

namespace {
/// Mean and biased variance per channel of samples [begin, end), in plain double.
std::pair<std::vector<double>, std::vector<double>> moments(std::vector<double> const& x, index_t channels,
                                                            index_t pixels, index_t begin, index_t end) {
  std::vector<double> mean(static_cast<std::size_t>(channels)), variance(mean);
  double const n = static_cast<double>((end - begin) * pixels);
  auto const each = [&](auto&& f) {
    for (index_t s = begin; s < end; ++s)
      for (index_t c = 0; c < channels; ++c)
        for (index_t p = 0; p < pixels; ++p)
          f(static_cast<std::size_t>(c), x[static_cast<std::size_t>((s * channels + c) * pixels + p)]);
  };
  each([&](std::size_t c, double v) { mean[c] += v / n; });
  each([&](std::size_t c, double v) { variance[c] += (v - mean[c]) * (v - mean[c]) / n; });
  return {mean, variance};
}
}  // namespace

TEST_CASE("batch norm's gradients are its derivatives, over images and over rows") {
  nn::demand_correct_gradients(nn::batch_norm<double>("bn", 3), {4, 3, 3, 2}, {.elements = 0, .tolerance = 1e-8});
  nn::demand_correct_gradients(nn::batch_norm<double>("bn", 4, {.statistics = nn::statistics::rank}), {9, 4},
                               {.elements = 0, .tolerance = 1e-8});
}

TEST_CASE("every lane is normalised by its own statistics") {
  context<space> c{make_instance<space>(2)};
  index_t const m = 10, k = 3, pixels = 4;
  trained t(c, nn::batch_norm<double>("bn", k));
  t.set("bn.weight", {2, -1, 0.5});
  t.set("bn.bias", {0.1, 0.2, 0.3});
  auto const x = random_tensor<double>(c, {m, k, 2, 2}, 1);
  auto const s = cut(m, 4);
  auto out = nn::call(t.pass({&s, 1}, m), t.net, x);
  auto const y = to_host(c, out.y), in = to_host(c, x);
  std::vector<double> const weight{2, -1, 0.5}, bias{0.1, 0.2, 0.3};
  for (int l = 0; l < 4; ++l) {
    auto const [mean, variance] = moments(in, k, pixels, s.lanes.begin(l), s.lanes.end(l));
    for (index_t i = s.lanes.begin(l) * k * pixels; i < s.lanes.end(l) * k * pixels; ++i) {
      auto const ch = static_cast<std::size_t>(i / pixels % k), e = static_cast<std::size_t>(i);
      CHECK(std::abs(y[e] - ((in[e] - mean[ch]) / std::sqrt(variance[ch] + 1e-5) * weight[ch] + bias[ch])) < 1e-13);
    }
  }
}

TEST_CASE("running statistics take in the batch's mean and unbiased variance, weighted by samples") {
  context<space> c{make_instance<space>(2)};
  index_t const m = 10, k = 3, pixels = 4;
  trained t(c, nn::batch_norm<double>("bn", k, {.momentum = 0.25}));
  auto const x = random_tensor<double>(c, {m, k, 2, 2}, 1);
  auto const s = cut(m, 4);
  auto const p = t.pass({&s, 1}, m);
  t.begin();
  auto out = nn::call(p, t.net, x);
  (void)nn::call_backward(p, t.net, out.saved, x);
  nn::optimizer_state<double, space> o(c, t.memory, nn::sgd{});
  o.apply(c, t.memory);
  std::vector<double> mean(3), variance(3);
  for (int l = 0; l < 4; ++l) {
    auto const [mu, v] = moments(to_host(c, x), k, pixels, s.lanes.begin(l), s.lanes.end(l));
    double const rows = static_cast<double>(s.lanes.end(l) - s.lanes.begin(l)), n = rows * pixels;
    for (std::size_t i = 0; i < 3; ++i) {
      mean[i] += rows / m * mu[i];
      variance[i] += rows / m * v[i] * n / (n - 1);
    }
  }
  auto const rm = t.value("bn.running_mean"), rv = t.value("bn.running_var");
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(std::abs(rm[i] - 0.25 * mean[i]) < 1e-14);
    CHECK(std::abs(rv[i] - (0.75 + 0.25 * variance[i])) < 1e-14);
  }
  // inference takes them
  auto const y = to_host(c, nn::call(t.pass({}, m, false), t.net, x).y), in = to_host(c, x), w = t.value("bn.weight"),
             b = t.value("bn.bias");
  for (std::size_t e = 0; e < y.size(); ++e) {
    std::size_t const ch = e / 4 % 3;
    CHECK(std::abs(y[e] - ((in[e] - rm[ch]) / std::sqrt(rv[ch] + 1e-5) * w[ch] + b[ch])) < 1e-13);
  }
}

TEST_CASE("a batch norm's epsilon and momentum are refused where they make no sense") {
  double const nan = std::numeric_limits<double>::quiet_NaN();
  for (auto const& o : {nn::batch_norm_options{.epsilon = -1e-5},
                        {.epsilon = nan},
                        {.epsilon = std::numeric_limits<double>::infinity()},
                        {.momentum = 1.5},
                        {.momentum = -0.1},
                        {.momentum = nan}})
    CHECK_THROWS_WITH(
        nn::batch_norm("bn", 3, o),
        ContainsSubstring("nn::batch_norm 'bn': expected a finite epsilon of at least 0 and a momentum of 0 to 1"));
}

TEST_CASE("deterministic mode refuses statistics that change with the ranks") {
  context<space> c{make_instance<space>(1)};
  trained t(c, nn::batch_norm("bn", 3, {.statistics = nn::statistics::rank})), u(c, nn::batch_norm("bn", 3)),
      v(c, nn::batch_norm("bn", 3, {.statistics = nn::statistics::global}));
  auto const x = random_tensor<float>(c, {4, 3}, 1);
  auto s = whole(4);
  auto p = t.pass({&s, 1}, 4);
  CHECK_NOTHROW(nn::call(p, t.net, x));
  p.deterministic = true;
  CHECK_THROWS_WITH(nn::call(p, t.net, x), ContainsSubstring("'bn'") && ContainsSubstring("rank"));
  CHECK_NOTHROW(nn::call(p, u.net, x));
  s.lanes.accumulate = true;
  CHECK_THROWS_WITH(nn::call(p, u.net, x), ContainsSubstring("'bn'") && ContainsSubstring("inside a lane"));
  s.lanes.accumulate = false;
  CHECK_THROWS_WITH(nn::call(p, v.net, x), ContainsSubstring("'bn'") && ContainsSubstring("communicator"));
  s = whole(3);
  p.deterministic = false;
  CHECK_THROWS_WITH(nn::call(p, u.net, x), ContainsSubstring("cover 3 rows") && ContainsSubstring("has 4"));
  CHECK_THROWS_WITH(u.net.shape({4, 2}), ContainsSubstring("'bn'") && ContainsSubstring("[4, 2]"));
}

namespace {
struct shared_run {
  std::vector<float> y, dx, gradients;
};
/// Global statistics over that many threads, which share 12 samples in 4 lanes.
shared_run run_global(int ranks) {
  index_t const m = 12, k = 3;
  shared_run all;
  std::vector<shared_run> each(static_cast<std::size_t>(ranks));
  comm::run_local(ranks, [&](comm::communicator who) {
    context<space> c{make_instance<space>(1)};
    trained t(c, nn::batch_norm("bn", k, {.statistics = nn::statistics::global}), 1);
    auto const x = random_tensor<float>(c, {m, k, 2, 2}, 1), dy = random_tensor<float>(c, {m, k, 2, 2}, 2);
    int const lanes = 4 / ranks;
    index_t const rows = m / ranks, begin = who.rank() * rows;
    auto const s = cut(rows, lanes);
    auto p = t.pass({&s, 1}, m);
    p.deterministic = true;
    p.ranks = &who;
    t.begin();
    auto out = nn::call(p, t.net, x.rows(begin, begin + rows));
    auto& r = each[static_cast<std::size_t>(who.rank())];
    r.y = to_host(c, out.y);
    r.dx = to_host(c, nn::call_backward(p, t.net, out.saved, dy.rows(begin, begin + rows)));
    r.gradients = t.gradients();
  });
  for (auto const& r : each) {
    all.y.insert(all.y.end(), r.y.begin(), r.y.end());
    all.dx.insert(all.dx.end(), r.dx.begin(), r.dx.end());
  }
  for (std::size_t s = 1; s < each.size(); s *= 2)
    for (std::size_t l = 0; l + s < each.size(); l += 2 * s)
      for (std::size_t i = 0; i < each[l].gradients.size(); ++i)
        each[l].gradients[i] = each[l].gradients[i] + each[l + s].gradients[i];
  all.gradients = each[0].gradients;
  return all;
}
}  // namespace

TEST_CASE("global statistics give the same bits on one, two and four ranks") {
  auto const one = run_global(1);
  for (int const ranks : {2, 4}) {
    auto const many = run_global(ranks);
    CHECK(same_bits(one.y, many.y));
    CHECK(same_bits(one.dx, many.dx));
    CHECK(same_bits(one.gradients, many.gradients));
  }
}

TEST_CASE("global statistics on one rank are those of the whole batch") {
  context<space> c{make_instance<space>(1)};
  index_t const m = 12, k = 3;
  trained t(c, nn::batch_norm("bn", k));
  auto const x = random_tensor<float>(c, {m, k, 2, 2}, 1), dy = random_tensor<float>(c, {m, k, 2, 2}, 2);
  auto const s = whole(m);
  auto const p = t.pass({&s, 1}, m);
  t.begin();
  auto out = nn::call(p, t.net, x);
  auto const y = to_host(c, out.y), dx = to_host(c, nn::call_backward(p, t.net, out.saved, dy)), g = t.gradients();
  auto const global = run_global(1);
  for (std::size_t i = 0; i < y.size(); ++i) {
    CHECK(std::abs(y[i] - global.y[i]) < 4e-6);  // sums of 48 numbers below one in another order, times 1/deviation ≈ 2
    CHECK(std::abs(dx[i] - global.dx[i]) < 2e-5);
  }
  for (std::size_t i = 0; i < g.size(); ++i) CHECK(std::abs(g[i] - global.gradients[i]) < 2e-5);
}

TEST_CASE("a norm that was folded hands on whatever comes, and has no parameters") {
  nn::batch_norm<> norm("bn", 8);
  norm.set_identity(true);
  CHECK(norm.shape({2, 5, 3, 3}) == extents{2, 5, 3, 3});  // of its eight channels three have gone since
  int parameters = 0;
  norm.for_each_parameter([&](auto&) { ++parameters; });
  CHECK(parameters == 0);
  norm.set_identity(false);
  CHECK_THROWS_AS(norm.shape({2, 5, 3, 3}), pleat::error);
}
