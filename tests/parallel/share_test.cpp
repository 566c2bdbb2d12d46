// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/parallel/share.hpp>

#include <catch2/catch_test_macros.hpp>

#include <map>
#include <vector>

using pleat::index_t;
using pleat::parallel::share;

TEST_CASE(
    "every sample of a batch is contributed exactly once, on any number of ranks, in any number of micro-batches") {
  for (bool deterministic : {false, true})
    for (bool apart : {false, true})
      for (index_t ranks = 1; ranks <= 8; ++ranks)
        for (index_t micro = 1; micro <= 5; ++micro)
          for (index_t batch : {0, 1, 3, 7, 8, 64, 100}) {
            pleat::plan::plan p;
            p.global_batch = 100;
            p.data_ranks = ranks;
            p.micro_batches = micro;
            p.deterministic = deterministic;
            std::vector<int> used(static_cast<std::size_t>(batch));
            index_t next = 0;
            for (int r = 0; r < ranks; ++r) {
              share const s(p, batch, r, apart);
              REQUIRE(s.rows().begin == next);
              next = s.rows().end;
              std::map<int, bool> started;  // slot → written
              REQUIRE(static_cast<index_t>(s.micro_batches().size()) == micro);
              for (auto const& m : s.micro_batches())
                for (auto const& seg : m.segments) {
                  REQUIRE(seg.slot < s.slots());
                  // A slot is begun once, and only then gone on with.
                  REQUIRE(seg.lanes.accumulate == started.contains(seg.slot));
                  if (seg.lanes.accumulate) REQUIRE(seg.lanes.count == 1);
                  started[seg.slot] = true;
                  for (index_t row = seg.lanes.begin(0); row < seg.lanes.end(seg.lanes.count - 1); ++row) {
                    REQUIRE(row < m.rows.size());
                    ++used[static_cast<std::size_t>(s.rows().begin + m.rows.begin + row)];
                  }
                }
              REQUIRE(static_cast<int>(started.size()) == s.slots());  // even a rank without samples writes its zeros
            }
            REQUIRE(next == batch);
            for (int const u : used) REQUIRE(u == 1);
          }
}

TEST_CASE("lanes are cut at the same samples whatever the ranks and micro-batches") {
  constexpr index_t batch = 53;
  auto const cuts = [&](index_t ranks, index_t micro, bool apart) {
    std::vector<std::pair<index_t, index_t>> lanes(8, {batch, 0});
    pleat::plan::plan p;
    p.data_ranks = ranks;
    p.micro_batches = micro;
    p.deterministic = true;
    for (int r = 0; r < ranks; ++r) {
      share const s(p, batch, r, apart);
      for (auto const& m : s.micro_batches())
        for (auto const& seg : m.segments) {
          int const first = s.lanes_apart() ? static_cast<int>(pleat::block_range(8, ranks, r).begin) + seg.slot
                                            : s.roots()[static_cast<std::size_t>(seg.slot)].first;
          for (int l = 0; l < seg.lanes.count; ++l) {
            auto& lane = lanes[static_cast<std::size_t>(first + l)];
            lane.first = std::min(lane.first, s.rows().begin + m.rows.begin + seg.lanes.begin(l));
            lane.second = std::max(lane.second, s.rows().begin + m.rows.begin + seg.lanes.end(l));
          }
        }
    }
    return lanes;
  };
  auto const reference = cuts(1, 1, false);
  for (index_t ranks = 1; ranks <= 8; ++ranks)
    for (index_t micro = 1; micro <= 7; ++micro)
      for (bool apart : {false, true}) CHECK(cuts(ranks, micro, apart) == reference);
}
