// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Sharded state: the same training under every stage, in the bytes that the ledger says.
#include <pleat/parallel/model.hpp>
#include <pleat/parallel/tensor_recipe.hpp>

#include <parallel/sharded_training.hpp>
#include <pleat/comm/local.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <chrono>
#include <memory>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/empty_parameter.hpp"

namespace pl = pleat;
using namespace pleat_test;
using pl::index_t;

namespace {
template <class Net> outcome train_on(Net const& net, int ranks, training const& o) {
  outcome first;
  pl::comm::run_local(ranks, [&](pl::comm::communicator c) {
    bool const root = c.rank() == 0;
    auto r = train(net, std::move(c), o);
    if (root) first = std::move(r);
  });
  return first;
}
}  // namespace

TEST_CASE(
    "deterministic training gives the same bits under every stage, on any number of ranks, in groups and in "
    "micro-batches") {
  training o;
  o.plan.deterministic = true;
  o.optimizer = GENERATE(0, 1);
  // The two uses of the tied weight have gradients of their own, so it does not matter where micro-batches are cut.
  o.quiet = GENERATE(false, true);
  outcome const reference = train_on(network(), 1, o);
  if (!o.quiet) CHECK(reference.norms[0] > 0);
  for (int stage : {1, 2, 3})
    for (int ranks : {1, 2, 3, 4, 6, 8})
      for (index_t group : {0, 2, 3, 4})
        for (index_t micro : {1, 3}) {
          if (group > 0 && ranks % group != 0) continue;
          // two of three, two of four
          if ((ranks == 6) != (group == 3) || (group == 4 && ranks != 8) || (group > 2 && micro == 1)) continue;
          auto q = o;
          q.plan.state_stage = stage;
          q.plan.state_ranks = group;
          q.plan.micro_batches = micro;
          q.plan.prefetch = ranks % 3;
          q.plan.overlap = micro == 1;
          q.plan.bucket_bytes = ranks == 4 ? 1 << 20 : 20000;
          INFO("stage " << stage << ", " << ranks << " ranks in groups of " << group << ", " << micro
                        << " micro-batches");
          auto const r = train_on(network(), ranks, q);
          CHECK((r.values == reference.values));
          CHECK((r.losses == reference.losses));
          CHECK((r.norms == reference.norms));
          for (std::size_t i = 0; i < r.states.size(); ++i) CHECK((r.states[i] == reference.states[i]));
        }
}

TEST_CASE("groups of state along any factor of the data axis give the same bits, in the bytes that the ledger says") {
  training o;
  o.plan.deterministic = true;
  o.optimizer = 1;
  auto const reference = train_on(network(), 1, o);
  struct factor {
    int ranks;
    index_t group, stride;
  };
  // the data axis as 2 × 2, 2 × 3, 3 × 2 and 2 × 2 × 2: its outer factors, its middle one, the outer two together
  for (auto const& f : {factor{4, 2, 2}, {6, 2, 3}, {6, 3, 2}, {8, 2, 4}, {8, 2, 2}, {8, 4, 2}})
    for (int stage : {1, 2, 3}) {
      auto q = o;
      q.plan.state_stage = stage;
      q.plan.state_ranks = f.group;
      q.plan.state_stride = f.stride;
      q.plan.micro_batches = stage == 2 ? 3 : 1;
      q.plan.overlap = f.ranks != 6;
      q.plan.bucket_bytes = 20000;
      INFO("stage " << stage << ", " << f.ranks << " ranks, groups of " << f.group << ", " << f.stride << " apart");
      auto const n = static_cast<std::size_t>(f.ranks);
      std::vector<outcome> all(n);
      pl::comm::run_local(f.ranks, [&](pl::comm::communicator c) {
        auto const rank = static_cast<std::size_t>(c.rank());
        all[rank] = train(network(), std::move(c), q);
      });
      std::set<index_t> bytes;
      for (auto const& r : all) {
        CHECK((r.values == reference.values));
        CHECK((r.losses == reference.losses));
        CHECK((r.norms == reference.norms));
        CHECK((r.states == reference.states));
        CHECK(r.found == r.said);
        bytes.insert(r.found.optimizer_state);
      }
      CHECK(all[0].found == all[0].foretold);
      // who has the same piece has the same bytes
      auto const together = q.plan.state_ranks * q.plan.state_stride;
      for (std::size_t r = 0; r < n; ++r) {
        auto const twin = static_cast<std::size_t>(static_cast<index_t>(r) % together / f.stride * f.stride);
        CHECK(all[r].found.optimizer_state == all[twin].found.optimizer_state);
      }
      CHECK(bytes.size() > 1);  // pieces differ, or this could not fail
    }
}

TEST_CASE("running statistics are the same bits under every stage") {
  training o;
  o.plan.deterministic = true;
  auto const reference = train_on(network_with_statistics(), 1, o);
  for (int stage : {1, 2, 3})
    for (int ranks : {2, 3}) {
      o.plan.state_stage = stage;
      INFO("stage " << stage << ", " << ranks << " ranks");
      auto const r = train_on(network_with_statistics(), ranks, o);
      CHECK((r.values == reference.values));
      CHECK((r.norms == reference.norms));
    }
}

TEST_CASE("a step that is left after backward leaves nothing in the next one, under any stage") {
  training o;
  o.plan.deterministic = true;
  o.optimizer = 1;
  o.quiet = GENERATE(false, true);
  auto const left = [&](auto const& net, index_t micro) {
    auto q = o;
    auto const reference = train_on(net, 1, q);
    q.leaves_steps = true;
    q.plan.micro_batches = micro;
    q.plan.bucket_bytes = 20000;
    for (int stage : {0, 1, 2, 3})
      for (int ranks : {2, 3}) {
        q.plan.state_stage = stage;
        q.plan.overlap = ranks == 2;
        INFO("stage " << stage << ", " << ranks << " ranks, " << micro << " micro-batches, quiet " << o.quiet);
        auto const r = train_on(net, ranks, q);
        CHECK((r.values == reference.values));
        CHECK((r.states == reference.states));
        CHECK((r.norms == reference.norms));
        CHECK((r.losses == reference.losses));
      }
  };
  left(network_with_statistics(), 1);
  left(network(), 3);
}

TEST_CASE("fast training on threads gives the bits of stage 0 under every stage") {
  // A thread rank sums over the ranks in ascending order whatever the collective, so this may be demanded; with MPI it
  // may not.
  for (int ranks : {1, 2, 3, 4}) {
    training o;
    o.quiet = ranks == 2 || ranks == 3;
    o.steps = 4;
    auto const reference = train_on(network(), ranks, o);
    for (int stage : {1, 2, 3}) {
      o.plan.state_stage = stage;
      o.plan.overlap = stage != 2;
      INFO("stage " << stage << ", " << ranks << " ranks");
      auto const r = train_on(network(), ranks, o);
      CHECK((r.values == reference.values));
      CHECK((r.losses == reference.losses));
      CHECK((r.norms == reference.norms));
    }
  }
}

TEST_CASE("hybrid sharding and micro-batches agree with stage 0 within the rounding of the sums") {
  training o;
  auto const reference = train_on(network(), 1, o);
  for (int stage : {0, 1, 2, 3})
    for (index_t micro : {1, 3})
      for (index_t group : {0, 1, 2}) {
        if (group > 0 && stage == 0) continue;
        auto q = o;
        q.plan.state_stage = stage;
        q.plan.state_ranks = group;
        q.plan.micro_batches = micro;
        q.norm = 0;  // no clipping: its factor would carry the norm's error
        auto s = q;
        s.plan = o.plan;
        auto const want = train_on(network(), 1, s);
        auto const r = train_on(network(), 4, q);
        // One step's gradient: an element is a sum over at most 37 samples (two orders differ by 37·2⁻²⁴ of the sum of
        // magnitudes, below 4 here). Rate 0.1, momentum 0.9 and 3 steps move a parameter by less than 3·0.1·10 times
        // that; a step's difference enters the next gradient at most doubled.
        double const bound = 37 * 0x1p-24 * 4 * 3 * 0.1 * 10 * 4;
        INFO("stage " << stage << ", micro " << micro << ", group " << group);
        double worst = 0;
        for (std::size_t i = 0; i < r.values.size(); ++i)
          worst = std::max(worst, std::abs(static_cast<double>(r.values[i]) - static_cast<double>(want.values[i])));
        CHECK(worst < bound);
      }
}

TEST_CASE("a 16-bit wire rounds gradients by no more than its bound, and nothing else") {
  for (int ranks : {1, 2, 3, 4})
    for (int stage : {0, 1, 2, 3})
      for (index_t group : {0, 1, 2}) {
        if (group > 0 && (stage == 0 || ranks % group != 0)) continue;
        INFO(ranks << " ranks, stage " << stage << ", groups of " << group);
        std::vector<std::string> said(static_cast<std::size_t>(ranks));
        pl::comm::run_local(ranks, [&](pl::comm::communicator c) {
          auto& mine = said[static_cast<std::size_t>(c.rank())];
          mine = narrow_gradient_findings(std::move(c), stage, group);
        });
        for (auto const& s : said) CHECK(s == "");
      }
}

TEST_CASE(
    "a group of state lies along the data axis, of one stage and one part of the weights: neighbours, or any factor of "
    "the axis; twins are what is left of it") {
  using lists = std::vector<std::vector<int>>;  // ranks of the world
  struct setting {
    pl::plan::plan plan;
    lists groups, twins;
  };
  for (setting const& s : {
           setting{{.data_ranks = 4, .state_stage = 1, .state_ranks = 2}, {{0, 1}, {2, 3}}, {{0, 2}, {1, 3}}},
           setting{
               {.data_ranks = 6, .state_stage = 3, .state_ranks = 3}, {{0, 1, 2}, {3, 4, 5}}, {{0, 3}, {1, 4}, {2, 5}}},
           setting{{.data_ranks = 4, .state_stage = 2, .state_ranks = 1}, {{0}, {1}, {2}, {3}}, {{0, 1, 2, 3}}},
           setting{{.data_ranks = 4, .tensor_ranks = 2, .state_stage = 1, .state_ranks = 2},
                   {{0, 2}, {1, 3}, {4, 6}, {5, 7}},
                   {{0, 4}, {1, 5}, {2, 6}, {3, 7}}},
           setting{{.data_ranks = 4, .pipeline_ranks = 2, .state_stage = 2, .state_ranks = 2},
                   {{0, 1}, {2, 3}, {4, 5}, {6, 7}},
                   {{0, 2}, {1, 3}, {4, 6}, {5, 7}}},
           setting{{.data_ranks = 2, .tensor_ranks = 2, .pipeline_ranks = 2, .state_stage = 3},
                   {{0, 2}, {1, 3}, {4, 6}, {5, 7}},
                   {}},
           setting{{.data_ranks = 4, .state_stage = 1, .state_ranks = 2, .state_stride = 2},
                   {{0, 2}, {1, 3}},
                   {{0, 1}, {2, 3}}},
           setting{{.data_ranks = 6, .state_stage = 3, .state_ranks = 3, .state_stride = 2},
                   {{0, 2, 4}, {1, 3, 5}},
                   {{0, 1}, {2, 3}, {4, 5}}},
           setting{{.data_ranks = 8, .state_stage = 2, .state_ranks = 2, .state_stride = 2},
                   {{0, 2}, {1, 3}, {4, 6}, {5, 7}},
                   {{0, 1, 4, 5}, {2, 3, 6, 7}}},
           setting{{.data_ranks = 4, .tensor_ranks = 2, .state_stage = 1, .state_ranks = 2, .state_stride = 2},
                   {{0, 4}, {2, 6}, {1, 5}, {3, 7}},
                   {{0, 2}, {4, 6}, {1, 3}, {5, 7}}},
           // over the axes a and data together, not over b: who is to share is listed next to each other
           setting{{.data_ranks = 8,
           .order = "pipeline.a.b.data.tensor",
           .own_axes = "b=2,a=2",
           .state_stage = 1,
           .state_ranks = 4},
                   {{0, 1, 4, 5}, {2, 3, 6, 7}},
                   {{0, 2}, {1, 3}, {4, 6}, {5, 7}}},
           // over a alone
           setting{{.data_ranks = 8,
           .order = "pipeline.a.b.data.tensor",
           .own_axes = "b=2,a=2",
           .state_stage = 3,
           .state_ranks = 2,
           .state_stride = 2},
                   {{0, 4}, {1, 5}, {2, 6}, {3, 7}},
                   {{0, 1, 2, 3}, {4, 5, 6, 7}}},
       }) {
    INFO(s.plan.to_string());
    auto const n = static_cast<std::size_t>(s.plan.ranks());
    lists in_group(n), with_twins(n);
    std::vector<int> shard(n);
    pl::comm::run_local(static_cast<int>(n), [&](pl::comm::communicator c) {
      int const me = c.rank();
      auto const at = pl::parallel::groups::make(s.plan, c);
      pl::parallel::shard_group const g(s.plan, std::make_shared<pl::comm::communicator>(at->data().duplicate()));
      auto const ranks_of = [&](pl::comm::communicator& some) {
        std::vector<int> all(static_cast<std::size_t>(some.size()));
        some.all_gather(std::span<int const>(&me, 1), all);
        return all;
      };
      in_group[static_cast<std::size_t>(me)] = ranks_of(*g.members);
      if (g.replicas) with_twins[static_cast<std::size_t>(me)] = ranks_of(*g.replicas);
      shard[static_cast<std::size_t>(me)] = g.shard;
    });
    for (auto const& group : s.groups)
      for (std::size_t i = 0; i < group.size(); ++i) {
        auto const rank = static_cast<std::size_t>(group[i]);
        CHECK(in_group[rank] == group);
        CHECK(shard[rank] == static_cast<int>(i));  // whom it hands its pieces to has the same ones
      }
    for (auto const& same : s.twins)
      for (int const rank : same) CHECK(with_twins[static_cast<std::size_t>(rank)] == same);
    if (s.twins.empty()) CHECK(with_twins == lists(n));
  }
}

TEST_CASE("a rank holds the bytes that the ledger says, under every stage") {
  index_t total[4] = {};
  for (int stage : {0, 1, 2, 3})
    for (int ranks : {1, 2, 4})
      for (bool deterministic : {false, true})
        for (index_t micro : {1, 2})
          pl::comm::run_local(ranks, [&](pl::comm::communicator c) {
            training o;
            o.plan.state_stage = stage;
            o.plan.deterministic = deterministic;
            o.plan.micro_batches = micro;
            o.plan.bucket_bytes = 20000;
            int const rank = c.rank();
            auto const r = train(deep_network(), std::move(c), o);
            if (rank == 0 && !(r.foretold == r.found))
              throw std::runtime_error("the ledger of the described network says otherwise");
            if (!(r.found == r.said))
              throw std::runtime_error(
                  "stage " + std::to_string(stage) + ", rank " + std::to_string(rank) + " of " + std::to_string(ranks) +
                  ": parameters " + std::to_string(r.found.parameters) + ", said " + std::to_string(r.said.parameters) +
                  "; gradients " + std::to_string(r.found.gradients) + ", said " + std::to_string(r.said.gradients) +
                  "; state " + std::to_string(r.found.optimizer_state) + ", said " +
                  std::to_string(r.said.optimizer_state));
            if (rank == 0 && ranks == 4 && micro == 1 && !deterministic)
              total[stage] = r.found.parameters + r.found.gradients + r.found.optimizer_state;
          });
  CHECK(total[1] < total[0]);
  CHECK(total[2] < total[1]);
  CHECK(total[3] < total[2]);
}

TEST_CASE("a steady state allocates nothing under any stage") {
  for (int stage : {1, 2, 3})
    pl::comm::run_local(2, [&](pl::comm::communicator c) {
      training o;
      o.plan.state_stage = stage;
      o.steps = 6;
      o.batches = {32};
      auto const r = train(network(), std::move(c), o);
      if (r.allocations_after_first != r.allocations_after_last)
        throw std::runtime_error("the pool grew at stage " + std::to_string(stage));
      if (r.bytes_after_first != r.bytes_after_last)
        throw std::runtime_error("buffers grew at stage " + std::to_string(stage));
    });
}

TEST_CASE("clone, rebuild, take_values and inference work under every stage") {
  for (int stage : {0, 1, 2, 3})
    pl::comm::run_local(3, [&](pl::comm::communicator c) {
      pl::world w(std::move(c), 1);
      auto m = pl::parallel::build(network(), {.data_ranks = 3, .state_stage = stage}, w, {.seed = 9});
      auto const sum = m.checksum();
      auto copy = m.clone();
      if (copy.checksum() != sum) throw std::runtime_error("clone");
      std::vector<float> const zero(static_cast<std::size_t>(m.arena().size()));
      m.set_host_values(zero);
      if (m.checksum() == sum) throw std::runtime_error("set_host_values");
      m.take_values(copy);
      if (m.checksum() != sum) throw std::runtime_error("take_values");
      m.demand_equal_replicas();
      auto x = tensor::allocate(m.context(), {2, 12});
      pl::compute::fill(m.context().space(), 24, 0.5f, x.data());
      std::vector<float> y(10);
      pl::copy_to_host(m.context(), m.predict(x), y.data());
      pl::world alone(pl::comm::communicator(pl::comm::self{}), 1);
      auto const other = pl::parallel::build(network(), {}, alone, {.seed = 9});
      auto x2 = tensor::allocate(other.context(), {2, 12});
      pl::compute::fill(other.context().space(), 24, 0.5f, x2.data());
      std::vector<float> want(10);
      pl::copy_to_host(other.context(), other.predict(x2), want.data());
      if (y != want) throw std::runtime_error("predict at stage " + std::to_string(stage));
      if (other.checksum() != sum) throw std::runtime_error("initial values differ from one rank's");
    });
}

namespace {
/// Two layers that a tensor axis may cut, and one that it does not.
auto compared_network(bool cut) {
  namespace nn = pl::nn;
  auto net = nn::sequential(nn::linear("up", 12, 64), nn::relu(), nn::linear("down", 64, 16), nn::tanh_activation(),
                            nn::linear("out", 16, 5));
  return cut ? pl::parallel::tensor_parallel(std::move(net),
                                             {pl::parallel::column("up.*"), pl::parallel::row("down.*")})
             : net;
}
struct compared {
  std::string before, after;
};
/// What every rank says when all is well, and when one has another value in a parameter.
std::vector<compared> compare(pl::plan::plan const& p, int spoiled, std::string const& parameter) {
  std::vector<compared> all(static_cast<std::size_t>(p.ranks()));
  pl::comm::run_local(static_cast<int>(p.ranks()), [&](pl::comm::communicator c) {
    pl::world w(std::move(c), 1);
    w.set_sink({});
    auto m = pl::parallel::build(compared_network(p.tensor_ranks > 1), p, w, {.seed = 9});
    auto& mine = all[static_cast<std::size_t>(w.rank())];
    auto const said = [&] {
      try {
        m.demand_equal_replicas();
      } catch (pl::error const& e) {
        return e.problem();
      }
      return std::string();
    };
    mine.before = said();
    auto const gathers = m.context().pool().statistics().requests;
    if (w.rank() == spoiled) {
      auto values = m.held_values();
      auto const& e = m.arena().entries()[static_cast<std::size_t>(m.arena().find(parameter))];
      index_t at = p.state_stage < 3 ? e.begin : -1;
      for (auto const& piece : m.arena().pieces())
        if (p.state_stage == 3)
          if (auto const r = pl::intersect({e.begin, e.end}, {piece.begin, piece.end}); !r.empty())
            at = piece.packed + r.begin - piece.begin;
      if (at < 0) throw std::runtime_error("rank " + std::to_string(spoiled) + " holds nothing of '" + parameter + "'");
      values[static_cast<std::size_t>(at)] += 0x1p-20f;
      m.set_held_values(values);
    }
    mine.after = said();
    if (m.context().pool().statistics().requests != gathers) throw std::runtime_error("comparing took memory");
  });
  return all;
}
}  // namespace

TEST_CASE(
    "replicas are compared as far as several ranks hold the same: whole ones, pieces of other groups, what a tensor "
    "axis replicates") {
  struct layout {
    index_t data, tensor;
    int stage;
    index_t group;
    int spoiled;
    std::string parameter, says;  // empty: nobody else holds it
    std::string order = "pipeline.data.tensor";
    index_t stride = 1;
  };
  std::string const whole = "after step 0 the parameters of rank ",
                    pieces = "after step 0 the pieces of parameters of rank ", alike = "after step 0 the replicated ";
  auto const plan_of = [](index_t data, index_t tensor, int stage, index_t group) {
    pl::plan::plan p;
    p.data_ranks = data, p.tensor_ranks = tensor, p.state_stage = stage, p.state_ranks = group, p.bucket_bytes = 2048;
    return p;
  };
  // The last rank that has something of a parameter in pieces (of those with the first part of it).
  auto const owner = [&](index_t data, index_t tensor, index_t group, std::string const& parameter) {
    auto const p = plan_of(data, tensor, 3, group);
    auto const net = compared_network(tensor > 1);
    auto const l = pl::plan::layout_of(net, p);
    index_t at = 0, shard = -1;
    for (auto const* w : pl::plan::in_buffers(net, pl::plan::ties_apart(p))) {
      index_t const end = at + pl::plan::largest_part(*w, p);
      for (std::size_t b = 1; b < l.buckets().size() && w->name == parameter; ++b)
        for (int s = 0; s < l.shards(); ++s)
          if (!pl::intersect({at, end}, l.piece(b, s)).empty()) shard = s;
      at = (end + 15) / 16 * 16;
    }
    return static_cast<int>((data - l.shards() + shard) * tensor);
  };
  int const far = owner(4, 1, 2, "down.weight"), alone = owner(2, 1, 0, "down.weight"),
            twin = owner(2, 2, 0, "out.weight") + 1;
  REQUIRE(far >= 2);
  for (auto const& l : std::vector<layout>{
           {3, 1, 0, 0, 2, "out.bias", whole + "2 differ from those of rank 0"},
           {3, 1, 1, 0, 1, "down.weight", whole + "1 differ from those of rank 0"},
           {4, 1, 2, 2, 3, "up.weight", whole + "3 differ from those of rank 0"},
           {4, 1, 3, 2, far, "down.weight",
            pieces + std::to_string(far) + " differ from those of rank " + std::to_string(far - 2)},
           {4, 1, 3, 1, 2, "down.weight", whole + "2 differ from those of rank 0"},
           {4, 1, 3, 2, 2 * (far - 2) + 1, "down.weight",
            pieces + std::to_string(2 * (far - 2) + 1) + " differ from those of rank " + std::to_string(2 * (far - 2)),
            "pipeline.data.tensor", 2},
           {2, 1, 3, 0, alone, "down.weight", ""},
           {1, 3, 0, 0, 2, "out.weight", alike + "parameters of rank 2 differ from those of rank 0"},
           {1, 3, 0, 0, 2, "up.weight", ""},
           {2, 2, 0, 0, 3, "up.weight", whole + "3 differ from those of rank 1"},
           {2, 2, 0, 0, 3, "up.weight", whole + "3 differ from those of rank 2", "pipeline.tensor.data"},
           {2, 2, 3, 0, twin, "out.weight",
            alike + "pieces of parameters of rank " + std::to_string(twin) + " differ from those of rank " +
                std::to_string(twin - 1)}}) {
    auto p = plan_of(l.data, l.tensor, l.stage, l.group);
    p.order = l.order, p.state_stride = l.stride;
    INFO(p.to_string() << "rank " << l.spoiled << ", " << l.parameter);
    for (auto const& r : compare(p, l.spoiled, l.parameter)) {
      CHECK(r.before == "");
      CHECK(r.after.starts_with(l.says));
      CHECK(r.after.empty() == l.says.empty());
    }
  }
}

TEST_CASE("a rank that dies in a step of sharded training releases the others with its reason") {
  for (int stage : {1, 2, 3})
    for (int phase : {0, 1, 2, 3}) {
      std::string said;
      try {
        pl::comm::run_local(3, [&](pl::comm::communicator c) {
          training o;
          o.quiet = phase == 3;  // the others move on, send, and miss it where they need its parameters
          o.plan.state_stage = stage;
          o.die = phase;
          (void)train(network(), std::move(c), o);
        });
      } catch (std::exception const& e) {
        said = e.what();
      }
      CHECK(said.find("rank 1 dies in phase " + std::to_string(phase)) != std::string::npos);
    }
}

namespace {
// Of sharded_training.hpp's network, with parameters without elements before, between and behind its own.
auto network_with_empty_parameters() {
  using namespace pl::nn;
  using empty = pleat_test::empty_parameters;
  return sequential(empty("first"), linear("in", 12, 260), relu(), empty("second"), linear("wide", 260, 260),
                    tanh_activation(), linear("tied", 260, 260, {.tied_to = "wide.weight"}), relu(), empty("third"),
                    empty("fourth"), linear("small", 260, 3), tanh_activation(), linear("out", 3, 5), empty("last"));
}
}  // namespace

TEST_CASE("parameters without elements change nothing, under any stage, on any ranks, in any buckets") {
  training o;
  o.plan.deterministic = true;
  o.optimizer = 1;
  outcome const reference = train_on(network(), 1, o);
  for (int ranks : {1, 2, 3})
    for (int stage : {0, 1, 2, 3})
      for (bool overlap : {true, false}) {
        auto q = o;
        q.plan.state_stage = stage;
        q.plan.overlap = overlap;
        q.plan.bucket_bytes = overlap ? 1 : 30000;  // 1: a bucket for each
        INFO(ranks << " ranks, stage " << stage << ", overlap " << overlap);
        outcome const r = train_on(network_with_empty_parameters(), ranks, q);
        CHECK(r.values == reference.values);
        CHECK(r.states == reference.states);
        CHECK(r.losses == reference.losses);
      }
}

TEST_CASE("a network all of whose parameters are without elements goes through a step") {
  for (int stage : {0, 1, 2, 3})
    pl::comm::run_local(3, [&](pl::comm::communicator c) {
      pl::world w(std::move(c), 1);
      auto m =
          pl::parallel::build(pl::nn::sequential(pleat_test::empty_parameters("a"), pleat_test::empty_parameters("b")),
                              {.data_ranks = 3, .state_stage = stage}, w);
      pl::nn::optimizer_state<float, space> optimizer(m.context(), m.arena(), pl::nn::adamw{});
      m.zero_grad(3);
      auto [y, saved] = m.forward(tensor::allocate(m.context(), {1, 4}));
      m.backward(saved, std::move(y));
      m.reduce();
      double const norm = m.gradient_norm();
      m.step(optimizer);
      for (float const v : m.host_values())
        if (v != 0) throw std::runtime_error("there is a value");  // padding, perhaps
      if (norm != 0 || m.steps() != 1)
        throw std::runtime_error("norm " + std::to_string(norm) + ", " + std::to_string(m.steps()) + " steps");
    });
}
