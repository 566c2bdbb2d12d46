// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The text and the figures of docs/state_sharding.md: scripts/snippets.py cuts the code from here; the tables of the
// page are what this prints.
#include <pleat/comm/local.hpp>
#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/parallel/model.hpp>
#include <pleat/plan/search.hpp>

#include "../../examples/07_language_model/network.hpp"

#include <catch2/catch_test_macros.hpp>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <string>

namespace pl = pleat;
using pl::index_t;

namespace {
std::string page() {
  char const* const root = std::getenv("PLEAT_SOURCE_DIR");
  if (!root) throw std::runtime_error("PLEAT_SOURCE_DIR is not set: run the tests through ctest");
  std::ifstream in(std::filesystem::path(root) / "docs/state_sharding.md");
  return {std::istreambuf_iterator<char>(in), {}};
}
}  // namespace

TEST_CASE("the page on state sharding: bytes before anything is built") {
  std::ostringstream out;
  // [ledger]
  auto const net = gpt::network({.layers = 6, .width = 384, .heads = 6});  // described: no memory yet
  for (int stage = 0; stage <= 3; ++stage) {
    pl::plan::plan p;
    p.data_ranks = 8;
    p.state_stage = stage;
    pl::plan::memory_ledger const l =
        pl::plan::ledger_of(net, p, {8, 256});  // a batch of 8 × 256 tokens; two state buffers: Adam
    out << stage << ": " << l.to_string() << "\n";
  }
  // [ledger]
  INFO(out.str());
  CHECK(out.str().find("0: parameters 41.09 MiB, gradients 41.09, optimizer state 82.17") != std::string::npos);
  // The table of the page.
  std::string table;
  for (int stage = 0; stage <= 3; ++stage) {
    table += "| " + std::to_string(stage) + " |";
    for (index_t const ranks : {2, 4, 8, 64}) {
      pl::plan::plan p;
      p.data_ranks = ranks;
      p.global_batch = 64;
      p.state_stage = stage;
      auto const l = pl::plan::ledger_of(net, p, {1, 256});
      char text[64];
      std::snprintf(text, sizeof text, " %.1f |",
                    static_cast<double>(l.parameters + l.gradients + l.optimizer_state) / (1 << 20));
      table += text;
    }
    table += "\n";
  }
  INFO(table);
  CHECK(page().find(table) != std::string::npos);
}

TEST_CASE("the page on state sharding: training under a stage") {
  pl::comm::run_local(4, [](pl::comm::communicator c) {
    pl::world world(std::move(c), 1);
    auto const net = gpt::network({.vocabulary = 17, .context = 8, .layers = 4, .width = 64, .heads = 2});
    // [train]
    pl::plan::plan p = pl::plan::search(net, world, {.global_batch = 8});
    p.state_stage = 3;         // parameters, gradients and optimizer state in pieces
    p.state_ranks = 2;         // … over neighbours of two; the two pairs hold the same (0: over all data ranks)
    p.prefetch = 1;            // one bucket of parameters is gathered ahead of its use
    p.bucket_bytes = 1 << 12;  // 4 KiB: this network is small
    auto model = pl::parallel::build(net, p, world, {.seed = 1});
    auto const held = model.memory();  // bytes by use; after the first step they equal plan::ledger_of
    // [train]
    if (held.parameters >= model.arena().size() * 4) throw std::runtime_error("nothing is sharded");
    // [whole]
    auto whole = model.unsharded();  // every parameter on every rank; collective
    auto again = whole.replanned(p);
    // [whole]
    if (again.checksum() != whole.checksum()) throw std::runtime_error("values were lost");
  });
}

TEST_CASE("the page on state sharding: activations computed again") {
  pl::plan::plan p;
  pl::plan::plan const kept = p;
  auto const net = gpt::network({.layers = 4, .width = 64, .heads = 2});
  // [recompute]
  using pl::plan::recompute_choice, pl::plan::recompute_mode;
  p.recompute = recompute_mode::full;                                    // of all units
  p.recompute = {recompute_mode::selected, {1, 2}};                      // of two blocks
  p.recompute = recompute_choice::parse("1-2:full,3:selected");          // of each its own
  auto const held = pl::plan::ledger_of(net, p, {64, 256}).activations;  // bytes, before anything is built
  // [recompute]
  CHECK(held < pl::plan::ledger_of(net, kept, {64, 256}).activations);
}

TEST_CASE("the page on state sharding: a pointer from before a step") {
  pl::comm::run_local(2, [](pl::comm::communicator c) {
    pl::world world(std::move(c), 1);
    using space = Kokkos::DefaultExecutionSpace;
    auto model = pl::parallel::build(
        pl::nn::sequential(pl::nn::linear("a", 16, 300), pl::nn::relu(), pl::nn::linear("b", 300, 4)),
        {.data_ranks = 2, .state_stage = 1}, world, {.seed = 1});
    pl::nn::optimizer_state<float, space> optimizer(model.context(), model.arena(), pl::nn::sgd{.learning_rate = 0.1});
    auto const step = [&] {
      model.zero_grad(8);
      auto x = pl::tensor<float, space>::allocate(model.context(), {4, 16});
      pl::compute::fill(model.context().space(), x.size(), 0.5f, x.data());
      auto [y, saved] = model.forward(x);
      auto target = pl::tensor<float, space>::allocate(model.context(), y.shape());
      pl::compute::fill(model.context().space(), target.size(), 1.0f, target.data());
      model.backward(saved, model.mean_square(y, target).dy);
      model.reduce();
      model.step(optimizer);
    };
    auto const size = model.arena().size();  // asked for here, because asking waits too
    // [settle]
    float const* first = model.arena().values();  // waits, once
    step();                                       // parameters travel when this returns
    model.settle();                               // now `first` points to whole ones again
    // [settle]
    std::vector<float> const shown(first, first + size);
    if (shown != model.host_values()) throw std::runtime_error("values were not whole");
  });
}
