// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compress/quantize_aware.hpp>

#include <pleat/codec/blocks.hpp>
#include <pleat/compress/gptq.hpp>
#include <pleat/compress/pipeline.hpp>
#include <pleat/compress/prune.hpp>
#include <pleat/compress/quantize.hpp>
#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <compress/mesh_support.hpp>
#include <support/allocation_count.hpp>
#include <support/count_views.hpp>
#include <support/scratch_folder.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>

namespace {

using namespace compress_test;
namespace compress = pleat::compress;
using int8 = pleat::codec::int8<float>;
using int4 = pleat::codec::int4<float, 32>;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

/// Inputs that groups of 32 divide but for the last layer.
auto wide(pleat::world& w) {
  pleat::plan::plan p;
  p.global_batch = 16;
  p.data_ranks = w.size();
  p.deterministic = true;
  return pleat::parallel::build(
      pleat::nn::sequential(pleat::nn::linear("fc1", 20, 32), pleat::nn::relu(), pleat::nn::linear("fc2", 32, 64),
                            pleat::nn::relu(), pleat::nn::linear("fc3", 64, 4)),
      p, w, {.seed = 3});
}

TEST_CASE("training with codes, then storing them: exactly the values trained with") {
  auto w = alone();
  auto const train = data(64);
  for (auto const rule : {compress::step_rule::learned, compress::step_rule::largest}) {
    auto const trained =
        build(w) | compress::quantize_aware<int8>{.train = compress::fine_tune(train, quiet(3)), .steps = rule};
    auto const stored = trained | compress::quantize<int8>{};
    auto const a = values_of(trained), b = values_of(stored);
    for (std::size_t p = 0; p < a.size(); ++p) {
      CHECK(a[p].values == b[p].values);
      CHECK(b[p].form == (is_weight(b[p]) ? "int8" : "dense"));
      CHECK(a[p].form == (is_weight(a[p]) ? "fake_quantized" : "dense"));
    }
  }
  auto const trained =
      wide(w) | compress::quantize_aware<int4>{.train = compress::fine_tune(train, quiet(3)), .ignore = {"fc1.*"}};
  auto const stored = trained | compress::quantize<int4>{.ignore = {"fc1.*"}};
  auto const a = values_of(trained), b = values_of(stored);
  CHECK(b[2].form == "int4_g32");
  for (std::size_t p = 0; p < a.size(); ++p) CHECK(a[p].values == b[p].values);
}

TEST_CASE("activations trained with are those that run: the stored network answers with the same bits") {
  auto w = alone();
  auto const train = data(64), test = data(40);
  compress::static_activations const seen{.data = compress::calibration(train), .observer = compress::percentile{99}};
  bool const learns = GENERATE(false, true);
  CAPTURE(learns);
  auto const rule = learns ? compress::input_rule::learned : compress::input_rule::observed;
  auto const begun = build(w) | compress::quantize_aware<int8>{.activations = seen, .inputs = rule};
  auto const trained =
      build(w) | compress::quantize_aware<int8>{
                     .train = compress::fine_tune(train, quiet(3)), .activations = seen, .inputs = rule};
  auto const scales = input_scales(trained), first = input_scales(begun);
  REQUIRE(scales.size() == 3);
  for (std::size_t i = 0; i < scales.size(); ++i) CHECK((scales[i] != first[i]) == learns);
  auto at_once = seen;  // any batch above the samples is all of them
  at_once.batch = std::numeric_limits<pleat::index_t>::max();
  CHECK(input_scales(build(w) | compress::quantize_aware<int8>{.activations = at_once, .inputs = rule}) == first);
  if (learns) {  // of a training before they go on, each from where it is
    auto const on = trained | compress::quantize_aware<int8>{.train = compress::fine_tune(train, quiet(1))};
    for (std::size_t i = 0; i < scales.size(); ++i) {
      CHECK(input_scales(on)[i] != scales[i]);
      CHECK(std::abs(input_scales(on)[i] / scales[i] - 1) < 0.01f);  // four steps of a thousandth
    }
  }
  CHECK(std::all_of(scales.begin(), scales.end(), [](float s) { return s > 0; }));
  auto const stored = trained | compress::quantize<int8>{};
  CHECK(values_of(stored)[0].form == "int8");
  CHECK(input_scales(stored) == scales);
  CHECK(answers(stored, test) == answers(trained, test));
  CHECK(answers(stored, test) != answers(begun, test));
  // without rounded inputs the answers are others
  auto const floats = build(w) | compress::quantize_aware<int8>{.train = compress::fine_tune(train, quiet(3))};
  CHECK(input_scales(floats) == std::vector<float>{0, 0, 0});
  CHECK(answers(floats | compress::quantize<int8>{}, test) != answers(floats, test));
  // static activations asked for once more are those trained with
  std::string said;
  auto const again = trained | compress::quantize<int8>{
                                   .activations = compress::static_activations{.data = compress::calibration(test)},
                                   .on_note = [&](std::string_view line) { said += line; }};
  CHECK(input_scales(again) == scales);
  CHECK_THAT(said, ContainsSubstring("the inputs of 'fc1.weight', 'fc2.weight', 'fc3.weight' keep the scale that they "
                                     "were trained with"));
  if (learns) {  // a step that is not taken leaves nothing to the next one
    auto m = build(w) | compress::quantize_aware<int8>{.activations = seen, .inputs = rule};
    auto const shares = [&] {
      bool some = false;
      pleat::nn::for_each_parameter(m.net(), [&](auto const& p) {
        p.visit([&](auto, auto const& s) {
          if constexpr (requires { s.input_shares; })
            for (auto const l : s.input_shares.sum.limb) some = some || l != 0;
        });
      });
      return some;
    };
    pleat::run::batch_loader<float, Kokkos::DefaultExecutionSpace> loader(train);
    std::vector<index_t> const some{0, 1, 2, 3};
    m.zero_grad(4);
    auto const batch = loader.load(m.context(), some);
    auto [y, saved] = m.forward(batch.x);
    m.backward(saved, m.cross_entropy(y, batch.labels).dy);
    CHECK(shares());
    m.zero_grad(4);
    CHECK_FALSE(shares());
  }
  auto const image = pleat::run::file_image(trained);
  auto copy = build(w) | compress::quantize_aware<int8>{};
  pleat::run::load(copy, pleat::io::safetensors_file(image, "memory"));
  CHECK((pleat::run::file_image(copy) == image));
  CHECK(answers(copy, test) == answers(trained, test));
}

TEST_CASE(
    "training with codes is interrupted and resumed: the same bytes as without, under either rule; the best epoch has "
    "its own steps") {
  auto w = alone();
  auto const train = data(64), judge = data(32);
  for (auto const rule : {compress::step_rule::learned, compress::step_rule::largest}) {
    bool const learns = rule == compress::step_rule::largest;  // scales of inputs, whatever moves those of weights
    for (bool const best : {false, true}) {
      pleat_test::scratch_folder const f;
      auto options = quiet(4);
      options.optimizer = pleat::nn::adamw{.learning_rate = 0.02};
      if (best) options.validation = &judge, options.keep_best = true;
      auto const run_with = [&](auto const& o, index_t samples = 20) {
        compress::quantize_aware<int8> t{.train = compress::fine_tune(train, o), .steps = rule, .step_rate = 1e-2};
        if (best) t.activations = compress::static_activations{.data = compress::calibration(train, samples)};
        if (best && learns) t.inputs = compress::input_rule::learned;
        return pleat::run::file_image(build(w) | (compress::prune{.sparsity = 0.3} | t));
      };
      auto const whole = run_with(options);
      auto stopped = options;
      stopped.checkpoint = f / "c";
      stopped.checkpoint_steps = 3;  // within epochs of four steps
      stopped.on_event = [](pleat::run::event const& e) {
        if (e.what == pleat::run::event::kind::step && e.step == 10) throw pleat::error{"test", "stopped here", ""};
      };
      CHECK_THROWS_WITH(run_with(stopped), ContainsSubstring("stopped here"));
      stopped.on_event = {};
      stopped.resume = true;
      index_t first = 0;
      stopped.on_event = [&](pleat::run::event const& e) {
        if (first == 0 && e.what == pleat::run::event::kind::step) first = e.step;
      };
      if (best && !learns)  // other samples are other scales, and other products than those trained with
        CHECK_THROWS_WITH(run_with(stopped, 3),
                          ContainsSubstring("inputs that were rounded by other scales than here"));
      // learned ones come with the checkpoint, wherever they begin
      CHECK((run_with(stopped, learns ? 3 : 20) == whole));
      CHECK(first == 10);
    }
  }
}

TEST_CASE("the best epoch's weights come with the best epoch's steps") {
  auto w = alone();
  auto const train = data(64), judge = data(48);
  std::vector<double> errors;
  auto options = quiet(5);
  options.optimizer = pleat::nn::adamw{.learning_rate = 0.05};
  options.validation = &judge;
  options.keep_best = true;
  options.on_event = [&](pleat::run::event const& e) {
    if (e.validation_error) errors.push_back(*e.validation_error);
  };
  auto const kept =
      build(w) | compress::quantize_aware<int8>{.train = compress::fine_tune(train, options), .step_rate = 0.1};
  REQUIRE(errors.size() == 5);
  CHECK(pleat::run::evaluate(kept, judge).error() == *std::min_element(errors.begin(), errors.end()));
}

TEST_CASE("steps are learned: the loss falls though no weight moves, and not where the largest magnitude decides") {
  auto w = alone();
  auto const train = data(256);
  auto model = wide(w);
  (void)pleat::run::fit(model, train, quiet(6));
  for (auto const rule : {compress::step_rule::learned, compress::step_rule::largest}) {
    std::vector<double> losses;
    auto still = quiet(6);
    still.optimizer = pleat::nn::sgd{.learning_rate = 0};
    still.on_event = [&](pleat::run::event const& e) {
      if (e.what == pleat::run::event::kind::epoch) losses.push_back(e.loss);
    };
    compress::quantize_aware<int4> const begin{.steps = rule, .step_rate = 1e-2, .ignore = {"fc1.*"}};
    auto learning = begin;
    learning.train = compress::fine_tune(train, still);
    auto const a = values_of(model | begin), b = values_of(model | learning);
    bool const learned = rule == compress::step_rule::learned;
    REQUIRE(losses.size() == 6);
    CAPTURE(losses);
    if (learned) CHECK(losses.back() < losses.front());
    else  // an epoch's mean adds batches of other samples: 16 losses of at least 0, added in floats, in both epochs
      for (double const l : losses) CHECK(std::abs(l - losses[0]) <= 2 * 16 * 0x1p-24 * losses[0]);
    for (std::size_t p = 0; p < a.size(); ++p)
      CHECK((a[p].values != b[p].values) == (learned && a[p].form == "fake_quantized"));
  }
}

TEST_CASE("scales of inputs are learned: the loss falls though nothing else moves, and not where they were observed") {
  auto w = alone();
  auto const train = data(256);
  auto model = build(w);
  auto taught = quiet(6);
  taught.optimizer = pleat::nn::adamw{.learning_rate = 0.02};
  (void)pleat::run::fit(model, train, taught);
  for (auto const rule : {compress::input_rule::learned, compress::input_rule::observed}) {
    // planted: all inputs beyond a sixth of the largest are cut
    auto begun = model | compress::quantize_aware<int8>{
                             .steps = compress::step_rule::largest,
                             .activations = compress::static_activations{.data = compress::calibration(train)}};
    begun.net().for_each_parameter([&](auto& p) {
      using fake = pleat::codec::fake_quantized<float>;
      if constexpr (std::remove_cvref_t<decltype(p)>::forms::template contains<fake>) {
        if (p.form_name() != fake::name) return;
        auto& s = p.storage_of(pleat::codec::form_tag<fake>{});
        fake::set_input_range(s, s.input_scale * 127 / 6);
        if (rule == compress::input_rule::learned) fake::learn_inputs(s);
      }
    });
    std::vector<double> losses;
    auto still = quiet(6);
    still.optimizer = pleat::nn::sgd{.learning_rate = 0};
    still.on_event = [&](pleat::run::event const& e) {
      if (e.what == pleat::run::event::kind::epoch) losses.push_back(e.loss);
    };
    auto const after = begun | compress::quantize_aware<int8>{.train = compress::fine_tune(train, still),
                                                              .steps = compress::step_rule::largest,
                                                              .step_rate = 1e-2};
    REQUIRE(losses.size() == 6);
    CAPTURE(losses);
    // docs/quantization.md: from 0.129 to 0.072; a learner that is slower than that by far is a broken one
    if (rule == compress::input_rule::learned) CHECK(losses.back() < 0.8 * losses.front());
    else  // an epoch's mean adds batches of other samples: 16 losses of at least 0, added in floats, in both epochs
      for (double const l : losses) CHECK(std::abs(l - losses[0]) <= 2 * 16 * 0x1p-24 * losses[0]);
    CHECK((input_scales(after) == input_scales(begun)) == (rule == compress::input_rule::observed));
    CHECK(values_of(after)[0].values == values_of(begun)[0].values);
  }
}

TEST_CASE("scales of a training before are learned on without samples: each from where it is") {
  auto w = alone();
  auto const train = data(64);
  compress::static_activations const seen{.data = compress::calibration(train)};
  auto const observed =
      build(w) | compress::quantize_aware<int8>{.train = compress::fine_tune(train, quiet(1)), .activations = seen};
  compress::quantize_aware<int8> learn{.inputs = compress::input_rule::learned};
  CHECK(input_scales(observed | learn) == input_scales(observed));
  learn.train = compress::fine_tune(train, quiet(1));
  auto const refined = observed | learn;
  auto const on = refined | learn;
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(input_scales(refined)[i] != input_scales(observed)[i]);
    CHECK(input_scales(on)[i] != input_scales(refined)[i]);
  }
  pleat::nn::for_each_parameter(on.net(), [&](auto const& p) {  // what is known of the past goes on, too
    if (auto const* s = p.input_step()) CHECK(s->at(pleat::codec::learned_steps::moves, 0) == 8);
  });
  // some have a scale, some have not
  std::string said;
  auto const some = build(w) | compress::quantize_aware<int8>{.activations = seen, .ignore = {"fc2.*"}};
  auto const mixed = some | compress::quantize_aware<int8>{.inputs = compress::input_rule::learned,
                                                           .on_note = [&](std::string_view line) { said += line; }};
  CHECK_THAT(said, ContainsSubstring("the inputs of 'fc2.weight' stay floats: they have no scale from a training"));
  CHECK(input_scales(mixed) == std::vector<float>{input_scales(some)[0], 0, input_scales(some)[1]});
}

TEST_CASE("a steady state allocates nothing: steps of weights and scales of inputs are learned") {
  auto const train = data(16);
  for (mesh const& l : {mesh{1, 1}, {2, 1}, {1, 2}}) {
    CAPTURE(l.data, l.tensor);
    std::string found;
    pleat::comm::run_local(l.ranks(), [&](pleat::comm::communicator c) {
      pleat::world w(std::move(c), 1);
      w.set_sink({});
      auto m = build_on(w, l) | compress::quantize_aware<int8>{
                                    .activations = compress::static_activations{.data = compress::calibration(train)},
                                    .inputs = compress::input_rule::learned};
      pleat::nn::optimizer_state<float, Kokkos::DefaultExecutionSpace> optimizer(m.context(), m.arena(),
                                                                                 pleat::nn::sgd{});
      compress::step_learner learner(1e-2);
      auto const before_steps = input_scales(m);
      pleat::run::batch_loader<float, Kokkos::DefaultExecutionSpace> loader(train);
      m.zero_grad(16);
      std::vector<index_t> mine;
      for (auto const& micro : m.share().micro_batches())
        for (index_t i = micro.rows.begin; i < micro.rows.end; ++i) mine.push_back(i);
      auto const batch = loader.load(m.context(), mine);
      auto const step = [&] {
        m.zero_grad(16);
        auto out = m.forward(batch.x);
        m.backward(out.saved, m.cross_entropy(out.y, batch.labels).dy);
        m.reduce();
        learner(m);
        m.step(optimizer);
      };
      auto const steps = [&] {
        w.comm.barrier();
        for (int i = 0; i < 4; ++i) step();
        w.comm.barrier();
      };
      for (int i = 0; i < 3; ++i) step();
      auto const before = m.context().pool().statistics().allocations,
                 host_before = m.context().host_pool().statistics().allocations;
      // one after the other: a tool that listens makes Kokkos put names together
      if (w.comm.rank() == 0) {
        // how much is under way at once depends on time: what steps take every time shows in each window
        long heap = pleat_test::allocations_in(steps);
        for (int i = 1; i < 4; ++i) heap = std::min(heap, pleat_test::allocations_in(steps));
        if (heap) found += std::to_string(heap) + " times from the heap; ";
        pleat_test::view_counter const views;
        steps();
        if (views.count() != 0) found += std::to_string(views.count()) + " Views; ";
        if (input_scales(m) == before_steps) found += "no scale moved; ";
      } else {
        for (int i = 0; i < 5; ++i) steps();
      }
      if (w.comm.rank() == 0 && (m.context().pool().statistics().allocations != before ||
                                 m.context().host_pool().statistics().allocations != host_before))
        found += "blocks of the pools; ";
    });
    CHECK(found == "");
  }
}

TEST_CASE("trained with codes of 4 bits, the loss falls below that of rounding after the same training") {
  auto w = alone();
  auto const train = data(256);
  auto model = wide(w);
  (void)pleat::run::fit(model, train, quiet(6));
  auto const rounded = model | (compress::fine_tune(train, quiet(6)) | compress::quantize<int4>{.ignore = {"fc1.*"}});
  auto const aware =
      model | (compress::quantize_aware<int4>{.train = compress::fine_tune(train, quiet(6)), .ignore = {"fc1.*"}} |
               compress::quantize<int4>{.ignore = {"fc1.*"}});
  // Distance between a model's answers and the labels: the mean of 1 − (own score − best other), clipped, over the
  // samples.
  auto const hinge = [&](auto const& m) {
    auto const h = answers(m, train);
    double sum = 0;
    for (std::size_t i = 0; i < 256; ++i) {
      auto const label = static_cast<std::size_t>(train.labels[i]);
      float other = -1e9f;
      for (std::size_t k = 0; k < 4; ++k)
        if (k != label) other = std::max(other, h[4 * i + k]);
      sum += std::max(0.0, 4.0 - (static_cast<double>(h[4 * i + label]) - static_cast<double>(other)));
    }
    return sum / 256;
  };
  CHECK(hinge(aware) < hinge(rounded));
}

TEST_CASE("the same bytes on any number of ranks") {
  auto const train = data(64);
  std::vector<std::byte> one, rounded;
  for (int const ranks : {1, 2, 3, 4}) {
    std::vector<std::vector<std::byte>> images(static_cast<std::size_t>(ranks));
    pleat::comm::run_local(ranks, [&](pleat::comm::communicator c) {
      auto const rank = static_cast<std::size_t>(c.rank());
      pleat::world w(std::move(c), 1);
      auto const trained =
          wide(w) | compress::quantize_aware<int4>{.train = compress::fine_tune(train, quiet(2)), .ignore = {"fc1.*"}};
      images[rank] = pleat::run::file_image(trained);
    });
    if (ranks == 1) one = images[0];
    for (auto const& image : images) CHECK((image == one));
    pleat::comm::run_local(ranks, [&](pleat::comm::communicator c) {
      auto const rank = static_cast<std::size_t>(c.rank());
      pleat::world w(std::move(c), 1);
      images[rank] = pleat::run::file_image(
          build(w) | compress::quantize_aware<int8>{
                         .train = compress::fine_tune(train, quiet(2)),
                         .activations = compress::static_activations{.data = compress::calibration(train, 37)},
                         .inputs = compress::input_rule::learned});
    });
    if (ranks == 1) rounded = images[0];
    for (auto const& image : images) CHECK((image == rounded));
  }
}

TEST_CASE("masks survive: what was pruned is zero through training with codes and after") {
  auto w = alone();
  auto const train = data(64);
  auto const small = build(w) | (compress::prune{.sparsity = 0.8} |
                                 compress::quantize_aware<int8>{.train = compress::fine_tune(train, quiet(2))} |
                                 compress::quantize<int8>{});
  auto const pruned = values_of(build(w) | compress::prune{.sparsity = 0.8}), after = values_of(small);
  for (std::size_t p = 0; p < pruned.size(); ++p)
    for (std::size_t i = 0; i < pruned[p].values.size(); ++i)
      if (is_weight(pruned[p]) && pruned[p].values[i] == 0) REQUIRE(after[p].values[i] == 0);
  CHECK(after[0].form == "int8");
}

TEST_CASE("what was pruned says nothing of the steps: at 4 bits no survivor is clipped at the start") {
  auto w = alone();
  auto const pruned = wide(w) | compress::prune{.sparsity = 0.9, .scope = compress::scope::layer};
  auto const coded =
      pruned | (compress::quantize_aware<int4>{.misfit = compress::misfit::ignore, .on_note = [](auto) {}} |
                compress::quantize<int4>{.misfit = compress::misfit::ignore, .on_note = [](auto) {}});
  auto const before = values_of(pruned), after = values_of(coded);
  int groups = 0;
  for (std::size_t p = 0; p < before.size(); ++p) {
    if (after[p].form != int4::name) continue;
    for (std::size_t at = 0; at < before[p].values.size(); at += 32) {
      double sum = 0;
      int alive = 0;
      for (std::size_t j = at; j < at + 32; ++j)
        sum += std::fabs(static_cast<double>(before[p].values[j])), alive += before[p].values[j] != 0;
      if (alive == 0) continue;
      ++groups;
      // survivors lie within 5 means, where 7 steps of 2·mean/√7 end: each is rounded by half a step, kept as a 16-bit
      // float (2^-11)
      double const half_step = sum / alive / std::sqrt(7.0);
      for (std::size_t j = at; j < at + 32; ++j) {
        double const value = static_cast<double>(before[p].values[j]);
        REQUIRE(std::fabs(value) < 5 * sum / alive);
        CHECK(std::fabs(static_cast<double>(after[p].values[j]) - value) <= half_step * (1 + 0x1p-9));
      }
    }
  }
  CHECK(groups > 0);
}

TEST_CASE("a layer of zeros learns: its steps do not begin at zero") {
  auto w = alone();
  auto const train = data(64);
  auto model = build(w);
  set_values(model, "fc2.weight", std::vector<float>(192, 0.0f));
  auto const after = values_of(model | (compress::quantize_aware<int8>{.train = compress::fine_tune(train, quiet(5))} |
                                        compress::quantize<int8>{}));
  REQUIRE(after[2].name == "fc2.weight");
  CHECK(std::any_of(after[2].values.begin(), after[2].values.end(), [](float v) { return v != 0; }));
}

TEST_CASE("a trained model with fake-quantized weights is saved and loaded as it is") {
  auto w = alone();
  auto const train = data(32);
  auto const trained = build(w) | compress::quantize_aware<int8>{.train = compress::fine_tune(train, quiet(1))};
  auto copy = build(w) | compress::quantize_aware<int8>{};
  auto const image = pleat::run::file_image(trained);
  pleat::run::load(copy, pleat::io::safetensors_file(image, "memory"));
  CHECK((pleat::run::file_image(copy) == image));
  CHECK(values_of(copy)[0].values == values_of(trained)[0].values);
}

TEST_CASE("bad input: groups that do not divide, NaN by name, a rate that is none") {
  auto w = alone();
  auto model = wide(w);
  auto const train = data(8);
  std::string said;
  CHECK_THROWS_MATCHES(model | compress::quantize_aware<int4>{}, pleat::error,
                       MessageMatches(ContainsSubstring(
                           "compress::quantize_aware: 'fc1.weight': its 20 columns are no multiple of 32")));
  auto const left = model | compress::quantize_aware<int4>{.misfit = compress::misfit::ignore,
                                                           .on_note = [&](std::string_view line) { said += line; }};
  CHECK_THAT(said, ContainsSubstring("compress::quantize_aware left 'fc1.weight' (20 columns"));
  CHECK(values_of(left)[0].form == "dense");
  CHECK_THROWS_MATCHES((model | compress::quantize_aware<int8>{.activations = compress::static_activations{}}),
                       pleat::error,
                       MessageMatches(ContainsSubstring("compress::quantize_aware: the calibration set is empty")));
  CHECK_THROWS_MATCHES(
      (model |
       compress::quantize_aware<int4>{.activations = compress::static_activations{.data = compress::calibration(train)},
                                      .misfit = compress::misfit::ignore}),
      pleat::error, MessageMatches(ContainsSubstring("the codes are those of 'int4_g32'")));
  CHECK_THROWS_MATCHES((model | compress::quantize_aware<int8>{.inputs = compress::input_rule::learned}), pleat::error,
                       MessageMatches(ContainsSubstring("inputs stay floats: .activations holds no data")));
  CHECK_THROWS_MATCHES((model | compress::quantize_aware<int8>{.step_rate = 0}), pleat::error,
                       MessageMatches(ContainsSubstring("step_rate is the relative change")));
  auto const codes = build(w) | compress::quantize_aware<int8>{};
  CHECK_THROWS_MATCHES((model | compress::quantize_aware<int8>{} |
                        compress::quantize<int4>{.misfit = compress::misfit::ignore, .on_note = [](auto) {}}),
                       pleat::error,
                       MessageMatches(ContainsSubstring("compress::quantize: 'fc2.weight': it was trained with codes "
                                                        "from -127 to 127, a step for every row (quantize_aware), and "
                                                        "'int4_g32' would put others in their place")));
  CHECK_THROWS_MATCHES((codes | compress::gptq<int8>{.data = compress::calibration(train)}), pleat::error,
                       MessageMatches(ContainsSubstring("compress::gptq: 'fc1.weight': it was trained with codes")));
  auto values = values_of(model)[2].values;
  values[40] = std::numeric_limits<float>::infinity();
  set_values(model, "fc2.weight", values);
  CHECK_THROWS_MATCHES(model | compress::quantize_aware<int8>{}, pleat::error,
                       MessageMatches(ContainsSubstring("'fc2.weight': ") && ContainsSubstring("row 1, column 8")));
}

}  // namespace
