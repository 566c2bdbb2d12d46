// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compress/error_ledger.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <sstream>
#include <string>

namespace {

using namespace pleat::compress;
using pleat::codec::error_norms;
using Catch::Matchers::ContainsSubstring;

error_norms norms(double max, double frobenius) {
  error_norms e;
  e.max = max;
  e.frobenius = frobenius;
  return e;
}
weight_error row(std::string weight, std::string form, error_kind kind, error_norms predicted, error_norms measured,
                 error_norms total, double norm = 4) {
  weight_error e;
  e.weight = std::move(weight), e.form = std::move(form), e.kind = kind;
  e.predicted = predicted, e.measured = measured, e.total = total, e.norm = norm;
  return e;
}

error_ledger example() {
  error_ledger l;
  l.add("prune 0.5", {row("a", "masked", error_kind::bounded, norms(0.5, 1), norms(0.5, 1), norms(0.5, 1)),
                      row("b", "dense", error_kind::exact, {}, {}, {})});
  l.add("gptq", {row("a", "int8", error_kind::measured, norms(9, 9), norms(0.25, 0.5), norms(0.625, 1.25)),
                 row("b", "int8", error_kind::bounded, norms(0.125, 0.25), norms(0.125, 0.2), norms(0.125, 0.2))});
  return l;
}

TEST_CASE("bounds of stages add up; where nothing was promised, what was measured counts") {
  auto const l = example();
  auto const* a = l.find("a");
  REQUIRE(a);
  CHECK((a->bound.max == 0.5 + 0.25 && a->bound.frobenius == 1 + 0.5));  // not the 9 of a promise that nobody made
  CHECK((a->since.empty() && a->form == "int8"));
  CHECK(l.find("b")->bound.frobenius == 0.25);
  CHECK(l.find("c") == nullptr);
  CHECK(l.holds());
}

TEST_CASE("training begins anew: what it moved is no error, and later stages are compared with the trained weight") {
  auto l = example();
  l.add("fine_tune", {row("a", "int8", error_kind::exact, {}, {}, norms(0.625, 1.25)),
                      row("b", "masked", error_kind::trained, {}, norms(3, 7), norms(3, 7))});
  CHECK((l.find("b")->since == "fine_tune" && l.find("b")->bound.max == 0 && l.find("b")->total.max == 0 &&
         l.find("b")->measured.max == 3));
  CHECK((l.find("a")->since.empty() && l.find("a")->bound.max == 0.75));
  l.add("int8", {row("b", "int8", error_kind::bounded, norms(1, 2), norms(1, 1), norms(1, 1))});
  CHECK((l.find("b")->since == "fine_tune" && l.find("b")->bound.frobenius == 2));
  CHECK(l.holds());
  std::ostringstream out;
  l.print(out);
  CHECK_THAT(out.str(), ContainsSubstring("trained") && ContainsSubstring("here") && ContainsSubstring("<= 2"));
}

TEST_CASE("a promise that was not kept is seen, of a stage and of the whole") {
  error_ledger stage, whole, frobenius;
  stage.add("s", {row("a", "q8_0", error_kind::bounded, norms(1, 2), norms(1.001, 2), norms(1, 2))});
  frobenius.add("s", {row("a", "q8_0", error_kind::bounded, norms(1, 2), norms(1, 2.001), norms(1, 2))});
  whole.add("s", {row("a", "q8_0", error_kind::bounded, norms(1, 2), norms(1, 2), norms(1, 2))});
  CHECK(whole.holds());
  whole.add("t", {row("a", "q8_0", error_kind::measured, {}, norms(1, 1), norms(2, 3.001))});
  for (auto const* l : {&stage, &frobenius, &whole}) {
    CHECK_FALSE(l->holds());
    std::ostringstream out;
    l->print(out);
    CHECK_THAT(out.str(), ContainsSubstring("!"));
  }
}

TEST_CASE("the table is aligned and leaves out what did not change; nothing at all is said in words") {
  std::ostringstream out, nothing;
  example().print(out);
  std::istringstream lines(out.str());
  std::size_t count = 0, width = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    if (count == 0) width = line.size();
    CHECK(line.size() == width);
  }
  CHECK(count == 2 + 3);                                // b was not touched by the first stage
  CHECK_THAT(out.str(), ContainsSubstring("31.25 %"));  // 1.25 of 4
  error_ledger{}.print(nothing);
  CHECK(nothing.str() == "no weight was changed\n");
}

TEST_CASE("JSON: every key; null where nothing was promised") {
  auto const text = example().json();
  CHECK_THAT(text, ContainsSubstring(R"({"name": "prune 0.5", "weights": [)"));
  CHECK_THAT(
      text,
      ContainsSubstring(
          R"({"weight": "a", "form": "masked", "kind": "bounded", "since": "", "holds": true, "norm": 4, "predicted": {"max": 0.5, "frobenius": 1}, "measured": {"max": 0.5, "frobenius": 1}, "bound": {"max": 0.5, "frobenius": 1}, "total": {"max": 0.5, "frobenius": 1}})"));
  CHECK_THAT(text,
             ContainsSubstring(R"("kind": "measured", "since": "", "holds": true, "norm": 4, "predicted": null)"));
  CHECK(error_ledger{}.json() == "[]");
}

TEST_CASE("weights together: root of the sum of squares, as a share of all norms") {
  auto const e = relative_error_of(example().stages()[1].weights);
  CHECK(std::abs(e.measured - std::sqrt(1.25 * 1.25 + 0.2 * 0.2) / std::sqrt(32.0)) < 1e-15);
  CHECK(std::abs(e.bound - std::sqrt(1.5 * 1.5 + 0.25 * 0.25) / std::sqrt(32.0)) < 1e-15);
  CHECK(std::isnan(relative_error_of({}).measured));
}

}  // namespace
