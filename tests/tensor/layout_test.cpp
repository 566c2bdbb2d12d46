// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/tensor/layout.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <array>
#include <vector>

using Catch::Matchers::ContainsSubstring;
using namespace pleat;

TEST_CASE("an uneven split, by hand") {
  mesh const m{{"data", 2}, {"tensor", 4}};
  layout const one(m, extents{10, 3}, placement{replicate{}, shard<0>{}});
  CHECK(one.range(0, 0) == index_range{0, 3});
  CHECK(one.range(1, 0) == index_range{3, 6});
  CHECK(one.range(2, 0) == index_range{6, 8});
  CHECK(one.range(7, 0) == index_range{8, 10});
  CHECK(one.local(7) == extents{2, 3});
  CHECK_FALSE(one.even());
  CHECK(one.stored() == 60);
  // two axes: first halves of five, then each half in four: 2, 1, 1, 1 (one cut into eight would give 2, 2, 1, 1, …)
  layout const two(m, extents{10, 3}, placement{shard<0>{}, shard<0>{}});
  CHECK(two.range(0, 0) == index_range{0, 2});
  CHECK(two.range(1, 0) == index_range{2, 3});
  CHECK(two.range(4, 0) == index_range{5, 7});
  CHECK(two.range(7, 0) == index_range{9, 10});
  CHECK(two.stored() == 30);
  // more ranks than elements: the last are empty; units stay whole
  layout const few(m, extents{3}, placement{replicate{}, shard<0>{}});
  CHECK(few.local(3) == extents{0});
  layout const heads(m, extents{6 * 64}, placement{replicate{}, shard<0, 64>{}});
  CHECK(heads.range(1, 0) == index_range{128, 256});
  CHECK(heads.range(3, 0) == index_range{320, 384});
  STATIC_CHECK(layout(mesh{{"a", 2}}, extents{4}, placed<shard<0>>{}).even());
}

TEST_CASE("every element has exactly the holders that the placement says") {
  mesh const m = mesh{{"data", 2}, {"tensor", 3}, {"pipeline", 2}}.ordered("pipeline,tensor,data");
  std::vector<axis_placement> const alphabet{replicate{}, shard<0>{}, shard<1>{}, shard<0, 2>{}, partial{}};
  for (auto const shape : {extents{7, 5}, extents{2, 1}, extents{0, 4}, extents{6, 6}})
    for (auto const& a : alphabet)
      for (auto const& b : alphabet)
        for (auto const& c : alphabet) {
          layout const l(m, shape, placement{a, b, c});
          std::vector<int> held(static_cast<std::size_t>(shape.size()));
          index_t stored = 0;
          bool even = true;
          for (int r = 0; r < m.size(); ++r) {
            auto const box = l.box(r);
            stored += box.size();
            even = even && box.shape() == l.box(0).shape();
            auto const g = l.holders(r);
            for (int k = 0; k < g.size(); ++k) REQUIRE(l.box(g[k]) == box);
            for (index_t i = box[0].begin; i < box[0].end; ++i)
              for (index_t j = box[1].begin; j < box[1].end; ++j) {
                std::array<index_t, 2> const at{i, j};
                ++held[static_cast<std::size_t>(linear_index(shape, at))];
                REQUIRE(l.box(l.owner(at)) == box);
              }
          }
          int const copies = l.holders(0).size();
          for (int const h : held) REQUIRE(h == copies);
          REQUIRE(stored == l.stored());
          REQUIRE(even == l.even());
        }
}

TEST_CASE("a layout that cannot be is refused in words") {
  mesh const m{{"data", 2}};
  auto const words = [&](extents const& shape, placement const& p) -> std::string {
    try {
      static_cast<void>(layout(m, shape, p));
    } catch (error const& e) {
      return e.what();
    }
    return "no error";
  };
  CHECK(words({4, 4}, placement{shard<2>{}}) ==
        "pleat: layout: axis 'data' shards dimension 2 of shape [4, 4]. Its dimensions are 0 to 1");
  CHECK_THAT(words({}, placement{shard<0>{}}), ContainsSubstring("A scalar can be replicated or partial only"));
  CHECK_THAT(words({4}, placement{replicate{}, partial{}}),
             ContainsSubstring("'replicate, partial<sum>' has a word for axis 1, the mesh 'data=2' has 1 axis"));
}

TEST_CASE("a layout prints") {
  CHECK(layout(mesh{{"data", 2}, {"tensor", 2}}, extents{64, 784}, placement{replicate{}, shard<0>{}}).to_string() ==
        "[64, 784] on data=2,tensor=2: data: replicate, tensor: shard<0>");
  CHECK(layout(mesh{}, extents{3}, {}).to_string() == "[3] on one rank");
}
