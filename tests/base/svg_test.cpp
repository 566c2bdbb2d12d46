// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/base/svg.hpp>

#include <catch2/catch_test_macros.hpp>

TEST_CASE("text that is safe in SVG") {
  CHECK(pleat::svg_text("a<b>&\"c\"\n\x01") == "a&lt;b&gt;&amp;&quot;c&quot;");
  CHECK(pleat::svg_text("Ω") == "Ω");
}

TEST_CASE("bytes that XML forbids are replaced, one by one") {
  std::string const no = "\xef\xbf\xbd";
  CHECK(pleat::svg_text("a\xff"
                        "b") == "a" + no + "b");
  CHECK(pleat::svg_text("\xc3") == no);  // cut short
  CHECK(pleat::svg_text("\xc3<") == no + "&lt;");
  CHECK(pleat::svg_text("\xc0\xaf") == no + no);  // overlong
  CHECK(pleat::svg_text("\xe0\x80\xaf") == no + no + no);
  CHECK(pleat::svg_text("\xed\xa0\x80") == no + no + no);                             // a surrogate
  CHECK(pleat::svg_text("\xef\xbf\xbe\xef\xbf\xbf") == no + no + no + no + no + no);  // U+FFFE, U+FFFF
  CHECK(pleat::svg_text("\xf4\x90\x80\x80") == no + no + no + no);                    // beyond U+10FFFF
  for (std::string const good :
       {"\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xef\xbf\xbd", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"})
    CHECK(pleat::svg_text(good) == good);
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
