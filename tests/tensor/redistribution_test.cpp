// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Every pair of placements, carried out on paper: all ranks' memory in one place, messages as copies that are counted.
#include <pleat/tensor/redistribution.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <map>
#include <string>
#include <vector>

using namespace pleat;

namespace {

/// One rank's part: a box of integers, which add without rounding.
struct part {
  index_box box;
  std::vector<std::int64_t> values;
};

template <class F> void each(index_box const& b, F const& f) {
  if (b.empty()) return;
  std::array<index_t, extents::max_rank> at{};
  for (int d = 0; d < b.rank(); ++d) at[static_cast<std::size_t>(d)] = b[d].begin;
  for (;;) {
    f(std::span<index_t const>(at.data(), static_cast<std::size_t>(b.rank())));
    int d = b.rank() - 1;
    for (; d >= 0; --d) {
      auto& i = at[static_cast<std::size_t>(d)];
      if (++i < b[d].end) break;
      i = b[d].begin;
    }
    if (d < 0) return;
  }
}
std::size_t offset(index_box const& b, std::span<index_t const> at) {
  index_t k = 0;
  for (int d = 0; d < b.rank(); ++d) k = k * b[d].size() + (at[static_cast<std::size_t>(d)] - b[d].begin);
  return static_cast<std::size_t>(k);
}

std::int64_t truth(extents const& shape, std::span<index_t const> at) { return 1000 + 7 * linear_index(shape, at); }

/// The tensor as a layout holds it; addends are different on every rank and sum to the truth.
std::vector<part> spread_out(layout const& l) {
  std::vector<part> all;
  auto const p = l.where().partial_axes();
  index_t const g = l.mesh().group_size(p);
  for (int r = 0; r < l.mesh().size(); ++r) {
    part x{l.box(r), {}};
    index_t const k = l.mesh().position(r, p);
    each(x.box, [&](auto at) {
      std::int64_t const t = truth(l.shape(), at);
      x.values.push_back(k == g - 1 ? t - 100 * (g - 1) * (g - 2) / 2 : 100 * k);  // 0 + 100 + … + the rest
    });
    all.push_back(std::move(x));
  }
  return all;
}

bool right(layout const& l, std::vector<part> const& all) {
  auto const p = l.where().partial_axes();
  for (int r = 0; r < l.mesh().size(); ++r) {
    auto const& x = all[static_cast<std::size_t>(r)];
    if (!(x.box == l.box(r)) || static_cast<index_t>(x.values.size()) != x.box.size()) return false;
    auto const g = l.mesh().group(r, p);
    bool good = true;
    each(x.box, [&](auto at) {
      std::int64_t sum = 0;
      for (int k = 0; k < g.size(); ++k) sum += all[static_cast<std::size_t>(g[k])].values[offset(x.box, at)];
      good = good && sum == truth(l.shape(), at);
    });
    if (!good) return false;
  }
  return true;
}

/// Runs one step by messages. \returns what is wrong, or nothing; counts elements per rank.
std::string carry_out(redistribution_step const& s, std::vector<part>& all, std::vector<wire>& counted) {
  int const ranks = s.from().mesh().size();
  std::vector<part> next;
  for (int r = 0; r < ranks; ++r) {
    index_box const b = s.to().box(r);
    next.push_back({b, std::vector<std::int64_t>(static_cast<std::size_t>(b.size()))});
  }
  std::vector<wire> before = counted;
  std::map<std::pair<int, int>, std::vector<index_box>> sent;
  for (int r = 0; r < ranks; ++r)
    for (auto const& t : s.sends(r)) sent[{r, t.rank}].push_back(t.box);
  std::size_t received = 0;
  for (int r = 0; r < ranks; ++r) {
    auto& mine = next[static_cast<std::size_t>(r)];
    std::vector<char> written(mine.values.size());
    int last = -1;
    for (auto const& t : s.receives(r)) {
      ++received;
      auto const& theirs = all[static_cast<std::size_t>(t.rank)];
      auto const found = sent.find({r == t.rank ? r : t.rank, r});
      if (found == sent.end() || found->second.size() != 1 || !(found->second[0] == t.box))
        return "a box is received that nobody sends";
      auto const g = s.to().mesh().group(r, s.group());
      int const k = s.to().mesh().position(t.rank, s.group());
      if (g[k] != t.rank) return "a message leaves the group";
      if (k <= last) return "the order of sources is not the group's";
      last = k;
      if (s.kind() == movement::local && t.rank != r) return "a local step communicates";
      bool inside = intersect(theirs.box, t.box) == t.box && intersect(mine.box, t.box) == t.box && !t.box.empty();
      if (!inside) return "a box is not where it is read or written";
      bool twice = false;
      each(t.box, [&](auto at) {
        auto const to = offset(mine.box, at);
        twice = twice || written[to];
        written[to] = 1;
        mine.values[to] += theirs.values[offset(theirs.box, at)];
      });
      if (twice && !s.sums()) return "an element comes twice";
      if (t.rank != r && s.kind() != movement::all_reduce) {
        counted[static_cast<std::size_t>(t.rank)].sent += t.box.size();
        counted[static_cast<std::size_t>(r)].received += t.box.size();
      }
    }
    bool holes = false;
    for (char const w : written) holes = holes || !w;
    if (holes && !s.zeros()) return "an element does not come";
  }
  // the same sum in two halves: everybody's block k to member k, then its sum to everybody
  if (s.kind() == movement::all_reduce) {
    auto const message = [&](int from, int to, index_range const& block) {
      if (from == to) return;
      counted[static_cast<std::size_t>(from)].sent += block.size();
      counted[static_cast<std::size_t>(to)].received += block.size();
    };
    for (int r = 0; r < ranks; ++r) {
      auto const g = s.to().mesh().group(r, s.group());
      index_range const mine =
          block_range(next[static_cast<std::size_t>(r)].box.size(), g.size(), s.to().mesh().position(r, s.group()));
      std::vector<std::int64_t> sum(static_cast<std::size_t>(mine.size()));
      for (int k = 0; k < g.size(); ++k) {
        auto const& addend = all[static_cast<std::size_t>(g[k])].values;
        message(g[k], r, mine);
        for (index_t i = mine.begin; i < mine.end; ++i)
          sum[static_cast<std::size_t>(i - mine.begin)] += addend[static_cast<std::size_t>(i)];
      }
      for (int k = 0; k < g.size(); ++k) {
        message(r, g[k], mine);
        auto const& whole = next[static_cast<std::size_t>(g[k])].values;
        for (index_t i = mine.begin; i < mine.end; ++i)
          if (whole[static_cast<std::size_t>(i)] != sum[static_cast<std::size_t>(i - mine.begin)])
            return "a sum in two halves is another";
      }
    }
  }
  std::size_t all_sent = 0;
  for (auto const& [pair, boxes] : sent) all_sent += boxes.size();
  if (all_sent != received) return "a box is sent that nobody receives";
  for (int r = 0; r < ranks; ++r) {
    auto const i = static_cast<std::size_t>(r);
    wire const moved{counted[i].sent - before[i].sent, counted[i].received - before[i].received};
    if (s.kind() != movement::local && !(moved == s.elements(r)))
      return "other bytes than predicted on rank " + std::to_string(r);
  }
  all = std::move(next);
  return {};
}

std::string carry_out(redistribution const& plan) {
  auto all = spread_out(plan.from());
  std::vector<wire> counted(all.size());
  for (auto const& s : plan.steps())
    if (auto why = carry_out(s, all, counted); !why.empty()) return why + " in " + plan.to_string();
  if (!right(plan.to(), all)) return "wrong numbers: " + plan.to_string();
  index_t sum = 0;
  for (std::size_t r = 0; r < all.size(); ++r) {
    wire const b = plan.bytes(static_cast<int>(r));
    if (b.sent != counted[r].sent * plan.element_bytes() || b.received != counted[r].received * plan.element_bytes())
      return "bytes per rank: " + plan.to_string();
    sum += b.received;
  }
  if (sum != plan.bytes()) return "bytes in all: " + plan.to_string();
  return {};
}

std::vector<placement> all_placements(mesh const& m, int rank) {
  std::vector<placement> list{placement{}};
  for (int a = 0; a < m.axes(); ++a) {
    std::vector<placement> longer;
    for (auto const& p : list) {
      longer.push_back(p);
      longer.push_back(p.with(a, partial{}));
      for (int d = 0; d < rank; ++d) longer.push_back(p.with(a, shard{d}));
    }
    list = std::move(longer);
  }
  return list;
}

void try_all_pairs(mesh const& m, extents const& shape) {
  auto const placements = all_placements(m, shape.rank());
  for (auto const& from : placements)
    for (auto const& to : placements) {
      auto const why = carry_out(redistribution(layout(m, shape, from), to, 4));
      if (!why.empty()) FAIL(why);
    }
  SUCCEED();
}

}  // namespace

TEST_CASE("every pair of placements on a line of 1 to 8 ranks: right numbers, predicted bytes") {
  for (int ranks = 1; ranks <= 8; ++ranks)
    for (auto const shape : {extents{}, extents{5}, extents{0}, extents{16}, extents{3, 7}, extents{8, 8},
                             extents{2, 5, 3}, extents{3, 2, 5, 2}})
      try_all_pairs(mesh{{"data", ranks}}, shape);
}

TEST_CASE("every pair of placements on grids of 2 axes") {
  for (auto const& m : {mesh{{"data", 2}, {"tensor", 2}}, mesh{{"data", 2}, {"tensor", 3}},
                        mesh{{"data", 3}, {"tensor", 2}}.ordered("tensor,data"), mesh{{"data", 4}, {"tensor", 2}},
                        mesh{{"data", 2}, {"tensor", 4}}, mesh{{"data", 1}, {"tensor", 3}}})
    for (auto const shape : {extents{}, extents{7}, extents{1}, extents{5, 3}, extents{8, 4}, extents{3, 0, 2},
                             extents{3, 2, 5}, extents{3, 2, 3, 2}})
      try_all_pairs(m, shape);
}

TEST_CASE("every pair of placements on grids of 3 axes") {
  for (auto const shape :
       {extents{}, extents{9}, extents{5, 3}, extents{3, 2, 5}, extents{2, 3, 2, 2}, extents{5, 3, 4, 2}})
    try_all_pairs(mesh{{"data", 2}, {"tensor", 2}, {"pipeline", 2}}.ordered("pipeline,data,tensor"), shape);
  for (auto const shape : {extents{7}, extents{3, 5}})
    try_all_pairs(mesh{{"data", 2}, {"tensor", 1}, {"pipeline", 3}}, shape);
}

TEST_CASE("units: blocks of another grain are another placement") {
  mesh const m{{"data", 2}, {"tensor", 3}};
  std::vector<axis_placement> const alphabet{replicate{}, partial{}, shard<0>{}, shard<0, 4>{}, shard<1, 3>{}};
  for (auto const& a : alphabet)
    for (auto const& b : alphabet)
      for (auto const& c : alphabet)
        for (auto const& d : alphabet) {
          auto const why = carry_out(redistribution(layout(m, extents{14, 7}, placement{a, b}), placement{c, d}, 4));
          if (!why.empty()) FAIL(why);
        }
  SUCCEED();
}

TEST_CASE("the field's five moves are found, with the field's bytes") {
  constexpr index_t n = 64 * 48 * 4;  // bytes of the tensor
  mesh const m{{"tensor", 4}};
  auto const plan = [&](placement const& from, placement const& to) {
    return redistribution(layout(m, extents{64, 48}, from), to, 4);
  };
  auto const only = [](redistribution const& r) {
    return r.steps().size() == 1 ? r.steps()[0].kind() : movement::local;
  };

  auto const gather = plan(shard<0>{}, replicate{});
  CHECK(only(gather) == movement::all_gather);
  CHECK(gather.bytes(2) == wire{3 * n / 4, 3 * n / 4});  // (g - 1) / g
  auto const scatter = plan(partial{}, shard<0>{});
  CHECK(only(scatter) == movement::reduce_scatter);
  CHECK(scatter.bytes(2) == wire{3 * n / 4, 3 * n / 4});
  auto const reduce = plan(partial{}, replicate{});
  CHECK(only(reduce) == movement::all_reduce);
  CHECK(reduce.bytes(2) == wire{6 * n / 4, 6 * n / 4});  // 2 (g - 1) / g
  auto const turn = plan(shard<0>{}, shard<1>{});
  CHECK(only(turn) == movement::all_to_all);
  CHECK(turn.bytes(2) == wire{3 * n / 16, 3 * n / 16});  // (g - 1) / g of a rank's part
  CHECK(plan(replicate{}, shard<1>{}).local());
  CHECK(plan(replicate{}, partial{}).local());
  CHECK(plan(shard<1>{}, partial{}).local());
  CHECK(plan(shard<1>{}, shard<1>{}).steps().empty());

  // no constructor says so: a smaller tensor is reduced before it is gathered, and both axes reduce at once
  mesh const two{{"data", 2}, {"tensor", 2}};
  redistribution const r(layout(two, extents{8, 8}, placement{shard<0>{}, partial{}}), placement{}, 4);
  REQUIRE(r.steps().size() == 2);
  CHECK(r.steps()[0].kind() == movement::all_reduce);
  CHECK(r.steps()[1].kind() == movement::all_gather);
  redistribution const both(layout(two, extents{8, 8}, placement{partial{}, partial{}}), placement{}, 4);
  REQUIRE(both.steps().size() == 1);
  CHECK(both.steps()[0].group() == two.all());
}

TEST_CASE("hardly a detour by another placement is cheaper") {
  // The planner tries a few ways, not all. Against the best way over any one placement in between, plans to complete
  // tensors are at most 1/16 above (seen: 6 %, in three kinds of nested cuts). Left out: sources with copies, which
  // could help each other with their group's work and are not asked to; targets with addends, which nobody
  // redistributes to.
  for (auto const& m : {mesh{{"data", 2}, {"tensor", 2}}, mesh{{"data", 2}, {"tensor", 4}}})
    for (auto const& shape : {extents{16, 8}, extents{5, 7}}) {
      auto const all = all_placements(m, 2);
      std::vector<std::vector<index_t>> price;
      for (auto const& from : all) {
        price.emplace_back();
        for (auto const& to : all) price.back().push_back(redistribution(layout(m, shape, from), to, 1).bytes());
      }
      for (std::size_t i = 0; i < all.size(); ++i)
        for (std::size_t j = 0; j < all.size(); ++j) {
          bool const copies = (all[i].partial_axes() | all[i].shard_axes()) != m.all();
          if (copies || !all[j].complete()) continue;
          for (std::size_t k = 0; k < all.size(); ++k) {
            INFO(m.to_string() << ' ' << shape.to_string() << ": " << all[i].to_string(2) << " -> "
                               << all[j].to_string(2) << " by " << all[k].to_string(2));
            if (16 * price[i][j] > 17 * (price[i][k] + price[k][j]))
              FAIL(price[i][j] << " > " << price[i][k] << " + " << price[k][j]);
          }
        }
    }
  SUCCEED();
}

TEST_CASE("a plan prints, for all and for one rank, and its hash tells plans apart") {
  mesh const m{{"data", 2}, {"tensor", 2}};
  redistribution const r(layout(m, extents{4, 6}, placement{replicate{}, shard<0>{}}),
                         placement{replicate{}, shard<1>{}}, 4);
  CHECK(r.to_string() ==
        "[4, 6] on data=2,tensor=2: data: replicate, tensor: shard<0> -> data: replicate, tensor: shard<1>: 96 bytes\n"
        "  all_to_all along tensor -> data: replicate, tensor: shard<1>: 96 bytes, at most 24 per rank\n");
  CHECK(r.to_string(1).substr(r.to_string().size()) ==
        "  all_to_all, rank 1: to 0 [2:4, 0:3] keeps [2:4, 3:6] from 0 [0:2, 3:6]\n");
  redistribution const same(layout(m, extents{4, 6}, placement{}), placement{}, 4);
  CHECK(same.to_string() ==
        "[4, 6] on data=2,tensor=2: data: replicate, tensor: replicate -> data: replicate, tensor: replicate: nothing "
        "to do\n");
  CHECK(r.hash() != same.hash());
  CHECK(r.hash() == redistribution(r.from(), r.to().where(), 4).hash());
  CHECK(r.hash() != redistribution(r.from(), r.to().where(), 2).hash());
}

TEST_CASE("a plan is a constant expression where all is known") {
  constexpr mesh m = static_mesh<static_axis<"tensor", 2>>{};
  constexpr redistribution_step s(layout(m, extents{5, 4}, placed<shard<0>>{}), placed<replicate>{});
  STATIC_CHECK(s.kind() == movement::all_gather);
  STATIC_CHECK(s.elements(0) == wire{12, 8});
}
