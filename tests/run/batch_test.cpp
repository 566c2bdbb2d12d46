// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/run/batch.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <vector>

#include "digits.hpp"

namespace pl = pleat;
using Catch::Matchers::ContainsSubstring;
using space = Kokkos::DefaultExecutionSpace;

TEST_CASE("a batch holds the asked samples in the asked order, in float and in double") {
  auto const data = test_digits().train;
  pl::context<space> where(pl::make_instance<space>(1));
  std::vector<pl::index_t> const samples{5, 3, 5, 1000, 0};
  pl::run::batch_loader<float, space> floats(data);
  pl::run::batch_loader<double, space> doubles(data);
  auto const f = floats.load(where, samples);
  auto const d = doubles.load(where, samples);
  CHECK(f.x.shape() == pl::extents{5, 1, 8, 8});
  CHECK(f.x.shape() == pl::run::batch_shape(data, 5));
  std::vector<float> x(static_cast<std::size_t>(f.x.size()));
  std::vector<double> y(x.size());
  std::vector<std::int32_t> labels(5);
  pl::copy_to_host(where, f.x, x.data());
  pl::copy_to_host(where, d.x, y.data());
  pl::copy_to_host(where, f.labels, labels.data());
  for (std::size_t r = 0; r < samples.size(); ++r) {
    auto const s = static_cast<std::size_t>(samples[r]);
    CHECK(labels[r] == data.labels[s]);
    for (std::size_t i = 0; i < 64; ++i) {
      REQUIRE(x[64 * r + i] == (static_cast<float>(data.pixels[64 * s + i]) - data.mean) * data.scale);
      REQUIRE(y[64 * r + i] == static_cast<double>(x[64 * r + i]));
    }
  }
  CHECK(floats.load(where, {}).x.shape() == pl::extents{0, 1, 8, 8});
}

TEST_CASE("samples of so many extents that a batch has one too many are refused") {
  pl::io::dataset data;
  data.name = "volumes";
  data.sample = pl::extents{1, 1, 1, 1, 2};
  CHECK(pl::run::batch_shape(data, 3) == pl::extents{3, 1, 1, 1, 1, 2});
  data.sample = pl::extents{1, 1, 1, 1, 1, 2};
  CHECK_THROWS_WITH(pl::run::batch_shape(data, 3), ContainsSubstring("a sample of 'volumes' has 6 extents"));
}

TEST_CASE("tokens reach a network of half as their bits, not as numbers that it cannot count to") {
  pl::context<space> where(pl::make_instance<space>(1));
  pl::io::token_dataset text{"text", 5000, 2, 1, {1, 4097, 300, 2}};
  auto const data = pl::io::windows_of(text);
  REQUIRE(data.size == 2);
  pl::run::batch_loader<pl::bfloat16, space> loader(data);
  auto const b = loader.load(where, std::vector<pl::index_t>{1, 0});
  CHECK((b.x.shape() == pl::extents{2, 2} && b.labels.shape() == pl::extents{2, 2}));
  std::vector<pl::bfloat16> x(4);
  std::vector<std::int32_t> y(4);
  pl::copy_to_host(where, b.x, x.data());
  pl::copy_to_host(where, b.labels, y.data());
  std::vector<pl::index_t> tokens;
  for (auto const t : x) tokens.push_back(pl::token_index(t));
  CHECK(tokens == std::vector<pl::index_t>{4097, 300, 1, 4097});
  CHECK(y == std::vector<std::int32_t>{300, 2, 4097, 300});
}
