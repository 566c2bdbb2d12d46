// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/io/text.hpp>

#include <set>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <pleat/io/sampler.hpp>

#include "support.hpp"

using Catch::Matchers::ContainsSubstring;
using io_test::scratch;
using pleat::index_t;
namespace io = pleat::io;

TEST_CASE("a vocabulary numbers the characters of a text in ascending order") {
  io::character_vocabulary const v("hello, wörld\n");
  CHECK(v.characters() == "\n ,dehlorw\xb6\xc3");
  CHECK(v.size() == 12);
  CHECK(v.decode(v.encode("hello wörld")) == "hello wörld");
  CHECK(v.token('\n') == 0);
  CHECK(v.token('z') == -1);
  CHECK(io::character_vocabulary(v.characters()) == v);
  CHECK_THROWS_WITH((void)v.encode("hex"),
                    ContainsSubstring("byte 120 at offset 2") && ContainsSubstring("12 characters"));
  std::vector<std::uint16_t> const bad = {1, 12};
  CHECK_THROWS_WITH((void)v.decode(bad), ContainsSubstring("token 12 at place 1"));
  CHECK(io::character_vocabulary().size() == 0);
}

TEST_CASE("windows hold their tokens and the ones that follow") {
  io::token_dataset d{"t", 100, 4, 1, {}};
  for (std::uint16_t i = 0; i < 20; ++i) d.tokens.push_back(i);
  CHECK(d.size() == 16);
  std::vector<index_t> const pick = {15, 0, 7};
  std::vector<float> x(12);
  std::vector<std::int32_t> y(12);
  d.gather(std::span(pick), x.data(), y.data());
  for (std::size_t r = 0; r < 3; ++r)
    for (std::size_t t = 0; t < 4; ++t) {
      CHECK(x[r * 4 + t] == static_cast<float>(pick[r] + static_cast<index_t>(t)));
      CHECK(y[r * 4 + t] == pick[r] + static_cast<index_t>(t) + 1);
    }
  d.gather(std::span(pick), x.data(), nullptr);
  d.stride = 4;
  CHECK(d.size() == 4);  // 0, 4, 8, 12; the next would need token 20
  std::vector<index_t> const past = {0, 4};
  CHECK_THROWS_WITH(d.gather(std::span(past), x.data(), y.data()), ContainsSubstring("window 4 of 't', which has 4"));
  d.tokens.resize(4);
  CHECK(d.size() == 0);
  d.tokens.resize(5);
  CHECK(d.size() == 1);
}

TEST_CASE("a text is cut into what is trained on and what is judged by") {
  std::string text;
  for (int i = 0; i < 500; ++i) text += static_cast<char>('a' + i * i % 26);
  scratch dir;
  io::write_file(dir / "a.txt", text);
  auto const s = io::read_text(dir / "a.txt", 8);
  CHECK(s.train.name == "a.txt train");
  CHECK(s.train.tokens.size() == 450);
  CHECK(s.train.size() == 442);
  CHECK(s.validation.tokens.size() == 50);
  CHECK(s.validation.size() == 6);
  CHECK(s.train.vocabulary == s.vocabulary.size());
  CHECK(s.vocabulary.decode(s.train.tokens) + s.vocabulary.decode(s.validation.tokens) == text);
  CHECK_THROWS_WITH(io::read_text(dir / "none.txt", 8), ContainsSubstring("none.txt"));
  CHECK_THROWS_WITH(io::read_text(dir / "a.txt", 50),
                    ContainsSubstring("a.txt validation") && ContainsSubstring("needs 51"));
  CHECK_THROWS_WITH(io::read_text(dir / "a.txt", INT64_MAX), ContainsSubstring("needs 9223372036854775808"));
  CHECK_THROWS_WITH(io::read_text(dir / "a.txt", 0), ContainsSubstring("context of 0"));
  CHECK_THROWS_WITH(io::read_text(dir / "a.txt", 8, 1.0), ContainsSubstring("share"));
  io::write_file(dir / "empty.txt", std::string_view{});
  CHECK_THROWS_WITH(io::read_text(dir / "empty.txt", 8), ContainsSubstring("empty.txt train"));
}

TEST_CASE("every number of ranks reads the same windows in the same global order") {
  io::token_dataset d{"t", 1000, 6, 2, {}};
  for (std::uint16_t i = 0; i < 107; ++i) d.tokens.push_back(static_cast<std::uint16_t>(i * 7 % 1000));
  io::sampler const order(d.size(), 16, {.seed = 3});
  auto const epoch = order.order(1);
  std::vector<float> whole;
  for (int const ranks : {1, 2, 3, 5}) {
    std::vector<float> all;
    for (index_t b = 0; b < order.batches_per_epoch(); ++b) {
      auto const batch = order.batch(b);
      for (int r = 0; r < ranks; ++r) {
        auto const mine = pleat::block_range(batch.end - batch.begin, ranks, r);
        std::span<index_t const> const pick(epoch.data() + batch.begin + mine.begin,
                                            static_cast<std::size_t>(mine.size()));
        std::vector<float> x(pick.size() * 6);
        d.gather(pick, x.data(), nullptr);
        all.insert(all.end(), x.begin(), x.end());
      }
    }
    if (ranks == 1) whole = all;
    CHECK(all == whole);
  }
  CHECK(static_cast<index_t>(whole.size()) == d.size() * 6);
}
