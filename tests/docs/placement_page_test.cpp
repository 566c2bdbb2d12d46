// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The text of docs/placement.md: scripts/snippets.py cuts it from here, so it compiles and says what the page says.
#include <pleat/comm/local.hpp>
#include <pleat/parallel/redistribute.hpp>
#include <pleat/plan/plan.hpp>

#include <catch2/catch_test_macros.hpp>

#include <iostream>
#include <mutex>
#include <sstream>
#include <string>

namespace pl = pleat;
using space = Kokkos::DefaultExecutionSpace;

TEST_CASE("the page on placement: meshes") {
  std::ostringstream out;
  int const ranks = 8;
  // [mesh]
  using pl::mesh;
  mesh const m{{"data", 2}, {"tensor", 2}, {"pipeline", 2}};  // the axis listed last is innermost …
  mesh const n = m.ordered("pipeline,data,tensor");           // … unless one says otherwise, outermost first
  // from a command line; * is what is left of the ranks
  mesh const p = mesh::parse("data=*,tensor=2,pipeline=2", ranks);
  constexpr mesh s = pl::static_mesh<pl::static_axis<"data", 2>, pl::static_axis<"tensor", 4>>{};
  static_assert(s.size() == 8 && s.coordinate(5, 1) == 1);
  auto const group = n.group(0, n.set("tensor"));  // the ranks that share a tensor with rank 0
  // [mesh]
  CHECK(p == m);
  CHECK((group.size() == 2 && group[1] == 1));
}

TEST_CASE("the page on placement: the mesh of a model") {
  // [model]
  pl::plan::plan p{.global_batch = 64};
  // pipeline outermost, tensor innermost
  p.set_mesh(pl::plan::model_mesh("data=2,tensor=2,pipeline=2", 8));
  p.set_mesh(pl::plan::model_mesh("data=2,tensor=2,pipeline=2,order=data.pipeline.tensor", 8));  // as it says
  // an axis of one's own, outermost
  p.set_mesh(pl::mesh{{"node", 2}, {"pipeline", 2}, {"data", 2}}, "node");
  // [model]
  CHECK((p.order == "tensor.node.pipeline.data" && p.data_ranks == 4 && p.own_axes == "node=2"));
}

TEST_CASE("the page on placement: words and layouts") {
  std::ostringstream out;
  // [layout]
  pl::mesh const m{{"data", 2}, {"tensor", 3}};
  auto const weights = pl::placement::on(m, {{"tensor", pl::shard<0>{}}});  // axes that are not named replicate
  pl::layout const l(m, pl::extents{10, 4}, weights);
  for (int rank = 0; rank < 3; ++rank) out << l.box(rank).to_string() << "\n";
  // [layout]
  CHECK(out.str() == "[0:4, 0:4]\n[4:7, 0:4]\n[7:10, 0:4]\n");
  // [spellings]
  constexpr pl::placement a = pl::placed<pl::replicate, pl::shard<0>>::value;  // known when compiling
  int const dim = 0;
  pl::placement const b{pl::replicate{}, pl::shard{dim}};               // known when running
  pl::placement const c = pl::placement::parse("replicate, shard<0>");  // read from a file
  pl::placement const heads{pl::replicate{}, pl::shard<0, 64>{}};       // whole heads of 64 only
  // [spellings]
  CHECK((a == b && b == c));
  CHECK(pl::layout(m, {5 * 64}, heads).range(1, 0) == pl::index_range{128, 256});
}

TEST_CASE("the page on placement: a plan") {
  std::ostringstream out;
  // [plan]
  pl::mesh const m{{"data", 2}, {"tensor", 2}};
  pl::layout const before(m, pl::extents{6, 4}, pl::placement{pl::partial{}, pl::shard<1>{}});
  pl::redistribution const way(before, pl::placement{pl::shard<0>{}, pl::replicate{}}, sizeof(float));
  out << way.to_string(0);
  // [plan]
  CHECK(out.str() ==
        "[6, 4] on data=2,tensor=2: data: partial<sum>, tensor: shard<1> -> data: shard<0>, tensor: replicate: 192 "
        "bytes\n"
        "  reduce_scatter along data -> data: shard<0>, tensor: shard<1>: 96 bytes, at most 24 per rank\n"
        "  all_gather along tensor -> data: shard<0>, tensor: replicate: 96 bytes, at most 24 per rank\n"
        "  reduce_scatter, rank 0: keeps [0:3, 0:2] to 2 [3:6, 0:2] from 2 [0:3, 0:2]\n"
        "  all_gather, rank 0: keeps [0:3, 0:2] to 1 [0:3, 0:2] from 1 [0:3, 2:4]\n");
}

TEST_CASE("the page on placement: running it") {
  std::mutex guard;
  int right = 0;
  pl::comm::run_local(4, [&](pl::comm::communicator world) {
    pl::context<space> context(pl::make_instance<space>(1));
    // [run]
    pl::comm::grid grid(world, pl::mesh{{"data", 2}, {"tensor", 2}});  // one communicator per set of axes
    pl::layout const rows(grid.mesh(), pl::extents{8, 6}, pl::placement{pl::replicate{}, pl::shard<0>{}});
    pl::parallel::redistribute<float, space> gather(context, grid, rows, pl::placement{});

    auto x = pl::tensor<float, space>::allocate(context, rows.local(grid.rank()));
    pl::compute::fill(context.space(), x.size(), 1.0f + static_cast<float>(grid.coordinate("tensor")), x.data());
    auto const y = gather(x);  // [8, 6] on every rank
    // [run]
    std::vector<float> host(static_cast<std::size_t>(y.size()));
    pl::copy_to_host(context, y, host.data());
    std::lock_guard const lock(guard);
    right += host.size() == 48 && host[0] == 1 && host[47] == 2 ? 1 : 0;
  });
  CHECK(right == 4);
}
