// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compress/layer_picture.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <string>
#include <vector>

namespace {

using namespace pleat::compress;
using Catch::Matchers::ContainsSubstring;

layer_row row(std::string name, std::string form, pleat::index_t bytes, double work) {
  layer_row r;
  r.name = std::move(name), r.form = std::move(form), r.bytes = bytes, r.effective_multiply_adds = work;
  return r;
}
stage_list example() {
  stage_list l;
  l.add({"trained", 0.1, 1, 1, 1, 1});
  stage s{"dense", 0.1, 1, 1, 1, 1};
  s.layers = {row("conv1", "dense", 2000, 288000), row("fc<1>", "dense", 40000, 10000)};
  l.add(s);
  s.name = "int8 & more";
  s.layers = {row("conv1", "int8", 500, 144000), row("fc<1>", "int8", 10000, 2500)};
  l.add(s);
  return l;
}
/// The widths of the bars of one kind, those of the legend left out.
std::vector<double> widths(std::string const& text, std::string const& kind) {
  std::vector<double> v;
  std::string const begin = "<rect class=\"" + kind + "\"", width = "width=\"";
  for (auto at = text.find(begin); at != std::string::npos; at = text.find(begin, at + 1))
    v.push_back(std::stod(text.substr(text.find(width, at) + width.size())));
  v.erase(v.begin());
  return v;
}

TEST_CASE("a bar for what every layer stores and one for what it multiplies, as shares of the layer's largest") {
  auto const text = svg_layers(example(), "a < b");
  CHECK((text.starts_with("<svg") && text.ends_with("</svg>\n")));
  CHECK((widths(text, "bytes") == std::vector<double>{300, 75, 300, 75}));
  CHECK((widths(text, "work") == std::vector<double>{300, 150, 300, 75}));
  CHECK_THAT(text, ContainsSubstring("fc&lt;1&gt;") && ContainsSubstring("int8 &amp; more") &&
                       ContainsSubstring("a &lt; b") && ContainsSubstring("int8, 500 B, 144000 mult-adds") &&
                       !ContainsSubstring("trained"));
  CHECK(svg_layers(example()) == svg_layers(example()));
}

TEST_CASE("a text that would leave the picture is squeezed into it, any other is not") {
  std::string const squeezed = "textLength=\"852.0\"";
  CHECK_THAT(svg_layers(example(), std::string(74, 'm')), !ContainsSubstring("textLength"));  // 74 · 0.6 · 19 < 852
  CHECK_THAT(svg_layers(example(), std::string(75, 'm')), ContainsSubstring(squeezed));
  stage_list l;
  stage s{"a stage whose name is longer than there is room for", 0.1, 1, 1, 1, 1};
  s.layers = {row("f", "a form whose name leaves no room for the numbers behind it", 1, 1)};
  l.add(s);
  auto const text = svg_layers(l);
  CHECK_THAT(text, ContainsSubstring("textLength=\"210.0\"") && ContainsSubstring("textLength=\"344.0\""));
}

TEST_CASE("without layers the picture says so; a layer of nothing has bars of no length") {
  CHECK_THAT(svg_layers(stage_list{}), ContainsSubstring("no stage has layers"));
  stage_list l;
  stage s{"empty", 0.1, 1, 1, 1, 1};
  s.layers = {row("f", "dense", 0, 0)};
  l.add(s);
  auto const text = svg_layers(l);
  CHECK((widths(text, "bytes") == std::vector<double>{0} && widths(text, "work") == std::vector<double>{0}));
  CHECK_THAT(text, !ContainsSubstring("nan"));
}

}  // namespace
