// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/nn/align.hpp>

#include <pleat/comm/local.hpp>
#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/tensor/redistribution.hpp>

#include "nn/nn_support.hpp"

#include <catch2/catch_test_macros.hpp>

#include <stdexcept>
#include <string>
#include <vector>

namespace pl = pleat;
namespace nn = pleat::nn;
using namespace pleat::test;
using pl::index_t;

namespace {

std::vector<pl::axis_layout> layouts(pl::extents const& shape) {
  std::vector<pl::axis_layout> all{{}};
  for (int d = 0; d < shape.rank(); ++d)
    for (index_t unit : {1, 2}) all.push_back({{pl::spread::shard, static_cast<std::int8_t>(d), unit}, shape[d]});
  return all;
}

pl::index_box box_of(pl::axis_layout const& l, pl::extents const& shape, int ranks, int rank) {
  pl::index_box b(shape);
  if (l.cut()) b[l.where.dim] = l.range(ranks, rank);
  return b;
}

/// The elements of a box of a tensor whose element i is i.
std::vector<float> numbers_of(pl::index_box const& b, pl::extents const& whole) {
  std::vector<float> v;
  pl::extents const s = b.shape();
  for (index_t k = 0; k < s.size(); ++k) {
    index_t rest = k, at = 0, stride = 1;
    for (int d = s.rank(); d-- > 0;) {
      at += (b[d].begin + rest % s[d]) * stride;
      rest /= s[d];
      stride *= whole[d];
    }
    v.push_back(static_cast<float>(at));
  }
  return v;
}

void demand(bool good, std::string const& what) {
  if (!good) throw std::runtime_error(what);
}

}  // namespace

TEST_CASE("an activation gets from every layout to every other, with the collective that the layout algebra names") {
  for (pl::extents const& shape : {pl::extents{4, 6}, pl::extents{2, 5, 7}, pl::extents{3, 1, 4, 2}})
    for (int ranks : {1, 2, 3, 4, 8})
      pl::comm::run_local(ranks, [&](pl::comm::communicator c) {
        pl::context<space> where(pl::make_instance<space>(1));
        nn::pass<space> p;
        p.where = &where;
        p.tensor = &c;
        pl::mesh const m{{"tensor", ranks}};
        for (auto const& from : layouts(shape))
          for (auto const& to : layouts(shape)) {
            std::string const what = shape.to_string() + " on " + std::to_string(ranks) + " ranks from " +
                                     from.to_string() + " to " + to.to_string();
            auto const mine = box_of(from, shape, ranks, c.rank());
            auto x = from_host(where, numbers_of(mine, shape), mine.shape()).with_layout(from);
            auto const y = nn::redistribute(p, x, to);
            auto const wanted = box_of(to, shape, ranks, c.rank());
            demand(y.shape() == wanted.shape() && y.layout().same(to, ranks), what + ": shape");
            demand(to_host(where, y) == numbers_of(wanted, shape), what + ": numbers");
            if (ranks == 1 || !from.cut() || from.same(to, ranks)) continue;
            pl::redistribution const plan(pl::layout(m, shape, pl::placement(from.where)), pl::placement(to.where), 4);
            demand(plan.steps().size() == 1, what + ": the algebra takes one step");
            demand(plan.steps()[0].kind() == (to.cut() ? pl::movement::all_to_all : pl::movement::all_gather),
                   what + ": the algebra's collective");
          }
      });
}

TEST_CASE("sums over ranks, whole or in parts, in ascending order where bits matter") {
  for (bool deterministic : {false, true})
    for (int ranks : {1, 2, 3, 4})
      pl::comm::run_local(ranks, [&](pl::comm::communicator c) {
        pl::context<space> where(pl::make_instance<space>(1));
        nn::pass<space> p;
        p.where = &where;
        p.tensor = &c;
        p.deterministic = deterministic;
        pl::extents const shape{2, 5, 3};
        for (auto const& to : layouts(shape)) {
          auto const mine = numbers<float>(shape.size(), static_cast<std::uint64_t>(c.rank()));
          auto const y = nn::resolve(p, from_host(where, mine, shape), to);
          std::vector<float> sum(static_cast<std::size_t>(shape.size()), 0.0f);
          for (int r = 0; r < ranks; ++r) {
            auto const theirs = numbers<float>(shape.size(), static_cast<std::uint64_t>(r));
            for (std::size_t i = 0; i < sum.size(); ++i) sum[i] = r == 0 ? theirs[i] : sum[i] + theirs[i];
          }
          std::vector<float> wanted;
          for (float const at : numbers_of(box_of(to, shape, ranks, c.rank()), shape))
            wanted.push_back(sum[static_cast<std::size_t>(at)]);
          demand(same_bits(to_host(where, y), wanted),
                 "sum to " + to.to_string() + " on " + std::to_string(ranks) + " ranks");
        }
      });
}

TEST_CASE("a cut survives a reshape that keeps what lies before it, and no other") {
  pl::axis_layout const channels{{pl::spread::shard, 1, 1}, 6};
  auto const flat = pl::reshaped(channels, {3, 2, 4, 5}, {3, 40});
  REQUIRE(flat.fits);
  CHECK(flat.layout == pl::axis_layout{{pl::spread::shard, 1, 20}, 120});
  CHECK(pl::reshaped(flat.layout, {3, 40}, {3, 2, 4, 5}).layout == channels);
  CHECK_FALSE(pl::reshaped(channels, {3, 2, 4, 5}, {6, 20}).fits);
  CHECK(pl::reshaped({}, {3, 2}, {6}).fits);
  CHECK_FALSE(pl::reshaped(channels, {3, 2, 4, 5}, {120}).fits);
  // one channel of several on this rank, images of one place, one sample: the channels are cut, on every rank
  pl::axis_layout const few{{pl::spread::shard, 1}, 4};
  CHECK(pl::reshaped(few, {3, 1, 1, 1}, {3, 1}).layout == few);
  CHECK(pl::reshaped(few, {3, 1}, {3, 1, 1, 1}).layout == few);
  CHECK(pl::reshaped(few, {1, 1, 5, 5}, {1, 25}).layout == pl::axis_layout{{pl::spread::shard, 1, 25}, 100});
}
