// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Checkpoints written and read by MPI processes: the same files as those of one rank.
#include <csignal>
#include <optional>

#include <sys/resource.h>

#include <pleat/comm/mpi.hpp>

#include "run/checkpoint_support.hpp"

using namespace checkpoint_test;

namespace {

/// A folder that all processes know and rank 0 removes.
struct shared_folder {
  pl::comm::communicator& world;
  std::optional<pleat_test::scratch_folder> made;
  std::string path;
  explicit shared_folder(pl::comm::communicator& w) : world(w), path(256, '\0') {
    if (world.rank() == 0) made.emplace().path().copy(path.data(), path.size() - 1);
    world.broadcast(path);
    path.resize(path.find('\0'));
  }
  shared_folder(shared_folder const&) = delete;
  shared_folder& operator=(shared_folder const&) = delete;
  ~shared_folder() { world.barrier(); }
};

}  // namespace

TEST_CASE("MPI ranks write the files of one rank, and read them under any layout") {
  pl::comm::communicator world = pl::comm::mpi::duplicate(MPI_COMM_WORLD);
  shared_folder const f(world);
  if (world.rank() == 0) {
    trained t(network<dense>(), pl::comm::communicator(pl::comm::self{}), {});
    t.steps(0, 2);
    pl::run::save_checkpoint(f.path + "/alone", t.model, t.optimizer, 2);
    t.steps(2, 3);
    pl::run::save_checkpoint(f.path + "/later", t.model, t.optimizer, 3);
  }
  world.barrier();
  auto const expected = files(f.path + "/alone/step-2"), later = files(f.path + "/later/step-3");
  index_t const n = world.size();
  std::vector<layout> layouts;
  for (int stage = 0; stage <= 3; ++stage) layouts.push_back({1, n, 1, stage});
  layouts.push_back({n, 1, 1, 0});
  layouts.push_back({1, 1, n, 0});
  if (n == 4)
    layouts.push_back({2, 2, 1, 3}), layouts.push_back({2, 1, 2, 0}), layouts.push_back({1, 2, 2, 1}),
        layouts.push_back({1, 4, 1, 3, 2});
  for (auto const& l : layouts)
    for (bool const asynchronous : {false, true}) {
      INFO(l.words() << (asynchronous ? ", in the background" : ""));
      {
        trained t(network<dense>(), world.duplicate(), l);
        auto const at = pl::run::load_checkpoint(f.path + "/alone", t.model, t.optimizer);
        REQUIRE((at && at->step == 2));
        pl::run::checkpoint_writer writer(f.path + "/again", {.asynchronous = asynchronous});
        writer.save(t.model, t.optimizer, 2);
        t.steps(2, 3);
        writer.save(t.model, t.optimizer, 3);
        writer.wait();
      }
      world.barrier();
      CHECK((files(f.path + "/again/step-2") == expected));
      if (l.tensor == 1) CHECK((files(f.path + "/again/step-3") == later));  // a tensor split changes sums
      world.barrier();
      if (world.rank() == 0) std::filesystem::remove_all(f.path + "/again");
      world.barrier();
    }
}

TEST_CASE("a damaged checkpoint is refused by every MPI rank alike") {
  pl::comm::communicator world = pl::comm::mpi::duplicate(MPI_COMM_WORLD);
  shared_folder const f(world);
  layout const l{1, world.size(), 1, world.size() > 1 ? 3 : 0};
  trained t(network<dense>(), world.duplicate(), l);
  pl::run::save_checkpoint(f.path, t.model, t.optimizer, 1);
  pl::run::save_checkpoint(f.path, t.model, t.optimizer, 2);
  if (world.rank() == 0) std::filesystem::resize_file(f.path + "/step-2/optimizer-1.safetensors", 700);
  world.barrier();
  auto const at = pl::run::load_checkpoint(f.path, t.model, t.optimizer);
  REQUIRE(at);
  CHECK(at->step == 1);
  CHECK(at->remark.find("the file ends at byte 700, the manifest says") != std::string::npos);
  if (world.rank() == 0) std::filesystem::remove(f.path + "/step-1/parameters.safetensors");
  world.barrier();
  std::string said;
  try {
    (void)pl::run::load_checkpoint(f.path, t.model, t.optimizer);
  } catch (pl::error const& e) {
    said = e.problem();
  }
  CHECK(said.find("no checkpoint of 2 is whole") != std::string::npos);
}

TEST_CASE("a save in the background whose last writer finds the disk full says so on every MPI rank") {
  pl::comm::communicator world = pl::comm::mpi::duplicate(MPI_COMM_WORLD);
  if (world.size() == 1) return;  // rank 0 makes the files: it would fail before it writes
  shared_folder const f(world);
  trained t(network<dense>(), world.duplicate(), {1, world.size(), 1, 1});
  pl::run::checkpoint_writer writer(f.path, {.asynchronous = true});
  writer.save(t.model, t.optimizer, 1);
  writer.wait();
  bool const full = world.rank() == world.size() - 1;
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  auto const handler = std::signal(SIGXFSZ, SIG_IGN);
  if (full) {
    rlimit const none{0, before.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &none) == 0);
  }
  std::string said;
  try {
    writer.save(t.model, t.optimizer, 2);
    writer.wait();
  } catch (pl::error const& e) {
    said = e.problem();
  }
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
  std::signal(SIGXFSZ, handler);
  INFO(said);
  CHECK(said.find("File too large") != std::string::npos);
  world.barrier();
  auto const at = pl::run::load_checkpoint(f.path, t.model, t.optimizer);
  REQUIRE(at);
  CHECK(at->step == 1);
  CHECK(at->remark.empty());
}
