// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Models of 16-bit types as a whole: the same bits wherever data and layers are, near a float model, steps skipped by
// all ranks or none.
#include <pleat/parallel/built.hpp>

#include "precision_training.hpp"

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>

using namespace precision_training;

namespace {
template <class T> constexpr double roundoff = std::is_same_v<T, pl::bfloat16> ? 0x1p-8 : 0x1p-11;

/// Every rank's parameters and numbers are those of one rank.
void check_equal(std::vector<outcome> const& all, outcome const& reference) {
  for (auto const& r : all) {
    CHECK(r.losses == reference.losses);
    CHECK(r.norms == reference.norms);
    for (auto const& [name, v] : r.values) {
      INFO(name);
      bool const same = v == reference.values.at(name);
      CHECK(same);
    }
  }
}
}  // namespace

TEMPLATE_TEST_CASE(
    "a GPT of 16-bit numbers has the same bits on any number of threads and ranks, over any cut and schedule", "",
    pl::bfloat16, pl::half) {
  options o{.plan = layout<TestType>(1)};
  auto const reference = run<TestType>(o).front();
  CHECK(reference.norms[0] > 0);
  CHECK(reference.moved == std::vector<bool>(3, true));
  auto threads = o;
  threads.threads = 2;
  check_equal(run<TestType>(threads), reference);
  for (auto const& plan : {layout<TestType>(2), layout<TestType>(3, 1, 1, 2), layout<TestType>(1, 1, 2, 4, "zb-h1"),
                           layout<TestType>(2, 1, 2, 2)}) {
    INFO(plan.to_string());
    auto q = o;
    q.plan = plan;
    check_equal(run<TestType>(q), reference);
    q.plan.state_stage = q.plan.data_ranks > 1 ? 2 : 0;
    if (q.plan.state_stage > 0) check_equal(run<TestType>(q), reference);
  }
}

TEMPLATE_TEST_CASE(
    "masters of 16-bit numbers live in pieces under every stage, in the bytes that the ledger says, with the bits of a "
    "model that is not sharded",
    "", pl::bfloat16, pl::half) {
  using T = TestType;
  options o{.plan = layout<T>(1), .steps = 4};
  auto const reference = run<T>(o).front();
  REQUIRE(reference.masters.size() == reference.values.size());
  REQUIRE(reference.moments.size() == 2);
  CHECK(reference.master_bytes == 4 * reference.elements);
  // Masters say more than values: some have bits that no 16-bit number has.
  bool finer = false;
  for (auto const& [name, v] : reference.masters) finer = finer || v != reference.values.at(name);
  CHECK(finer);
  for (int const stage : {1, 2, 3})
    for (index_t const ranks : {2, 3, 4})
      for (index_t const group : {0, 2})
        for (index_t const micro : {1, 2}) {
          if (group > 0 && ranks != 4) continue;
          auto q = o;
          q.plan = layout<T>(ranks, 1, 1, micro);
          q.plan.state_stage = stage;
          q.plan.state_ranks = group;
          q.plan.bucket_bytes = 8192;  // of 16-bit numbers: several layers' worth of buckets
          INFO(q.plan.to_string());
          auto const all = run<T>(q);
          check_equal(all, reference);
          index_t together = 0;
          for (std::size_t r = 0; r < all.size(); ++r) {
            auto const& a = all[r];
            INFO("rank " << r);
            CHECK((a.masters == reference.masters));
            CHECK((a.moments == reference.moments));
            // Four bytes for each element of this rank's pieces, whatever the stage, and for no other.
            CHECK(a.master_bytes == 4 * a.owned);
            CHECK(a.owned < a.elements * 3 / 4);
            CHECK((a.held == a.said));
            // deterministic mode: other ranks may have fewer lanes to keep apart
            if (r == 0) CHECK((a.held == a.foretold));
            CHECK(a.held.optimizer_state == a.foretold.optimizer_state);
            CHECK(a.held.parameters == a.foretold.parameters);
            if (static_cast<index_t>(r) < (group > 0 ? group : ranks)) together += a.owned;
          }
          auto const shards = group > 0 ? group : ranks;
          // the pieces of one group are the whole, once
          CHECK(together == all[0].elements + (shards - 1) * all[0].replicated);
        }
}

TEMPLATE_TEST_CASE("a GPT of 16-bit numbers learns as one of floats does", "", pl::bfloat16, pl::half) {
  options o{.plan = layout<float>(1), .steps = 60, .batch = 16, .rate = 3e-3};
  auto const wide = run<float>(o).front();
  o.plan = layout<TestType>(1);
  auto const narrow = run<TestType>(o).front();
  constexpr double u = roundoff<TestType>;
  // A score of a fresh network is h·E: h is normalised, ‖h‖ = √32, and ‖E‖ ≈ 0.02·√32, so it is about 0.64 and the
  // roundings of E, of h and of itself move it by some u/√3·0.64 each; those of the walk before (20 of them, of random
  // sign, on parts that the residual sum is a few times larger than) by as much again: 1 u. The loss is the mean of 192
  // differences of scores, so what does not have the same sign everywhere is less by √192: a tenth of u is to be
  // expected, and u is out of reach unless something is rounded that need not be.
  CHECK(std::abs(narrow.losses.front() - wide.losses.front()) < u);
  CHECK(narrow.losses.back() < 0.5 * narrow.losses.front());
  // The gradient of the first step: every element carries the roundings of the walk, some 20 forward and 20 back, each
  // of at most u and of random sign: √40·u/√3 = 3.7 u as a standard deviation. The norm of thousands of such elements
  // is off by less than one of them.
  CHECK(std::abs(narrow.norms.front() / wide.norms.front() - 1) < 4 * u);
  // Masters move in float, so a step differs by what its gradient is off (twice that deviation: 8 u), and to first
  // order the loss that the steps have won together does so too. AdamW gives the smallest elements full steps as well,
  // and those vanish in half before they round: it is held to the bound of bfloat16.
  CHECK(std::abs(narrow.losses.back() - wide.losses.back()) < 8 * 0x1p-8 * (wide.losses.front() - wide.losses.back()));
}

TEST_CASE("half: a gradient that overflows on one rank makes all of them skip, and the loss scale shrinks") {
  for (auto const& plan : {layout<pl::half>(1), layout<pl::half>(3), layout<pl::half>(1, 1, 2, 2),
                           layout<pl::half>(1, 2), layout<pl::half>(2, 1, 2, 2)})
    for (int stage : {0, 2}) {
      if (stage > 0 && plan.data_ranks == 1) continue;
      INFO(plan.to_string() << ", stage " << stage);
      options o{.plan = plan,
                .steps = 4,
                .scale = {.initial = 1024, .interval = 2},
                .poisoned_step = 2,
                .poisoned_rank = static_cast<int>(plan.ranks()) - 1};
      o.plan.state_stage = stage;
      for (auto const& r : run<pl::half>(o)) {
        CHECK(r.moved == std::vector<bool>{true, true, false, true});
        CHECK(r.scales == std::vector<double>{1024, 2048, 1024, 1024});
        CHECK(r.skipped == 1);
      }
      // Nothing has moved: the values are those of three steps, the fourth of which saw another batch.
      auto two = o;
      two.steps = 2;
      auto three = o;
      three.steps = 3;
      auto const a = run<pl::half>(two), b = run<pl::half>(three);
      for (std::size_t i = 0; i < a.size(); ++i) CHECK((a[i].values == b[i].values));
    }
}

TEST_CASE("half: the scale is no part of the answer as long as nothing overflows or vanishes") {
  options o{.plan = layout<pl::half>(2), .steps = 1, .scale = {.initial = 256}};
  auto const a = run<pl::half>(o).front();
  o.scale.initial = 4096;
  auto const b = run<pl::half>(o).front();
  CHECK(a.losses == b.losses);
  // Powers of two round nothing but what lies below half's normal numbers: there each gradient of an activation is off
  // by at most 2⁻²⁵, divided by the scale, at each of some 20 layers: 20 · 2⁻²⁵ / 256 of a number. A weight's gradient
  // sums 192 of them times activations of about 1, all of one sign at the worst: 2⁻²¹; 30000 weights: a norm of 173 ·
  // 2⁻²¹ < 2⁻¹³. The gradient's is above 1/2.
  CHECK(a.norms[0] > 0.5);
  CHECK(std::abs(a.norms[0] / b.norms[0] - 1) < 0x1p-12);
  o.scale = {.initial = 0x1p24, .largest = 0x1p24};
  o.steps = 12;  // too large a scale overflows by itself, and is brought down by skipping
  auto const c = run<pl::half>(o).front();
  CHECK(c.skipped > 0);
  CHECK(c.moved.back());
  CHECK(c.scales.back() < 0x1p24);
}

TEST_CASE("a plan and a network of different precision are refused in words") {
  using Catch::Matchers::ContainsSubstring;
  auto const build = [](auto type, pl::plan::plan const& p) {
    pl::world w(pl::comm::communicator(pl::comm::self{}), 1);
    (void)pl::parallel::build(gpt::network<decltype(type)>(sizes()), p, w);
  };
  CHECK_THROWS_WITH(build(0.0f, layout<pl::bfloat16>(1)),
                    ContainsSubstring("the plan says precision = bf16, the network's layers are of type F32") &&
                        ContainsSubstring("pleat::bfloat16"));
  CHECK_THROWS_WITH(build(pl::half{}, layout<float>(1)), ContainsSubstring("the network's layers are of type F16") &&
                                                             ContainsSubstring("Use precision = f16"));
  pl::world w(pl::comm::communicator(pl::comm::self{}), 1);
  CHECK_THROWS_WITH(
      pl::parallel::build(gpt::network<float>(sizes()), layout<float>(1), w, {.loss_scale = {.initial = 1024}}),
      ContainsSubstring("precision = f32 has none: only f16 scales its loss") &&
          ContainsSubstring("Leave .loss_scale out"));
}
