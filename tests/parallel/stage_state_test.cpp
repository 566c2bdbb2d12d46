// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Pipeline stages whose state is sharded: every rank holds the bytes that the ledger foretells from the description
// alone, whoever says when parameters are gathered.
#include <pleat/plan/stage_memory.hpp>

#include "parallel/pipeline_training.hpp"

#include <pleat/plan/schedule_passes.hpp>
#include <pleat/plan/schedules.hpp>

using namespace pipeline_training;

namespace {

/// Trains two steps on every rank of a plan. \returns each rank's difference between what it holds and what was
/// foretold, in words; empty: none
std::vector<std::string> differences(pl::plan::plan const& p, std::optional<pl::plan::schedule> const& own = {}) {
  std::vector<std::string> all(static_cast<std::size_t>(p.ranks()));
  pl::comm::run_local(static_cast<int>(p.ranks()), [&](pl::comm::communicator c) {
    auto& said = all[static_cast<std::size_t>(c.rank())];
    pl::world w(std::move(c), 1);
    auto described = network();  // never built: no memory
    auto m = pl::parallel::build(network(), p, w, {.seed = 3, .schedule = own});
    pl::nn::optimizer_state<float, space> optimizer(m.context(), m.arena(),
                                                    pl::nn::sgd{.learning_rate = 0.1, .momentum = 0.9});
    samples<decltype(network())> source{&m};
    for (source.step = 0; source.step < 2; ++source.step) {
      m.zero_grad(p.global_batch);
      m.walk(source);
      m.reduce();
      m.step(optimizer);
    }
    m.layout().mark_absent(described, m.pipeline().rank());
    std::vector<index_t> first;
    for (index_t s = 0; s < m.layout().count(); ++s) first.push_back(m.layout().begin(s));
    first.push_back(m.layout().units());
    int const shard =
        p.state_stage > 0 ? m.ranks().rank() % static_cast<int>(p.state_ranks > 0 ? p.state_ranks : p.data_ranks) : 0;
    auto const foretold = pl::plan::stage_ledger(described, p, m.layout().schedule(), first, m.pipeline().rank(),
                                                 {1, 12}, optimizer.buffers(), shard);
    auto const held = m.memory();
    auto const compare = [&](char const* what, index_t here, index_t there) {
      if (here != there)
        said += std::string(what) + " " + std::to_string(here) + ", foretold " + std::to_string(there) + "; ";
    };
    compare("parameters", held.parameters, foretold.parameters);
    compare("gradients", held.gradients, foretold.gradients);
    compare("optimizer state", held.optimizer_state, foretold.optimizer_state);
  });
  return all;
}
pl::plan::plan sharded(std::string schedule, index_t data, index_t micro, int stage, bool deterministic) {
  auto p = layout(std::move(schedule), 2, data, micro);
  p.global_batch = 24;
  p.state_stage = stage;
  p.deterministic = deterministic;
  p.bucket_bytes = 300;  // a stage has several buckets
  return p;
}

}  // namespace

TEST_CASE(
    "what a pipeline's ranks hold of sharded parameters, gradients and state is what the described network foretells, "
    "byte for byte") {
  for (auto const schedule : pl::plan::schedule_names)
    for (int const stage : {0, 1, 2, 3})
      for (index_t const micro : {1, 4})
        for (bool const deterministic : {false, true}) {
          auto p = sharded(std::string(schedule), 2, micro, stage, deterministic);
          p.prefetch = micro == 1 ? 0 : 2;
          INFO(p.to_string());
          CHECK(differences(p) == std::vector<std::string>(4));
        }
  for (int const stage : {1, 2, 3}) {  // two groups of two
    auto p = sharded("1f1b", 4, 4, stage, false);
    p.state_ranks = 2;
    INFO(p.to_string());
    CHECK(differences(p) == std::vector<std::string>(8));
  }
}

TEST_CASE("what a list that gathers parameters itself holds is foretold, too") {
  namespace plan = pl::plan;
  index_t least = 0, most = 0;
  for (auto const& base : {plan::one_f_one_b(2, 4), plan::interleaved(2, 4), plan::zb_v(2, 4)})
    for (index_t const ahead : {0, 1})
      for (index_t const prefetch : {0, 3}) {
        auto const list = plan::with_parameters(base, {.prefetch = ahead});
        auto p = sharded(pl::parallel::name_of(list), 2, 4, 3, false);
        p.chunks = base.stages() / base.ranks();
        p.prefetch = prefetch;
        INFO(p.schedule << ", " << ahead << " stages ahead, prefetch " << prefetch);
        CHECK(differences(p, list) == std::vector<std::string>(4));
        auto net = network();
        std::vector<index_t> first;
        for (index_t s = 0; s <= base.stages(); ++s) first.push_back(s * 9 / base.stages());
        auto const layout = plan::layout_of(net, p);
        auto const n = plan::listed_buffers(list, 0, plan::buckets_of_stages(net, p, layout, list, first, 0), 1);
        (ahead == 0 ? least : most) += n;
        // gathers nothing itself
        CHECK(plan::listed_buffers(base, 0, plan::buckets_of_stages(net, p, layout, base, first, 0), 1) == 0);
      }
  CHECK(least < most);  // two stages at once where ranks have two
}
