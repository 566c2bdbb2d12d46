// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compress/layer_report.hpp>

#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/compress/low_rank.hpp>
#include <pleat/compress/pipeline.hpp>
#include <pleat/compress/prune.hpp>
#include <pleat/compress/quantize.hpp>
#include <pleat/compress/spatial_low_rank.hpp>
#include <pleat/nn/conv2d.hpp>
#include <pleat/nn/flatten.hpp>
#include <pleat/nn/repeat.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <compress/compress_support.hpp>

#include <algorithm>
#include <cmath>
#include <map>
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
  double const expected = 1e-6 * (4 * 160.0 + 4.6) * weights;       // each weight comes once from DRAM and is used once
  CHECK(std::abs(list.energy_uj() - expected) < 1e-12 * expected);  // a few roundings of doubles
}

TEST_CASE("layers of a smaller network: what was pruned is not effective, integers cost less") {
  auto w = alone();
  auto const small = build(w) | (compress::prune{.sparsity = 0.75, .scope = compress::scope::layer} |
                                 compress::quantize<int8>{.ignore = {"fc3.*"}});
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
  CHECK_THAT(list.json(),
             ContainsSubstring(R"({"name": "fc2.weight", "form": "int8", "parameters": 192, "nonzeros": 48, )"));
  CHECK(compress::layer_list{}.json() == "[]");
}

TEST_CASE("layers: kernels work at every place of the image, repeated layers are told apart") {
  auto w = alone();
  auto const net = pleat::nn::sequential(
      pleat::nn::conv2d("conv", 1, 2, 3), pleat::nn::flatten(),
      pleat::nn::repeat("block", 2, pleat::nn::sequential(pleat::nn::linear("fc", 32, 32), pleat::nn::relu())));
  pleat::plan::plan p;
  p.global_batch = 8;
  auto const list = compress::layers_of(pleat::parallel::build(net, p, w), extents{1, 6, 6});
  REQUIRE(list.rows().size() == 3);
  CHECK(list.rows()[0].multiply_adds == 4 * 4 * 2 * 9);  // 4 x 4 places, 2 channels, 3 x 3 pixels
  CHECK(list.rows()[1].multiply_adds == 32 * 32);
  CHECK(list.rows()[2].multiply_adds == 32 * 32);
  CHECK(list.rows()[1].name != list.rows()[2].name);
}

TEST_CASE("layers of factored weights: the multiply-adds of the thin products") {
  auto w = alone();
  auto const silent = [](std::string_view) {};
  auto const rows_of = [](compress::layer_list const& l) {
    std::map<std::string, compress::layer_row> by_name;
    for (auto const& r : l.rows()) by_name[r.name] = r;
    return by_name;
  };
  auto const model = build(w);
  auto r = rows_of(compress::layers_of(
      model | compress::low_rank{.rule = compress::by_rank{3}, .ignore = {"fc3.*"}, .on_note = silent}, extents{20}));
  CHECK(r["fc1.weight"].multiply_adds == 3 * (16 + 20));
  CHECK(r["fc1.weight"].effective_multiply_adds == 3 * (16 + 20));
  CHECK(r["fc1.weight"].parameters == 320);
  CHECK(r["fc2.weight"].multiply_adds == 3 * (12 + 16));
  CHECK(r["fc3.weight"].multiply_adds == 48);
  r = rows_of(compress::layers_of(
      model |
          compress::sparse_low_rank{
              .rule = compress::by_rank{2}, .sparse_share = 0.1, .ignore = {"fc2.*", "fc3.*"}, .on_note = silent},
      extents{20}));
  CHECK(r["fc1.weight"].multiply_adds == 2 * (16 + 20) + 32);

  // Convolutions: [6, 4, 3, 3] over 8 × 10 with padding makes 8 × 10; without, [5, 6, 3, 3] makes 6 × 8.
  auto const net = pleat::nn::sequential(pleat::nn::conv2d("a", 4, 6, 3, {.padding = 1}), pleat::nn::relu(),
                                         pleat::nn::conv2d("b", 6, 5, 3), pleat::nn::relu(),
                                         pleat::nn::conv2d("g", 5, 5, 3, {.groups = 5}), pleat::nn::flatten(),
                                         pleat::nn::linear("fc", 5 * 4 * 6, 4));
  pleat::plan::plan p;
  p.global_batch = 8;
  auto const image = pleat::parallel::build(net, p, w);
  extents const sample{4, 8, 10};
  r = rows_of(compress::layers_of(image, sample));
  CHECK(r["a.weight"].multiply_adds == 80 * 6 * 36);
  CHECK(r["b.weight"].multiply_adds == 48 * 5 * 54);
  CHECK(r["g.weight"].multiply_adds == 24 * 5 * 9);
  r = rows_of(compress::layers_of(
      image | compress::low_rank{.rule = compress::by_rank{2}, .ignore = {"g.*", "fc.*"}, .on_note = silent}, sample));
  CHECK(r["a.weight"].multiply_adds == 80 * 2 * (6 + 36));
  CHECK(r["b.weight"].multiply_adds == 48 * 2 * (5 + 54));
  r = rows_of(compress::layers_of(
      image | compress::spatial_low_rank{.rule = compress::by_rank{2}, .ignore = {"g.*"}, .on_note = silent}, sample));
  CHECK(r["a.weight"].multiply_adds == 8 * 10 * 2 * (4 * 3) + 80 * 2 * (6 * 3));
  CHECK(r["b.weight"].multiply_adds ==
        6 * 10 * 2 * (6 * 3) + 48 * 2 * (5 * 3));  // the first of the two works on all ten columns

  // Strides and dilations: the first of the two steps down the image alone. [6, 4, 3, 3] with strides 2, 3 and padding
  // 1 over 8 × 10 makes 4 × 4, [5, 6, 3, 2] with dilation 1, 2 makes 2 × 2.
  auto const steps = pleat::parallel::build(
      pleat::nn::sequential(pleat::nn::conv2d("s", 4, 6, 3, {.stride = {2, 3}, .padding = 1}), pleat::nn::relu(),
                            pleat::nn::conv2d("d", 6, 5, {3, 2}, {.dilation = {1, 2}}), pleat::nn::flatten(),
                            pleat::nn::linear("fc", 5 * 2 * 2, 4)),
      p, w);
  r = rows_of(compress::layers_of(steps, sample));
  CHECK(r["s.weight"].multiply_adds == 4 * 4 * 6 * 36);
  CHECK(r["d.weight"].multiply_adds == 2 * 2 * 5 * 36);
  auto const thin = steps | compress::spatial_low_rank{.rule = compress::by_rank{1}, .on_note = silent};
  r = rows_of(compress::layers_of(thin, sample));
  CHECK(r["s.weight"].multiply_adds == 4 * 10 * (4 * 3) + 4 * 4 * (6 * 3));
  CHECK(r["d.weight"].multiply_adds == 2 * 4 * (6 * 3) + 2 * 2 * (5 * 2));
}

}  // namespace
