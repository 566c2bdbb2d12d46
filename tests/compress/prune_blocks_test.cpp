// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compress/prune_blocks.hpp>

#include <pleat/compress/pipeline.hpp>
#include <pleat/compress/prune_channels.hpp>
#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/nn/hard_concrete.hpp>
#include <pleat/nn/repeat.hpp>
#include <pleat/nn/residual.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <compress/compress_support.hpp>
#include <compress/mesh_support.hpp>

#include <cmath>
#include <cstring>
#include <mutex>

namespace {

using namespace compress_test;
namespace compress = pleat::compress;
namespace nn = pleat::nn;
namespace par = pleat::parallel;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

/// 20 → 16, four residual blocks of 16 behind gates, → 4.
auto deep() {
  auto const body = nn::residual(nn::sequential(nn::linear("up", 16, 12), nn::relu(),
                                                nn::hard_concrete("gate", 12, {.penalty = 0.5, .start = 1.0}),
                                                nn::linear("down", 12, 16)));
  return nn::sequential(nn::linear("in", 20, 16), nn::repeat("block", 4, body), nn::linear("out", 16, 4));
}
auto build_deep(pleat::world& w) {
  pleat::plan::plan p;
  p.global_batch = 16;
  p.data_ranks = w.size();
  p.deterministic = true;
  return par::build(deep(), p, w, {.seed = 5});
}
TEST_CASE("the block that does nothing goes first, and no bit changes; the next one is the one that does least") {
  auto w = alone();
  auto const samples = data(32);
  auto model = build_deep(w);
  set_values(model, "block.2.down.weight", std::vector<float>(192, 0.0f));
  set_values(model, "block.2.down.bias", std::vector<float>(16, 0.0f));
  std::vector<float> little(192, 1e-5f);
  set_values(model, "block.0.down.weight", little);
  set_values(model, "block.0.down.bias", std::vector<float>(16, 0.0f));
  std::vector<compress::removed_block> gone;
  auto const note = [&](compress::removed_block const& b) { gone.push_back(b); };
  auto const one =
      model | compress::prune_blocks{.count = 1, .samples = compress::calibration(samples, 32), .on_block = note};
  auto const a = answers(model, samples), b = answers(one, samples);
  CHECK(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
  REQUIRE(gone.size() == 1);
  CHECK(gone[0].name == "block.2.up.weight");
  CHECK(gone[0].change == 0);
  auto const two =
      model | compress::prune_blocks{.count = 2, .samples = compress::calibration(samples, 32), .on_block = note};
  CHECK(gone[2].name == "block.0.up.weight");
  CHECK(gone[2].change > 0);
  // It is gone: no parameter, no work.
  CHECK(values_of(two).size() == values_of(model).size() - 2 * 5);
  CHECK(two.arena().size() < model.arena().size());
  CHECK(nn::describe(two.net(), {1, 20}).forward_flops() < 0.75 * nn::describe(model.net(), {1, 20}).forward_flops());
  // The model that was pruned is whole, and an ignored block stays.
  CHECK(answers(model, samples) == a);
  auto const other =
      model |
      compress::prune_blocks{.samples = compress::calibration(samples, 32), .ignore = {"block.2.*"}, .on_block = note};
  CHECK(gone.back().name == "block.0.up.weight");
}

TEST_CASE("a network of 16-bit numbers loses blocks too") {
  using dense = pleat::codec::forms<pleat::codec::dense<pleat::bfloat16>>;
  auto w = alone();
  auto const samples = data(32);
  pleat::plan::plan p;
  p.global_batch = 16;
  p.precision = pleat::plan::compute_precision::bf16;
  auto model = par::build(nn::sequential(nn::linear<dense>("in", 20, 16),
                                         nn::repeat("block", 3, nn::residual(nn::linear<dense>("body", 16, 16))),
                                         nn::linear<dense>("out", 16, 4)),
                          p, w, {.seed = 5});
  set_values(model, "block.1.body.weight", std::vector<float>(256, 0.0f));
  set_values(model, "block.1.body.bias", std::vector<float>(16, 0.0f));
  std::vector<compress::removed_block> gone;
  (void)(model | compress::prune_blocks{.count = 1,
                                        .samples = compress::calibration(samples, 32),
                                        .on_block = [&](auto const& b) { gone.push_back(b); }});
  REQUIRE(gone.size() == 1);
  CHECK(gone[0].name == "block.1.body.weight");
  CHECK(gone[0].change == 0);
}

TEST_CASE("what is left trains, is saved and read, and every number of ranks has the same bytes") {
  std::vector<std::byte> one;
  for (int const ranks : {1, 2, 3}) {
    std::vector<std::vector<std::byte>> images(static_cast<std::size_t>(ranks));
    pleat::comm::run_local(ranks, [&](pleat::comm::communicator c) {
      auto const rank = static_cast<std::size_t>(c.rank());
      pleat::world w(std::move(c), 1);
      auto const train = data(40);
      images[rank] = pleat::run::file_image(
          build_deep(w) | (compress::prune_blocks{.count = 2, .samples = compress::calibration(train, 13)} |
                           compress::fine_tune(train, quiet(1))));
    });
    if (ranks == 1) one = images[0];
    for (auto const& image : images) CHECK((image == one));
  }
}

TEST_CASE("sharded parameters stay so while blocks are judged, though some ranks have fewer samples, or none") {
  static_assert(compress::detail::takes_shards<compress::prune_blocks>);
  auto const train = data(140);
  for (index_t const samples : {2, 129}) {  // 129: two batches on one of two ranks, one on the other
    CAPTURE(samples);
    auto const file = [&](mesh const& l) {
      return file_over(l, [&](pleat::world& w) {
        return par::build(deep(), plan_of(l), w, {.seed = 5}) |
               (compress::prune_blocks{.count = 2, .samples = compress::calibration(train, samples)} |
                compress::fine_tune(train, quiet(1)));
      });
    };
    auto const one = file({});
    for (mesh const& l : {mesh{1, 1, 1, 3}, {2, 1, 1, 3}, {3, 1, 1, 3}, {2, 1, 2, 3}}) {
      CAPTURE(l.data, l.stages);
      CHECK((file(l) == one));
    }
  }
}

TEST_CASE("a network in stages loses the same blocks, to the byte; cut over the tensor axis the same ones go") {
  auto const samples = data(32);
  std::mutex guard;
  auto const file = [&](mesh const& l, std::vector<std::string>& went) {
    went.clear();
    return file_over(l, [&](pleat::world& w) {
      bool const first = w.root();
      auto m = par::build(par::tensor_parallel(deep(), {par::column("in.*"), par::row("out.*")}), plan_of(l), w,
                          {.seed = 5});
      return m | compress::prune_blocks{.count = 2,
                                        .samples = compress::calibration(samples, 24),
                                        .on_block = [&, first](compress::removed_block const& b) {
                                          std::lock_guard const hold(guard);
                                          if (first) went.push_back(b.name);
                                        }};
    });
  };
  std::vector<std::string> one, names;
  auto const reference = file({}, one);
  REQUIRE(one.size() == 2);
  for (mesh const& l : {mesh{1, 1, 2}, {1, 1, 3}, {2, 1, 2}}) {
    CAPTURE(l.data, l.stages);
    CHECK((file(l, names) == reference));
    CHECK(names == one);
  }
  for (mesh const& l : {mesh{1, 2}, {1, 3}, {2, 2}, {1, 2, 2}}) {
    CAPTURE(l.data, l.tensor, l.stages);
    // no weight's number changes, and a difference of rounding is no reason for another block here
    CHECK((file(l, names) == reference));
    CHECK(names == one);
  }
}

TEST_CASE("gates close while training, and what they closed is taken out without changing a bit") {
  auto w = alone();
  auto const train = data(64);
  auto model = build_deep(w);
  auto options = quiet(30);
  options.optimizer = nn::adamw{.learning_rate = 0.05, .weight_decay = 0};
  (void)pleat::run::fit(model, train, options);
  compress::channel_report report;
  auto const small = model | compress::prune_channels_by<compress::closed_gates>{
                                 .input = {20}, .on_report = [&](auto const& r) { report = r; }};
  index_t closed = 0, taken = 0;
  for (auto const& p : values_of(model))
    if (p.name.ends_with("log_alpha"))
      for (float const v : p.values) closed += nn::hard_concrete("g", 1).gate(static_cast<double>(v)) == 0;
  for (auto const& g : report.groups) taken += g.units - g.kept;
  INFO("closed " << closed << " of 48");
  CHECK(closed > 4);
  CHECK(taken <= closed);  // a block of closed gates keeps one
  CHECK(taken >= closed - 4);
  CHECK(report.multiply_adds_after < report.multiply_adds_before);
  auto const a = answers(model, train), b = answers(small, train);
  for (std::size_t i = 0; i < a.size(); ++i) REQUIRE(a[i] == b[i]);
}

TEST_CASE("a model whose blocks cannot all go keeps them") {
  auto w = alone();
  auto const samples = data(32);
  auto const inner = nn::residual(nn::linear("inner", 16, 16));
  pleat::plan::plan p;
  p.global_batch = 16;
  auto model = par::build(
      nn::sequential(nn::linear("in", 20, 16), nn::residual(nn::sequential(inner, nn::linear("zero", 16, 16))),
                     nn::linear("out", 16, 4)),
      p, w, {.seed = 5});
  // neither block does anything, so the outer one is the first of the least, and the inner one is gone with it
  set_values(model, "zero.weight", std::vector<float>(256, 0.0f));
  set_values(model, "zero.bias", std::vector<float>(16, 0.0f));
  auto const said = answers(model, samples);
  set_values(model, "zero.bias", std::vector<float>(16, 1.0f));
  auto const louder = answers(model, samples);
  REQUIRE(louder != said);  // the outer body counts
  set_values(model, "zero.bias", std::vector<float>(16, 0.0f));
  compress::prune_blocks const both{.count = 2, .samples = compress::calibration(samples, 32)};
  CHECK_THROWS_MATCHES(both.run(model), pleat::error, MessageMatches(ContainsSubstring("no further block is left")));
  set_values(model, "zero.bias", std::vector<float>(16, 1.0f));
  CHECK(answers(model, samples) == louder);
}

TEST_CASE("blocks: what cannot be done is refused in words") {
  auto w = alone();
  auto const samples = data(8);
  auto const model = build_deep(w);
  CHECK_THROWS_MATCHES(model | compress::prune_blocks{}, pleat::error,
                       MessageMatches(ContainsSubstring("the calibration set is empty")));
  CHECK_THROWS_MATCHES((model | compress::prune_blocks{.count = 5, .samples = compress::calibration(samples, 8)}),
                       pleat::error, MessageMatches(ContainsSubstring("5 blocks are to go, and there are 4")));
  CHECK_THROWS_MATCHES((model | compress::prune_blocks{.count = -1, .samples = compress::calibration(samples, 8)}),
                       pleat::error, MessageMatches(ContainsSubstring("must not be negative")));
}

}  // namespace
