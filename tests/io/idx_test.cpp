// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/io/idx.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "support.hpp"

using Catch::Matchers::ContainsSubstring;
using io_test::scratch;
using io_test::words;
using pleat::extents;
namespace io = pleat::io;

namespace {
io::idx_array make(pleat::dtype t, extents shape) {
  io::idx_array a{t, shape, std::vector<std::byte>(static_cast<std::size_t>(shape.size()) * size_of(t))};
  for (std::size_t i = 0; i < a.bytes.size(); ++i) a.bytes[i] = static_cast<std::byte>(i * 7 + 1);
  return a;
}
std::vector<std::byte> raw(std::initializer_list<int> list) {
  std::vector<std::byte> b;
  for (int const v : list) b.push_back(static_cast<std::byte>(v));
  return b;
}
bool same(io::idx_array const& a, io::idx_array const& b) {
  return a.type == b.type && a.shape == b.shape && a.bytes == b.bytes;
}
}  // namespace

TEST_CASE("the bytes of an IDX file are those of the format", "[io][idx]") {
  // 2×1 of i16: 258 and −2, big endian.
  auto const golden = raw({0, 0, 0x0B, 2, 0, 0, 0, 2, 0, 0, 0, 1, 1, 2, 0xff, 0xfe});
  auto const a = io::decode_idx(golden);
  CHECK(a.type == pleat::dtype::i16);
  CHECK(a.shape == extents{2, 1});
  CHECK(a.values<std::int16_t>()[0] == 258);
  CHECK(a.values<std::int16_t>()[1] == -2);
  CHECK(io::encode_idx(a) == golden);
  CHECK_THAT(words([&] { (void)a.values<float>(); }), ContainsSubstring("the elements are I16, asked for as F32"));
}

TEST_CASE("every element type and rank comes back, plain and compressed", "[io][idx]") {
  scratch const dir;
  using enum pleat::dtype;
  for (auto const t : {u8, i8, i16, i32, f32, f64})
    for (auto const& shape :
         {extents{5}, extents{0}, extents{3, 4}, extents{2, 0, 3}, extents{2, 3, 4}, extents{1, 2, 1, 2, 1, 2}}) {
      auto const a = make(t, shape);
      io::write_idx(dir / "a", a);
      CHECK(same(io::read_idx(dir / "a"), a));
      CHECK(same(io::decode_idx(io::gzip(io::encode_idx(a))), a));
    }
}

TEST_CASE("every truncation of an IDX file is found", "[io][idx]") {
  auto const whole = io::encode_idx(make(pleat::dtype::i32, {3, 5}));
  for (std::size_t n = 0; n < whole.size(); ++n) {
    auto const cut = std::span(whole).first(n);
    CHECK(words([&] { (void)io::decode_idx(cut); }).size() > 20);
    CHECK(words([&] { (void)io::decode_idx(io::gzip(cut)); }).size() > 20);
  }
  CHECK_THAT(words([&] { (void)io::decode_idx({}); }),
             ContainsSubstring("ends within the 4 bytes of its magic number: expected 4 bytes or more, found 0"));
  CHECK_THAT(words([&] { (void)io::decode_idx(std::span(whole).first(9)); }),
             ContainsSubstring("ends within its extents: expected 12 bytes or more, found 9"));
  CHECK_THAT(words([&] { (void)io::decode_idx(std::span(whole).first(70)); }),
             ContainsSubstring("ends within its data: expected 72 bytes or more, found 70"));
}

TEST_CASE("hostile IDX headers are refused before anything is allocated", "[io][idx]") {
  CHECK_THAT(words([&] {
               (void)io::decode_idx(raw({1, 2, 8, 1, 0, 0, 0, 0}));
             }),
             ContainsSubstring("not an IDX file: expected two zero bytes at byte 0, found 1 and 2"));
  CHECK_THAT(words([&] {
               (void)io::decode_idx(raw({0, 0, 0x0A, 1, 0, 0, 0, 0}));
             }),
             ContainsSubstring("unknown element code 10 at byte 2"));
  CHECK_THAT(words([&] { (void)io::decode_idx(raw({0, 0, 8, 0})); }), ContainsSubstring("rank 0 at byte 3"));
  CHECK_THAT(words([&] {
               (void)io::decode_idx(raw({0, 0, 8, 255}));
             }),
             ContainsSubstring("rank 255 at byte 3, expected 1 to 6"));
  auto const huge = raw({0, 0, 8, 1, 0xff, 0xff, 0xff, 0xff, 1});
  CHECK_THAT(
      words([&] { (void)io::decode_idx(huge); }),
      ContainsSubstring("announces [4294967295] elements of 1 bytes from byte 8 on, more than the file can hold"));
  CHECK_THAT(words([&] { (void)io::decode_idx(io::gzip(huge)); }), ContainsSubstring("more than the file can hold"));
  auto const overflow = raw({0, 0, 0x0E, 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff});
  CHECK_THAT(words([&] { (void)io::decode_idx(overflow); }), ContainsSubstring("more than the file can hold"));
  // 2^31 · 2^31 · 4 wraps to 0 in 64 bits, and an extent of 0 does not forgive it.
  auto const wraps = raw({0, 0, 8, 3, 0x80, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 4});
  CHECK_THAT(words([&] { (void)io::decode_idx(wraps); }), ContainsSubstring("more than the file can hold"));
  auto const forgiven = raw({0, 0, 8, 4, 0x80, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0});
  CHECK_THAT(words([&] { (void)io::decode_idx(forgiven); }), ContainsSubstring("more than the file can hold"));
  CHECK(io::decode_idx(raw({0, 0, 8, 2, 0x80, 0, 0, 0, 0, 0, 0, 0})).shape.size() == 0);
  CHECK_THAT(words([&] {
               (void)io::decode_idx(raw({0, 0, 8, 1, 0, 0, 0, 1, 9, 9}));
             }),
             ContainsSubstring("end at byte 9, but the file goes on"));
}

TEST_CASE("a compressed IDX file that is longer, damaged or followed by garbage is refused", "[io][idx]") {
  auto data = io::encode_idx(make(pleat::dtype::u8, {10}));
  auto const good = io::gzip(data);
  auto garbage = good;
  garbage.push_back(std::byte{7});
  CHECK_THAT(words([&] { (void)io::decode_idx(garbage); }), ContainsSubstring("garbage"));
  auto broken = good;
  broken[broken.size() - 6] ^= std::byte{4};
  CHECK_THAT(words([&] { (void)io::decode_idx(broken); }), ContainsSubstring("corrupt gzip data"));
  data.push_back(std::byte{0});
  CHECK_THAT(words([&] { (void)io::decode_idx(io::gzip(data)); }), ContainsSubstring("the file goes on"));
}

TEST_CASE("what the format cannot hold is not written", "[io][idx]") {
  CHECK_THAT(words([] { (void)io::encode_idx(make(pleat::dtype::u64, {1})); }),
             ContainsSubstring("no element type U64"));
  CHECK_THAT(words([] { (void)io::encode_idx(make(pleat::dtype::u8, {})); }), ContainsSubstring("rank 0"));
  CHECK_THAT(words([] {
               (void)io::encode_idx({pleat::dtype::u8, {3}, std::vector<std::byte>(2)});
             }),
             ContainsSubstring("2 bytes do not fit [3]"));
  // 2^64 elements, of which a product without a check leaves none
  CHECK_THAT(words([] {
               (void)io::encode_idx({pleat::dtype::u8, {65536, 65536, 65536, 65536}, {}});
             }),
             ContainsSubstring("0 bytes do not fit [65536, 65536, 65536, 65536]"));
}

TEST_CASE("ten thousand damaged IDX files: an error or a valid array, never more", "[io][idx][hostile]") {
  auto const plain = io::encode_idx(make(pleat::dtype::i16, {7, 5, 3}));
  auto const packed = io::gzip(plain);
  int refused = 0;
  for (std::uint64_t n = 0; n < 10'000; ++n) {
    auto const bad =
        io_test::damaged(n % 2 ? std::span<std::byte const>(packed) : std::span<std::byte const>(plain), n);
    auto const w = words([&] {
      auto const a = io::decode_idx(bad);
      REQUIRE(a.bytes.size() == static_cast<std::size_t>(a.shape.size()) * size_of(a.type));
      REQUIRE(a.bytes.size() <= bad.size() * io::gzip_max_ratio);
    });
    refused += !w.empty();
  }
  CHECK(refused > 5000);  // seen: 8479; damage to plain data bytes alone cannot be seen
}
