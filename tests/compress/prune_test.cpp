// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compress/prune.hpp>

#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/compress/pipeline.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <compress/compress_support.hpp>

#include <limits>

namespace {

using namespace compress_test;
namespace compress = pleat::compress;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

TEST_CASE("global pruning removes exactly round(sparsity*n) elements, the smallest of all") {
  auto w = alone();
  auto const model = build(w);
  double const sparsity = GENERATE(0.0, 0.1, 0.5, 0.9, 0.92, 0.999);
  auto const small = model | compress::prune{.sparsity = sparsity};
  CHECK(weight_zeros(small) == std::min<index_t>(weights - 1, std::llround(sparsity * static_cast<double>(weights))));

  auto const before = values_of(model), after = values_of(small);
  REQUIRE(before.size() == after.size());
  float largest_gone = -1, smallest_kept = 1e30f;
  for (std::size_t p = 0; p < before.size(); ++p) {
    CHECK(after[p].form == (is_weight(after[p]) ? "masked" : "dense"));
    for (std::size_t i = 0; i < before[p].values.size(); ++i) {
      float const was = before[p].values[i], is = after[p].values[i];
      if (is == 0 && was != 0) largest_gone = std::max(largest_gone, std::abs(was));
      else if (is != was) FAIL("a survivor changed");
      else if (is_weight(before[p])) smallest_kept = std::min(smallest_kept, std::abs(was));
    }
  }
  CHECK(largest_gone <= smallest_kept);
  CHECK(weight_zeros(model) == 0);  // the model that was pruned is untouched
}

TEST_CASE("layer scope gives every layer the same sparsity") {
  auto w = alone();
  double const sparsity = GENERATE(0.5, 0.75, 0.999);
  auto const small = build(w) | compress::prune{.sparsity = sparsity, .scope = compress::scope::layer};
  for (auto const& p : values_of(small))
    if (is_weight(p))
      CHECK(zeros(p.values) ==
            std::min<index_t>(p.shape.size() - 1, std::llround(sparsity * static_cast<double>(p.shape.size()))));
    else CHECK(zeros(p.values) == 0);
}

TEST_CASE("ties are broken by position: exactly k go, the first ones") {
  auto w = alone();
  auto model = build(w);
  set_values(model, "fc1.weight", std::vector<float>(320, 0.5f));
  set_values(model, "fc2.weight", std::vector<float>(192, -0.5f));
  set_values(model, "fc3.weight", std::vector<float>(48, 0.5f));
  auto const small = model | compress::prune{.sparsity = 400.0 / 560};
  auto const after = values_of(small);
  CHECK(zeros(after[0].values) == 320);
  CHECK(zeros(after[2].values) == 80);
  for (std::size_t i = 0; i < 192; ++i) CHECK((after[2].values[i] == 0) == (i < 80));
  CHECK(zeros(after[4].values) == 0);
}

TEST_CASE("a sparsity outside [0, 1) is refused") {
  auto w = alone();
  auto const model = build(w);
  for (double const bad :
       {1.0, 1.5, -0.1, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()})
    CHECK_THROWS_MATCHES(model | compress::prune{.sparsity = bad}, pleat::error,
                         MessageMatches(ContainsSubstring("in [0, 1), found")));
}

TEST_CASE("NaN and infinity are refused by the parameter's name") {
  auto w = alone();
  for (float const bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    auto model = build(w);
    auto values = values_of(model)[2].values;
    values[5] = bad;
    set_values(model, "fc2.weight", values);
    CHECK_THROWS_MATCHES(model | compress::prune{}, pleat::error,
                         MessageMatches(ContainsSubstring("element 5 of 'fc2.weight'")));
  }
}

TEST_CASE("what is ignored stays; if nothing is left that is an error") {
  auto w = alone();
  auto const model = build(w);
  auto const small = model | compress::prune{.sparsity = 0.8, .ignore = {"fc3.*"}};
  auto const after = values_of(small);
  CHECK(after[4].form == "dense");
  CHECK(zeros(after[4].values) == 0);
  CHECK(zeros(after[0].values) + zeros(after[2].values) == std::llround(0.8 * 512));
  CHECK_THROWS_MATCHES((model | compress::prune{.ignore = {"*.weight"}}), pleat::error,
                       MessageMatches(ContainsSubstring("no weight is left")));
}

TEST_CASE("zeros stay zero while training goes on, moments included, and the survivors learn") {
  auto w = alone();
  auto const train = data(64);
  auto small = build(w) | compress::prune{.sparsity = 0.7};
  auto const before = values_of(small);
  auto options = quiet(3);
  SECTION("AdamW") { options.optimizer = pleat::nn::adamw{.learning_rate = 1e-2}; }
  SECTION("SGD with momentum and decay") {
    options.optimizer = pleat::nn::sgd{.learning_rate = 1e-2, .momentum = 0.9, .weight_decay = 1e-2};
  }
  (void)pleat::run::fit(small, train, options);
  auto const after = values_of(small);
  index_t moved = 0;
  for (std::size_t p = 0; p < before.size(); ++p)
    for (std::size_t i = 0; i < before[p].values.size(); ++i) {
      if (is_weight(before[p]) && before[p].values[i] == 0) REQUIRE(after[p].values[i] == 0);
      else moved += after[p].values[i] != before[p].values[i];
    }
  CHECK(moved > 100);
  auto const& arena = small.arena();
  for (int s = 0; s < arena.states(); ++s)
    for (auto const& e : arena.entries()) {
      if (!e.mask_bits) continue;
      using Space = typename decltype(small)::execution_space;
      std::vector<float> state(static_cast<std::size_t>(e.end - e.begin));
      pleat::copy_to_host(small.context(),
                          pleat::tensor<float, Space>::wrap(arena.state(s) + e.begin, {e.end - e.begin}), state.data());
      for (auto const& p : before)
        if (p.name == e.name)
          for (std::size_t i = 0; i < state.size(); ++i)
            if (p.values[i] == 0) REQUIRE(state[i] == 0);
    }
}

TEST_CASE("gradual pruning trains between its steps and ends exactly at its sparsity") {
  auto w = alone();
  auto const train = data(64);
  std::vector<std::string> notes;
  std::vector<index_t> events;
  auto options = quiet(1);
  options.on_event = [&](pleat::run::event const& e) {
    if (e.what == pleat::run::event::kind::epoch) events.push_back(e.step);
  };
  auto const small = build(w) | compress::prune{.sparsity = 0.9,
                                                .schedule = compress::cubic{.steps = 4},
                                                .retrain = compress::fine_tune(train, options),
                                                .on_note = [&](std::string_view line) { notes.emplace_back(line); }};
  CHECK(weight_zeros(small) == std::llround(0.9 * weights));
  CHECK(events.size() == 3);
  CHECK(notes.empty());
}

TEST_CASE("a gradual schedule that nothing trains in says so, once, and does what one step does") {
  auto w = alone();
  auto const model = build(w);
  std::vector<std::string> notes;
  auto const listen = [&](std::string_view line) { notes.emplace_back(line); };
  auto const steps =
      model | compress::prune{.sparsity = 0.9, .schedule = compress::cubic{.steps = 5}, .on_note = listen};
  REQUIRE(notes.size() == 1);
  CHECK_THAT(notes[0], ContainsSubstring("nothing trains between them"));
  CHECK((pleat::run::file_image(steps) == pleat::run::file_image(model | compress::prune{.sparsity = 0.9})));
}

TEST_CASE("pruning again keeps what is dead dead and counts it") {
  auto w = alone();
  auto const once = build(w) | compress::prune{.sparsity = 0.5};
  auto const twice = once | compress::prune{.sparsity = 0.8};
  static_assert(std::is_same_v<decltype(once), decltype(twice)>);
  CHECK(weight_zeros(twice) == std::llround(0.8 * weights));
  auto const same = once | compress::prune{.sparsity = 0.5};
  CHECK((pleat::run::file_image(same) == pleat::run::file_image(once)));
  auto const lower = once | compress::prune{.sparsity = 0.1};
  CHECK((pleat::run::file_image(lower) == pleat::run::file_image(once)));
  auto const a = values_of(once), b = values_of(twice);
  for (std::size_t p = 0; p < a.size(); ++p)
    for (std::size_t i = 0; i < a[p].values.size(); ++i)
      if (is_weight(a[p]) && a[p].values[i] == 0) REQUIRE(b[p].values[i] == 0);
}

TEST_CASE("a layer that loses everything is named") {
  auto w = alone();
  auto model = build(w);
  set_values(model, "fc3.weight", std::vector<float>(48, 1e-6f));
  std::vector<std::string> notes;
  (void)(model | compress::prune{.sparsity = 0.5, .on_note = [&](std::string_view line) { notes.emplace_back(line); }});
  REQUIRE(notes.size() == 1);
  CHECK_THAT(notes[0], ContainsSubstring("removed all of 'fc3.weight'"));
}

TEST_CASE("ranks that were told other things refuse, in words") {
  using own = compress::prune;
  for (auto const& [theirs, words] :
       {std::pair{own{.sparsity = 0.5}, "prune 0.5 there, prune 0.9 here"},
        {own{.scope = compress::scope::layer}, "prune 0.9 .scope = layer there, prune 0.9 .scope = global here"},
        {own{.schedule = compress::cubic{3}},
         "prune 0.9 .schedule = cubic in 3 steps there, prune 0.9 .schedule = one shot here"},
        {own{.ignore = {"fc2.*"}}, "prune 0.9 .ignore = {\"fc2.*\"} there, prune 0.9 .ignore = {} here"}}) {
    std::vector<std::string> said(2);
    pleat::comm::run_local(2, [&, &theirs = theirs](pleat::comm::communicator c) {
      auto const rank = static_cast<std::size_t>(c.rank());
      pleat::world w(std::move(c), 1);
      auto const model = build(w);
      try {
        (void)(model | (rank == 1 ? theirs : own{}));
      } catch (pleat::error const& e) {
        said[rank] = e.what();
      }
    });
    for (auto const& one : said)
      CHECK_THAT(one, ContainsSubstring(words) && ContainsSubstring("Give every rank the same transforms"));
  }
}

TEST_CASE("every number of ranks prunes to the same bytes, and rank 0 alone speaks") {
  std::vector<std::byte> one;
  for (int const ranks : {1, 2, 3}) {
    std::vector<std::vector<std::byte>> images(static_cast<std::size_t>(ranks));
    std::vector<int> notes(static_cast<std::size_t>(ranks));
    pleat::comm::run_local(ranks, [&](pleat::comm::communicator c) {
      auto const rank = static_cast<std::size_t>(c.rank());
      pleat::world w(std::move(c), 1);
      auto const train = data(40);
      auto model = build(w);
      (void)pleat::run::fit(model, train, quiet(1));
      auto const small = model |
                         compress::prune{.sparsity = 0.9,
                                         .schedule = compress::cubic{.steps = 2},
                                         .retrain = compress::fine_tune(train, quiet(1)),
                                         .on_note = [&](std::string_view) { ++notes[rank]; }} |
                         compress::prune{.sparsity = 0.95,
                                         .schedule = compress::cubic{.steps = 2},
                                         .on_note = [&](std::string_view) { ++notes[rank]; }};
      images[rank] = pleat::run::file_image(small);
    });
    if (ranks == 1) one = images[0];
    for (auto const& image : images) CHECK((image == one));
    CHECK(notes[0] >= 1);
    for (std::size_t r = 1; r < notes.size(); ++r) CHECK(notes[r] == 0);
  }
}

}  // namespace
