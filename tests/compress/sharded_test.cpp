// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Transforms of models whose parameters are sharded (state_stage = 3): the bytes of the model that every rank holds
// whole.
#include <pleat/compress/pipeline.hpp>

#include <pleat/codec/sparse.hpp>
#include <pleat/compress/criteria.hpp>
#include <pleat/compress/fine_tune.hpp>
#include <pleat/compress/fold_batch_norm.hpp>
#include <pleat/compress/gptq.hpp>
#include <pleat/compress/prune.hpp>
#include <pleat/compress/quantize.hpp>
#include <pleat/compress/record_errors.hpp>
#include <pleat/compress/share_weights.hpp>
#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <compress/sharded_support.hpp>

#include <cmath>
#include <cstring>
#include <limits>
#include <mutex>
#include <tuple>

namespace {

using namespace compress_test;
namespace nn = pleat::nn;
namespace compress = pleat::compress;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

TEST_CASE("the norm of what moves has the same bits wherever pruned weights and held ones lie") {
  auto const samples = data(40);
  auto const norms = [&](layout const& l, bool held) {
    std::vector<double> found;
    pleat::comm::run_local(l.ranks, [&](pleat::comm::communicator c) {
      bool const root = c.rank() == 0;
      pleat::world w(std::move(c), 1);
      w.set_sink({});
      pleat::plan::plan p{.global_batch = 16, .data_ranks = l.ranks};
      p.deterministic = true;
      p.state_stage = l.stage;
      p.state_ranks = l.state_ranks;
      p.bucket_bytes = 20000;
      auto m = pleat::parallel::build(nn::sequential(nn::linear("fc1", 20, 300), nn::relu(), nn::linear("fc2", 300, 40),
                                                     nn::relu(), nn::linear("fc3", 40, 4)),
                                      p, w, {.seed = 3}) |
               compress::prune{.sparsity = 0.5};
      auto o = quiet(2);
      if (held) o.groups.push_back({.pattern = "fc2.*", .frozen = true});
      o.clip_norm = 0.01;
      std::vector<double> mine;
      o.before_step = [&] { mine.push_back(m.gradient_norm()); };
      (void)pleat::run::fit(m, samples, o);
      if (root) found = mine;
    });
    return found;
  };
  for (bool const held : {false, true}) {
    auto const whole = norms({1, 0, 0}, held);
    REQUIRE(whole.size() == 6);
    CHECK(whole[0] > 0);
    for (layout const& l : {layout{3, 0, 0}, {1, 1, 0}, {3, 1, 0}, {3, 2, 0}, {4, 3, 2}, {2, 3, 0}}) {
      INFO(l.ranks << " ranks, stage " << l.stage);
      CHECK((norms(l, held) == whole));
    }
  }
  CHECK(norms({1, 0, 0}, true)[0] < norms({1, 0, 0}, false)[0]);
}

/// A criterion of somebody's that has never heard of pieces: |w|·row.
struct looks_at_rows {
  static constexpr char const* what = "rows";
  template <class Net, class C> void score(pleat::parallel::model<Net>&, std::vector<C>& weights) const {
    for (auto& c : weights)
      for (index_t i = 0; i < c.size(); ++i)
        c.scores.push_back(std::abs(c.values[static_cast<std::size_t>(i)]) * static_cast<float>(1 + i / c.columns()));
  }
};

}  // namespace

TEST_CASE("sharded: magnitude pruning of pieces takes the elements that it takes of whole weights, in every scope") {
  for (auto const scope :
       {compress::scope::global, compress::scope::layer, compress::scope::row, compress::scope::group}) {
    CAPTURE(static_cast<int>(scope));
    std::vector<std::vector<std::string>> groups;
    if (scope == compress::scope::group) groups = {{"fc1.*", "fc3.*"}};
    // twice: what is gone counts
    same_bytes([&](auto m) {
      return std::move(m) | (compress::prune{.sparsity = 0.4, .scope = scope, .groups = groups} |
                             compress::prune{.sparsity = 0.75, .scope = scope, .groups = groups});
    });
  }
}

TEST_CASE("sharded: pruning in steps with training between them, and training on: dead elements stay dead") {
  auto const train = data(48);
  same_bytes([&](auto m) {
    return std::move(m) |
           (compress::prune{
                .sparsity = 0.8, .schedule = compress::cubic{2}, .retrain = compress::fine_tune(train, quiet(1))} |
            compress::fine_tune(train, quiet(1)));
  });
}

TEST_CASE("sharded: what looks at whole weights gets them, and its result is sharded again") {
  auto const train = data(40);
  std::mutex guard;
  std::vector<std::string> said;
  compress::listener const note = [&](std::string_view line) {
    std::lock_guard const lock(guard);
    said.emplace_back(line);
  };
  same_bytes(
      [&](auto m) {
        return std::move(m) |
               compress::prune_by<looks_at_rows>{.sparsity = 0.5, .scope = compress::scope::layer, .on_note = note};
      },
      false);
  REQUIRE(said.size() == 5);  // once for each layout that shards parameters
  CHECK_THAT(said[0], ContainsSubstring("every rank gathers them for 'prune rows 0.5' and shards the result again"));
  same_bytes([&](auto m) {
    return std::as_const(m) | (compress::fold_batch_norm{} | compress::prune{.sparsity = 0.5} |
                               compress::fine_tune(train, quiet(1)) | compress::quantize<pleat::codec::int8<float>>{});
  });
}

TEST_CASE("sharded: quantizing and sharing values go layer by layer, and no rank gathers the others") {
  auto const train = data(40);
  using int8 = pleat::codec::int8<float>;
  auto const layer_by_layer = [](auto const& transform) {
    static_assert(compress::detail::takes_shards<std::remove_cvref_t<decltype(transform)>>);
    same_bytes([&](auto m) { return std::move(m) | transform; });
  };
  layer_by_layer(compress::quantize<int8, pleat::codec::csr<float>>{.forms = {{"fc2.*", "csr"}}});
  layer_by_layer(
      compress::prune{.sparsity = 0.5} |
      compress::quantize<int8>{.activations = compress::static_activations{.data = compress::calibration(train, 24)},
                               .ignore = {"fc3.*"}});
  layer_by_layer(compress::gptq<int8>{.data = compress::calibration(train, 24)});
  layer_by_layer(compress::share_weights{.num_bits = 3, .ignore = {"fc3.*"}} | compress::entropy_code{});
  layer_by_layer(compress::prune{.sparsity = 0.7} | compress::share_weights{.num_bits = 3} | compress::entropy_code{});
  // What it leaves goes on as it was: the parameters that were not encoded are where they were.
  layer_by_layer(compress::quantize<int8>{.ignore = {"fc3.*"}} | compress::fine_tune(train, quiet(1)));
}

TEST_CASE("sharded: ranks that have fewer samples to answer keep the others company, and every sample counts once") {
  auto const train = data(40);
  using int8 = pleat::codec::int8<float>;
  auto const alike = [](auto const& transform) {
    auto const t = [&](auto m) { return std::move(m) | transform; };
    auto const whole = file({1, 0, 0}, t);
    // a bucket for every parameter, more than are kept at a time
    for (layout const& l : {layout{2, 3, 0, 4}, {3, 3, 0, 4}, {4, 3, 2, 4}}) {
      CAPTURE(l.ranks, l.state_ranks);
      CHECK((file(l, t) == whole));
    }
  };
  alike(compress::gptq<int8>{.data = compress::calibration(train, 24)});  // 8 lanes: 3, 3 and 2 of three ranks
  for (index_t const samples : {2, 3, 5, 25})
    alike(compress::quantize<int8>{
        .activations =
            compress::static_activations{
                .data = compress::calibration(train, samples), .observer = compress::percentile{}, .batch = 4},
        .ignore = {"fc2.*", "fc3.*"}});
}

TEST_CASE("sharded: centroids are trained where their members are, under every stage") {
  auto const train = data(40);
  auto const tuned =
      compress::share_weights{.num_bits = 3, .tune = compress::fine_tune(train, quiet(2)), .ignore = {"fc1.*"}};
  static_assert(compress::detail::takes_shards<compress::share_weights>);
  auto const apply = [&](auto m) { return std::move(m) | (tuned | compress::entropy_code{}); };
  auto const whole = file({1, 0, 0}, apply);
  CHECK((file({1, 0, 0}, [&](auto m) {
           return std::move(m) |
                  (compress::share_weights{.num_bits = 3, .ignore = {"fc1.*"}} | compress::entropy_code{});
         }) != whole));
  for (layout const& l : {layout{2, 1, 0}, {3, 2, 0}, {4, 2, 2}, {3, 3, 0}, {4, 3, 2}, {2, 3, 0, 4}}) {
    CAPTURE(l.ranks, l.stage, l.state_ranks);
    CHECK((file(l, apply) == whole));
  }
  same_bytes([&](auto m) {
    return std::move(m) |
           (compress::prune{.sparsity = 0.6} |
            compress::share_weights{
                .num_bits = 2, .rows_per_group = 7, .tune = compress::fine_tune(train, quiet(1)), .ignore = {"fc3.*"}});
  });
}

TEST_CASE(
    "sharded: a recorded recipe has the ledger of whole weights, and its transforms still work where the pieces are") {
  auto const train = data(40);
  auto const recipe = compress::prune{.sparsity = 0.5} | compress::fine_tune(train, quiet(1)) |
                      compress::quantize<pleat::codec::int8<float>>{.ignore = {"fc3.*"}};
  auto const ledger = [&](layout const& l) {
    std::vector<std::string> all(static_cast<std::size_t>(l.ranks));
    pleat::comm::run_local(l.ranks, [&](pleat::comm::communicator c) {
      auto const rank = static_cast<std::size_t>(c.rank());
      pleat::world w(std::move(c), 1);
      w.set_sink({});
      compress::error_ledger errors, again;
      compress::record_errors const record(errors);
      auto const recorded = recipe.recorded(record).recorded(compress::record_errors(again));
      static_assert(std::remove_cvref_t<decltype(recorded)>::takes_shards &&
                    std::remove_cvref_t<decltype(recorded)>::takes_parts);
      auto const small = built(w, l) | recorded;
      // it goes on where the first ended
      (void)(small | compress::pipeline<compress::fine_tune>(std::tuple(compress::fine_tune(train, quiet(1))))
                         .recorded(record));
      all[rank] = errors.json() + again.json();
    });
    for (auto const& x : all) CHECK(x == all[0]);
    return all[0];
  };
  auto const whole = ledger({1, 0, 0});
  CHECK_THAT(whole, ContainsSubstring("\"kind\": \"bounded\"") && ContainsSubstring("\"kind\": \"trained\""));
  for (layout const& l : sharded_parameters) {
    CAPTURE(l.ranks, l.stage, l.state_ranks);
    CHECK(ledger(l) == whole);
  }
}

TEST_CASE("sharded: batch norms are folded layer by layer") {
  auto const train = data(48);
  same_bytes([&](auto m) {
    (void)pleat::run::fit(m, train, quiet(2));  // statistics, scales and shifts that are not what they were
    return std::move(m) | compress::fold_batch_norm{};
  });
}

TEST_CASE("sharded: a NaN in one rank's piece is named on every rank, with its place in the whole weight") {
  pleat::comm::run_local(3, [](pleat::comm::communicator c) {
    pleat::world w(std::move(c), 1);
    w.set_sink({});
    auto m = built(w, {3, 3, 0});
    auto flat = m.host_values();
    flat[static_cast<std::size_t>(m.arena().entries()[static_cast<std::size_t>(m.arena().find("fc2.weight"))].begin) +
         11111] = std::numeric_limits<float>::quiet_NaN();
    m.set_host_values(flat);
    std::string words;
    try {
      (void)(m | compress::prune{.sparsity = 0.5});
    } catch (pleat::error const& e) {
      words = e.what();
    }
    if (words.find("element 11111 of 'fc2.weight' is") == std::string::npos) throw std::runtime_error("said: " + words);
  });
}
