// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/base/svg.hpp>

#include <catch2/catch_test_macros.hpp>

TEST_CASE("text that is safe in SVG") {
  CHECK(pleat::svg_text("a<b>&\"c\"\n\x01") == "a&lt;b&gt;&amp;&quot;c&quot;");
  CHECK(pleat::svg_text("Ω") == "Ω");
}

TEST_CASE("numbers with one digit after the point") {
  CHECK(pleat::svg_number(0) == "0.0");
  CHECK(pleat::svg_number(12.34) == "12.3");
  CHECK(pleat::svg_number(-0.06) == "-0.1");
  CHECK(pleat::svg_number(-0.04) == "0.0");
  CHECK(pleat::svg_number(99.96) == "100.0");
}

TEST_CASE("a text is squeezed where its letters would go beyond") {
  CHECK(pleat::svg_squeezed("abcd", 10, 24) == "");  // 4 letters of 6
  CHECK(pleat::svg_squeezed("abcd", 10, 23.9) == " textLength=\"23.9\" lengthAdjust=\"spacingAndGlyphs\"");
  CHECK(pleat::svg_squeezed("", 10, 0) == "");
}
