// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The text of docs/checkpoints.md: scripts/snippets.py cuts the code from here.
#include <pleat/comm/local.hpp>
#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/io/dataset.hpp>
#include <pleat/nn/activations.hpp>
#include <pleat/nn/linear.hpp>
#include <pleat/nn/sequential.hpp>
#include <pleat/run/checkpoint.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cstdlib>
#include <filesystem>
#include <string>

namespace pl = pleat;
using space = Kokkos::DefaultExecutionSpace;

TEST_CASE("the page on checkpoints: save under one layout, go on under another") {
  std::string folder = (std::filesystem::temp_directory_path() / "pleat-page-XXXXXX").string();
  REQUIRE(::mkdtemp(folder.data()));
  auto const net = pl::nn::sequential(pl::nn::linear("fc1", 12, 20), pl::nn::relu(), pl::nn::linear("fc2", 20, 5));
  pl::io::dataset data;
  data.name = "points";
  std::uint64_t before = 0, after = 0;
  pl::comm::run_local(4, [&](pl::comm::communicator c) {
    pl::world world(std::move(c), 1);
    auto model = pl::parallel::build(net, {.global_batch = 8, .data_ranks = 4, .state_stage = 3}, world);
    pl::nn::optimizer_state<float, space> optimizer(model.context(), model.arena(), pl::nn::adamw{});
    auto values = model.host_values();  // others than a new model has
    for (auto& v : values) v *= 2;
    model.set_host_values(values);
    pl::index_t const step = 100, epoch = 2;
    // [save]
    pl::run::checkpoint_writer writer(folder, {.keep = 2, .asynchronous = true});  // once, on every rank
    // … training …
    // waits for the save before
    writer.save(model, optimizer, step, {.more = {{"epoch", std::to_string(epoch)}}, .data = data.fingerprint()});
    // … training goes on, the files are being written …
    writer.wait();  // at the end: says what went wrong with the last one
    // [save]
    auto const sum = model.checksum();  // collective
    if (world.root()) before = sum;
  });
  pl::comm::run_local(3, [&](pl::comm::communicator c) {
    pl::world world(std::move(c), 1);
    world.set_sink({});
    auto const p = pl::plan::plan{.global_batch = 8, .data_ranks = 3};
    // [load]
    auto model = pl::parallel::build(net, p, world);  // another mesh, another stage: as you like
    pl::nn::optimizer_state<float, space> optimizer(model.context(), model.arena(), pl::nn::adamw{});
    pl::index_t step = 0;
    // nothing: no checkpoint yet
    if (auto const at = pl::run::load_checkpoint(folder, model, optimizer, {.data = data.fingerprint()})) {
      if (!at->remark.empty()) world.say(at->remark);  // the newest was damaged: which, and why
      step = at->step;                                 // at->more: the program's own words
    }
    // [load]
    if (step != 100) throw std::runtime_error("another step");
    if (world.root()) after = model.checksum();
  });
  CHECK(before != 0);
  CHECK(after == before);
  std::filesystem::remove_all(folder);
}
