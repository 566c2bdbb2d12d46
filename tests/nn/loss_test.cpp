// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cmath>

#include <pleat/nn/loss.hpp>

#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include "nn/nn_support.hpp"

using namespace pleat;
using namespace pleat::test;
using Catch::Matchers::ContainsSubstring;

namespace {
nn::pass<space> pass_of(context<space>& c, index_t batch) {
  nn::pass<space> p;
  p.where = &c;
  p.training = true;
  p.global_batch = batch;
  return p;
}
}  // namespace

TEST_CASE("cross entropy is minus the logarithm of the label's probability, divided by the global batch") {
  context<space> c{make_instance<space>(2)};
  index_t const m = 6, k = 5;
  auto const y = random_tensor<double>(c, {m, k}, 1);
  std::vector<std::int32_t> const labels{0, 4, 2, 2, 1, 3};
  auto const r = nn::cross_entropy{}(pass_of(c, 8), y, from_host(c, labels, {m}));
  auto const x = to_host(c, y), loss = to_host(c, r.rows), dy = to_host(c, r.dy);
  for (std::size_t i = 0; i < 6; ++i) {
    double total = 0;
    for (std::size_t j = 0; j < 5; ++j) total += std::exp(x[i * 5 + j]);
    // sums of five exponentials below e: a few ulp of values below 16
    CHECK(std::abs(loss[i] - (std::log(total) - x[i * 5 + static_cast<std::size_t>(labels[i])]) / 8) < 1e-15);
    for (std::size_t j = 0; j < 5; ++j)
      CHECK(std::abs(dy[i * 5 + j] -
                     (std::exp(x[i * 5 + j]) / total - (static_cast<std::size_t>(labels[i]) == j ? 1 : 0)) / 8) <
            1e-15);
  }
}

TEST_CASE("mean square is the mean over samples and elements") {
  context<space> c{make_instance<space>(2)};
  auto const y = random_tensor<double>(c, {3, 2, 2}, 1), t = random_tensor<double>(c, {3, 2, 2}, 2);
  auto const r = nn::mean_square{}(pass_of(c, 6), y, t);
  auto const a = to_host(c, y), b = to_host(c, t), loss = to_host(c, r.rows), dy = to_host(c, r.dy);
  for (std::size_t i = 0; i < 3; ++i) {
    double sum = 0;
    for (std::size_t j = i * 4; j < i * 4 + 4; ++j) {
      sum += (a[j] - b[j]) * (a[j] - b[j]) / 24;
      CHECK(std::abs(dy[j] - (a[j] - b[j]) / 12) < 1e-15);
    }
    CHECK(std::abs(loss[i] - sum) < 1e-15);
  }
  CHECK(r.dy.shape() == y.shape());
}

TEST_CASE("the gradient is written over scores that nobody else holds") {
  context<space> c{make_instance<space>(1)};
  auto const labels = from_host<std::int32_t>(c, {1, 0}, {2});
  auto y = random_tensor<float>(c, {2, 3}, 1);
  auto const at = y.data();
  auto const apart = nn::cross_entropy{}(pass_of(c, 2), y, labels);
  CHECK(apart.dy.data() != at);
  auto const over = nn::cross_entropy{}(pass_of(c, 2), std::move(y), labels);
  CHECK(over.dy.data() == at);
  CHECK(same_bits(to_host(c, apart.dy), to_host(c, over.dy)));
}

TEST_CASE("a label that is no class is an error that names label, sample and classes") {
  context<space> c{make_instance<space>(1)};
  auto p = pass_of(c, 100);
  p.first_sample = 40;
  auto const y = random_tensor<float>(c, {3, 10}, 1);
  CHECK_THROWS_WITH(nn::cross_entropy{}(p, y, from_host<std::int32_t>(c, {1, 10, 11}, {3})),
                    ContainsSubstring("sample 41") && ContainsSubstring("is 10") && ContainsSubstring("10 classes"));
  CHECK_NOTHROW(nn::cross_entropy{}(p, y, from_host<std::int32_t>(c, {1, -1, 9}, {3})));
  CHECK_THROWS_WITH((nn::cross_entropy{.skip_negative = false}(p, y, from_host<std::int32_t>(c, {1, 2, -7}, {3}))),
                    ContainsSubstring("sample 42") && ContainsSubstring("is -7"));
  CHECK_THROWS_WITH(nn::cross_entropy{}(p, y, from_host<std::int32_t>(c, {1, 2}, {2})),
                    ContainsSubstring("[3, 10]") && ContainsSubstring("[2]"));
}

TEST_CASE("a rank without samples has a loss without rows") {
  context<space> c{make_instance<space>(1)};
  auto const r = nn::cross_entropy{}(pass_of(c, 4), tensor<float, space>::allocate(c, {0, 10}),
                                     tensor<std::int32_t, space>::allocate(c, {0}));
  CHECK(r.rows.size() == 0);
  CHECK(r.dy.shape() == extents{0, 10});
}

TEST_CASE("lane sums have the same bits however the lanes are spread over passes") {
  context<space> c{make_instance<space>(2)};
  index_t const m = 37;
  auto const rows = random_tensor<float>(c, {m}, 1);
  auto slots = tensor<float, space>::allocate(c, {8});
  auto p = pass_of(c, m);
  nn::segment const all = cut(m, 8);
  p.segments = {&all, 1};
  nn::lane_sums(p, rows, slots.data(), 1);
  float const together = to_host(c, slots)[0];
  for (int l = 0; l < 8; ++l) {
    index_t const begin = m * l / 8, end = m * (l + 1) / 8, middle = (begin + end) / 2;
    for (auto const& [a, b] : {std::pair{begin, middle}, std::pair{middle, end}}) {  // cut the lane once more
      nn::segment s = whole(b - a, a != begin);
      s.slot = l;
      p.segments = {&s, 1};
      nn::lane_sums(p, rows.rows(a, b), slots.data(), 1);
    }
  }
  auto const v = to_host(c, slots);
  CHECK(together == ((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7])));
}

TEST_CASE("cross entropy over positions is that over rows, and a sample's loss the mean of its positions'") {
  context<space> c{make_instance<space>(1)};
  index_t const m = 3, positions = 40, classes = 7;
  auto const scores = numbers<float>(m * positions * classes, 9);
  std::vector<std::int32_t> labels;
  for (index_t i = 0; i < m * positions; ++i)
    labels.push_back(static_cast<std::int32_t>(i % 13 == 5 ? -1 : i % classes));
  nn::pass<space> p;
  p.where = &c;
  p.global_batch = 5;
  auto const by_position =
      nn::cross_entropy{}(p, from_host(c, scores, {m, positions, classes}), from_host(c, labels, {m, positions}));
  p.global_batch = 5 * positions;
  auto const by_row =
      nn::cross_entropy{}(p, from_host(c, scores, {m * positions, classes}), from_host(c, labels, {m * positions}));
  CHECK(by_position.dy.shape() == extents{m, positions, classes});
  CHECK(same_bits(to_host(c, by_position.dy), to_host(c, by_row.dy)));
  REQUIRE(by_position.rows.shape() == extents{m});
  auto const rows = to_host(c, by_row.rows), samples = to_host(c, by_position.rows);
  for (std::size_t i = 0; i < 3; ++i) {
    double sum = 0;
    for (std::size_t t = 0; t < 40; ++t) sum += rows[i * 40 + t];
    CHECK(std::abs(samples[i] - sum) <= 42 * 6e-8 * sum);  // forty additions of positive numbers and two scalings
  }
  labels[2 * 40 + 11] = 7;
  p.first_sample = 100;
  CHECK_THROWS_WITH(
      nn::cross_entropy{}(p, from_host(c, scores, {m, positions, classes}), from_host(c, labels, {m, positions})),
      Catch::Matchers::ContainsSubstring("position 11 of sample 102") &&
          Catch::Matchers::ContainsSubstring("7 classes"));
  CHECK_THROWS_WITH(nn::cross_entropy{}(p, from_host(c, scores, {m, positions, classes}),
                                        from_host(c, std::vector<std::int32_t>(3), {m})),
                    Catch::Matchers::ContainsSubstring("[3, 40, 7]"));
}
