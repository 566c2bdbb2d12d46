// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compress/layer_report.hpp>

#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/compress/pipeline.hpp>
#include <pleat/compress/prune.hpp>
#include <pleat/compress/quantize.hpp>
#include <pleat/nn/conv2d.hpp>
#include <pleat/nn/flatten.hpp>
#include <pleat/nn/repeat.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <compress/compress_support.hpp>

#include <algorithm>
#include <cmath>
#include <sstream>

namespace {

using namespace compress_test;
namespace compress = pleat::compress;
using int8 = pleat::codec::int8<float>;
using Catch::Matchers::ContainsSubstring;

TEST_CASE("layers of a dense network: a multiply-add per weight, all of them effective") {
  auto w = alone();
  auto const list = compress::layers_of(build(w), extents{20});
  REQUIRE(list.rows().size() == 3);
  CHECK(list.rows()[0].name == "fc1.weight");
  CHECK(list.rows()[0].form == "dense");
  CHECK((list.rows()[2].shape == extents{4, 12}));
  auto const all = list.total();
  CHECK(all.parameters == weights);
  CHECK(all.bytes == 4 * weights);
  CHECK(all.multiply_adds == weights);
  CHECK(all.effective_multiply_adds == static_cast<double>(all.nonzeros));
  double const expected = 1e-6 * (4 * 160.0 + 4.6) * weights;  // each weight comes once from DRAM and is used once
  CHECK(std::abs(list.energy_uj() - expected) < 1e-12 * expected);  // a few roundings of doubles
}

TEST_CASE("layers of a smaller network: what was pruned is not effective, integers cost less") {
  auto w = alone();
  auto const small = build(w) | (compress::prune{.sparsity = 0.75, .scope = compress::scope::layer} | compress::quantize<int8>{.ignore = {"fc3.*"}});
  auto const list = compress::layers_of(small, extents{20});
  for (auto const& r : list.rows()) {
    CHECK(r.nonzeros == r.parameters / 4);
    CHECK(r.effective_multiply_adds == static_cast<double>(r.parameters) / 4);
    CHECK(r.multiply_adds == static_cast<double>(r.parameters));
    CHECK(r.integer == (r.name != "fc3.weight"));
    CHECK(r.form == (r.name == "fc3.weight" ? "masked" : "int8"));
  }
  auto const& fc1 = list.rows()[0];
  CHECK(fc1.bytes == 16 * 20 / 8 + 80 + 4 * 16);  // a bit for each, the survivors' codes, a scale per row
  CHECK(std::abs(fc1.energy_uj() - 1e-6 * (184 * 160.0 + 80 * 0.3)) < 1e-15);
  CHECK(fc1.energy_uj({.float_multiply_add = 0, .int8_multiply_add = 0, .dram_byte = 0}) == 0);

  std::ostringstream out;
  list.print(out);
  std::istringstream lines(out.str());
  std::size_t width = 0, count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    if (count == 0) width = line.size();
    CHECK(line.size() == width);
  }
  CHECK(count == 5);
  CHECK_THAT(out.str(), ContainsSubstring("fc1.weight") && ContainsSubstring("25.00 %") && ContainsSubstring("all"));
  CHECK_THAT(list.json(), ContainsSubstring(R"({"name": "fc2.weight", "form": "int8", "parameters": 192, "nonzeros": 48, )"));
  CHECK(compress::layer_list{}.json() == "[]");
}

TEST_CASE("layers: kernels work at every place of the image, repeated layers are told apart") {
  auto w = alone();
  auto const net = pleat::nn::sequential(pleat::nn::conv2d("conv", 1, 2, 3), pleat::nn::flatten(), pleat::nn::repeat("block", 2, pleat::nn::sequential(pleat::nn::linear("fc", 32, 32), pleat::nn::relu())));
  pleat::plan::plan p;
  p.global_batch = 8;
  auto const list = compress::layers_of(pleat::parallel::build(net, p, w), extents{1, 6, 6});
  REQUIRE(list.rows().size() == 3);
  CHECK(list.rows()[0].multiply_adds == 4 * 4 * 2 * 9);  // 4 x 4 places, 2 channels, 3 x 3 pixels
  CHECK(list.rows()[1].multiply_adds == 32 * 32);
  CHECK(list.rows()[2].multiply_adds == 32 * 32);
  CHECK(list.rows()[1].name != list.rows()[2].name);
}

}  // namespace
