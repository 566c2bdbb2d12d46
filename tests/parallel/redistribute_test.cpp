// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/parallel/redistribute.hpp>

#include <pleat/comm/local.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <mutex>
#include <string>
#include <vector>

#include <parallel/redistribute_cases.hpp>
#include <support/count_allocations.hpp>

using Catch::Matchers::ContainsSubstring;
using namespace pleat;
using space = pleat_test::host_space;

namespace {
/// On ranks as threads: the first thing that is wrong anywhere.
template <class F> std::string on_ranks(int ranks, F const& f) {
  std::mutex guard;
  std::string first;
  comm::run_local(ranks, [&](comm::communicator c) {
    context<space> where(make_instance<space>(1));
    int const rank = c.rank();
    std::string const why = f(where, std::move(c));
    if (why.empty()) return;
    std::lock_guard const lock(guard);
    if (first.empty()) first = "rank " + std::to_string(rank) + ": " + why;
  });
  return first;
}
}  // namespace

TEST_CASE("pairs of placements over ranks as threads: right numbers, and the bytes that a counting transport sees") {
  struct setting {
    mesh m;
    extents shape;
    int stride;
  };
  for (auto const& s :
       {setting{mesh{{"data", 1}}, {5, 3}, 1}, setting{mesh{{"data", 2}}, {5, 3, 2}, 1},
        setting{mesh{{"data", 3}}, {2, 7}, 1}, setting{mesh{{"data", 4}}, {3, 2, 3, 2}, 1},
        setting{mesh{{"data", 4}}, {}, 1}, setting{mesh{{"data", 5}}, {7}, 1}, setting{mesh{{"data", 6}}, {5, 8}, 1},
        setting{mesh{{"data", 7}}, {16}, 1}, setting{mesh{{"data", 8}}, {9, 3}, 1},
        setting{mesh{{"data", 2}, {"tensor", 2}}, {5, 3}, 1},
        setting{mesh{{"data", 2}, {"tensor", 2}}.ordered("tensor,data"), {4, 8}, 1},
        setting{mesh{{"data", 2}, {"tensor", 3}}, {1, 4}, 1},
        setting{mesh{{"data", 3}, {"tensor", 2}}.ordered("tensor,data"), {5, 4}, 1},
        setting{mesh{{"data", 2}, {"tensor", 4}}, {5, 3}, 1}, setting{mesh{{"data", 2}, {"tensor", 4}}, {3, 2, 5}, 11},
        setting{mesh{{"data", 4}, {"tensor", 2}}, {3, 7}, 1},
        setting{mesh{{"data", 2}, {"tensor", 2}, {"pipeline", 2}}, {7}, 1},
        setting{mesh{{"data", 2}, {"tensor", 2}, {"pipeline", 2}}, {5, 6}, 1},
        setting{mesh{{"data", 2}, {"tensor", 2}, {"pipeline", 2}}, {3, 2, 5, 2}, 37}}) {
    INFO(s.m.to_string() << " " << s.shape.to_string());
    CHECK(on_ranks(s.m.size(), [&](context<space>& where, comm::communicator c) {
            auto const count = std::make_shared<wire>();
            comm::communicator counted = pleat_test::counting(std::move(c), count);
            comm::grid ranks(counted, s.m);
            return pleat_test::try_pairs(where, ranks, s.shape, s.stride, count.get());
          }) == "");
    // and with the transport's own collectives
    CHECK(on_ranks(s.m.size(), [&](context<space>& where, comm::communicator c) {
            comm::grid ranks(c, s.m);
            return pleat_test::try_pairs(where, ranks, s.shape, s.m.axes() == 3 ? 11 * s.stride : 2 * s.stride + 1,
                                         nullptr);
          }) == "");
  }
}

TEST_CASE("other element types, 16-bit ones with sums on the way") {
  CHECK(on_ranks(4, [](context<space>& where, comm::communicator c) {
          comm::grid ranks(c, mesh{{"data", 2}, {"tensor", 2}});
          auto why = pleat_test::try_pairs<bfloat16>(where, ranks, extents{5, 6}, 1, nullptr);
          auto const more = pleat_test::try_pairs<double>(where, ranks, extents{5, 6}, 1, nullptr);
          return why.empty() ? more : why;
        }) == "");
}

TEST_CASE("the collective that the plan names is the one that is called") {
  auto const calls = [](placement const& from, placement const& to, comm::call_kind kind) {
    return on_ranks(2, [&](context<space>& where, comm::communicator c) -> std::string {
      comm::grid ranks(c, mesh{{"tensor", 2}});
      layout const l(ranks.mesh(), extents{6, 4}, from);
      parallel::redistribute<float, space> move(where, ranks, l, to);
      auto& group = ranks.along("tensor");
      auto x = tensor<float, space>::allocate(where, l.local(ranks.rank()));
      compute::fill(where.space(), x.size(), 1.0f, x.data());
      static_cast<void>(move(x));
      std::uint64_t others = 0;
      for (std::size_t k = 0; k < comm::call_kinds; ++k) others += group.counted(static_cast<comm::call_kind>(k)).calls;
      auto const n = group.counted(kind).calls;
      return n == 1 && others == 1 ? "" : "calls: " + std::to_string(n) + " of " + std::to_string(others);
    });
  };
  CHECK(calls(shard<0>{}, replicate{}, comm::call_kind::all_gather) == "");
  CHECK(calls(partial{}, shard<1>{}, comm::call_kind::reduce_scatter) == "");
  CHECK(calls(partial{}, replicate{}, comm::call_kind::all_reduce) == "");
  CHECK(calls(shard<0>{}, shard<1>{}, comm::call_kind::all_to_all_v) == "");
}

TEST_CASE("from the second run on nothing is allocated, and a slice of rows copies nothing") {
  CHECK(on_ranks(4, [&](context<space>& where, comm::communicator c) -> std::string {
          comm::grid ranks(c, mesh{{"data", 2}, {"tensor", 2}});
          auto const all = pleat_test::placements_of(ranks.mesh(), 2);
          // a rank may be one operation ahead: the transport has room for two, and more
          for (std::uint32_t axes = 1; axes < 4; ++axes) {
            auto& group = ranks.along(axis_set{axes});
            std::vector<comm::request> several;
            for (int i = 0; i < 4; ++i) several.push_back(group.ibarrier());
            for (auto& r : several) r.wait();
          }
          for (auto const& from : all)
            for (auto const& to : all) {
              layout const l(ranks.mesh(), extents{9, 5}, from);
              parallel::redistribute<float, space> move(where, ranks, l, to);
              auto x = tensor<float, space>::allocate(where, l.local(ranks.rank()));
              compute::fill(where.space(), x.size(), 1.0f, x.data());
              static_cast<void>(move(x));
              auto const before = where.pool().statistics().allocations;
              // The whole program's heap: between two barriers nobody does anything else.
              c.barrier();
              if (c.rank() == 0) pleat_test::counted_allocations = 0, pleat_test::counting_allocations = true;
              c.barrier();
              for (int i = 0; i < 3; ++i) static_cast<void>(move(x));
              c.barrier();
              if (c.rank() == 0) pleat_test::counting_allocations = false;
              c.barrier();
              if (where.pool().statistics().allocations != before)
                return "allocates blocks: " + move.plan().to_string();
              if (long const n = pleat_test::counted_allocations; n != 0)
                return "allocates " + std::to_string(n) + " times: " + move.plan().to_string();
            }
          layout const l(ranks.mesh(), extents{9, 5}, placement{});
          parallel::redistribute<float, space> slice(where, ranks, l, placement{shard<0>{}});
          auto x = tensor<float, space>::allocate(where, l.local(ranks.rank()));
          auto const y = slice(x);
          parallel::redistribute<float, space> sum(
              where, ranks, layout(ranks.mesh(), extents{9, 5}, placement{partial{}}), placement{});
          auto addend = tensor<float, space>::allocate(where, {9, 5});
          compute::fill(where.space(), 45, 2.0f, addend.data());
          float const* const at = addend.data();
          auto const kept = sum(addend);  // the caller still holds it: it stays
          if (kept.data() == at || host_view(addend)[44] != 2.0f || host_view(kept)[44] != 4.0f)
            return "an addend was overwritten";
          auto const moved = sum(std::move(addend));
          if (moved.data() != at || host_view(moved)[44] != 4.0f)
            return "a tensor that was moved in was not reduced in place";
          return y.data() == x.data() + slice.plan().to().box(ranks.rank())[0].begin * 5 ? ""
                                                                                         : "a slice of rows was copied";
        }) == "");
}

TEST_CASE("a tensor, a plan or a mesh that does not fit is refused in words") {
  comm::communicator c = comm::self();
  comm::grid ranks(c, mesh{{"data", 1}});
  context<space> where(make_instance<space>(1));
  auto const words = [](auto const& f) -> std::string {
    try {
      f();
    } catch (error const& e) {
      return e.what();
    }
    return "no error";
  };
  layout const l(ranks.mesh(), extents{4, 3}, placement{});
  parallel::redistribute<float, space> move(where, ranks, l, placement{partial{}});
  CHECK_THAT(words([&] {
               static_cast<void>(move(tensor<float, space>::allocate(where, {3, 4})));
             }),
             ContainsSubstring(
                 "the tensor has extents [3, 4], rank 0's part of [4, 3] on data=1: data: replicate has [4, 3]"));
  CHECK_THAT(words([&] {
               parallel::redistribute<float, space>(where, ranks, layout(mesh{{"tensor", 1}}, extents{4}, placement{}),
                                                    placement{});
             }),
             ContainsSubstring("the plan is for the mesh 'tensor=1', the ranks form 'data=1'"));
  CHECK_THAT(words([&] { parallel::redistribute<float, space>(where, ranks, redistribution(l, placement{}, 2)); }),
             ContainsSubstring("the plan is for elements of 2 bytes, these have 4"));
}
