// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Chunks of an entropy-coded weight that are read side by side are what they are one by one, with every coder.
#include <pleat/codec/detail/coded_bits.hpp>

#include <pleat/base/random.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

namespace {

namespace detail = pleat::codec::detail;
using logic = detail::coded_logic;
using pleat::extents;
using pleat::index_t;

std::vector<float> numbers(index_t n, double zeros) {
  pleat::random::stream const s(1, 2), keep(1, 3);
  std::vector<float> v(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < v.size(); ++i) {
    float const x = 2 * s.uniform(i) - 1;
    v[i] = keep.uniform(i) < zeros ? 0.0f : x * x * x;
  }
  return v;
}

struct lists {
  std::vector<std::uint32_t> start, column;
  std::vector<float> value;
  explicit lists(logic::view const& v)
      : start(static_cast<std::size_t>(v.chunk_rows) + 1, 7u),
        column(static_cast<std::size_t>(v.most_alive) + 1, 7u),
        value(static_cast<std::size_t>(v.most_alive) + 1, 7.0f) {}
  [[nodiscard]] detail::chunk_lists where() { return {start.data(), column.data(), value.data()}; }
};

/// \return the coders that were at work
std::set<int> compare(extents const& shape, std::vector<float> const& values, pleat::codec::codebook_options const& o) {
  auto const parts = logic::encode(shape, values, o);
  detail::host_parts h{parts};
  for (auto& p : logic::derive(shape, parts)) h.parts.push_back(std::move(p));
  for (auto& p : h.parts) p.bytes.resize(p.bytes.size() + 64);
  auto const v = logic::open(shape, h, parts);
  REQUIRE(v.chunks >= 2 * logic::view::together);
  std::vector<lists> apart, side_by_side;
  for (index_t c = 0; c < v.chunks; ++c) {
    apart.emplace_back(v);
    CHECK(v.template read<false>(c, apart.back().where()));
    side_by_side.emplace_back(v);
  }
  for (index_t c = 0; c < v.chunks; c += logic::view::together) {
    c = std::min(c, v.chunks - logic::view::together);  // the last ones again: a shorter chunk among them
    detail::chunk_lists const four[] = {
        side_by_side[static_cast<std::size_t>(c)].where(), side_by_side[static_cast<std::size_t>(c) + 1].where(),
        side_by_side[static_cast<std::size_t>(c) + 2].where(), side_by_side[static_cast<std::size_t>(c) + 3].where()};
    v.read_together(c, four);
  }
  for (index_t c = 0; c < v.chunks; ++c) {
    auto const &a = apart[static_cast<std::size_t>(c)], &b = side_by_side[static_cast<std::size_t>(c)];
    CHECK(a.start == b.start);
    auto const n = static_cast<std::ptrdiff_t>(a.start[static_cast<std::size_t>(v.rows_in(c))]);
    CHECK(std::equal(a.column.begin(), a.column.begin() + n, b.column.begin()));
    CHECK(std::equal(a.value.begin(), a.value.begin() + n, b.value.begin()));
  }
  return {static_cast<int>(v.code_how), v.filler != 0 ? 3 + static_cast<int>(v.gap_how) : -1};
}

}  // namespace

TEST_CASE("chunks read side by side are what they are one by one") {
  std::set<int> coders;
  for (double zeros : {0.3, 0.9})
    for (int index_bits : {0, 2, 5, 8})
      for (bool const entropy : {true, false})
        for (index_t rows_per_group : {0, 1, 100}) {
          extents const shape{zeros < 0.5 ? 157 : 1003, 331};
          INFO(zeros << " zeros, indices of " << index_bits << " bits, groups of " << rows_per_group
                     << (entropy ? ", entropy" : ""));
          auto const seen = compare(shape, numbers(shape.size(), zeros),
                                    {.entries = 16,
                                     .rows_per_group = rows_per_group,
                                     .iterations = 2,
                                     .index_bits = index_bits,
                                     .entropy = entropy});
          coders.insert(seen.begin(), seen.end());
        }
  // Few values, one of them most of the time: where the range coder is smaller than Huffman's codes, and the other way
  // round.
  auto skewed = numbers(157 * 331, 0.0);
  for (auto& x : skewed) x = x > 0.2f ? 0.75f : x > -0.1f ? 0.5f : 0.25f;
  auto const seen = compare({157, 331}, skewed, {.entries = 4, .iterations = 2, .index_bits = 0});
  coders.insert(seen.begin(), seen.end());
  CHECK(coders.count(static_cast<int>(detail::coder::plain)) == 1);
  CHECK(coders.count(static_cast<int>(detail::coder::range)) == 1);
  CHECK(coders.count(3 + static_cast<int>(detail::coder::plain)) == 1);
  CHECK(coders.count(3 + static_cast<int>(detail::coder::range)) == 1);
  std::string all;
  for (int c : coders) all += std::to_string(c) + " ";
  UNSCOPED_INFO("coders seen: " << all);
  CHECK(coders.count(static_cast<int>(detail::coder::huffman)) +
            coders.count(3 + static_cast<int>(detail::coder::huffman)) >=
        1);
}
