// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/io/trace.hpp>

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>
#include <limits>
#include <string>

#include "support.hpp"

TEST_CASE("a trace is JSON with events in microseconds and names of rows and processes") {
  pleat::io::trace_text a, b;
  a.name_process(3, "rank 3");
  a.name_thread({3, 1}, "work");
  a.add({3, 1}, "forward \"1\"", "compute", 1500, 4000, "stage 0");
  b.add({4, 2}, "wait", "receive", -500, 500);
  a.join(b.events());
  a.join("");
  auto const j = nlohmann::json::parse(a.to_string());
  auto const& e = j.at("traceEvents");
  REQUIRE(e.size() == 4);
  CHECK((e[0].at("name") == "process_name" && e[0].at("pid") == 3 && e[0].at("args").at("name") == "rank 3"));
  CHECK((e[1].at("name") == "thread_name" && e[1].at("pid") == 3 && e[1].at("tid") == 1 &&
         e[1].at("args").at("name") == "work"));
  CHECK(e[2].at("name") == "forward \"1\"");
  CHECK(e[2].at("ph") == "X");
  CHECK(e[2].at("ts") == 1.5);
  CHECK(e[2].at("dur") == 2.5);
  CHECK(e[2].at("args").at("detail") == "stage 0");
  CHECK((e[3].at("pid") == 4 && e[3].at("tid") == 2));
  CHECK(e[3].at("ts") == -0.5);
}

TEST_CASE("times are exact, whatever their size and sign") {
  auto const text = [](std::int64_t begin, std::int64_t end) {
    pleat::io::trace_text t;
    t.add({}, "x", "y", begin, end);
    return t.events().substr(t.events().find("\"ts\""));
  };
  CHECK(text(1, 2'000'000) == "\"ts\":0.001,\"dur\":1999.999}");
  CHECK(text(-7, 3) == "\"ts\":-0.007,\"dur\":0.010}");
  CHECK(text(std::numeric_limits<std::int64_t>::max(), std::numeric_limits<std::int64_t>::max()) ==
        "\"ts\":9223372036854775.807,\"dur\":0.000}");
  CHECK(text(std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::min()) ==
        "\"ts\":-9223372036854775.808,\"dur\":0.000}");
}

TEST_CASE("a trace is JSON where the locale writes a decimal comma, too", "[locale]") {
  int const wrong = io_test::with_decimal_comma([] {
    pleat::io::trace_text t;
    t.add({}, "x", "y", 1500, 4000);
    auto const j = nlohmann::json::parse(t.to_string(), nullptr, false);
    return !j.is_discarded() && j.at("traceEvents")[0].at("ts") == 1.5 ? 0 : 1;
  });
  if (wrong < 0) SKIP("no decimal comma here: localedef or the description of de_DE is missing");
  CHECK(wrong == 0);
}

TEST_CASE("a trace of nothing is a file all the same") {
  io_test::scratch const dir;
  auto const path = dir / "trace.json";
  pleat::io::write_trace(path, {});
  std::ifstream in(path);
  CHECK(nlohmann::json::parse(in).at("traceEvents").empty());
}
