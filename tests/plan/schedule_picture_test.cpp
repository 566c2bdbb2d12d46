// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/plan/schedule_passes.hpp>
#include <pleat/plan/schedule_picture.hpp>
#include <pleat/plan/schedules.hpp>

#include <catch2/catch_test_macros.hpp>

#include <string>

#include <io/support.hpp>

namespace plan = pleat::plan;

namespace {
std::size_t count(std::string const& text, std::string const& what) {
  std::size_t n = 0;
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++n;
  return n;
}
std::string letters(plan::schedule const& s, plan::stage_costs const& costs = {}, pleat::index_t columns = 160) {
  return plan::draw_text(s, plan::simulate(s, costs), columns);
}
}  // namespace

TEST_CASE("the drawing in letters shows every piece where it is") {
  CHECK(letters(plan::one_f_one_b(2, 3)) ==
        "rank 0 |F0F1....B0--F2B1--..B2--|\n"
        "rank 1 |..F0B0--F1B1--F2B2--....|\n");
  CHECK(letters(plan::zb_v(1, 1)) == "rank 0 |F0f0i0w0I0W0|\n");
}

TEST_CASE("the drawing in letters never exceeds its columns, whatever the times") {
  for (int columns : {1, 7, 40}) {
    auto const text = letters(plan::zb_h1(3, 12),
                              {.forward = {0.001, 5, 1}, .backward_input = {0}, .backward_weight = {1e6}}, columns);
    CHECK(text.find('\n') == 9 + static_cast<std::size_t>(columns));
  }
  CHECK(letters(plan::gpipe(1, 1), {.forward = {0}, .backward_input = {0}, .backward_weight = {0}})
            .starts_with("rank 0 |"));
}

TEST_CASE("the picture has a box with its words for every piece of work, and its figures") {
  auto const s = plan::with_messages(plan::zb_v(3, 5));
  auto const svg = plan::draw_svg(s, plan::simulate(s), "a <title> & \"more\"");
  CHECK(svg.starts_with("<svg "));
  CHECK(svg.ends_with("</svg>\n"));
  CHECK(svg.find("a &lt;title&gt; &amp; &quot;more&quot;") != std::string::npos);
  CHECK(count(svg, "<title>") == 6 * 5 * 3);
  CHECK(svg.find("<title>backward_weight of micro-batch 4 on stage 2: ") != std::string::npos);
  CHECK(svg.find("takes 32, idle 0 %, 40 messages") != std::string::npos);
  CHECK(count(svg, "class=\"rank\"") == 3);
  CHECK(svg == plan::draw_svg(s, plan::simulate(s), "a <title> & \"more\""));
  CHECK(svg.find("nan") == std::string::npos);
}

TEST_CASE("numbers of a picture are the same in every locale", "[locale]") {
  using pleat::plan::detail::short_number;
  CHECK(short_number(0.0001234) == "0.000123");
  CHECK(short_number(12345678) == "1.23e+07");
  CHECK(short_number(-1.25) == "-1.25");
  int const wrong = io_test::with_decimal_comma(
      [] { return short_number(0.0001234) == "0.000123" && short_number(1.5) == "1.5" ? 0 : 1; });
  if (wrong < 0) SKIP("no decimal comma here: localedef or the description of de_DE is missing");
  CHECK(wrong == 0);
}

TEST_CASE("collectives stand under the work that they run beside") {
  auto const s = plan::with_reduction(plan::gpipe(2, 2));
  CHECK(plan::draw_svg(s, plan::simulate(s, {.reduce = {2}}), "t").find("<title>reduce_gradients on stage 1</title>") !=
        std::string::npos);
}

TEST_CASE("steps that take no time are drawn") {
  auto const s = plan::gpipe(2, 2);
  auto const svg =
      plan::draw_svg(s, plan::simulate(s, {.forward = {0}, .backward_input = {0}, .backward_weight = {0}}), "nothing");
  CHECK(svg.find("nan") == std::string::npos);
  CHECK(svg.find("inf") == std::string::npos);
}
