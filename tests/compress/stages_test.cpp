// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compress/stages.hpp>

#include <pleat/io/detail/json.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <filesystem>
#include <limits>
#include <sstream>
#include <support/scratch_folder.hpp>

namespace {

using namespace pleat::compress;
using Catch::Matchers::ContainsSubstring;

stage_list example() {
  stage_list l;
  l.add({"dense", 0.0164, 266610, 266610, 1066840, 61.25});
  l.add({"prune 0.9", 0.5, 266610, 27033, 143000, 7});
  return l;
}

TEST_CASE("the table is aligned and compares with the first stage") {
  std::ostringstream out;
  example().print(out);
  std::istringstream lines(out.str());
  std::string head, rule, first, second, none;
  std::getline(lines, head), std::getline(lines, rule), std::getline(lines, first), std::getline(lines, second);
  CHECK_FALSE(std::getline(lines, none));
  CHECK((head.size() == rule.size() && first.size() == rule.size() && second.size() == rule.size()));
  CHECK_THAT(first, ContainsSubstring("1.64 %") && ContainsSubstring("1.07 MB") && ContainsSubstring("1.0x") &&
                        ContainsSubstring("61.2 us"));
  CHECK_THAT(second, ContainsSubstring("50.00 %") && ContainsSubstring("27033") && ContainsSubstring("143 kB") &&
                         ContainsSubstring("7.5x"));
}

TEST_CASE("errors of weights: two columns more, a list more in JSON, and the ledger back") {
  auto l = example();
  stage s = l.stages()[1];
  weight_error e;
  e.weight = "fc1.weight", e.form = "masked", e.kind = error_kind::bounded, e.norm = 8;
  e.predicted.max = e.predicted.frobenius = e.bound.max = e.bound.frobenius = 3;
  e.measured.max = e.measured.frobenius = e.total.max = e.total.frobenius = 2;
  s.errors = {e};
  CHECK(l.json().find("errors") == std::string::npos);
  l.add(s);
  std::ostringstream out;
  l.print(out);
  CHECK_THAT(out.str(), ContainsSubstring("off W by") && ContainsSubstring("25.00 %") && ContainsSubstring("37.50 %"));
  CHECK_THAT(l.json(), ContainsSubstring("\"errors\": " + error_ledger::weights_json({e}, 4) + "}"));
  CHECK((l.errors().stages().size() == 1 && l.errors().stages()[0].name == "prune 0.9" &&
         l.errors().find("fc1.weight")->bound.max == 3));
}

TEST_CASE("a stage that moved every weight on purpose says so, and claims no error of nought") {
  auto l = example();
  stage s = l.stages()[1];
  weight_error trained;
  trained.weight = "fc1.weight", trained.kind = error_kind::trained, trained.norm = 8;
  weight_error exact = trained;
  exact.weight = "fc2.weight", exact.kind = error_kind::exact;
  s.errors = {trained};
  l.add(s);
  std::ostringstream all, one;
  l.print(all);
  CHECK_THAT(all.str(), ContainsSubstring(" trained        -\n") && !ContainsSubstring(" 0.00 %"));
  s.errors = {trained, exact};  // one of two: what is left of the other is a figure
  auto mixed = example();
  mixed.add(s);
  mixed.print(one);
  CHECK_THAT(one.str(), ContainsSubstring("   0.00 %   0.00 %\n"));
}

TEST_CASE("what was measured besides gets columns and keys: 64 at once, multiply-adds and energy, the layers in JSON") {
  auto l = example();
  stage s = l.stages()[1];
  s.latency_64_us = 1234;
  layer_row r;
  r.name = "fc1.weight", r.form = "int8", r.parameters = 300, r.nonzeros = 100, r.bytes = 1000, r.multiply_adds = 3e6,
  r.effective_multiply_adds = 1e6, r.integer = true;
  s.layers = {r, r};
  l.add(s);
  std::ostringstream out;
  l.print(out);
  // 2·(1000·160 + 10⁶·0.3) pJ
  CHECK_THAT(out.str(), ContainsSubstring("64 at once") && ContainsSubstring("1234 us") &&
                            ContainsSubstring("2.00 M") && ContainsSubstring("0.92 uJ"));
  CHECK_THAT(
      l.json(),
      ContainsSubstring(
          "\"latency_64_us\": 1234, \"multiply_adds\": 6e+06, \"effective_multiply_adds\": 2e+06, \"energy_uj\": " +
          detail::json_number(layer_list({r, r}).energy_uj()) + ", \"layers\": " + layer_list({r, r}).json() + "}"));
  CHECK((detail::human_count(266610) == "266610" && detail::human_count(2293000) == "2.29 M" &&
         detail::human_count(4.1e9) == "4.10 G" && detail::human_count(999999.6) == "1.00 M"));
}

TEST_CASE("names of more than one byte per letter do not break the alignment; what was not measured is a dash") {
  stage_list l = example();
  l.add({"Größe ½", std::numeric_limits<double>::quiet_NaN(), 1, 1, 0, std::numeric_limits<double>::quiet_NaN()});
  std::ostringstream out;
  l.print(out);
  std::istringstream lines(out.str());
  std::size_t width = 0;
  for (std::string line; std::getline(lines, line);) {
    if (width == 0) width = line.size();
    CHECK(pleat::compress::detail::width_of(line) <= width);
  }
  CHECK_THAT(out.str(), ContainsSubstring("  -"));
}

TEST_CASE("JSON: every key, digits that read back, escapes, null for what was not measured") {
  auto l = example();
  l.add({"quote \" backslash \\ line\nend", std::numeric_limits<double>::quiet_NaN(), 1, 0, 3,
         std::numeric_limits<double>::infinity()});
  auto const text = l.json();
  CHECK_THAT(
      text,
      ContainsSubstring(
          R"({"name": "dense", "test_error": 0.0164, "parameters": 266610, "nonzeros": 266610, "bytes": 1066840, "latency_us": 61.25, "latency_64_us": null})"));
  CHECK_THAT(text, ContainsSubstring(R"("quote \" backslash \\ line\nend", "test_error": null)") &&
                       ContainsSubstring(R"("latency_us": null)"));
  CHECK(stage_list{}.json() == "[]");
  CHECK(std::stod(detail::json_number(0.1 + 0.2)) == 0.1 + 0.2);
}

TEST_CASE("JSON goes to a file, or an error says why not") {
  pleat_test::scratch_folder const f;
  auto const path = f / "stages.json";
  example().write_json(path);
  CHECK(std::filesystem::file_size(path) == example().json(2).size() + std::string("{\n  \"stages\": \n}\n").size());
  CHECK_THROWS_AS(example().write_json("/no/such/folder/report.json"), pleat::error);
}

TEST_CASE("bytes are said in three digits") {
  CHECK(detail::human_bytes(0) == "0 B");
  CHECK(detail::human_bytes(999) == "999 B");
  CHECK(detail::human_bytes(1000) == "1.00 kB");
  CHECK(detail::human_bytes(27040) == "27.0 kB");
  CHECK(detail::human_bytes(999900) == "1.00 MB");
  CHECK(detail::human_bytes(1066840) == "1.07 MB");
  CHECK(detail::human_bytes(123.4e9) == "123 GB");
}

}  // namespace
