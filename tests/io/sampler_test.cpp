// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/io/sampler.hpp>

#include <map>
#include <set>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "support.hpp"

using Catch::Matchers::ContainsSubstring;
using io_test::words;
using pleat::index_range;
using pleat::index_t;
namespace io = pleat::io;

TEST_CASE("an order is a permutation, other in every epoch and under every seed, the same when asked again",
          "[io][sampler]") {
  for (index_t const n : {0, 1, 2, 3, 17, 1000}) {
    std::set<std::vector<index_t>> orders;
    int asked = 0;
    for (std::uint64_t const seed : {0ull, 1ull, 1ull << 40})
      for (index_t const epoch : {0, 1, 2}) {
        io::sampler const s(n, 8, {.seed = seed});
        auto const order = s.order(epoch);
        REQUIRE(std::set<index_t>(order.begin(), order.end()).size() == static_cast<std::size_t>(n));
        if (n > 0)
          REQUIRE((*std::min_element(order.begin(), order.end()) == 0 &&
                   *std::max_element(order.begin(), order.end()) == n - 1));
        REQUIRE(order == io::sampler(n, 3, {.seed = seed}).order(epoch));  // the batch size is no part of the key
        orders.insert(order);
        ++asked;
      }
    if (n >= 17) CHECK(orders.size() == static_cast<std::size_t>(asked));
  }
  io::sampler const fixed(5, 2, {.shuffle = false});
  CHECK(fixed.order(3) == std::vector<index_t>{0, 1, 2, 3, 4});
}

TEST_CASE("all orders of four samples are equally likely", "[io][sampler]") {
  // 24 orders, 24,000 epochs: chi-square with 23 degrees of freedom; 49.7 is passed with probability 0.001, and the
  // draw is fixed.
  std::map<std::vector<index_t>, int> counts;
  io::sampler const s(4, 2, {.seed = 7});
  for (index_t epoch = 0; epoch < 24'000; ++epoch) ++counts[s.order(epoch)];
  REQUIRE(counts.size() == 24);
  double chi = 0;
  for (auto const& [order, c] : counts) chi += (c - 1000.0) * (c - 1000.0) / 1000.0;
  CHECK(chi < 49.7);
}

TEST_CASE("every sample comes exactly once per epoch, whatever ranks and batch", "[io][sampler]") {
  for (index_t const n : {0, 1, 7, 20})
    for (index_t batch = 1; batch <= n + 3; ++batch)
      for (bool const drop : {false, true}) {
        io::sampler const s(n, batch, {.seed = 3, .drop_last = drop});
        auto const order = s.order(1);
        std::vector<index_t> reference;  // the samples in the order in which one rank sees them
        for (int ranks = 1; ranks <= 9; ++ranks) {
          std::vector<index_t> seen;
          for (index_t b = 0; b < s.batches_per_epoch(); ++b) {
            auto const positions = s.batch(b);
            REQUIRE(positions.size() >= 1);
            REQUIRE(positions.size() <= batch);
            for (int rank = 0; rank < ranks; ++rank) {
              auto const rows = pleat::block_range(positions.size(), ranks, rank);
              for (index_t r = rows.begin; r < rows.end; ++r)
                seen.push_back(order[static_cast<std::size_t>(positions.begin + r)]);
            }
          }
          if (ranks == 1) reference = seen;
          REQUIRE(seen == reference);
        }
        index_t const expected = drop ? n / batch * batch : n;
        REQUIRE(reference.size() == static_cast<std::size_t>(expected));
        REQUIRE(std::set<index_t>(reference.begin(), reference.end()).size() == static_cast<std::size_t>(expected));
      }
}

TEST_CASE("a step is an epoch and a batch", "[io][sampler]") {
  io::sampler const s(10, 4);
  CHECK(s.batches_per_epoch() == 3);
  CHECK(s.at(0) == io::sampler::cursor{0, 0});
  CHECK(s.at(7) == io::sampler::cursor{2, 1});
  CHECK(s.first_sample({2, 1}) == 24);
  CHECK(s.batch(2) == index_range{8, 10});
  CHECK(io::sampler(10, 4, {.drop_last = true}).batches_per_epoch() == 2);
}

TEST_CASE("what makes no sense is refused", "[io][sampler]") {
  CHECK_THAT(words([] { io::sampler(-1, 1); }), ContainsSubstring("-1 samples"));
  CHECK_THAT(words([] { io::sampler(1, 0); }), ContainsSubstring("a global batch of 0"));
  CHECK_THAT(words([] { (void)io::sampler(10, 4).batch(3); }), ContainsSubstring("batch 3 of 3"));
  CHECK_THAT(words([] { (void)io::sampler(0, 4).at(0); }), ContainsSubstring("has no batch of 4"));
}

TEST_CASE("the order is the same on every machine and in every version", "[io][sampler]") {
  // Computed once by an independent program (Philox, Lemire, Fisher-Yates in Python): checkpoints and published runs
  // depend on it.
  CHECK(io::sampler(10, 4, {.seed = 42}).order(0) == std::vector<index_t>{7, 2, 9, 4, 8, 6, 3, 5, 0, 1});
}
