// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/tensor/mesh.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <set>
#include <vector>

using Catch::Matchers::ContainsSubstring;
using pleat::axis_set;
using pleat::mesh;

namespace {
template <class F> std::string words(F const& f) {
  try {
    f();
  } catch (pleat::error const& e) {
    return e.what();
  }
  return "no error";
}
std::vector<int> ranks_of(pleat::rank_group const& g) {
  std::vector<int> list;
  for (int k = 0; k < g.size(); ++k) list.push_back(g[k]);
  return list;
}
}  // namespace

TEST_CASE("coordinates and ranks are two names of one thing, whichever axis is innermost") {
  mesh const m{{"data", 3}, {"tensor", 4}, {"pipeline", 2}};
  for (auto const* order : {"data,tensor,pipeline", "pipeline,data,tensor", "tensor,pipeline,data"}) {
    mesh const n = m.ordered(order);
    CHECK(n.size() == 24);
    std::set<int> seen;
    for (int d = 0; d < 3; ++d)
      for (int t = 0; t < 4; ++t)
        for (int p = 0; p < 2; ++p) {
          int const r = n.rank_of({d, t, p});
          REQUIRE(n.coordinates_of(r) == mesh::coordinates{d, t, p});
          REQUIRE(n.moved(r, 1, 0) == n.rank_of({d, 0, p}));
          seen.insert(r);
        }
    CHECK(seen.size() == 24);
    CHECK(*seen.begin() == 0);
    CHECK(*seen.rbegin() == 23);
  }
  CHECK(m.stride(2) == 1);
  CHECK(m.rank_of({1, 2, 1}) == 13);
  mesh const n = m.ordered("pipeline,data,tensor");
  CHECK(n.stride(1) == 1);
  CHECK(n.stride(0) == 4);
  CHECK(n.stride(2) == 12);
  CHECK_FALSE(m == n);
  CHECK(m == m.ordered("data,tensor,pipeline"));
}

TEST_CASE("groups cut the ranks into classes, every rank in one, in an order that all members agree on") {
  for (auto const* order : {"data,tensor,pipeline", "tensor,pipeline,data"}) {
    mesh const m = mesh{{"data", 2}, {"tensor", 3}, {"pipeline", 2}}.ordered(order);
    for (std::uint32_t bits = 0; bits < 8; ++bits) {
      axis_set const axes{bits};
      std::vector<std::vector<int>> groups(static_cast<std::size_t>(m.size() / m.group_size(axes)));
      for (int r = 0; r < m.size(); ++r) {
        auto const g = m.group(r, axes);
        REQUIRE(g.size() == m.group_size(axes));
        REQUIRE(g[m.position(r, axes)] == r);
        auto& known = groups.at(static_cast<std::size_t>(m.group_index(r, axes)));
        if (known.empty()) known = ranks_of(g);
        REQUIRE(known == ranks_of(g));
        for (int const k : known)
          for (int a = 0; a < 3; ++a) REQUIRE((axes.contains(a) || m.coordinate(k, a) == m.coordinate(r, a)));
      }
      std::set<int> all;
      for (auto const& g : groups) all.insert(g.begin(), g.end());
      CHECK(static_cast<int>(all.size()) == m.size());
    }
  }
  // By hand: the axis listed last runs fastest, even where it is not innermost.
  mesh const m = mesh{{"data", 2}, {"tensor", 2}}.ordered("tensor,data");
  CHECK(ranks_of(m.group(0, m.all())) == std::vector<int>{0, 2, 1, 3});
  CHECK(ranks_of(m.group(3, m.set("data"))) == std::vector<int>{2, 3});
}

TEST_CASE("a mesh is its text") {
  for (auto const* text : {"data=2,tensor=2,pipeline=2", "data=1", "rows=3,columns_2=5,order=columns_2.rows"}) {
    mesh const m = mesh::parse(text);
    CHECK(m.to_string() == text);
    CHECK(mesh::parse(m.to_string()) == m);
  }
  CHECK(mesh::parse("data=*,tensor=2", 8) == mesh{{"data", 4}, {"tensor", 2}});
  CHECK(mesh::parse("", 1) == mesh{});
  CHECK(mesh::parse("data=2,tensor=3,order=data.tensor") == mesh::parse("data=2,tensor=3"));
  CHECK(mesh::parse("data=2").hash() != mesh::parse("data=3").hash());
  CHECK(mesh::parse("data=2,tensor=2").hash() != mesh::parse("data=2,tensor=2,order=tensor.data").hash());
}

TEST_CASE("a mesh that is none is refused in words, with the nearest that fits") {
  auto const parse = [](char const* text, int ranks = 0) {
    return words([&] { static_cast<void>(mesh::parse(text, ranks)); });
  };
  CHECK(parse("data=3,tensor=2", 8) ==
        "pleat: mesh: 'data=3,tensor=2' has 6 ranks, there are 8. The nearest that fits is 'data=4,tensor=2'");
  CHECK_THAT(parse("data=5,tensor=2,pipeline=4", 48), ContainsSubstring("'data=6,tensor=2,pipeline=4'"));
  CHECK_THAT(parse("data=2,tensor=4", 7), ContainsSubstring("there are 7. The nearest that fits is 'data="));
  CHECK_THAT(parse("data=*,tensor=3", 8), ContainsSubstring("'data=2,tensor=3' has 6 ranks"));
  CHECK_THAT(parse("", 4), ContainsSubstring("Name an axis, as in 'data=4'"));
  CHECK_THAT(parse("data=2,tensor"), ContainsSubstring("'tensor' is not 'axis=extent'"));
  CHECK_THAT(parse("data=2,tensor=0"), ContainsSubstring("'tensor=0' has no extent of 1 or more"));
  CHECK_THAT(parse("data=2x"), ContainsSubstring("has no extent"));
  CHECK_THAT(parse("data=99999999999"), ContainsSubstring("has no extent"));
  CHECK_THAT(parse("a=65536,b=65536,c=65536,d=65536,e=*", 8),
             ContainsSubstring("'b=65536' makes more than 2^31 - 1 ranks"));
  CHECK_THAT(parse("data=2147483647,tensor=2"), ContainsSubstring("'tensor=2' makes more than 2^31 - 1 ranks"));
  CHECK_THAT(parse("data=2147483647"), ContainsSubstring("no error"));
  CHECK_THAT(parse("data=*"), ContainsSubstring("where the number of ranks is not known"));
  CHECK_THAT(parse("data=*,tensor=*", 4), ContainsSubstring("second extent that is left open"));
  CHECK_THAT(parse("data=2,order=data.data"), ContainsSubstring("named twice"));
  CHECK_THAT(parse("data=2,tensor=2,order=data"),
             ContainsSubstring("1 of 2 axes are named. Name each of data, tensor once"));
  CHECK_THAT(parse("order=data,data=2"), ContainsSubstring("comes after the order"));
  CHECK_THAT(parse("data=2,data=2"), ContainsSubstring("axis 'data' is named twice. Name it once, as in 'data=4'"));
  CHECK_THAT(parse("Data=2"), ContainsSubstring("'Data' is no name of an axis"));
  CHECK_THAT(parse("a=1,b=1,c=1,d=1,e=1,f=1,g=1"), ContainsSubstring("one axis too many: at most 6"));
  CHECK_THAT(parse("a=65536,b=65536"), ContainsSubstring("more than 2^31 - 1 ranks"));
  CHECK_THAT(words([] {
               static_cast<void>(mesh{{"data", 65536}, {"tensor", 65536}});
             }),
             ContainsSubstring("with axis 'tensor' of 65536. Give it at most 32767"));
  CHECK_NOTHROW(mesh{{"data", 65536}, {"tensor", 32767}});
  CHECK_THAT(words([] {
               static_cast<void>(mesh{{"data", 2}, {"tensor", 2}}.extent("tenosr"));
             }),
             ContainsSubstring("there is no axis 'tenosr'. The axes are data, tensor"));
}

TEST_CASE("the nearest mesh has the ranks, for every number of them") {
  mesh const m{{"data", 4}, {"tensor", 2}, {"pipeline", 3}};
  for (int ranks = 1; ranks <= 200; ++ranks) {
    auto const n = m.nearest(ranks);
    REQUIRE(n.size() == ranks);
    REQUIRE_NOTHROW(mesh::parse(n.to_string(), ranks));
  }
  CHECK(m.nearest(24) == m);
  CHECK(m.nearest(48) == mesh{{"data", 8}, {"tensor", 2}, {"pipeline", 3}});
}

TEST_CASE("static and run-time extents make the same mesh") {
  using pleat::static_axis;
  using pleat::static_mesh;
  constexpr mesh all = static_mesh<static_axis<"data", 2>, static_axis<"tensor", 4>>{};
  STATIC_CHECK(all.size() == 8);
  STATIC_CHECK(all.ordered("tensor,data").rank_of({1, 0}) == 1);
  STATIC_CHECK(all.group(5, all.set("data"))[0] == 1);
  static_mesh<static_axis<"data">, static_axis<"tensor", 4>> const some(2);
  CHECK(mesh(some) == all);
}
