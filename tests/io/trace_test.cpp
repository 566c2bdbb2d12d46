// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/io/trace.hpp>

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>
#include <string>

TEST_CASE("a trace is JSON with events in microseconds and names of rows") {
  pleat::io::trace_text a, b;
  a.name_row(0, "rank 0");
  a.add(0, "forward \"1\"", "compute", 1500, 4000, "stage 0");
  b.add(1, "wait", "receive", -500, 500);
  a.join(b.events());
  a.join("");
  auto const j = nlohmann::json::parse(a.to_string());
  auto const& e = j.at("traceEvents");
  REQUIRE(e.size() == 3);
  CHECK(e[0].at("args").at("name") == "rank 0");
  CHECK(e[1].at("name") == "forward \"1\"");
  CHECK(e[1].at("ph") == "X");
  CHECK(e[1].at("ts") == 1.5);
  CHECK(e[1].at("dur") == 2.5);
  CHECK(e[1].at("args").at("detail") == "stage 0");
  CHECK(e[2].at("tid") == 1);
  CHECK(e[2].at("ts") == -0.5);
}

TEST_CASE("a trace of nothing is a file all the same") {
  auto const path = (std::filesystem::temp_directory_path() / "pleat_trace_test.json").string();
  pleat::io::write_trace(path, {});
  std::ifstream in(path);
  CHECK(nlohmann::json::parse(in).at("traceEvents").empty());
  std::filesystem::remove(path);
}
