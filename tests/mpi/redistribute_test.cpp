// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Meshes and redistributions on 1 to 4 MPI ranks, by MPI's own collectives and by counted messages.
#include <support/collective.hpp>

#include <memory>
#include <vector>

#include <parallel/redistribute_cases.hpp>
#include <pleat/comm/mpi.hpp>

using namespace pleat;
using space = pleat_test::host_space;

namespace {
std::vector<mesh> meshes(int ranks) {
  std::vector<mesh> list{mesh{{"data", ranks}}, mesh{{"data", 1}, {"tensor", ranks}}};
  if (ranks == 4) {
    list.push_back(mesh{{"data", 2}, {"tensor", 2}});
    list.push_back(mesh{{"data", 2}, {"tensor", 1}, {"pipeline", 2}}.ordered("pipeline,tensor,data"));
  }
  return list;
}
}  // namespace

TEST_CASE("mpi: pairs of placements give the right numbers, uneven and empty shards included") {
  context<space> where(make_instance<space>(1));
  for (auto const& m : meshes(pleat_test::world_size()))
    for (auto const& shape : {extents{5, 3}, extents{2, 7}, extents{8, 4}, extents{3, 2, 5}}) {
      comm::communicator c = comm::mpi::duplicate(MPI_COMM_WORLD);
      comm::grid ranks(c, m);
      auto const why = pleat_test::try_pairs(where, ranks, shape, m.axes() == 1 ? 1 : 7, nullptr);
      INFO(m.to_string() << ": " << why);
      COLLECTIVE_CHECK(why.empty());
    }
}

TEST_CASE("mpi: exactly the predicted bytes cross") {
  context<space> where(make_instance<space>(1));
  for (auto const& m : meshes(pleat_test::world_size())) {
    auto const count = std::make_shared<wire>();
    comm::communicator c = pleat_test::counting(comm::mpi::duplicate(MPI_COMM_WORLD), count);
    comm::grid ranks(c, m);
    auto const why = pleat_test::try_pairs(where, ranks, extents{5, 6}, m.axes() == 1 ? 1 : 5, count.get());
    INFO(m.to_string() << ": " << why);
    COLLECTIVE_CHECK(why.empty());
  }
}

TEST_CASE("mpi: a mesh that does not fit is refused on every rank") {
  comm::communicator c = comm::mpi::duplicate(MPI_COMM_WORLD);
  std::string said;
  try {
    comm::grid const g(c, mesh{{"data", c.size() + 1}});
  } catch (error const& e) {
    said = e.what();
  }
  COLLECTIVE_CHECK(said.find("The nearest that fits is 'data=" + std::to_string(c.size()) + "'") != std::string::npos);
}
