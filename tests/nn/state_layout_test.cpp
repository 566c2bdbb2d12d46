// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/nn/state_layout.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <string>
#include <vector>

namespace pl = pleat;
using pl::index_range;
using pl::index_t;

namespace {
// Parameters of these sizes on starts of 16 elements, then the loss.
std::vector<index_range> entries_of(std::vector<index_t> const& sizes, index_t& size) {
  std::vector<index_range> all;
  size = 0;
  for (index_t n : sizes) {
    all.push_back({size, size + n});
    size = (size + n + 15) / 16 * 16;
  }
  all.push_back({size, size + 1});
  size += 16;
  return all;
}
}  // namespace

TEST_CASE("state_layout: every element has one owner, and cuts lie where a norm's chunks begin") {
  std::vector<index_t> const sizes =
      GENERATE(std::vector<index_t>{100000, 10, 5000, 0, 70000, 3}, std::vector<index_t>{1}, std::vector<index_t>{},
               std::vector<index_t>{4096 * 9});
  index_t size = 0;
  auto const entries = entries_of(sizes, size);
  for (int stage : {1, 2, 3})
    for (int shards : {1, 2, 3, 4, 8})
      for (index_t bytes : {index_t{64}, index_t{100000}, index_t{1} << 30}) {
        pl::nn::state_layout const l(entries, size, 4, bytes, stage, shards);
        INFO("stage " << stage << ", " << shards << " shards, buckets of " << bytes);
        std::vector<int> owners(static_cast<std::size_t>(size), 0);
        std::vector<index_t> next(static_cast<std::size_t>(shards), 0);
        index_t end = size;
        for (std::size_t b = 0; b < l.buckets().size(); ++b) {
          CHECK(l.buckets()[b].end == end);  // from the back, without gaps
          end = l.buckets()[b].begin;
          if (l.replicated(b)) {
            CHECK(l.buckets()[b].size() == 16);
            continue;
          }
          index_t at = l.buckets()[b].begin;
          for (int s = 0; s < shards; ++s) {
            auto const p = l.piece(b, s);
            CHECK(p.begin == at);
            CHECK(p.size() == l.counts(b)[static_cast<std::size_t>(s)]);
            at = p.end;
            for (index_t i = p.begin; i < p.end; ++i) ++owners[static_cast<std::size_t>(i)];
            if (p.begin == l.buckets()[b].begin || p.begin == l.buckets()[b].end) continue;
            bool good = false;
            for (auto const& e : entries)
              good = good || e.begin == p.begin ||
                     (p.begin > e.begin && p.begin < e.end && (p.begin - e.begin) % pl::nn::shard_grain == 0);
            CHECK(good);
          }
          CHECK(at == l.buckets()[b].end);
        }
        CHECK(end == 0);
        bool once = true;
        for (index_t i = 0; i + 16 < size; ++i) once = once && owners[static_cast<std::size_t>(i)] == 1;
        CHECK(once);
        index_t sum = 0;
        for (int s = 0; s < shards; ++s) {
          index_t packed = 0;
          for (std::size_t b = l.buckets().size(); b-- > 0;) {
            CHECK(l.packed(b, s) == packed);
            packed += l.piece(b, s).size();
          }
          CHECK(packed == l.owned(s));
          sum += l.owned(s) - 16;
        }
        CHECK(sum == size - 16);
      }
}

TEST_CASE(
    "state_layout: shards differ by less than a grain per bucket, and fewer elements than ranks leave some with "
    "nothing") {
  index_t size = 0;
  auto const entries = entries_of({400000, 300000}, size);
  pl::nn::state_layout const l(entries, size, 4, 1 << 19, 2, 4);
  for (std::size_t b = 1; b < l.buckets().size(); ++b)
    for (int s = 0; s < 4; ++s) {
      index_t const n = l.piece(b, s).size(), fair = l.buckets()[b].size() / 4;
      CHECK(n <= fair + pl::nn::shard_grain);
      CHECK(n >= fair - pl::nn::shard_grain);
    }
  auto const few = entries_of({3}, size);
  pl::nn::state_layout const tiny(few, size, 4, 1 << 19, 3, 8);
  int with = 0;
  for (int s = 0; s < 8; ++s) with += tiny.owned(s) > 16 ? 1 : 0;
  CHECK(with == 1);
}

TEST_CASE("state_layout: stage 0 is one shard of everything, packed as it lies") {
  index_t size = 0;
  auto const entries = entries_of({1000, 10, 2000}, size);
  pl::nn::state_layout const l(entries, size, 4, 1000, 0, 4);
  CHECK(l.shards() == 1);
  CHECK(l.owned(0) == size);
  for (std::size_t b = 0; b < l.buckets().size(); ++b) {
    CHECK(!l.replicated(b));
    CHECK(l.packed(b, 0) == l.buckets()[b].begin);
    CHECK(l.piece(b, 0) == index_range{l.buckets()[b].begin, l.buckets()[b].end});
  }
}

TEST_CASE("state_layout: wrong numbers give words") {
  index_t size = 0;
  auto const entries = entries_of({10}, size);
  CHECK_THROWS_WITH(pl::nn::state_layout(entries, size, 4, 100, 4, 2),
                    Catch::Matchers::ContainsSubstring("the stage must be 0, 1, 2 or 3, found 4"));
  CHECK_THROWS_WITH(pl::nn::state_layout(entries, size, 4, 100, 1, 0),
                    Catch::Matchers::ContainsSubstring("at least one rank, found 0"));
}
