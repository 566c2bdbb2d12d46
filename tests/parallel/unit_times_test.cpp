// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/parallel/unit_times.hpp>

#include <pleat/plan/stages.hpp>

#include <catch2/catch_test_macros.hpp>

#include <chrono>
#include <limits>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "pipeline_training.hpp"

using namespace pipeline_training;

namespace {

// Hands on what it gets, slowly. What sleeps has slept at least as long as it was told, however busy the machine is.
struct sleeper {
  using value_type = float;
  using execution_space = space;
  struct saved {};
  int forward_ms = 0, backward_ms = 0;

  pl::extents shape(pl::extents in) const { return in; }
  pl::nn::step<saved, tensor> forward(pl::nn::pass<space> const&, tensor x) const {
    std::this_thread::sleep_for(std::chrono::milliseconds(forward_ms));
    return {std::move(x), {}};
  }
  tensor backward(pl::nn::pass<space> const&, saved&, tensor dy) {
    std::this_thread::sleep_for(std::chrono::milliseconds(backward_ms));
    return dy;
  }
  void for_each_parameter(auto&&) {}
};

struct broken : sleeper {
  pl::nn::step<saved, tensor> forward(pl::nn::pass<space> const&, tensor) const {
    throw pl::error{"broken::forward", "it broke"};
  }
};

std::string said(int ranks, auto&& f) {
  try {
    pl::comm::run_local(ranks, f);
  } catch (pl::error const& e) {
    return e.what();
  }
  return "nothing";
}

}  // namespace

TEST_CASE("a unit's cost is its forward and its backward, where a gradient comes to it, and what is computed again") {
  namespace nn = pl::nn;
  auto const net = nn::sequential(sleeper{8, 100}, nn::linear("a", 12, 10), sleeper{8, 16}, nn::linear("b", 10, 5));
  std::vector<std::vector<double>> all(3);
  pl::plan::plan p;
  p.data_ranks = 3;
  p.global_batch = 24;
  pl::comm::run_local(3, [&](pl::comm::communicator c) {
    pl::world w(std::move(c), 1);
    all[static_cast<std::size_t>(w.rank())] = pl::parallel::measure_units(net, p, {24, 12}, w, 3);
  });
  CHECK((all[1] == all[0] && all[2] == all[0]));  // rank 0's
  REQUIRE(all[0].size() == 4);
  for (double const s : all[0]) CHECK(s > 0);
  CHECK(all[0][0] >= 0.008);  // nothing learns at it or below: no gradient comes
  CHECK(all[0][2] >= 0.024);
  p.recompute = pl::plan::recompute_mode::full;
  p.data_ranks = 1;
  pl::comm::run_local(1, [&](pl::comm::communicator c) {
    pl::world w(std::move(c), 1);
    CHECK(pl::parallel::measure_units(net, p, {24, 12}, w, 1)[2] >= 0.032);
    CHECK_THROWS_AS(pl::parallel::measure_units(net, p, {24, 12}, w, 0), pl::error);
  });
}

TEST_CASE("what fails while rank 0 measures is every rank's error") {
  std::vector<std::string> heard(3);
  pl::comm::run_local(3, [&](pl::comm::communicator c) {
    pl::world w(std::move(c), 1);
    try {
      (void)pl::parallel::measure_units(pl::nn::sequential(broken{}, pl::nn::linear("a", 12, 10)),
                                        {.global_batch = 24, .data_ranks = 3}, {24, 12}, w, 1);
    } catch (pl::error const& e) {
      heard[static_cast<std::size_t>(w.rank())] = e.problem();
    }
  });
  for (auto const& h : heard) CHECK(h == "it broke");
}

TEST_CASE("stages are cut by the costs that build is given, and the bits stay") {
  options o;
  o.plan.deterministic = true;
  auto const reference = run(network(), o);
  auto const p = layout("1f1b", 3, 1, 3);
  // 9 units; all the work is in the seventh
  std::vector<double> const costs{1, 1, 1, 1, 1, 1, 100, 1, 1};
  auto const expected = pl::plan::cut_stages(costs, 3);
  CHECK(expected.begin(1) == 6);
  std::vector<double> losses;
  pl::comm::run_local(3, [&](pl::comm::communicator c) {
    pl::world w(std::move(c), 1);
    auto m = pl::parallel::build(network(), p, w, {.seed = 3, .unit_costs = costs});
    for (index_t s = 0; s < 3; ++s)
      if (m.layout().begin(s) != expected.begin(s) || m.layout().end(s) != expected.end(s))
        throw pl::error{"test", "cut as " + m.layout().to_string()};
    // and by what was measured: every rank the same
    auto const times = pl::parallel::measure_units(network(), p, {36, 12}, w, 1);
    auto measured = pl::parallel::build(network(), p, w, {.seed = 3, .unit_costs = times});
    pl::nn::optimizer_state<float, space> optimizer(measured.context(), measured.arena(),
                                                    pl::nn::sgd{.learning_rate = 0.1, .momentum = 0.9});
    samples<decltype(network())> source{&measured};
    for (int s = 0; s < o.steps; ++s) {
      source.step = s;
      measured.zero_grad(o.batches[static_cast<std::size_t>(s)]);
      measured.walk(source);
      measured.reduce();
      if (w.root()) losses.push_back(measured.loss());
      measured.step(optimizer);
    }
  });
  CHECK(losses == reference.losses);
}

TEST_CASE("costs that do not fit the network, or differ between ranks, are refused") {
  auto const built = [](std::vector<double> const& first, std::vector<double> const& others) {
    return said(2, [&](pl::comm::communicator c) {
      pl::world w(std::move(c), 1);
      (void)pl::parallel::build(network(), layout("1f1b", 2, 1, 2), w, {.unit_costs = w.root() ? first : others});
    });
  };
  std::vector<double> const even(9, 1.0);
  auto top = even, broken = even;
  top[0] = 50;
  broken[4] = -1;
  CHECK(built(even, even) == "nothing");
  CHECK(built({1, 2}, {1, 2}).find("there are costs of 2 units, the network has 9") != std::string::npos);
  std::vector<std::string> heard(2);  // costs that are wrong on one rank: the other one hears why, and does not wait
  pl::comm::run_local(2, [&](pl::comm::communicator c) {
    pl::world w(std::move(c), 1);
    try {
      (void)pl::parallel::build(network(), layout("1f1b", 2, 1, 2), w,
                                {.unit_costs = w.root() ? even : std::vector<double>{1, 2}});
    } catch (pl::error const& e) {
      heard[static_cast<std::size_t>(w.rank())] = e.problem();
    }
  });
  for (auto const& h : heard) CHECK(h == "there are costs of 2 units, the network has 9");
  CHECK(built(even, top).find("cuts") != std::string::npos);
  CHECK(built(broken, broken) != "nothing");
  broken[4] = std::numeric_limits<double>::quiet_NaN();
  CHECK(built(broken, broken) != "nothing");
}
