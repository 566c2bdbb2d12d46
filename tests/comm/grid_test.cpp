// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/comm/grid.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <mutex>
#include <string>
#include <thread>
#include <vector>

using Catch::Matchers::ContainsSubstring;
using namespace pleat;

TEST_CASE("every set of axes has its group, in the mesh's order") {
  for (auto const& m : {mesh{}, mesh{{"data", 3}}, mesh{{"data", 2}, {"tensor", 3}},
                        mesh{{"data", 2}, {"tensor", 2}, {"pipeline", 2}}.ordered("tensor,pipeline,data"),
                        mesh{{"data", 2}, {"tensor", 1}, {"pipeline", 3}}}) {
    std::mutex guard;
    std::vector<std::string> wrong;
    comm::run_local(m.size(), [&](comm::communicator world) {
      comm::grid g(world, m);
      for (std::uint32_t bits = 0; bits < (1u << m.axes()); ++bits) {
        axis_set const axes{bits};
        auto& c = g.along(axes);
        auto const expected = m.group(g.rank(), axes);
        std::vector<int> members(static_cast<std::size_t>(c.size()), -1);
        int const mine[1] = {world.rank()};
        c.all_gather(mine, members);
        bool good = c.size() == expected.size() && c.rank() == m.position(g.rank(), axes);
        for (int k = 0; good && k < c.size(); ++k) good = members[static_cast<std::size_t>(k)] == expected[k];
        if (!good) {
          std::lock_guard const lock(guard);
          wrong.push_back(m.to_string() + " set " + std::to_string(bits));
        }
      }
    });
    CHECK(wrong.empty());
  }
}

namespace {
/// A transport whose split keeps everybody together.
class careless : public comm::local {
 public:
  using local::local;
  explicit careless(comm::local&& l) : local(std::move(l)) {}
  owned_ptr<comm::local> split(int, int key) { return comm::local::split(0, key); }
};
}  // namespace

TEST_CASE("a transport that splits wrongly is named") {
  comm::communicator one = careless(std::make_shared<comm::detail::local_core>(1), 0);
  CHECK_NOTHROW(comm::grid(one, mesh{{"data", 1}}));
  auto const core = std::make_shared<comm::detail::local_core>(4);
  std::mutex guard;
  std::vector<std::string> said;
  auto const run = [&](int r) {
    comm::communicator c = careless(core, r);
    try {
      comm::grid const g(c, mesh{{"data", 2}, {"tensor", 2}});
    } catch (error const& e) {
      std::lock_guard const lock(guard);
      said.emplace_back(e.what());
    }
  };
  std::vector<std::thread> threads;
  for (int r = 0; r < 4; ++r) threads.emplace_back(run, r);
  for (auto& t : threads) t.join();
  REQUIRE(said.size() == 4);
  for (auto const& s : said)
    CHECK_THAT(s, ContainsSubstring("of 4 where rank") && ContainsSubstring("of 2 was asked for"));
}

TEST_CASE("axes by name") {
  comm::run_local(2, [](comm::communicator world) {
    comm::grid g(world, mesh{{"data", 2}, {"tensor", 1}});
    if (g.along("data").size() != 2 || g.along("tensor").size() != 1 || g.all().size() != 2 ||
        g.coordinate("data") != world.rank())
      throw error{"test", "wrong"};
  });
  comm::communicator one = comm::self();
  comm::grid g(one, mesh{{"data", 1}});
  CHECK_THROWS_WITH(g.along("tensor"), ContainsSubstring("there is no axis 'tensor'. The axes are data"));
}

TEST_CASE("a mesh that does not fit the ranks is refused on every rank, and so are ranks that disagree") {
  auto const said = [](int ranks, auto const& mesh_of) {
    std::mutex guard;
    std::vector<std::string> all;
    comm::run_local(ranks, [&](comm::communicator world) {
      try {
        comm::grid const g(world, mesh_of(world.rank()));
      } catch (error const& e) {
        std::lock_guard const lock(guard);
        all.emplace_back(e.what());
      }
    });
    return all;
  };
  auto const small = said(4, [](int) { return mesh{{"data", 3}}; });
  REQUIRE(small.size() == 4);
  CHECK_THAT(small[0], ContainsSubstring("'data=3' has 3 ranks, there are 4. The nearest that fits is 'data=4'"));
  auto const differ = said(2, [](int r) { return r == 0 ? mesh{{"data", 2}} : mesh{{"tensor", 2}}; });
  REQUIRE(differ.size() == 2);
  for (auto const& s : differ)
    CHECK_THAT(s,
               ContainsSubstring("comm::grid: the mesh of rank 1 is not that of rank 0: tensor=2 there, data=2 here"));
}
