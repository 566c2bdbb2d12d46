// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <pleat/nn/metrics.hpp>

#include "nn/nn_support.hpp"

using namespace pleat;
using namespace pleat::test;
using Catch::Matchers::ContainsSubstring;

TEST_CASE("answers are the first of the largest scores") {
  context<space> c{make_instance<space>(2)};
  auto const y = from_host<float>(c, {0, 2, 2, 5, 5, 5, -1, -2, -3, 0, 0, 1}, {4, 3});
  std::vector<std::int32_t> answers;
  nn::classify(c, y, answers);
  CHECK(answers == std::vector<std::int32_t>{1, 0, 0, 2});
  CHECK(nn::count_correct(c, y, from_host<std::int32_t>(c, {1, 0, 1, 2}, {4})) == 3);
  CHECK(nn::count_correct(c, y, from_host<std::int32_t>(c, {2, 1, -1, 7}, {4})) == 0);
  CHECK_THROWS_WITH(nn::count_correct(c, y, from_host<std::int32_t>(c, {1}, {1})),
                    ContainsSubstring("[4, 3]") && ContainsSubstring("[1]"));
}

TEST_CASE("accuracy gathers over batches of any size") {
  context<space> c{make_instance<space>(2)};
  index_t const m = 5000;  // more than one chunk of the reduction
  auto const scores = numbers<float>(m * 7, 1);
  std::vector<std::int32_t> labels(m);
  index_t right = 0;
  for (std::size_t i = 0; i < m; ++i) {
    labels[i] = static_cast<std::int32_t>(i % 7);
    right += std::max_element(scores.begin() + static_cast<std::ptrdiff_t>(i * 7),
                              scores.begin() + static_cast<std::ptrdiff_t>(i * 7 + 7)) -
                 scores.begin() - static_cast<std::ptrdiff_t>(i * 7) ==
             labels[i];
  }
  nn::accuracy a;
  CHECK(a.value() == 0);
  a.add(c, from_host(c, scores, {m, 7}), from_host(c, labels, {m}));
  CHECK(a.right == right);
  a.add(c, tensor<float, space>::allocate(c, {0, 7}), tensor<std::int32_t, space>::allocate(c, {0}));
  a.add(c, from_host<float>(c, {1, 0}, {1, 2}), from_host<std::int32_t>(c, {0}, {1}));
  CHECK(a.right == right + 1);
  CHECK(a.total == m + 1);
  CHECK(a.value() + a.error() == 1.0);
}

TEST_CASE("the confusion matrix counts labels against answers") {
  context<space> c{make_instance<space>(2)};
  nn::confusion_matrix<space> m(c, 3);
  auto const y = from_host<float>(c, {1, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 1}, {4, 3});
  m.add(y, from_host<std::int32_t>(c, {0, 0, 1, 2}, {4}));
  m.add(y, from_host<std::int32_t>(c, {2, -1, 9, 0}, {4}));
  CHECK(m.read() == std::vector<index_t>{1, 1, 1, 0, 1, 0, 1, 0, 1});
  CHECK_THROWS_WITH(m.add(from_host<float>(c, {1, 2}, {1, 2}), from_host<std::int32_t>(c, {0}, {1})),
                    ContainsSubstring("3 classes"));
}
