// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/io/checkpoint_layout.hpp>

#include <cstring>
#include <numeric>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "support.hpp"

using Catch::Matchers::ContainsSubstring;
using io_test::words;
using pleat::extents;
using pleat::index_box;
using pleat::index_range;
using pleat::index_t;
namespace io = pleat::io;

namespace {

/// Positions in the whole array of the elements of a box, one by one.
std::vector<index_t> positions(extents const& whole, index_box const& box) {
  std::vector<index_t> list;
  std::vector<index_t> at(static_cast<std::size_t>(whole.rank()));
  for (index_t n = 0; n < box.size(); ++n) {
    index_t rest = n;
    for (int d = whole.rank(); d-- > 0;) {
      at[static_cast<std::size_t>(d)] = box[d].begin + rest % box[d].size();
      rest /= box[d].size();
    }
    list.push_back(linear_index(whole, at));
  }
  return list;
}

}  // namespace

TEST_CASE("runs of a box are its elements in order, and as long as they can be", "[io][checkpoint_layout]") {
  for (extents const whole : {extents{}, extents{7}, extents{4, 5}, extents{3, 4, 2}, extents{2, 3, 2, 3}})
    for (int d = -1; d < whole.rank(); ++d)
      for (index_t parts : {1, 2, 3, 8})
        for (index_t part = 0; part < parts; ++part) {
          index_box box(whole);
          if (d >= 0) box[d] = pleat::block_range(whole[d], parts, part);
          if (d > 0) box[0] = {1, whole[0]};  // two dimensions cut
          auto const expected = positions(whole, box);
          auto const n = static_cast<index_t>(expected.size());
          for (index_t begin = 0; begin <= n; ++begin)
            for (index_t end = begin; end <= n; ++end) {
              std::vector<index_t> found;
              index_t runs = 0, next = begin;
              io::for_each_run(whole, box, {begin, end}, [&](index_t global, index_t local, index_t count) {
                REQUIRE(local == next);
                REQUIRE(count > 0);
                next += count;
                ++runs;
                for (index_t i = 0; i < count; ++i) found.push_back(global + i);
              });
              REQUIRE(next == end);
              REQUIRE(std::equal(found.begin(), found.end(), expected.begin() + begin, expected.begin() + end));
              // neighbours in the whole that are neighbours in the box are one run, rows of the innermost cut dimension
              // at least
              index_t breaks = end > begin ? 1 : 0;
              for (index_t i = begin + 1; i < end; ++i)
                breaks += expected[static_cast<std::size_t>(i)] != expected[static_cast<std::size_t>(i - 1)] + 1;
              REQUIRE(runs >= breaks);
              if (d <= 0) REQUIRE(runs == breaks);
            }
        }
}

TEST_CASE("parts give the whole array's checksum and come back out of it", "[io][checkpoint_layout]") {
  extents const whole{5, 6, 3};
  std::vector<float> values(static_cast<std::size_t>(whole.size()));
  std::iota(values.begin(), values.end(), 1.f);
  auto const bytes = std::as_bytes(std::span<float const>(values));
  for (int d = 0; d < 3; ++d)
    for (index_t parts : {1, 2, 4, 7}) {
      std::uint64_t sum = 0;
      for (index_t part = 0; part < parts; ++part) {
        index_box box(whole);
        box[d] = pleat::block_range(whole[d], parts, part);
        for (index_range const half : {index_range{0, box.size() / 2}, index_range{box.size() / 2, box.size()}}) {
          std::vector<float> mine(static_cast<std::size_t>(half.size()));
          io::copy_part(bytes, whole, 4, box, half, std::as_writable_bytes(std::span(mine)));
          auto const at = positions(whole, box);
          for (std::size_t i = 0; i < mine.size(); ++i)
            REQUIRE(mine[i] == values[static_cast<std::size_t>(at[i + static_cast<std::size_t>(half.begin)])]);
          sum += io::sum_of_part(whole, 4, box, half, std::as_bytes(std::span<float const>(mine)));
        }
      }
      CHECK(sum == io::array_sum(bytes, 4));
    }
}

TEST_CASE("the layout is the one that the writer of safetensors makes", "[io][checkpoint_layout]") {
  std::vector<float> a(12, 1), b(5, 2);
  std::vector<std::uint8_t> c(3, 7);
  io::checkpoint_layout const layout(
      {{"g", {{"c", pleat::dtype::u8, {3}}, {"a", pleat::dtype::f32, {3, 4}}, {"b", pleat::dtype::f32, {5}}}},
       {"empty", {}}});
  io::safetensors_writer writer;
  writer.add<float>("b", {5}, b);
  writer.add<std::uint8_t>("c", {3}, c);
  writer.add<float>("a", {3, 4}, a);
  auto const bytes = writer.bytes();
  REQUIRE(layout.files().size() == 2);
  CHECK(layout.files()[0].group == "empty");
  CHECK(layout.files()[0].count == 0);
  auto const& f = layout.files()[1];
  REQUIRE(f.size == bytes.size());
  CHECK(layout.bytes() == f.size + layout.files()[0].size);
  CHECK(std::memcmp(f.header.data(), bytes.data(), f.header.size()) == 0);
  for (auto const& [name, value] : {std::pair<std::string, std::byte>{"c", std::byte{7}}}) {
    auto const& x = layout.arrays()[layout.find("g", name)];
    CHECK(x.end - x.begin == 3);
    CHECK(bytes[x.begin] == value);
  }
  auto const& x = layout.arrays()[layout.find("g", "b")];
  float first = 0;
  std::memcpy(&first, bytes.data() + x.begin, 4);
  CHECK(first == 2);
  CHECK_THAT(words([&] { (void)layout.find("g", "z"); }), ContainsSubstring("no array 'z' in the group 'g'"));
  CHECK_THAT(words([&] {
               io::checkpoint_layout({{"g", {{"a", {}, {1}}, {"a", {}, {2}}}}});
             }),
             ContainsSubstring("'a' was given to two tensors"));
}
