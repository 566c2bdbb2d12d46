// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What a model says of activations that must move: once, by one rank, however often it happens.
#include <pleat/parallel/move_report.hpp>

#include "parallel/pipeline_training.hpp"

#include <pleat/nn/loss.hpp>
#include <pleat/parallel/tensor_recipe.hpp>

#include <catch2/matchers/catch_matchers_string.hpp>

using namespace pipeline_training;
using Catch::Matchers::ContainsSubstring;

namespace {

/// What one rank said, and what its model lists.
struct heard {
  std::vector<std::string> lines;
  std::vector<pl::parallel::move_report::entry> moves;
};

/// Three steps, the last with fewer samples, and what each rank of the plan's mesh said meanwhile.
template <class Net> std::vector<heard> trained(Net const& net, pl::plan::plan const& p) {
  std::vector<heard> all(static_cast<std::size_t>(p.ranks()));
  pl::comm::run_local(static_cast<int>(p.ranks()), [&](pl::comm::communicator c) {
    auto& mine = all[static_cast<std::size_t>(c.rank())];
    pl::world w(std::move(c), 1);
    w.set_sink([&](std::string_view line) { mine.lines.emplace_back(line); });
    auto m = pl::parallel::build(net, p, w, {.seed = 3});
    pl::nn::optimizer_state<float, space> optimizer(m.context(), m.arena(), pl::nn::sgd{.learning_rate = 0.1});
    samples<Net> source{&m};
    for (source.step = 0; source.step < 3; ++source.step) {
      m.zero_grad(source.step == 2 ? 12 : 16);
      m.walk(source);
      m.reduce();
      m.step(optimizer);
    }
    mine.moves = m.moves();
  });
  return all;
}

/// Four layers of which all but the last cut their results: `names` that are cut need theirs whole.
auto layers() {
  namespace nn = pl::nn;
  return nn::sequential(nn::linear("a", 12, 6), nn::tanh_activation(), nn::linear("b", 6, 6), nn::linear("c", 6, 6),
                        nn::linear("d", 6, 5));
}

}  // namespace

TEST_CASE(
    "two layers by column one after the other: one line from rank 0 with its bytes, over steps, micro-batches and what "
    "is computed again") {
  namespace par = pl::parallel;
  auto const net = pl::nn::sequential(pl::nn::linear("a", 12, 6), pl::nn::tanh_activation(), pl::nn::linear("b", 6, 5));
  for (index_t const data : {1, 2})
    for (auto const recompute : {pl::plan::recompute_mode::none, pl::plan::recompute_mode::full}) {
      pl::plan::plan const p{
          .global_batch = 16, .data_ranks = data, .tensor_ranks = 2, .micro_batches = 2, .recompute = recompute};
      INFO(p.to_string());
      auto const all = trained(par::tensor_parallel(net, {par::column("a.*"), par::column("b.*")}), p);
      index_t const rows = 16 / data / 2;
      for (std::size_t r = 0; r < all.size(); ++r) {
        INFO("rank " << r);
        REQUIRE(all[r].moves.size() == 1);
        CHECK(all[r].moves[0].layer == "b.weight");
        CHECK(all[r].moves[0].bytes == 2 * rows * 3 * 4);  // half of [rows, 6] floats goes out, half comes in
        REQUIRE(all[r].lines.size() == (r == 0 ? 1 : 0));
      }
      auto const words = "'b.weight' gets its input [" + std::to_string(rows) + ", 6] placed as " +
                         all[0].moves[0].from.to_string() + " and needs " + all[0].moves[0].to.to_string() + ": " +
                         std::to_string(all[0].moves[0].bytes) +
                         " bytes per rank move in every forward, as many in backward";
      CHECK_THAT(all[0].lines[0], ContainsSubstring(words));
      CHECK_THAT(words, ContainsSubstring("placed as shard<1> of 6 and needs replicate"));
      // a pair that fits has nothing to say
      for (auto const& quiet : trained(par::tensor_parallel(net, {par::column("a.*"), par::row("b.*")}), p))
        CHECK((quiet.lines.empty() && quiet.moves.empty()));
    }
}

TEST_CASE("what moves in a later stage is said by the first rank that has the stage, since rank 0 never sees it") {
  namespace par = pl::parallel;
  for (std::string const schedule : {"1f1b", "zb-h1"}) {
    pl::plan::plan const p{.global_batch = 16,
                           .data_ranks = 2,
                           .tensor_ranks = 2,
                           .pipeline_ranks = 2,
                           .schedule = schedule,
                           .cuts = {3},
                           .micro_batches = 2};
    INFO(schedule);
    auto const all = trained(par::tensor_parallel(layers(), {par::column("a.*"), par::column("b.*"), par::column("c.*"),
                                                             par::column("d.*")}),
                             p);
    for (std::size_t r = 0; r < all.size(); ++r) {
      INFO("rank " << r);
      bool const second = r >= 4;
      std::string const layer = second ? "d.weight" : "b.weight";
      REQUIRE(all[r].moves.size() == 1);
      CHECK(all[r].moves[0].layer == layer);
      CHECK(all[r].lines.size() == (r % 4 == 0 ? 1 : 0));
      if (!all[r].lines.empty())
        CHECK_THAT(all[r].lines[0], ContainsSubstring("'" + layer + "' gets its input [4, 6]") &&
                                        ContainsSubstring("96 bytes per rank"));
    }
  }
}
