// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Pruning on 1 to 4 MPI ranks: the bytes of one rank over the data axis, the elements of one rank over the tensor axis.
#include <support/collective.hpp>

#include <cmath>
#include <cstring>
#include <vector>

#include <compress/compress_support.hpp>
#include <pleat/comm/mpi.hpp>
#include <pleat/compress/criteria.hpp>
#include <pleat/compress/pipeline.hpp>
#include <pleat/compress/sparse_gpt.hpp>

namespace shrink = pleat::compress;  // zlib has a function `compress`
using namespace compress_test;

namespace {

std::vector<std::byte> small_file(pleat::world& w) {
  auto const train = data(40);
  return pleat::run::file_image(
      build(w) | (shrink::prune_by<shrink::taylor>{.sparsity = 0.3, .criterion = {.data = &train, .subset_size = 24}} |
                  shrink::sparse_gpt{.sparsity = 0.5, .samples = shrink::calibration(train, 27), .block_size = 7} |
                  shrink::prune_by<shrink::wanda>{.sparsity = 0.7, .criterion = {shrink::calibration(train, 11)}}));
}

/// fc1 by rows, fc2 by columns: this rank's parts with what magnitude pruning left, ties included.
template <class Net> void quarters(pleat::parallel::model<Net>& m) {
  using Space = typename pleat::parallel::model<Net>::execution_space;
  m.net().for_each_parameter([&](auto& x) {
    if (x.size() == 0) return;
    auto const there = pleat::tensor<float, Space>::wrap(x.data(), x.shape);
    std::vector<float> v(static_cast<std::size_t>(x.size()));
    pleat::copy_to_host(m.context(), there, v.data());
    for (auto& f : v) f = std::round(f * 64) / 64;
    pleat::copy_from_host(m.context(), v.data(), there);
  });
}
auto pruned(pleat::world& w) {
  pleat::plan::plan p;
  p.global_batch = 16;
  p.tensor_ranks = w.size();
  auto m = pleat::parallel::build(
      pleat::parallel::tensor_parallel(network(), {pleat::parallel::column("fc1.*"), pleat::parallel::row("fc2.*")}), p,
      w, {.seed = 3});
  quarters(m);
  return std::move(m) | shrink::prune{.sparsity = 0.6};
}

}  // namespace

TEST_CASE("mpi: the bytes of the pruned file are those of one rank") {
  pleat::world all(pleat::comm::mpi::duplicate(MPI_COMM_WORLD), 1);
  auto one = alone();
  COLLECTIVE_CHECK(small_file(all) == small_file(one));
}

TEST_CASE("mpi: the same elements go where weights are cut") {
  pleat::world all(pleat::comm::mpi::duplicate(MPI_COMM_WORLD), 1);
  auto one = alone();
  auto const here = pruned(all), whole = pruned(one);
  auto const values = values_of(whole);
  bool same = true;
  std::size_t at = 0;
  pleat::nn::for_each_parameter(here.net(), [&](auto const& x) {
    auto const& v = values[at++].values;
    std::vector<float> part(static_cast<std::size_t>(x.size()));
    using Space = typename std::remove_cvref_t<decltype(here)>::execution_space;
    if (x.size() > 0)
      pleat::copy_to_host(here.context(), pleat::tensor<float, Space>::wrap(x.data(), x.shape), part.data());
    std::size_t next = 0;
    pleat::codec::detail::for_each_of_part(
        x.whole(), x.box(), [&](index_t i) { same = same && part[next++] == v[static_cast<std::size_t>(i)]; });
  });
  COLLECTIVE_CHECK(same);
}
