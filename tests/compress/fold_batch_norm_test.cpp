// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compress/fold_batch_norm.hpp>

#include <pleat/compress/fine_tune.hpp>
#include <pleat/compress/pipeline.hpp>
#include <pleat/compress/prune.hpp>
#include <pleat/compress/quantize.hpp>
#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/nn/batch_norm.hpp>
#include <pleat/nn/conv2d.hpp>
#include <pleat/nn/flatten.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <compress/mesh_support.hpp>

#include <limits>

namespace {

using namespace compress_test;
namespace nn = pleat::nn;
namespace compress = pleat::compress;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

/// A convolution without and a linear layer with a bias, each before a norm; a norm after an activation.
auto normed() {
  return nn::sequential(nn::conv2d("conv", 1, 6, 3, {.bias = false}), nn::batch_norm("bn1", 6), nn::relu(),
                        nn::flatten(), nn::linear("fc1", 36, 12), nn::batch_norm("bn2", 12), nn::relu(),
                        nn::batch_norm("bn3", 12), nn::linear("fc2", 12, 4));
}
/// Trained a little, so that statistics, scales and shifts are not what they were.
auto trained(pleat::world& w) {
  pleat::plan::plan p;
  p.global_batch = 16;
  p.data_ranks = w.size();
  auto m = pleat::parallel::build(normed(), p, w, {.seed = 4});
  auto const train = data(96);
  (void)pleat::run::fit(m, train, quiet(3));
  return m;
}
TEST_CASE("answers stay the same but for rounding, and the norms' parameters are gone") {
  auto w = alone();
  auto const model = trained(w);
  std::string said;
  auto const folded = model | compress::fold_batch_norm{.on_note = [&](std::string_view line) { said += line; }};
  CHECK_THAT(said, ContainsSubstring("left 'bn3' as it was: no linear or conv2d stands directly before it"));
  auto const test = data(40);
  auto const a = answers(model, test), b = answers(folded, test);
  float largest = 0;
  for (float const x : a) largest = std::max(largest, std::abs(x));
  // Three layers of at most 36 terms, each with a rounding of half a unit in the last place on either side, through
  // norms that do not grow relative errors by more than their 1/√variance, below 2⁶ here: 2·3·36·2⁶·2⁻²⁴ of the largest
  // answer.
  for (std::size_t i = 0; i < a.size(); ++i) CHECK(std::abs(a[i] - b[i]) <= largest * 0x1p-10f);
  CHECK(a != std::vector<float>(a.size(), a[0]));
  CHECK(folded.arena().find("bn1.weight") == -1);
  CHECK(folded.arena().find("bn3.weight") >= 0);
  CHECK(folded.arena().find("conv.bias") >= 0);  // the shift needs a place
  CHECK(model.arena().find("conv.bias") == -1);
  CHECK(model.arena().find("bn1.weight") >= 0);
}

TEST_CASE("a folded model trains on, is saved, and is loaded into a spec that says so") {
  auto w = alone();
  auto const model = trained(w) | compress::fold_batch_norm{.ignore = {"bn3"}};
  auto const train = data(48), test = data(40);
  auto const on = model | compress::fine_tune(train, quiet(1));
  CHECK(answers(on, test) != answers(model, test));
  auto const image = pleat::run::file_image(on);
  auto copy = pleat::parallel::build(compress::with_folded_norms(normed()), pleat::plan::plan{.global_batch = 16}, w);
  pleat::run::load(copy, pleat::io::safetensors_file(image, "memory"));
  CHECK(answers(copy, test) == answers(on, test));
  auto plain = pleat::parallel::build(normed(), pleat::plan::plan{.global_batch = 16}, w);
  CHECK_THROWS_AS(pleat::run::load(plain, pleat::io::safetensors_file(image, "memory")), pleat::error);
}

TEST_CASE("zeros stay zeros, then codes: prune, fold, quantize in one pipeline") {
  auto w = alone();
  auto const model = trained(w);
  auto const small = model | (compress::prune{.sparsity = 0.5} |
                              compress::fold_batch_norm{.on_note = [](std::string_view) {}} | compress::quantize<>{});
  auto const pruned = values_of(model | compress::prune{.sparsity = 0.5}), after = values_of(small);
  for (auto const& p : pruned)
    for (auto const& q : after)
      if (p.name == q.name && p.shape.rank() >= 2) {
        CHECK(q.form == "int8");
        for (std::size_t i = 0; i < p.values.size(); ++i)
          if (p.values[i] == 0) REQUIRE(q.values[i] == 0);
      }
}

TEST_CASE(
    "networks in stages: norms and the layers before them may be on different ranks, parameters in pieces; the bytes "
    "of one rank") {
  auto w = alone();
  auto const image = pleat::run::file_image(trained(w));
  auto const on = [&](pleat::world& mine, mesh const& l, std::vector<index_t> cuts) {
    auto p = plan_of(l);
    p.cuts = std::move(cuts);
    auto m = pleat::parallel::build(normed(), p, mine, {.seed = 1});
    pleat::run::load(m, pleat::io::safetensors_file(image, "memory"));
    return m;
  };
  compress::fold_batch_norm const fold{.on_note = [](std::string_view) {}};
  auto const folded = [&](mesh const& l, std::vector<index_t> const& cuts) {
    return file_over(l, [&](pleat::world& mine) { return on(mine, l, cuts) | fold; });
  };
  auto const reference = folded({}, {});
  for (auto const& [data_ranks, state] : {std::pair{1, 0}, {2, 0}, {2, 3}}) {
    CAPTURE(data_ranks, state);
    CHECK((folded({data_ranks, 1, 1, state}, {}) == reference));
    CHECK((folded({data_ranks, 1, 2, state}, {1}) == reference));  // conv | bn1
    CHECK((folded({data_ranks, 1, 2, state}, {5}) == reference));  // fc1 | bn2
  }
  CHECK((folded({1, 1, 3}, {1, 5}) == reference));

  // What the second stage's statistics say is said by the first, too.
  std::vector<std::string> said(2);
  pleat::comm::run_local(2, [&](pleat::comm::communicator c) {
    auto const rank = static_cast<std::size_t>(c.rank());
    pleat::world mine(std::move(c), 1);
    mine.set_sink({});
    auto m = on(mine, {1, 1, 2}, {1});
    m.net().for_each_parameter([&](auto& x) {
      if (x.name == "bn1.running_var" && !x.absent) x.data()[3] = -1;
    });
    try {
      (void)(m | fold);
    } catch (pleat::error const& e) {
      said[rank] = e.what();
    }
  });
  for (auto const& s : said) CHECK_THAT(s, ContainsSubstring("feature 3 of 'bn1'"));
}

TEST_CASE(
    "layers that are cut over the tensor axis take their norms where they are: the bytes of one rank, its answers") {
  namespace par = pleat::parallel;
  auto w = alone();
  auto const model = trained(w);
  auto const image = pleat::run::file_image(model);
  compress::fold_batch_norm const fold{.on_note = [](std::string_view) {}};
  auto const test = data(24);
  auto const whole = model | fold;
  auto const expected = answers(whole, test);
  // Under `outputs` every sum is one rank's, so answers keep their bits. The convolution has no bias of its own: the
  // one that it gets must be cut as its outputs are. Its norm's vectors are whole on every rank, as is fc1's bias in
  // `inputs`.
  std::vector<par::placement_rule> const outputs{par::column("conv.*"), par::column("fc1.*"), par::column("fc2.*")},
      inputs{par::column("conv.*"), par::row("fc1.*")};
  auto const folded = [&](mesh const& l, std::vector<index_t> const& cuts, auto const* rules) {
    return file_over(l, [&](pleat::world& mine) {
      auto p = plan_of(l);
      p.cuts = cuts;
      auto m = par::build(rules ? par::tensor_parallel(normed(), *rules) : normed(), p, mine, {.seed = 1});
      pleat::run::load(m, pleat::io::safetensors_file(image, "memory"));
      auto small = m | fold;
      if (rules == &outputs && l.stages == 1 && answers(small, test) != expected)
        throw pleat::error{"test", "rank " + std::to_string(mine.rank()) + " answers otherwise"};
      return small;
    });
  };
  auto const reference = folded({}, {}, static_cast<decltype(&outputs)>(nullptr));
  for (auto const* rules : {&outputs, &inputs}) {
    for (mesh const& l : {mesh{1, 2}, {1, 3}, {1, 4}, {2, 2}, {2, 2, 1, 3}}) {
      CAPTURE(l.data, l.tensor, l.state, rules == &inputs);
      CHECK((folded(l, {}, rules) == reference));
    }
    CHECK((folded({1, 2, 2}, {1}, rules) == reference));  // conv | bn1
  }
}

TEST_CASE("bad input: nothing to fold, statistics that are none, weights in codes") {
  auto w = alone();
  CHECK_THROWS_MATCHES(build(w) | compress::fold_batch_norm{}, pleat::error,
                       MessageMatches(ContainsSubstring("no batch norm can be folded")));
  auto model = trained(w);
  set_values(model, "bn2.running_var", std::vector<float>(12, -1.0f));
  CHECK_THROWS_MATCHES(model | compress::fold_batch_norm{}, pleat::error,
                       MessageMatches(ContainsSubstring("feature 0 of 'bn2'") && ContainsSubstring("variance -1")));
  set_values(model, "bn2.running_var", std::vector<float>(12, std::numeric_limits<float>::quiet_NaN()));
  CHECK_THROWS_MATCHES(model | compress::fold_batch_norm{}, pleat::error, MessageMatches(ContainsSubstring("'bn2'")));
  // A set that may hold codes does not compile (tests/compile_fail); in place the words come at run time.
  auto coded = trained(w) | compress::quantize<>{};
  CHECK_THROWS_MATCHES(compress::fold_batch_norm{}.run(coded), pleat::error,
                       MessageMatches(ContainsSubstring("'conv.weight' is stored as 'int8'") &&
                                      ContainsSubstring("Fold before quantizing")));
}

}  // namespace
