// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compress/report.hpp>

#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/compress/prune.hpp>
#include <pleat/compress/quantize.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <compress/compress_support.hpp>
#include <compress/mesh_support.hpp>
#include <support/scratch_folder.hpp>

#include <sstream>

namespace {

using namespace compress_test;
namespace compress = pleat::compress;
using int8 = pleat::codec::int8<float>;
using Catch::Matchers::ContainsSubstring;

TEST_CASE("a stage is what was measured on the written file and on the data") {
  auto w = alone();
  auto const model = build(w);
  auto const test = data(50);
  pleat_test::scratch_folder const f;
  auto const path = f / "model.safetensors";
  auto const small = model | compress::prune{.sparsity = 0.9} | compress::quantize<int8>{};
  auto const s = compress::measure("small", small, test, {.path = path, .repeats = 3});
  CHECK(s.name == "small");
  CHECK(s.parameters == parameters);
  index_t alive = 0;
  for (auto const& p : values_of(small)) alive += static_cast<index_t>(p.values.size()) - zeros(p.values);
  CHECK(s.nonzeros == alive);
  CHECK(s.bytes == static_cast<index_t>(std::filesystem::file_size(path)));
  CHECK(s.bytes == static_cast<index_t>(pleat::run::file_image(small).size()));
  CHECK(s.test_error == pleat::run::evaluate(small, test).error());
  CHECK(s.latency_us > 0);
  CHECK(std::isnan(s.latency_64_us));  // there are 50 samples
  auto const of_64 = compress::measure("small", small, data(64), {.repeats = 3});
  CHECK(of_64.latency_64_us > 0);
  REQUIRE(of_64.layers.size() == 3);
  for (auto const& r : of_64.layers) CHECK(r.latency_64_us > 0);
  REQUIRE(s.layers.size() == 3);
  auto untimed = s.layers;
  for (auto& r : untimed) {
    CHECK((r.latency_us > 0 && std::isnan(r.latency_64_us)));
    r.latency_us = r.latency_64_us;
  }
  CHECK(compress::layer_list(untimed).json() == compress::layers_of(small, extents{20}).json());
  std::ostringstream table;
  compress::layer_list(s.layers).print(table);
  CHECK_THAT(table.str(), ContainsSubstring("latency, us"));
  CHECK_THAT(compress::layer_list(s.layers).json(), ContainsSubstring("\"latency_64_us\": null"));
  auto loaded = build(w, 99) | (compress::prune{.sparsity = 0.1} | compress::quantize<int8>{});
  (void)pleat::run::load(loaded, path);  // the file that was measured is the model that was measured
  CHECK((pleat::run::file_image(loaded) == pleat::run::file_image(small)));
  CHECK(pleat::run::evaluate(loaded, test).errors == pleat::run::evaluate(small, test).errors);
}

TEST_CASE("without a path nothing is left behind, and the report prints before and after") {
  auto w = alone();
  auto const model = build(w);
  auto const test = data(30);
  auto const count = [] {
    index_t n = 0;
    for (auto const& f : std::filesystem::directory_iterator(std::filesystem::temp_directory_path()))
      n += f.path().filename().string().starts_with("pleat-" + std::to_string(::getpid()) + "-");
    return n;
  };
  std::ostringstream out;
  auto const before = count();  // what another process of that number has left
  auto const list = compress::report(model, model | compress::prune{.sparsity = 0.9}, test, out);
  CHECK(count() == before);
  REQUIRE(list.stages().size() == 2);
  CHECK(list.stages()[1].bytes < list.stages()[0].bytes);
  CHECK_THAT(out.str(), ContainsSubstring("before") && ContainsSubstring("after"));
}

TEST_CASE("a pipeline records its stages; all ranks hold the same list and only rank 0 prints") {
  std::vector<std::string> json(2), printed(2), ledgers(2), wrong(2);  // wrong: assertions are for one thread
  pleat::comm::run_local(2, [&](pleat::comm::communicator c) {
    auto const rank = static_cast<std::size_t>(c.rank());
    pleat::world w(std::move(c), 1);
    auto const test = data(31);
    auto const model = build(w);
    compress::stage_list stages;
    stages.add(compress::measure("dense", model, test, {.repeats = 2}));
    compress::error_ledger errors;
    auto const small = model | (compress::prune{.sparsity = 0.9} | compress::quantize<int8>{})
                                   .recorded(compress::record_stages(stages, test, {.repeats = 2}))
                                   .recorded(compress::record_errors(errors));
    json[rank] = stages.json();
    ledgers[rank] = errors.json();
    if (stages.errors().json() != ledgers[rank]) wrong[rank] += "other errors; ";
    if (!errors.holds() || errors.stages().size() != 2) wrong[rank] += "the ledger; ";
    if (!stages.stages()[0].errors.empty() || stages.stages()[2].errors.size() != 3)
      wrong[rank] += "errors of stages; ";
    auto const last = compress::relative_error_of(stages.stages()[2].errors);
    // nine of ten weights are gone
    if (!(last.measured > 0.1 && last.measured < 1 && last.bound >= last.measured))
      wrong[rank] += "the relative error; ";
    std::ostringstream out;
    (void)compress::report(model, small, test, out);
    printed[rank] = out.str();
  });
  CHECK(wrong == std::vector<std::string>(2));
  CHECK(json[0] == json[1]);
  CHECK_THAT(json[0], ContainsSubstring("\"dense\"") && ContainsSubstring("\"prune 0.9\"") &&
                          ContainsSubstring("\"quantize int8\""));
  CHECK_THAT(json[0], ContainsSubstring("\"errors\": [") && ContainsSubstring("\"kind\": \"bounded\""));
  CHECK(ledgers[0] == ledgers[1]);
  CHECK_FALSE(printed[0].empty());
  CHECK(printed[1].empty());
}

TEST_CASE("a model that is cut, in stages or sharded is measured as the whole") {
  auto const test = data(70);
  auto const small_of = [](auto const& m) {
    return m | (compress::prune{.sparsity = 0.6, .on_note = [](std::string_view) {}} |
                compress::quantize<int8>{.ignore = {"fc3.*"}, .on_note = [](std::string_view) {}});
  };
  auto w1 = alone();
  auto const small = small_of(build(w1));
  auto const one = compress::measure("one", small, test, {.repeats = 2});
  for (mesh const& l : {mesh{1, 2}, {1, 3}, {1, 1, 2}, {2, 2}, {1, 2, 2}, {2, 1, 1, 3}}) {
    CAPTURE(l.data, l.tensor, l.stages, l.state);
    std::vector<compress::stage> got(static_cast<std::size_t>(l.ranks()));
    pleat::comm::run_local(l.ranks(), [&](pleat::comm::communicator c) {
      auto const rank = static_cast<std::size_t>(c.rank());
      pleat::world w(std::move(c), 1);
      w.set_sink({});
      w.comm.set_timeout(60);
      got[rank] = compress::measure("one", small_of(build_on(w, l)), test, {.repeats = 2});
    });
    // int8 has a bit for each element, in whole bytes a part, and every part of fc2 (cut by columns) has the scales of
    // all twelve rows.
    index_t more[] = {-16 * 20 / 8, -12 * 16 / 8 + (l.tensor - 1) * 12 * 4, 0};
    for (int t = 0; t < l.tensor; ++t) {
      index_t const share = pleat::block_range(16, l.tensor, t).size();
      more[0] += (share * 20 + 7) / 8;
      more[1] += (12 * share + 7) / 8;
    }
    for (auto const& s : got) {
      CHECK(s.parameters == one.parameters);
      CHECK(s.nonzeros == one.nonzeros);
      CHECK(s.bytes == one.bytes);
      CHECK(s.latency_us > 0);
      CHECK(s.latency_64_us > 0);
      // int8 quantizes each rank's part of fc2's inputs by itself; answers of a fresh network are near each other
      if (l.tensor == 1) CHECK(s.test_error == one.test_error);
      REQUIRE(s.layers.size() == one.layers.size());
      for (std::size_t i = 0; i < s.layers.size(); ++i) {
        CHECK(s.layers[i].name == one.layers[i].name);
        CHECK(s.layers[i].form == one.layers[i].form);
        CHECK(s.layers[i].parameters == one.layers[i].parameters);
        CHECK(s.layers[i].nonzeros == one.layers[i].nonzeros);
        CHECK(s.layers[i].multiply_adds == one.layers[i].multiply_adds);
        CHECK(s.layers[i].effective_multiply_adds == one.layers[i].effective_multiply_adds);
        CHECK(s.layers[i].bytes == one.layers[i].bytes + more[i]);
      }
      CHECK(s.latency_us == got[0].latency_us);
    }
  }
}

}  // namespace
