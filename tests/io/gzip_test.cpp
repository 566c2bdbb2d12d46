// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/io/gzip.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "support.hpp"

using Catch::Matchers::ContainsSubstring;
using io_test::words;
namespace io = pleat::io;

namespace {
std::vector<std::byte> sample(std::size_t n) {
  pleat::random::stream const draw(1, 1);
  std::vector<std::byte> data(n);
  for (std::size_t i = 0; i < n; ++i) data[i] = static_cast<std::byte>(draw.below(i, 17));
  return data;
}
}  // namespace

TEST_CASE("gzip and gunzip are inverse", "[io][gzip]") {
  for (std::size_t const n : {0u, 1u, 65'535u, 65'536u, 65'537u, 300'000u}) {
    auto const data = sample(n);
    CHECK(io::gunzip(io::gzip(data), n) == data);
    CHECK(io::gunzip(io::gzip(data), n + 1) == data);
  }
}

TEST_CASE("gzip members that follow each other are one stream", "[io][gzip]") {
  auto two = io::gzip(io_test::bytes_of("one "));
  auto const second = io::gzip(io_test::bytes_of("two"));
  two.insert(two.end(), second.begin(), second.end());
  CHECK(io::gunzip(two, 100) == io_test::bytes_of("one two"));
}

TEST_CASE("data that expand beyond the bound are refused without being expanded", "[io][gzip]") {
  auto const bomb = io::gzip(std::vector<std::byte>(50'000'000));
  CHECK(bomb.size() < 60'000);
  CHECK_THAT(words([&] { (void)io::gunzip(bomb, 1000); }), ContainsSubstring("more than the 1000 bytes allowed"));
  CHECK_THAT(words([&] { (void)io::gunzip(io::gzip(io_test::bytes_of("12345")), 4); }),
             ContainsSubstring("more than the 4 bytes allowed"));
}

TEST_CASE("every truncation is found", "[io][gzip]") {
  auto const data = sample(2000);
  auto const whole = io::gzip(data);
  for (std::size_t n = 2; n < whole.size(); ++n) {
    auto const w = words([&] { (void)io::gunzip(std::span(whole).first(n), 10'000); });
    CHECK_THAT(w, ContainsSubstring("end too early, at byte " + std::to_string(n) + " "));
  }
  CHECK_THAT(words([&] { (void)io::gunzip(std::span(whole).first(1), 10); }), ContainsSubstring("not a gzip file"));
  CHECK_THAT(words([&] { (void)io::gunzip({}, 10); }), ContainsSubstring("not a gzip file"));
}

TEST_CASE("damage and garbage are found and placed", "[io][gzip]") {
  auto const whole = io::gzip(sample(2000));
  auto bad = whole;
  bad[bad.size() - 5] ^= std::byte{1};  // checksum
  CHECK_THAT(words([&] { (void)io::gunzip(bad, 10'000); }),
             ContainsSubstring("corrupt gzip data at byte") && ContainsSubstring("incorrect data check"));
  bad = whole;
  bad[bad.size() - 1] ^= std::byte{1};  // length
  CHECK_THAT(words([&] { (void)io::gunzip(bad, 10'000); }), ContainsSubstring("incorrect length check"));
  bad = whole;
  bad.push_back(std::byte{0});
  CHECK_THAT(words([&] { (void)io::gunzip(bad, 10'000); }),
             ContainsSubstring("1 bytes of garbage follow the gzip data, from byte " + std::to_string(whole.size())));
}
