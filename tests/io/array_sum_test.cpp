// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/io/array_sum.hpp>

#include <numeric>
#include <set>
#include <vector>

#include <catch2/catch_test_macros.hpp>

namespace io = pleat::io;

namespace {
std::vector<std::byte> some_bytes(std::size_t n) {
  std::vector<std::byte> b(n);
  for (std::size_t i = 0; i < n; ++i) b[i] = static_cast<std::byte>((i * 37 + i / 11) & 0xff);
  return b;
}
}  // namespace

TEST_CASE("an array's checksum is the sum over any partition of it", "[io][array_sum]") {
  auto const bytes = some_bytes(8 * 60);
  for (std::size_t const width : {1u, 2u, 4u, 8u}) {
    std::span<std::byte const> const all(bytes);
    auto const n = bytes.size() / width;
    auto const whole = io::array_sum(all, width);
    for (std::size_t cut = 0; cut <= n; ++cut)
      REQUIRE(io::array_sum(all.first(cut * width), width) +
                  io::array_sum(all.subspan(cut * width), width, static_cast<pleat::index_t>(cut)) ==
              whole);
  }
  CHECK(io::array_sum({}, 4) == 0);
  CHECK(io::array_sum({}, 4, 100) == 0);
}

TEST_CASE("every flipped bit and every exchange of two unequal elements changes a checksum", "[io][array_sum]") {
  auto bytes = some_bytes(64);
  for (std::size_t const width : {1u, 2u, 4u, 8u}) {
    std::set<std::uint64_t> seen{io::array_sum(bytes, width)};
    for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
      bytes[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
      REQUIRE(seen.insert(io::array_sum(bytes, width)).second);
      bytes[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
    }
  }
  // Words that are exchanged: equal as a set, so a sum without positions could not tell.
  std::vector<std::uint32_t> words(50);
  std::iota(words.begin(), words.end(), 0u);
  auto const sum = [&] { return io::array_sum(std::as_bytes(std::span(words)), 4); };
  auto const before = sum();
  for (std::size_t i = 1; i < words.size(); ++i) {
    std::swap(words[i], words[i - 1]);
    REQUIRE(sum() != before);
    std::swap(words[i], words[i - 1]);
  }
  // The number is part of the file format: it must never change.
  std::uint32_t const one = 1;
  CHECK(io::array_sum(std::as_bytes(std::span(&one, 1)), 4) == [] {
    std::uint64_t x = 0x9e3779b97f4a7c15u + 1;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
  }());
}
