// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The header scanner against a general JSON library: the same strings, the same refusals.
#include <pleat/io/detail/json.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <nlohmann/json.hpp>

#include "support.hpp"

using Catch::Matchers::ContainsSubstring;
using io_test::words;
using pleat::io::detail::append_json_string;
using pleat::io::detail::first_not_utf8;
using pleat::io::detail::json_scanner;

namespace {
std::string scan_string(std::string_view text) {
  json_scanner s(text, 0, "test");
  auto value = s.string("a string");
  s.skip_space();
  if (!s.at_end()) s.fail("expected the end");
  return value;
}
/// Random text that is often almost a JSON string.
std::string random_text(std::uint64_t number) {
  static constexpr std::string_view pieces[] = {
      "a",   "\"",   "\\", "\\n", "\\u0041", "\\ud83d\\ude00", "\\ud83d",      "\\ude00",          "\\u12",
      "\\x", "é",    "€",  "😀",  "\x80",    "\xc0\xaf",       "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff",
      "\n",  "\x01", " ",  "/",   "\\/",     "\x7f",           "\\u0000"};
  pleat::random::stream const draw(5, number);
  std::string s = "\"";
  auto const n = draw.below(0, 6);
  for (std::uint32_t i = 0; i < n; ++i) s += pieces[draw.below(i + 1, std::size(pieces))];
  return s + "\"";
}
}  // namespace

TEST_CASE("strings are read as a general library reads them, and refused where it refuses", "[io][json]") {
  int accepted = 0;
  for (std::uint64_t n = 0; n < 20'000; ++n) {
    auto const text = random_text(n);
    auto const theirs = nlohmann::json::parse(text, nullptr, false);
    std::string ours;
    bool const good =
        first_not_utf8(text) == std::string_view::npos && words([&] { ours = scan_string(text); }).empty();
    INFO(text);
    REQUIRE(good == theirs.is_string());
    if (!good) continue;
    ++accepted;
    REQUIRE(ours == theirs.get<std::string>());
    std::string again;
    append_json_string(again, ours);
    REQUIRE(again == theirs.dump());  // and written with the same escapes
    REQUIRE(scan_string(again) == ours);
  }
  CHECK(accepted > 2000);
}

TEST_CASE("first_not_utf8 gives the place", "[io][json]") {
  CHECK(first_not_utf8("") == std::string_view::npos);
  CHECK(first_not_utf8("aé€😀") == std::string_view::npos);
  CHECK(first_not_utf8("ab\x80") == 2);
  CHECK(first_not_utf8("ab\xc3") == 2);             // cut short
  CHECK(first_not_utf8("a\xe0\x80\x80") == 1);      // overlong
  CHECK(first_not_utf8("a\xed\xa0\x80") == 1);      // surrogate
  CHECK(first_not_utf8("a\xf4\x90\x80\x80") == 1);  // above U+10FFFF
}

TEST_CASE("numbers are whole, non-negative and fit", "[io][json]") {
  auto const number = [](std::string_view text) { return json_scanner(text, 100, "test").natural("a number"); };
  CHECK(number("0") == 0);
  CHECK(number(" 42]") == 42);
  CHECK(number("9223372036854775807") == INT64_MAX);
  CHECK_THAT(words([&] { (void)number("9223372036854775808"); }),
             ContainsSubstring("test: at byte 100: a number is above 2^63 - 1"));
  for (std::string_view const bad : {"", "-1", "01", "1.0", "1e3", "x", "\"1\""})
    CHECK_THAT(words([&] { (void)number(bad); }),
               ContainsSubstring("at byte 100: expected a number as a whole number, found "));
}
