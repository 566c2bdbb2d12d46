// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The sum over lanes: the same bits on every number of ranks as the tree evaluated by one.
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <comm/lane_cases.hpp>
#include <comm/watched_sends.hpp>
#include <pleat/comm/local.hpp>
#include <pleat/comm/self.hpp>

using namespace pleat;
using Catch::Matchers::ContainsSubstring;

TEST_CASE("lane_roots: the maximal aligned complete subtrees") {
  auto const list = [](int lanes, index_t b, index_t e) {
    std::vector<std::pair<int, int>> v;
    for (auto const& r : comm::lane_roots(lanes, {b, e})) v.emplace_back(r.first, r.lanes);
    return v;
  };
  using roots = std::vector<std::pair<int, int>>;
  CHECK(list(8, 0, 8) == roots{{0, 8}});
  CHECK(list(8, 0, 3) == roots{{0, 2}, {2, 1}});
  CHECK(list(8, 3, 6) == roots{{3, 1}, {4, 2}});
  CHECK(list(8, 6, 8) == roots{{6, 2}});
  CHECK(list(8, 5, 5).empty());
  CHECK(list(1, 0, 1) == roots{{0, 1}});
  CHECK(list(64, 1, 63).size() == 10);
  for (int lanes : {1, 2, 4, 8, 16, 32, 64})
    for (index_t b = 0; b < lanes; ++b)
      for (index_t e = b; e <= lanes; ++e) {
        index_t at = b;
        auto const all = comm::lane_roots(lanes, {b, e});
        bool good = all.size() <= 12;
        for (auto const& r : all) {
          good = good && r.first == at && r.lanes > 0 && (r.lanes & (r.lanes - 1)) == 0 && r.first % r.lanes == 0;
          bool const parent_inside = r.lanes < lanes && r.first / (2 * r.lanes) * (2 * r.lanes) >= b &&
                                     r.first / (2 * r.lanes) * (2 * r.lanes) + 2 * r.lanes <= e;
          good = good && !parent_inside;
          at += r.lanes;
        }
        CHECK((good && at == e));
      }
}

TEMPLATE_TEST_CASE("lane_request: bits do not depend on the number of ranks", "", float, double) {
  int const ranks = GENERATE(1, 2, 3, 4, 5, 7, 8);
  int const lanes = GENERATE(8, 16);
  std::vector<std::string> said(static_cast<std::size_t>(ranks));
  comm::run_local(ranks, [&](comm::communicator c) {
    said[static_cast<std::size_t>(c.rank())] = pleat_test::lane_findings<TestType>(c, lanes);
  });
  for (auto const& s : said) CHECK(s == "");
}

TEST_CASE("lane_request: a reduce-scatter gives every rank its range of the same bits, replicas included") {
  struct layout {
    int ranks, shards;
  };
  auto const [ranks, shards] = GENERATE(layout{1, 1}, layout{2, 2}, layout{2, 1}, layout{3, 3}, layout{4, 2},
                                        layout{4, 4}, layout{6, 3}, layout{8, 2}, layout{8, 8});
  // 16385: of two shards one is short and one is long; 40011: replicas divide the work and pass it on
  index_t const n = GENERATE(0, 2, 1000, 16385, 40011);
  std::vector<std::string> said(static_cast<std::size_t>(ranks));
  comm::run_local(ranks, [&, shards = shards](comm::communicator c) {
    said[static_cast<std::size_t>(c.rank())] = pleat_test::lane_scatter_findings<float>(c, 8, shards, n);
  });
  for (auto const& s : said) CHECK(s == "");
}

TEST_CASE("lane_request: nothing is written where a send still reads") {
  struct layout {
    int ranks, shards;
  };
  auto const [ranks, shards] =
      GENERATE(layout{2, 1}, layout{2, 2}, layout{3, 1}, layout{4, 1}, layout{4, 2}, layout{8, 2}, layout{8, 8});
  index_t const n = GENERATE(1000, 16385, 40011);
  std::vector<std::string> said(static_cast<std::size_t>(ranks));
  CHECK(pleat_test::run_watched(ranks, [&, shards = shards](comm::communicator c) {
          auto& mine = said[static_cast<std::size_t>(c.rank())];
          mine = pleat_test::lane_scatter_findings<float>(c, 8, shards, n);
          if (shards == 1) mine += pleat_test::lane_findings<float>(c, 8);
        }) == 0);
  for (auto const& s : said) CHECK(s == "");
}

TEST_CASE("lane_request: the order matters, so the oracle can fail") {
  auto const tree = pleat_test::lane_tree<float>(8, 1000, 0, 8);
  auto chain = pleat_test::lane_values<float>(0, 1000);
  for (int l = 1; l < 8; ++l) {
    auto const x = pleat_test::lane_values<float>(l, 1000);
    for (std::size_t i = 0; i < x.size(); ++i) chain[i] += x[i];
  }
  CHECK(tree != chain);
}

TEST_CASE("lane_request: wrong calls give words") {
  comm::communicator c = comm::self();
  using request = comm::lane_request<float>;
  CHECK_THROWS_WITH(request(c, 3, 1), ContainsSubstring("3 lanes for 1 ranks") && ContainsSubstring("power of two"));
  CHECK_THROWS_WITH(request(c, 0, 1), ContainsSubstring("0 lanes for 1 ranks"));
  CHECK_THROWS_WITH(request(c, 128, 1), ContainsSubstring("128 lanes for 1 ranks"));
  request r(c, 8, 10);
  std::vector<float> v(20);
  CHECK(r.roots() == 1);
  CHECK_THROWS_WITH(r.start(v.data(), 0, 11, v.data()), ContainsSubstring("n is 11, the capacity is 10"));
  CHECK_THROWS_WITH(r.start(nullptr, 0, 4, v.data()), ContainsSubstring("a slot or out is null"));
  std::array<float const*, 2> const two{v.data(), v.data()};
  CHECK_THROWS_WITH(r.start(two, 4, v.data()),
                    ContainsSubstring("2 slots were passed, this rank's lanes have 1 roots"));
  std::vector<std::string> said(3);
  comm::run_local(3, [&](comm::communicator d) {
    try {
      request const q(d, 2, 1);
    } catch (error const& e) {
      said[static_cast<std::size_t>(d.rank())] = e.what();
    }
  });
  for (auto& s : said) {
    CHECK_THAT(s, ContainsSubstring("2 lanes for 3 ranks"));
    s.clear();
  }
  comm::run_local(3, [&](comm::communicator d) {
    auto& s = said[static_cast<std::size_t>(d.rank())];
    std::vector<float> x(10, 1.0f), little(static_cast<std::size_t>(request::workspace_size(4, 3, d.rank(), 10)) - 1);
    request q(d, 4, 10, little);
    try {
      q.start(x.data(), 0, 10, x.data());
    } catch (error const& e) {
      s = e.what();
    }
  });
  // ranks 1 and 2 have a lane each, rank 0 a pair of them
  CHECK_THAT(said[0], ContainsSubstring("the workspace has 19 elements, 20 are needed"));
  CHECK_THAT(said[1], ContainsSubstring("the workspace has 19 elements, 20 are needed"));
}
