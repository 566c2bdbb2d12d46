// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Transforms that work on pieces of sharded parameters (state_stage = 3), or on one weight at a time: the bytes of the
// model that every rank holds whole, and no rank that holds it whole meanwhile.
#include <pleat/compress/pipeline.hpp>

#include <pleat/compress/criteria.hpp>
#include <pleat/compress/fine_tune.hpp>
#include <pleat/compress/gptq.hpp>
#include <pleat/compress/low_rank.hpp>
#include <pleat/compress/prune.hpp>
#include <pleat/compress/prune_channels.hpp>
#include <pleat/compress/quantize.hpp>
#include <pleat/compress/sparse_gpt.hpp>
#include <pleat/compress/spatial_low_rank.hpp>
#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/nn/conv2d.hpp>
#include <pleat/nn/flatten.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <compress/sharded_support.hpp>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace {

using namespace compress_test;
namespace nn = pleat::nn;
namespace compress = pleat::compress;

auto const silent = [](std::string_view) {};

/// The bytes of stage 0 under every stage: what is sharded at 1 and 2 are gradients.
template <class Transform> void at_every_stage(Transform const& t) {
  static_assert(compress::detail::takes_shards<Transform>);
  auto const apply = [&](auto m) { return std::move(m) | t; };
  auto const whole = file({1, 0, 0}, apply);
  for (layout const& l : {layout{2, 1, 0},
                          {3, 2, 0},
                          {4, 2, 2, 20000, 2},
                          {1, 3, 0},
                          {2, 3, 0},
                          {3, 3, 0},
                          {4, 3, 2},
                          {4, 3, 1},
                          {4, 3, 0, 4}}) {
    CAPTURE(l.ranks, l.stage, l.state_ranks, l.state_stride);
    CHECK((file(l, apply) == whole));
  }
}

TEST_CASE("sharded: Taylor and movement score pieces with the sums of gradients that lie there, under every stage") {
  auto const train = data(48);
  at_every_stage(
      compress::prune_by<compress::taylor>{.sparsity = 0.6, .criterion = {.data = &train, .subset_size = 40}});
  at_every_stage(
      compress::prune_by<compress::movement>{.sparsity = 0.5,
                                             .scope = compress::scope::layer,
                                             .criterion = {.training = compress::fine_tune(train, quiet(1))}});
  using even = compress::normalised<compress::taylor>;
  at_every_stage(compress::prune_by<even>{.sparsity = 0.6,
                                          .schedule = compress::iterative{2},
                                          .retrain = compress::fine_tune(train, quiet(1)),
                                          .criterion = {.of = {.data = &train, .subset_size = 17}}});
}

TEST_CASE(
    "sharded: fewer samples than ranks to take gradients of, and to look at: those without keep the others company") {
  auto const train = data(40);
  for (index_t const samples : {1, 3}) {
    CAPTURE(samples);
    at_every_stage(compress::prune_by<compress::taylor>{
        .sparsity = 0.5, .on_note = silent, .criterion = {.data = &train, .subset_size = samples}});
    at_every_stage(
        compress::prune_by<compress::wanda>{.sparsity = 0.5, .criterion = {compress::calibration(train, samples)}});
    at_every_stage(compress::sparse_gpt{
        .sparsity = 0.5, .samples = compress::calibration(train, samples), .ignore = {"fc1.*"}, .on_note = silent});
    at_every_stage(compress::quantize<pleat::codec::int8<float>>{
        .activations = compress::static_activations{.data = compress::calibration(train, samples),
                                                    .observer = compress::percentile{}},
        .ignore = {"fc3.*"}});
  }
}

TEST_CASE("sharded: Wanda sees the inputs of a piece's columns") {
  auto const train = data(40);
  for (auto const scope : {compress::scope::row, compress::scope::global})
    at_every_stage(compress::prune_by<compress::wanda>{
        .sparsity = 0.5, .scope = scope, .criterion = {compress::calibration(train, 16)}});
}

TEST_CASE("sharded: patterns whose groups pieces cut, and those whose groups they do not") {
  auto const train = data(40);
  for (auto const& [n, m] : {std::pair{2, 4}, {3, 5}, {3, 20}}) {  // 4096 is no multiple of 5 and 20
    CAPTURE(n, m);
    at_every_stage(compress::prune{.ignore = {"fc3.*"}, .pattern = compress::n_of_m{n, m}});
  }
  at_every_stage(compress::prune_by<compress::wanda>{.criterion = {compress::calibration(train, 16)},
                                                     .pattern = compress::n_of_m{7, 10}});
}

TEST_CASE("sharded: channels are scored in pieces and shrink one weight at a time, by every criterion") {
  auto const train = data(40);
  at_every_stage(compress::prune_channels{.input = {20}, .round_to = 4});
  at_every_stage(compress::prune_channels{.multiply_adds = 0.6, .input = {20}, .scope = compress::scope::layer} |
                 compress::prune{.sparsity = 0.5} | compress::fine_tune(train, quiet(1)));
  at_every_stage(
      compress::prune_channels_by<compress::taylor>{.input = {20}, .criterion = {.data = &train, .subset_size = 40}});
  at_every_stage(compress::prune_channels_by<compress::batch_norm_scale>{.multiply_adds = 0.9, .input = {20}});
}

TEST_CASE("sharded: SparseGPT solves one weight after the other, whole, and each sees what those before it became") {
  auto const train = data(40);
  at_every_stage(compress::sparse_gpt{
      .sparsity = 0.6, .samples = compress::calibration(train, 24), .block_size = 16, .on_note = silent});
  at_every_stage(compress::prune{.sparsity = 0.3} |
                 compress::sparse_gpt{.samples = compress::calibration(train, 24),
                                      .pattern = compress::n_of_m{2, 4},
                                      .on_note = silent} |
                 compress::fine_tune(train, quiet(1)));
}

TEST_CASE("sharded: factors are found one weight at a time, each by one rank of the group, and all have them") {
  auto const train = data(40);
  at_every_stage(compress::low_rank{.rule = compress::by_budget{0.5}, .on_note = silent});
  at_every_stage(compress::low_rank{
      .rule = compress::by_energy{0.7}, .data = compress::calibration(train, 24), .on_note = silent});
  at_every_stage(compress::prune{.sparsity = 0.5} |
                 compress::sparse_low_rank{
                     .rule = compress::by_rank{2}, .sparse_share = 0.1, .ignore = {"fc3.*"}, .on_note = silent});
}

TEST_CASE("sharded: what one rank's solver throws is heard by all, and nobody waits") {
  std::vector<std::string> said(3);
  pleat::comm::run_local(3, [&](pleat::comm::communicator c) {
    auto const rank = static_cast<std::size_t>(c.rank());
    pleat::world w(std::move(c), 1);
    w.set_sink({});
    w.comm.set_timeout(60);
    try {
      (void)(built(w, {3, 3, 0}) |
             compress::low_rank{
                 .solver = [](index_t m, index_t n, std::span<double const> a) -> pleat::compute::thin_svd {
                   if (m == 40) throw pleat::error{"a solver", "it does not like 40 rows", ""};
                   return pleat::compute::svd(m, n, a);
                 }});
    } catch (pleat::error const& e) {
      said[rank] = e.what();
    }
  });
  for (auto const& s : said) CHECK_THAT(s, Catch::Matchers::ContainsSubstring("it does not like 40 rows"));
}

TEST_CASE("sharded: kernels of convolutions become pairs one at a time") {
  auto const image = [](layout const& l) {
    std::vector<std::vector<std::byte>> all(static_cast<std::size_t>(l.ranks));
    pleat::comm::run_local(l.ranks, [&](pleat::comm::communicator c) {
      auto const rank = static_cast<std::size_t>(c.rank());
      pleat::world w(std::move(c), 1);
      w.set_sink({});
      pleat::plan::plan p{.global_batch = 4, .data_ranks = l.ranks};
      p.state_stage = l.stage;
      p.state_ranks = l.state_ranks;
      p.bucket_bytes = l.bucket_bytes;
      auto const m = pleat::parallel::build(nn::sequential(nn::conv2d("c1", 3, 40, 7, {.padding = 3}), nn::relu(),
                                                           nn::conv2d("c2", 40, 16, 5, {.stride = 2}), nn::flatten(),
                                                           nn::linear("f", 16, 3)),
                                            p, w, {.seed = 3}) |
                     compress::spatial_low_rank{.rule = compress::by_budget{0.5}, .on_note = silent};
      all[rank] = pleat::run::file_image(m.unsharded());
    });
    for (auto const& x : all) CHECK((x == all[0]));
    return all[0];
  };
  auto const whole = image({1, 0, 0});
  for (layout const& l : {layout{2, 3, 0}, {3, 3, 0}, {4, 3, 2}}) CHECK((image(l) == whole));
}

}  // namespace
