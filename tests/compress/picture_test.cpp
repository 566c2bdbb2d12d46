// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compress/picture.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <limits>

namespace {

using namespace pleat::compress;
using Catch::Matchers::ContainsSubstring;

std::ptrdiff_t count(std::string const& text, std::string const& what) {
  std::ptrdiff_t n = 0;
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++n;
  return n;
}

/// The numbers of an attribute, in order.
std::vector<double> numbers_of(std::string const& text, std::string const& attribute) {
  std::vector<double> v;
  for (auto at = text.find(attribute); at != std::string::npos; at = text.find(attribute, at + 1))
    v.push_back(std::stod(text.substr(at + attribute.size())));
  return v;
}

TEST_CASE(
    "one point and two lines of label per stage, inside of the frame; smaller is further left, better is higher") {
  stage_list l;
  l.add({"dense", 0.016, 10, 10, 1'000'000, 60});
  l.add({"pruned", 0.020, 10, 1, 140'000, 60});
  l.add({"int8", 0.018, 10, 1, 60'000, 20});
  auto const text = svg(l);
  CHECK(text.starts_with("<svg"));
  CHECK(text.ends_with("</svg>\n"));
  CHECK(count(text, "<circle") == 3);
  CHECK(count(text, "class=\"name\"") == 3);
  CHECK(count(text, "class=\"note\"") == 3);
  auto const x = numbers_of(text, "cx=\""), y = numbers_of(text, "cy=\"");
  REQUIRE(x.size() == 3);
  CHECK((x[2] < x[1] && x[1] < x[0]));
  CHECK((y[0] < y[2] && y[2] < y[1]));
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK((x[i] > 92 && x[i] < 856));
    CHECK((y[i] > 84 && y[i] < 430));
  }
  // Logarithmic: equal factors are equal distances.
  stage_list powers;
  for (pleat::index_t bytes : {1'000'000, 10'000, 100}) powers.add({"p", 0.1, 1, 1, bytes, 1});
  auto const px = numbers_of(svg(powers), "cx=\"");
  CHECK(std::abs((px[0] - px[1]) - (px[1] - px[2])) <= 0.2);  // coordinates are rounded to 0.1
  CHECK(svg(l) == svg(l));
}

TEST_CASE("text is escaped, and nothing that is not a number reaches the page") {
  stage_list l;
  l.add({"<b> & \"c\"\x01", 0.0, 1, 1, 1, 1});
  l.add({"same place", 0.0, 1, 1, 1, 1});
  l.add({"worst", 1.0, 1, 1, 5'000'000'000, 1});
  l.add({"not measured", std::numeric_limits<double>::quiet_NaN(), 1, 1, 10, 1});
  auto const text = svg(l, "a < b");
  CHECK_THAT(text, ContainsSubstring("&lt;b&gt; &amp; &quot;c&quot;<") && ContainsSubstring("a &lt; b") &&
                       !ContainsSubstring("not measured"));
  CHECK_THAT(text, !ContainsSubstring("nan") && !ContainsSubstring("inf") && !ContainsSubstring("\x01"));
  CHECK(count(text, "<circle") == 3);
  CHECK_THAT(svg(stage_list{}), ContainsSubstring("no stage was measured"));
}

TEST_CASE("a flat line of equal accuracies still has an axis") {
  stage_list l;
  for (pleat::index_t bytes : {4000, 2000, 1000}) l.add({"s", 0.05, 1, 1, bytes, 1});
  auto const text = svg(l);
  CHECK(count(text, "%</text>") >= 3);
  CHECK(numbers_of(text, "cy=\"").size() == 3);
}

TEST_CASE("errors above 1 and below 0 stay on the page, beside others and alone") {
  auto const page = [](std::vector<double> const& errors) {
    stage_list l;
    for (double const e : errors) l.add({"s", e, 1, 1, 1000, 1});
    auto const text = svg(l);
    auto y = numbers_of(text, "cy=\"");
    REQUIRE(y.size() == errors.size());
    for (double const v : y) CHECK((v >= 84 && v <= 430));
    for (double const v : numbers_of(text, "y1=\"")) CHECK((v >= 84 && v <= 430));
    CHECK((count(text, " %</text>") >= 2 && count(text, " %</text>") <= 9));
    CHECK_THAT(text, !ContainsSubstring(">-0 %") && !ContainsSubstring(">-0.0 %") && !ContainsSubstring("nan") &&
                         !ContainsSubstring("inf"));
    return y;
  };
  auto const y = page({0.02, 1.0, 1.5, 3.0});
  CHECK((y[0] < y[1] && y[1] < y[2] && y[2] < y[3]));
  CHECK(std::abs((y[3] - y[2]) - 3 * (y[2] - y[1])) <= 0.4);  // coordinates are rounded to 0.1
  auto const alone = page({2.5, 2.6});
  CHECK(alone[0] < alone[1]);
  auto const below = page({-0.5, 0.0});
  CHECK(below[0] < below[1]);
  page({1.0001, 1.0002});
  page({0.5, 1e300});
  page({1e300, -1e300, 0.5});
}

}  // namespace
