// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/parallel/loss_scale.hpp>

#include <parallel/sharded_training.hpp>
#include <pleat/comm/local.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <atomic>
#include <limits>
#include <stdexcept>
#include <string>

namespace pl = pleat;
using namespace pleat_test;

TEST_CASE("loss_scale: grows after good steps, shrinks after a bad one, stays within its bounds") {
  pl::comm::communicator self{pl::comm::self{}};
  pl::parallel::loss_scale s({.initial = 8, .interval = 3, .smallest = 2, .largest = 16});
  CHECK(s.value() == 8);
  CHECK(s.update(false, self));
  CHECK(s.update(false, self));
  CHECK(s.value() == 8);
  CHECK(s.update(false, self));
  CHECK(s.value() == 16);
  for (int i = 0; i < 3; ++i) CHECK(s.update(false, self));
  CHECK(s.value() == 16);  // the largest
  CHECK(s.update(false, self));
  CHECK(!s.update(true, self));
  CHECK(s.value() == 8);
  CHECK(s.good_steps() == 0);
  CHECK(!s.update(true, self));
  CHECK(!s.update(true, self));
  CHECK(s.value() == 2);
  CHECK(s.skipped() == 3);
  CHECK_THROWS_WITH(s.update(true, self), Catch::Matchers::ContainsSubstring("even at the smallest") ||
                                              Catch::Matchers::ContainsSubstring("at the smallest scale"));
  pl::parallel::loss_scale t({.initial = 8, .interval = 3, .smallest = 2, .largest = 16});
  t.set(s.value(), s.good_steps(), s.skipped());
  CHECK(t.value() == 2);
  CHECK(t.skipped() == 3);
}

TEST_CASE("loss_scale: a step is skipped by all ranks or by none") {
  for (int ranks : {2, 3, 4}) {
    std::atomic<int> skipped = 0, done = 0;
    pl::comm::run_local(ranks, [&](pl::comm::communicator c) {
      pl::parallel::loss_scale s({.interval = 2});
      for (int step = 0; step < 20; ++step) {
        bool const mine = step % 5 == 1 && c.rank() == step % ranks;  // one rank alone sees it
        (s.update(mine, c) ? done : skipped)++;
      }
      if (c.all_reduce_value(s.value(), pl::comm::reduction::min) !=
          c.all_reduce_value(s.value(), pl::comm::reduction::max))
        throw std::runtime_error("ranks have different scales");
    });
    CHECK(skipped == 4 * ranks);
    CHECK(done == 16 * ranks);
  }
}

TEST_CASE("loss_scale: rules that cannot work are refused") {
  using Catch::Matchers::ContainsSubstring;
  CHECK_THROWS_WITH(pl::parallel::loss_scale({.growth = 1}), ContainsSubstring("the growth must be above 1"));
  CHECK_THROWS_WITH(pl::parallel::loss_scale({.backoff = 1}), ContainsSubstring("between 0 and 1"));
  CHECK_THROWS_WITH(pl::parallel::loss_scale({.interval = 0}), ContainsSubstring("at least one good step"));
  CHECK_THROWS_WITH(pl::parallel::loss_scale({.initial = 0.5}),
                    ContainsSubstring("between the smallest and the largest"));
}

TEST_CASE("found_nonfinite looks at what this rank has summed, under every stage") {
  for (int stage : {0, 1, 2, 3})
    pl::comm::run_local(2, [&](pl::comm::communicator c) {
      pl::world w(std::move(c), 1);
      auto p = training{}.plan;
      p.data_ranks = 2;
      p.state_stage = stage;
      auto m = pl::parallel::build(network(), p, w, {.seed = 3});
      for (bool poison : {false, true}) {
        m.zero_grad(4);
        auto x = tensor::allocate(m.context(), {2, 12});
        pl::compute::fill(m.context().space(), 24, 0.5f, x.data());
        auto [y, saved] = m.forward(x);
        auto dy = tensor::allocate(m.context(), y.shape());
        pl::compute::fill(m.context().space(), dy.size(),
                          poison && w.rank() == 0 ? std::numeric_limits<float>::infinity() : 1e-3f, dy.data());
        m.backward(saved, dy);
        m.reduce();
        pl::parallel::loss_scale s;
        bool const steps = s.update(pl::parallel::found_nonfinite(m.context(), m.arena()), m.ranks());
        if (steps == poison)
          throw std::runtime_error("stage " + std::to_string(stage) +
                                   (poison ? ": infinity was not found" : ": a good step was skipped"));
      }
    });
}
