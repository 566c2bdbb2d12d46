// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compress/quantize.hpp>

#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/compress/fine_tune.hpp>
#include <pleat/compress/pipeline.hpp>
#include <pleat/compress/prune.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <compress/compress_support.hpp>

#include <limits>

namespace {

using namespace compress_test;
namespace compress = pleat::compress;
using int8 = pleat::codec::int8<float>;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

TEST_CASE("quantize changes every weight by at most half a step and nothing else") {
  auto w = alone();
  auto const model = build(w);
  auto const small = model | compress::quantize<int8>{};
  auto const before = values_of(model), after = values_of(small);
  for (std::size_t p = 0; p < before.size(); ++p) {
    if (!is_weight(before[p])) {
      CHECK(after[p].values == before[p].values);
      CHECK(after[p].form == "dense");
      continue;
    }
    CHECK(after[p].form == "int8");
    index_t const columns = before[p].shape[1];
    for (index_t r = 0; r < before[p].shape[0]; ++r) {
      float amax = 0;
      for (index_t j = 0; j < columns; ++j) amax = std::max(amax, std::abs(before[p].values[static_cast<std::size_t>(r * columns + j)]));
      // Half a step, and the rounding of scale·code to float (at most 127·scale·2⁻²⁴).
      double const bound = amax / 127.0 * (0.5 + 128 * 0x1p-24);
      for (index_t j = 0; j < columns; ++j) {
        auto const i = static_cast<std::size_t>(r * columns + j);
        CHECK(std::abs(static_cast<double>(after[p].values[i]) - before[p].values[i]) <= bound);
      }
    }
  }
  CHECK(small.arena().find("fc1.weight") == -1);  // no float memory is kept for it
  CHECK(small.arena().find("fc1.bias") >= 0);
  CHECK(values_of(model)[0].form == "dense");
}

TEST_CASE("what was pruned stays exactly zero through quantization, and stages or one pipeline give the same bytes") {
  auto w = alone();
  auto const model = build(w);
  auto const train = data(48);
  auto const staged = model | compress::prune{.sparsity = 0.9} | compress::fine_tune(train, quiet(1)) | compress::quantize<int8>{};
  auto const fused = model | (compress::prune{.sparsity = 0.9} | compress::fine_tune(train, quiet(1)) | compress::quantize<int8>{});
  static_assert(std::is_same_v<decltype(staged), decltype(fused)>);
  CHECK((pleat::run::file_image(staged) == pleat::run::file_image(fused)));
  auto const pruned = values_of(model | compress::prune{.sparsity = 0.9}), after = values_of(staged);
  for (std::size_t p = 0; p < pruned.size(); ++p)
    for (std::size_t i = 0; i < pruned[p].values.size(); ++i)
      if (is_weight(pruned[p]) && pruned[p].values[i] == 0) REQUIRE(after[p].values[i] == 0);
  CHECK(weight_zeros(staged) >= std::llround(0.9 * weights));
}

TEST_CASE("ignored weights keep their form, and the model still answers") {
  auto w = alone();
  auto const model = build(w);
  auto const small = model | compress::quantize<int8>{.ignore = {"fc3.*"}};
  CHECK(values_of(small)[4].form == "dense");
  CHECK(values_of(small)[4].values == values_of(model)[4].values);
  auto const test = data(32);
  CHECK(pleat::run::evaluate(small, test).samples == 32);
  CHECK_THROWS_MATCHES((model | compress::quantize<int8>{.ignore = {"*"}}), pleat::error, MessageMatches(ContainsSubstring("no weight is left")));
}

TEST_CASE("fine-tuning goes on around frozen int8 weights") {
  auto w = alone();
  auto const train = data(64);
  auto const small = build(w) | compress::quantize<int8>{};
  auto const tuned = small | compress::fine_tune(train, quiet(2));
  auto const before = values_of(small), after = values_of(tuned);
  for (std::size_t p = 0; p < before.size(); ++p)
    if (is_weight(before[p])) CHECK(after[p].values == before[p].values);
    else CHECK(after[p].values != before[p].values);
}

TEST_CASE("NaN is refused by the parameter's name, whatever the observer") {
  auto w = alone();
  auto model = build(w);
  auto values = values_of(model)[2].values;
  values[17] = std::numeric_limits<float>::quiet_NaN();
  set_values(model, "fc2.weight", values);
  CHECK_THROWS_MATCHES(model | compress::quantize<int8>{}, pleat::error, MessageMatches(ContainsSubstring("'fc2.weight': ") && ContainsSubstring("row 1, column 1")));
  CHECK_THROWS_MATCHES((model | compress::quantize<int8>{.observer = compress::percentile{99}}), pleat::error, MessageMatches(ContainsSubstring("'fc2.weight': ")));
}

TEST_CASE("a percentile is the nearest rank of the magnitudes") {
  std::vector<float> row;
  for (int i = 1; i <= 200; ++i) row.push_back(static_cast<float>(i % 2 ? i : -i));
  CHECK(compress::range_of(compress::min_max{}, row) == 200);
  CHECK(compress::range_of(compress::percentile{100}, row) == 200);
  CHECK(compress::range_of(compress::percentile{99.5}, row) == 199);
  CHECK(compress::range_of(compress::percentile{99.4}, row) == 199);
  CHECK(compress::range_of(compress::percentile{50}, row) == 100);
  CHECK(compress::range_of(compress::percentile{0.001}, row) == 1);
  CHECK(compress::range_of(compress::percentile{}, std::vector<float>{}) == 0);
  for (double const bad : {0.0, -1.0, 100.5, std::numeric_limits<double>::quiet_NaN()})
    CHECK_THROWS_AS(compress::range_of(compress::percentile{bad}, row), pleat::error);
}

TEST_CASE("the percentile observer clips outliers and refines the rest") {
  auto w = alone();
  auto model = build(w);
  auto values = values_of(model)[0].values;  // 16 rows of 20
  values[3] = 50;
  set_values(model, "fc1.weight", values);
  auto const fine = values_of(model | compress::quantize<int8>{.observer = compress::percentile{95}})[0].values;
  auto const coarse = values_of(model | compress::quantize<int8>{})[0].values;
  CHECK(coarse[3] == 50);
  CHECK(fine[3] < 1);
  double fine_error = 0, coarse_error = 0;
  for (std::size_t i = 0; i < 20; ++i)
    if (i != 3) fine_error += std::abs(fine[i] - values[i]), coarse_error += std::abs(coarse[i] - values[i]);
  CHECK(fine_error < coarse_error / 10);
}

}  // namespace
