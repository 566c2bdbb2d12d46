// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A model whose mesh lies in any order, with axes of the user's own: the same bytes, the groups that the mesh says,
// checkpoints from one to another.
#include <pleat/run/checkpoint.hpp>

#include <array>
#include <mutex>
#include <set>

#include <catch2/catch_test_macros.hpp>

#include "checkpoint_support.hpp"

namespace pl = pleat;
using namespace checkpoint_test;

namespace {

constexpr std::array<char const*, 6> orders{"pipeline.data.tensor", "pipeline.tensor.data", "data.pipeline.tensor",
                                            "data.tensor.pipeline", "tensor.data.pipeline", "tensor.pipeline.data"};

/// Training under a plan of one's own, as `trained` does it.
struct laid_out {
  pl::world world;
  pl::parallel::model<decltype(network<dense>())> model;
  pl::nn::optimizer_state<float, space> optimizer;

  laid_out(pl::comm::communicator c, pl::plan::plan const& p)
      : world(trained<decltype(network<dense>())>::quiet(std::move(c))),
        model(pl::parallel::build(network<dense>(), p, world, {.seed = 3})),
        optimizer(model.context(), model.arena(), pl::nn::adamw{.learning_rate = 0.01}) {}

  void steps(int from, int to) {
    pipeline_training::samples<decltype(network<dense>())> source{&model, 0, false};
    for (int s = from; s < to; ++s) {
      source.step = s;
      model.zero_grad(s % 2 ? 37 : 22);
      model.walk(source);
      model.reduce();
      model.step(optimizer, 1, model.clip_scale(0.5));
    }
    model.demand_equal_replicas();
  }
};

/// The files of a checkpoint after steps [0, 3), the last of them under `then`.
std::map<std::string, std::string> bytes_of(pl::plan::plan const& first, pl::plan::plan const& then,
                                            std::string const& in) {
  pl::comm::run_local(static_cast<int>(first.ranks()), [&](pl::comm::communicator c) {
    laid_out t(std::move(c), first);
    t.steps(0, 2);
    pl::run::save_checkpoint(in, t.model, t.optimizer, 2);
  });
  pl::comm::run_local(static_cast<int>(then.ranks()), [&](pl::comm::communicator c) {
    laid_out t(std::move(c), then);
    auto const at = pl::run::load_checkpoint(in, t.model, t.optimizer);
    if (!at || at->step != 2) throw std::runtime_error("no checkpoint in " + in);
    t.steps(2, 3);
    pl::run::save_checkpoint(in, t.model, t.optimizer, 3);
  });
  auto all = files(in + "/step-3");
  std::filesystem::remove_all(in);
  return all;
}

}  // namespace

TEST_CASE("a mesh in any order gives the same bytes, and a checkpoint of one order is gone on with under another") {
  folder const f;
  for (auto const& l : std::vector<layout>{{2, 2, 1, 1}, {1, 2, 2, 3}, {2, 1, 2, 0}, {2, 2, 2, 3}, {2, 2, 2, 0}}) {
    auto const usual = l.plan();
    auto const expected = bytes_of(usual, usual, f / "x");
    REQUIRE(expected.size() == 3);
    // a tensor split changes sums
    if (l.tensor == 1) CHECK((bytes_of(layout{}.plan(), layout{}.plan(), f / "x") == expected));
    for (std::size_t i = 0; i < orders.size(); ++i) {
      auto first = usual, then = usual;
      first.order = orders[i];
      then.order = orders[(i + 1) % orders.size()];
      INFO(l.words() << ", " << first.order << " to " << then.order);
      CHECK((bytes_of(first, then, f / "x") == expected));
    }
  }
}

TEST_CASE("who shares what with whom is what the order says; ranks are numbered as the world numbers them") {
  for (auto const* order : orders) {
    auto p = layout{2, 2, 2, 3}.plan();
    p.order = order;
    INFO(order);
    std::mutex guard;
    std::array<std::array<std::vector<int>, 3>, 8> met;
    std::array<int, 8> number{};
    pl::comm::run_local(8, [&](pl::comm::communicator c) {
      int const rank = c.rank();
      laid_out t(std::move(c), p);
      std::array<std::vector<int>, 3> mine;
      for (int i = 0; auto* group : {&t.model.pipeline(), &t.model.ranks(), &t.model.parts()}) {
        auto& all = mine[static_cast<std::size_t>(i++)];
        all.resize(static_cast<std::size_t>(group->size()));
        group->all_gather(std::span<int const>(&rank, 1), std::span<int>(all));
      }
      std::lock_guard const lock(guard);
      met[static_cast<std::size_t>(rank)] = mine;
      number[static_cast<std::size_t>(rank)] = t.model.all_ranks().rank();
    });
    std::vector<std::string> names;
    for (std::string_view left = order;; left.remove_prefix(left.find('.') + 1)) {
      names.emplace_back(left.substr(0, left.find('.')));
      if (left.find('.') == std::string_view::npos) break;
    }
    std::array<std::string, 3> const axes{"pipeline", "data", "tensor"};
    for (int r = 0; r < 8; ++r) {
      CHECK(number[static_cast<std::size_t>(r)] == r);
      for (std::size_t a = 0; a < 3; ++a) {
        int const apart = axes[a] == names[2] ? 1 : axes[a] == names[1] ? 2 : 4;  // the innermost axis has neighbours
        int const low = r & ~apart;
        CHECK((met[static_cast<std::size_t>(r)][a] == std::vector<int>{low, low + apart}));
      }
    }
  }
}

TEST_CASE("axes of one's own share the batch as data does, wherever they lie") {
  folder const f;
  auto const usual = layout{2, 4, 1, 3, 2}.plan();
  auto const expected = bytes_of(usual, usual, f / "x");
  auto own = usual;
  own.own_axes = "node=2";  // a copy of the state in each node, of two data ranks
  own.order = "node.pipeline.data.tensor";
  CHECK((bytes_of(own, usual, f / "x") == expected));
  auto other = usual;
  other.set_mesh(pl::mesh{{"rack", 2}, {"data", 1}, {"pipeline", 2}, {"node", 2}}, "node,rack");  // nodes innermost
  CHECK(other.order == "data.tensor.rack.pipeline.node");
  CHECK((bytes_of(other, own, f / "x") == expected));
  pl::comm::run_local(8, [&](pl::comm::communicator c) {
    int const rank = c.rank();
    laid_out t(std::move(c), own);
    std::vector<int> all(4), copy(2);
    t.model.ranks().all_gather(std::span<int const>(&rank, 1), std::span<int>(all));
    t.model.shards()->all_gather(std::span<int const>(&rank, 1), std::span<int>(copy));
    int const stage = rank / 2 % 2 * 2;  // rank = (node · 2 + pipeline) · 2 + data
    if (all != std::vector<int>{stage, stage + 1, stage + 4, stage + 5})
      throw std::runtime_error("other ranks share the batch");
    if (copy != std::vector<int>{rank / 2 * 2, rank / 2 * 2 + 1})
      throw std::runtime_error("a copy of the state is not in one node");
  });
}

TEST_CASE("ranks that come with different orders hear of it before the first step") {
  std::mutex guard;
  std::set<std::string> said;
  pl::comm::run_local(4, [&](pl::comm::communicator c) {
    auto p = layout{2, 2, 1, 0}.plan();
    if (c.rank() == 3) p.order = "data.pipeline.tensor";
    try {
      laid_out const t(std::move(c), p);
    } catch (pl::error const& e) {
      std::lock_guard const lock(guard);
      said.insert(e.problem().substr(0, e.problem().find(" (hash")));
    }
  });
  CHECK(said == std::set<std::string>{"rank 3 has another plan than rank 0"});
}
