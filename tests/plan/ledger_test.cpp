// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/plan/ledger.hpp>

#include <pleat/comm/local.hpp>
#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/nn/activations.hpp>
#include <pleat/nn/batch_norm.hpp>
#include <pleat/nn/flatten.hpp>
#include <pleat/nn/linear.hpp>
#include <pleat/nn/sequential.hpp>
#include <pleat/parallel/model.hpp>
#include <pleat/plan/measure.hpp>
#include <pleat/plan/search.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

namespace pl = pleat;
using space = Kokkos::DefaultExecutionSpace;
using tensor = pl::tensor<float, space>;

namespace {
auto net() {
  return pl::nn::sequential(pl::nn::flatten(), pl::nn::linear("fc1", 16, 24), pl::nn::tanh_activation(),
                            pl::nn::linear("fc2", 24, 5));
}
/// A layer that is cut as its weight says, and does not say where its activations live then.
struct unsaying : pl::nn::linear<> {
  using pl::nn::linear<>::linear;
  void path(pl::extents const&, pl::axis_layout const&) const {}
};
}  // namespace

TEST_CASE("the ledger is what a rank really holds: flat buffers, gradient slots, activations") {
  for (bool deterministic : {false, true})
    for (int ranks : {1, 3, 4})
      for (pl::index_t micro : {1, 2})
        pl::comm::run_local(ranks, [&](pl::comm::communicator c) {
          pl::world w(std::move(c), 1);
          auto const p =
              pl::plan::search(net(), w, {.global_batch = 48, .deterministic = deterministic, .micro_batches = micro});
          auto m = pl::parallel::build(net(), p, w);
          pl::nn::optimizer_state<float, space> optimizer(m.context(), m.arena(), pl::nn::adamw{});
          auto const network = pl::nn::describe(m.net(), {pl::plan::largest_micro_batch(p), 1, 4, 4});
          auto const ledger = pl::plan::make_ledger(p, network, m.arena().size(), m.arena().states());
          auto const fail = [&](std::string const& what, pl::index_t found, pl::index_t said) {
            throw std::runtime_error(what + " of rank " + std::to_string(w.rank()) + ": " + std::to_string(found) +
                                     " bytes, the ledger says " + std::to_string(said));
          };
          if (pl::plan::arena_elements(net()) != m.arena().size())
            fail("arena", m.arena().size(), pl::plan::arena_elements(net()));
          m.zero_grad(48);
          if (w.root()) {  // the largest share
            if (m.arena().bytes() != ledger.parameters + ledger.gradients + ledger.optimizer_state)
              fail("flat buffers", m.arena().bytes(), ledger.total() - ledger.activations - ledger.input);
            pl::index_t const rows = m.share().micro_batches()[0].rows.size();
            if (rows != pl::plan::largest_micro_batch(p)) fail("rows", rows, pl::plan::largest_micro_batch(p));
            auto const x = tensor::allocate(m.context(), {rows, 1, 4, 4});
            pl::compute::fill(m.context().space(), x.size(), 0.5f, x.data());
            auto const before = m.context().pool().statistics().bytes_requested_in_use;
            auto const out = m.forward(x);
            auto const live = static_cast<pl::index_t>(m.context().pool().statistics().bytes_requested_in_use - before);
            if (live != ledger.activations) fail("activations", live, ledger.activations);
          }
        });
}

TEST_CASE("a described network is cut along the tensor axis as its words say, its activations with it") {
  auto described = net();
  described.for_each_parameter([](auto& w) {
    if (w.name == "fc1.weight" || w.name == "fc1.bias") w.where = pl::shard<0>{};
    if (w.name == "fc2.weight") w.where = pl::shard<1>{};
  });
  pl::plan::plan p;
  auto const whole = pl::plan::state_ledger(described, p);
  p.tensor_ranks = 5;  // 24 rows or columns: 5 of them on the ranks that have most
  auto const cut = pl::plan::state_ledger(described, p);
  // entries begin at multiples of 64 bytes
  auto const rounded = [](pl::index_t elements) { return (elements + 15) / 16 * 16; };
  pl::index_t const elements = rounded(5 * 16) + rounded(5) + rounded(5 * 5) + rounded(5) + 16;  // and the loss
  CHECK(cut.parameters == elements * 4);
  CHECK(cut.optimizer_state == 2 * elements * 4);
  CHECK(cut.parameters < whole.parameters);
  auto const refusal = [](auto&& f) {
    try {
      f();
    } catch (pl::error const& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  // Of a batch of 8: its input of 16, a tanh of 5 of 24 rows in place of what fc1 gives, and what fc2 sums up, 5 (the
  // next rank has as many of the 24, the last one 4).
  p.global_batch = 8;
  CHECK(pl::plan::ledger_of(described, p, {8, 16}).activations == 4 * 8 * (5 + 5));
  CHECK(pl::plan::ledger_of(described, p, {8, 16}, 2, 0, 4).activations == 4 * 8 * (4 + 5));
  CHECK(pl::plan::ledger_of(described, p, {8, 16}).input == 4 * 8 * 16);
  // Norms of channels that are cut: 5 of 24 of them, a mean and a deviation each; the tanh lies over what the norm
  // gives.
  auto normed = pl::nn::sequential(pl::nn::linear("fc1", 16, 24), pl::nn::batch_norm("norm", 24),
                                   pl::nn::tanh_activation(), pl::nn::linear("fc2", 24, 5));
  normed.for_each_parameter([](auto& w) {
    w.where = w.name == "fc2.weight" ? pl::axis_placement(pl::shard<1>{})
              : w.name == "fc2.bias" ? pl::axis_placement{}
                                     : pl::axis_placement(pl::shard<0>{});
  });
  CHECK(pl::plan::ledger_of(normed, p, {8, 16}).activations == 4 * (8 * (5 + 5 + 5) + 2 * 5));
  // A layer that does not say where its cut activations live is named.
  auto quiet = pl::nn::sequential(unsaying("quiet", 16, 10), pl::nn::relu());
  quiet.for_each_parameter([](auto& w) { w.where = pl::shard<0>{}; });
  auto const unsaid = refusal([&] { static_cast<void>(pl::plan::ledger_of(quiet, p, {8, 16})); });
  CHECK(unsaid.find("the layer 'quiet' cuts its activations") != std::string::npos);
  CHECK(unsaid.find("or use plan::state_ledger") != std::string::npos);
  p.tensor_ranks = 1;
  p.schedule = "csv:0123456789abcdef";
  CHECK(refusal([&] {
          static_cast<void>(pl::plan::ledger_of(described, p, {8, 16}));
        }).find("which is not one of the library's") != std::string::npos);
  p.schedule = "zb-v";
  CHECK(refusal([&] {
          static_cast<void>(pl::plan::ledger_of(described, p, {8, 16}));
        }).find("cuts the network into 2 stages") != std::string::npos);
  p.schedule = "1f1b";
  p.pipeline_ranks = 2;
  CHECK(refusal([&] {
          static_cast<void>(pl::plan::ledger_of(described, p, {8, 16}));
        }).find("Use plan::stage_ledger") != std::string::npos);
}

TEST_CASE("the largest micro-batch is the largest that any rank walks, where lanes and ranks are uneven too") {
  for (bool const deterministic : {false, true})
    for (int const ranks : {1, 2, 3, 5, 8})
      for (pl::index_t const batch : {5, 9, 47, 64, 65})
        for (pl::index_t const micro : {1, 2, 3}) {
          pl::plan::plan p;
          p.global_batch = batch;
          p.data_ranks = ranks;
          p.micro_batches = micro;
          p.deterministic = deterministic;
          pl::index_t largest = 0;
          for (int r = 0; r < ranks; ++r) {
            pl::parallel::share const share(p, batch, r, false);
            for (auto const& m : share.micro_batches()) largest = std::max(largest, m.rows.size());
          }
          INFO(p.to_string());
          CHECK(pl::plan::largest_micro_batch(p) == largest);
        }
}

TEST_CASE("parameters of the description are those of the network") {
  auto const d = pl::nn::describe(net(), {1, 1, 4, 4});
  CHECK(d.parameters() == 16 * 24 + 24 + 24 * 5 + 5);
  CHECK(d.parameter_bytes() == 4 * d.parameters());
  CHECK(d.forward_flops() == 2.0 * (16 * 24 + 24 * 5) + [&] {
    double rest = 0;
    for (auto const& l : d.layers)
      if (l.kind != "linear") rest += l.forward_flops;
    return rest;
  }());
}

TEST_CASE("the predicted step is the sum of its parts, and communication hides behind backward only with overlap") {
  pl::plan::machine m{.flops = 1e9, .bandwidth = 1e9, .launch = 0, .latency = 1e-6, .link_bandwidth = 1e6};
  pl::plan::plan p;
  p.global_batch = 64;
  p.data_ranks = 2;
  auto const d = pl::nn::describe(net(), {pl::plan::largest_micro_batch(p), 1, 4, 4});
  auto const with = pl::plan::predict_step(p, d, m);
  p.overlap = false;
  auto const without = pl::plan::predict_step(p, d, m);
  CHECK(with.total() == with.forward + with.backward + with.optimizer + with.exposed_communication);
  CHECK(without.exposed_communication == without.communication);
  CHECK(with.exposed_communication <= without.exposed_communication);
  p.data_ranks = 1;
  CHECK(pl::plan::predict_step(p, d, m).communication == 0);
}

TEST_CASE("the search takes as few micro-batches as fit, and says how much is missing if none do") {
  pl::comm::run_local(1, [](pl::comm::communicator c) {
    pl::world w(std::move(c), 1);
    auto const free = pl::plan::search(net(), w, {.global_batch = 64, .input = {1, 1, 4, 4}});
    if (free.micro_batches != 1) throw std::runtime_error("without a bound one walk is enough");
    auto const whole =
        pl::plan::make_ledger(free, pl::nn::describe(net(), {64, 1, 4, 4}), pl::plan::arena_elements(net()), 2).total();
    auto const tight =
        pl::plan::search(net(), w, {.global_batch = 64, .input = {1, 1, 4, 4}, .memory_bytes = whole - 1});
    if (tight.micro_batches != 2)
      throw std::runtime_error("one byte less asks for two walks, found " + std::to_string(tight.micro_batches));
    std::string said;
    try {
      (void)pl::plan::search(net(), w, {.global_batch = 64, .input = {1, 1, 4, 4}, .memory_bytes = 1000});
    } catch (pl::error const& e) {
      said = e.what();
    }
    if (said.find("1000 are allowed") == std::string::npos) throw std::runtime_error("said: " + said);
    // a number of micro-batches that is asked for has to fit, too
    auto const asked = [&](pl::index_t micro_batches, pl::index_t memory) -> std::string {
      try {
        (void)pl::plan::search(
            net(), w,
            {.global_batch = 64, .micro_batches = micro_batches, .input = {1, 1, 4, 4}, .memory_bytes = memory});
      } catch (pl::error const& e) {
        return e.what();
      }
      return "taken";
    };
    if (asked(1, whole) != "taken") throw std::runtime_error("said: " + asked(1, whole));
    if (asked(1, whole - 1).find("a step of 1 micro-batches needs " + std::to_string(whole) + " bytes") ==
        std::string::npos)
      throw std::runtime_error("said: " + asked(1, whole - 1));
    if (asked(-1, 0).find("micro_batches") == std::string::npos) throw std::runtime_error("said: " + asked(-1, 0));
  });
}

TEST_CASE("the largest micro-batch of the largest batch is counted") {
  pl::plan::plan p;
  p.global_batch = std::numeric_limits<pl::index_t>::max();
  p.micro_batches = 2;
  CHECK(pl::plan::largest_micro_batch(p) == pl::index_t{1} << 62);
}

TEST_CASE("a measured machine has the slowest rank's numbers on every rank") {
  pl::comm::run_local(2, [](pl::comm::communicator c) {
    pl::context<space> where(pl::make_instance<space>(1));
    auto const m = pl::plan::measure_machine(where, c);
    double numbers[] = {m.flops, m.bandwidth, m.launch, m.latency, m.link_bandwidth};
    for (double const n : numbers)
      if (!(std::isfinite(n) && n > 0)) throw std::runtime_error("a number is not positive: " + m.to_string());
    double least[5], most[5];
    c.all_reduce(numbers, least, pl::comm::reduction::min);
    c.all_reduce(numbers, most, pl::comm::reduction::max);
    for (int i = 0; i < 5; ++i)
      if (least[i] != most[i]) throw std::runtime_error("ranks disagree");
  });
}
