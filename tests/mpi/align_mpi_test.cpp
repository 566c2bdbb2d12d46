// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Sums over the tensor axis in an order that MPI does not choose: everybody's addends are there while they are added,
// and gone afterwards.
#include <pleat/nn/align.hpp>

#include <pleat/comm/mpi.hpp>
#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels

#include <catch2/catch_test_macros.hpp>

#include <utility>
#include <vector>

namespace pl = pleat;
using pl::index_t;
using space = Kokkos::DefaultExecutionSpace;
using tensor = pl::tensor<float, space>;

TEST_CASE("a sum over the tensor axis takes no more memory than what it gives, whoever chooses its order") {
  pl::comm::communicator ranks = pl::comm::mpi::duplicate(MPI_COMM_WORLD);
  pl::context<space> c(pl::make_instance<space>(1));
  index_t const parts = ranks.size(), rows = 3 * parts + 1;
  auto const held = [&] { return static_cast<index_t>(c.pool().statistics().bytes_requested_in_use); };
  for (bool const deterministic : {false, true})
    for (bool const kept : {false, true}) {  // somebody else holds the addend, or nobody
      INFO((deterministic ? "in ascending order" : "as MPI likes") << (kept ? ", the addend is kept" : ""));
      pl::nn::pass<space> p;
      p.where = &c;
      p.deterministic = deterministic;
      p.tensor = &ranks;
      auto const before = held();
      auto const addend = [&] {
        auto x = tensor::allocate(c, {rows, 8});
        std::vector<float> host(static_cast<std::size_t>(x.size()));
        for (std::size_t i = 0; i < host.size(); ++i)
          host[i] = static_cast<float>(static_cast<index_t>(i) % 16 + ranks.rank());
        pl::copy_from_host(c, host.data(), x);
        return x;
      };
      auto const sums = [&](index_t first, index_t n) {
        std::vector<float> all;
        for (index_t i = first; i < first + n; ++i)
          all.push_back(static_cast<float>(parts * (i % 16) + parts * (parts - 1) / 2));
        return all;
      };
      auto const host = [&](tensor const& y) {
        std::vector<float> v(static_cast<std::size_t>(y.size()));
        pl::copy_to_host(c, y, v.data());
        return v;
      };
      {
        auto x = addend();
        auto const other = kept ? x : tensor{};
        auto const y = pl::nn::resolve(p, std::move(x), {});
        CHECK(held() - before == (kept ? 2 : 1) * rows * 8 * 4);
        CHECK((host(y) == sums(0, rows * 8)));
      }
      {
        pl::axis_layout const cut{{pl::spread::shard, 0, 1}, rows};
        auto const mine = cut.range(parts, ranks.rank());
        auto const y = pl::nn::resolve(p, addend(), cut);
        CHECK(held() - before == mine.size() * 8 * 4);
        CHECK((host(y) == sums(mine.begin * 8, mine.size() * 8)));
      }
      CHECK(held() == before);
    }
}
