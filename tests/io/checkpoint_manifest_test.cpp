// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/io/checkpoint_manifest.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "support.hpp"

using Catch::Matchers::ContainsSubstring;
using io_test::words;
namespace io = pleat::io;
using io::detail::checkpoint_manifest;

namespace {
std::string sealed(std::string text) {
  text += "end " + io::checksum::hex(io::checksum_of(io_test::bytes_of(text))) + "\n";
  return text;
}
std::string refused(std::string const& lines) {
  return words([&] { (void)checkpoint_manifest::parse(sealed("pleat checkpoint 2\n" + lines), "call"); });
}
}  // namespace

TEST_CASE("a manifest comes back as it was", "[io][checkpoint_manifest]") {
  checkpoint_manifest const m{
      .step = 12,
      .state = {{"a", "1"}, {"plan", "x\n\"y\" é"}},
      .parts = {{"p.safetensors", 100, "0123456789abcdef", {1, ~0ull, 0}}, {"q.safetensors", 8, "00", {}}}};
  auto const text = m.to_string("call");
  auto const back = checkpoint_manifest::parse(text, "call");
  CHECK(back.version == 2);
  CHECK(back.step == 12);
  CHECK(back.state == m.state);
  REQUIRE(back.parts.size() == 2);
  CHECK(back.parts[0].name == "p.safetensors");
  CHECK(back.parts[0].group() == "p");
  CHECK(back.parts[0].size == 100);
  CHECK(back.parts[0].sum == "0123456789abcdef");
  CHECK(back.parts[0].sums == m.parts[0].sums);
  CHECK(back.parts[1].sums.empty());
  CHECK(back.to_string("call") == text);
  CHECK_THAT(words([] {
               (void)checkpoint_manifest{.state = {{"k", "\xff"}}}.to_string("save");
             }),
             ContainsSubstring("save") && ContainsSubstring("no UTF-8"));
}

TEST_CASE("a manifest of the first format has no sums", "[io][checkpoint_manifest]") {
  auto const m =
      checkpoint_manifest::parse(sealed("pleat checkpoint 1\nstep 3\nfile p.safetensors 9 0123456789abcdef\n"), "call");
  CHECK(m.version == 1);
  CHECK(m.parts.at(0).sum == "0123456789abcdef");
  CHECK(m.parts.at(0).sums.empty());
  CHECK_THAT(words([] {
               (void)checkpoint_manifest::parse(
                   sealed("pleat checkpoint 1\nstep 3\nfile p.safetensors 9 00\nsums p.safetensors\n"), "call");
             }),
             ContainsSubstring("a line of an unknown kind"));
}

TEST_CASE("sums that fit no file are refused", "[io][checkpoint_manifest][hostile]") {
  std::string const file = "step 1\nfile p.safetensors 9 0123456789abcdef\n";
  CHECK(refused(file + "sums p.safetensors 0123456789abcdef\n").empty());
  CHECK_THAT(refused("step 1\nsums p.safetensors\n"),
             ContainsSubstring("checksums of a file that is not the one before"));
  CHECK_THAT(refused(file + "sums q.safetensors\n"),
             ContainsSubstring("checksums of a file that is not the one before"));
  CHECK_THAT(refused(file + "sums p.safetensors 0123456789abcdef\nsums p.safetensors 0123456789abcdef\n"),
             ContainsSubstring("checksums of a file that is not the one before"));
  for (auto const* bad : {" 0123456789abcde", " 0123456789abcdeg", "0123456789abcdef", " 0123456789abcdef ",
                          " 0123456789abcdef0", "  123456789abcdef", " -123456789abcdef"})
    CHECK_THAT(refused(file + "sums p.safetensors" + bad + "\n"),
               ContainsSubstring("16 hexadecimal digits") || ContainsSubstring("not the one before"));
  CHECK_THAT(refused(file + "file p.safetensors 9 00\n"), ContainsSubstring("names the file 'p.safetensors' twice"));
}
