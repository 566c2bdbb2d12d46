// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What ranks have at the most while they transform a model whose parameters are sharded (state_stage = 3): their
// pieces, and one weight.
#include <pleat/compress/pipeline.hpp>

#include <pleat/compress/criteria.hpp>
#include <pleat/compress/low_rank.hpp>
#include <pleat/compress/prune.hpp>
#include <pleat/compress/prune_channels.hpp>
#include <pleat/compress/quantize_aware.hpp>
#include <pleat/compress/record_errors.hpp>
#include <pleat/compress/share_weights.hpp>
#include <pleat/compress/sparse_gpt.hpp>
#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/nn/repeat.hpp>

#include <catch2/catch_test_macros.hpp>

#include <compress/compress_support.hpp>
#include <support/count_allocations.hpp>

#include <algorithm>
#include <atomic>
#include <functional>
#include <utility>

namespace {

using namespace compress_test;
namespace nn = pleat::nn;
namespace compress = pleat::compress;

constexpr index_t side = 128;
constexpr double weight = static_cast<double>(side * side * sizeof(float));
constexpr int ranks = 4;

/// Some layers more, each a bucket of one weight.
auto deep(index_t layers) {
  return nn::sequential(
      nn::linear("in", 20, side, {.bias = false}), nn::relu(),
      nn::repeat("h", layers, nn::sequential(nn::linear("fc", side, side, {.bias = false}), nn::relu())),
      nn::linear("out", side, 4, {.bias = false}));
}

struct seen {
  double most = 0, largest = 0;  ///< bytes of all ranks together at one time; of one allocation. In weights
};
template <class Transform> seen while_shrinking(index_t layers, Transform const& t) {
  double const most = static_cast<double>(pleat_test::most_bytes_in([&] {
    pleat::comm::run_local(ranks, [&](pleat::comm::communicator c) {
      pleat::world w(std::move(c), 1);
      w.set_sink({});
      pleat::plan::plan p{.global_batch = 16, .data_ranks = ranks};
      p.state_stage = 3;
      p.bucket_bytes = 1;
      auto m = pleat::parallel::build(deep(layers), p, w, {.seed = 3});
      (void)t(std::move(m));
    });
  }));
  return {most / weight, static_cast<double>(pleat_test::largest_bytes) / weight};
}

TEST_CASE("sharded: no rank has a second weight whole, and none the model") {
  auto const train = data(32);
  auto const silent = [](std::string_view) {};
  constexpr index_t fewer = 6, more = 14;
  // Whether what ranks need for a moment coincides is the machine's affair: of several runs the least counts, which a
  // copy of the model is in, too.
  auto const growth = [&](auto const& t, auto const& enough) {
    seen few{1e9, 1e9}, many = few, each;
    for (int run = 0; run < 5; ++run) {
      for (auto const& [layers, least] : {std::pair<index_t, seen*>{fewer, &few}, {more, &many}}) {
        auto const now = while_shrinking(layers, t);
        least->most = std::min(least->most, now.most), least->largest = std::min(least->largest, now.largest);
      }
      each = {(many.most - few.most) / (more - fewer), (many.largest - few.largest) / (more - fewer)};
      if (enough(each)) break;
    }
    return each;
  };
  // A copy of the pieces is one weight more of all ranks together for each layer more, a weight that every rank keeps
  // are four (of doubles: eight); with a copy of the model nothing allocated grows by less than a weight.
  auto const grows = [&](double most, auto const& transform) {
    static_assert(compress::detail::takes_shards<std::remove_cvref_t<decltype(transform)>>);
    INFO(transform.name());
    auto const each = growth([&](auto m) { return std::move(m) | transform; },
                             [&](seen const& s) { return s.most <= most && s.largest <= 1.0 / ranks + 0.01; });
    CHECK(each.most <= most);
    CHECK(each.largest <= 1.0 / ranks + 0.01);
  };
  // The model, the widened one, numbers on the host and their scores, their keys' bits; 0.4 for masks, names, requests
  grows(4.9, compress::prune{.sparsity = 0.5});
  grows(4.9, compress::prune{.ignore = {"in.*"}, .pattern = compress::n_of_m{32, 64}});
  grows(5.2, compress::prune_by<compress::wanda>{.sparsity = 0.5, .criterion = {compress::calibration(train, 8)}});
  // A clone with gradients, and two doubles for each score
  grows(10.9, compress::prune_by<compress::taylor>{.sparsity = 0.5, .criterion = {.data = &train, .subset_size = 32}});
  grows(4.9, compress::prune_channels{.input = {20}});
  grows(4.9, compress::sparse_gpt{.samples = compress::calibration(train, 8), .on_note = silent});
  // the factors: a thirty-second of a weight, on every rank
  grows(4.9, compress::low_rank{.rule = compress::by_rank{2}, .on_note = silent});
  // the codes: a byte and more for every fourth number, on every rank
  grows(5.2, compress::share_weights{.num_bits = 2});
  // A copy of the optimizer's state, a gradient, and 12 bytes for each number of which the rank has the gradient: its
  // cluster, and its place
  grows(12.9, compress::share_weights{.num_bits = 2, .tune = compress::fine_tune(train, quiet(1)), .on_note = silent});
  grows(8.9, compress::quantize_aware<pleat::codec::int8<float>>{.train = compress::fine_tune(train, quiet(1)),
                                                                 .on_note = silent});
  // Two copies of the numbers on the host, divided among the ranks
  compress::error_ledger errors[64];
  std::atomic<int> next = 0;
  auto const recorded = growth(
      [&](auto m) {
        return std::move(m) | (compress::prune{.sparsity = 0.5} | compress::prune{.sparsity = 0.7})
                                  .recorded(compress::record_errors(errors[next++ % 64]));
      },
      [&](seen const& s) { return s.most <= 6.9 && s.largest <= 1.0 / ranks + 0.01; });
  CHECK((recorded.most <= 6.9 && recorded.largest <= 1.0 / ranks + 0.01));
  // all five runs, as the others may have
  auto const gathered = growth([](auto m) { return m.unsharded(); }, [](seen const&) { return false; });
  CHECK((gathered.most > 8 && gathered.largest > 0.99));
}

}  // namespace
