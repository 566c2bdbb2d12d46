// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compress/quantize.hpp>

#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/parallel/tensor_recipe.hpp>
#include <pleat/compress/fine_tune.hpp>
#include <pleat/compress/pipeline.hpp>
#include <pleat/compress/prune.hpp>
#include <pleat/codec/blocks.hpp>
#include <pleat/codec/codebook.hpp>
#include <pleat/nn/conv2d.hpp>
#include <pleat/nn/flatten.hpp>
#include <pleat/nn/pooling.hpp>
#include <pleat/parallel/place.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <compress/mesh_support.hpp>
#include <compress/nan_support.hpp>

#include <limits>

namespace {

using namespace compress_test;
namespace compress = pleat::compress;
using int8 = pleat::codec::int8<float>;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

TEST_CASE("quantize changes every weight by at most half a step and nothing else") {
  auto w = alone();
  auto const model = build(w);
  auto const small = model | compress::quantize<int8>{};
  auto const before = values_of(model), after = values_of(small);
  for (std::size_t p = 0; p < before.size(); ++p) {
    if (!is_weight(before[p])) {
      CHECK(after[p].values == before[p].values);
      CHECK(after[p].form == "dense");
      continue;
    }
    CHECK(after[p].form == "int8");
    index_t const columns = before[p].shape[1];
    for (index_t r = 0; r < before[p].shape[0]; ++r) {
      float amax = 0;
      for (index_t j = 0; j < columns; ++j)
        amax = std::max(amax, std::abs(before[p].values[static_cast<std::size_t>(r * columns + j)]));
      // Half a step, and the rounding of scale·code to float (at most 127·scale·2⁻²⁴).
      double const bound = amax / 127.0 * (0.5 + 128 * 0x1p-24);
      for (index_t j = 0; j < columns; ++j) {
        auto const i = static_cast<std::size_t>(r * columns + j);
        CHECK(std::abs(static_cast<double>(after[p].values[i]) - before[p].values[i]) <= bound);
      }
    }
  }
  CHECK(small.arena().find("fc1.weight") == -1);  // no float memory is kept for it
  CHECK(small.arena().find("fc1.bias") >= 0);
  CHECK(values_of(model)[0].form == "dense");
}

TEST_CASE("the codes are those of the form's own encoder, whatever the weight's form; the model it was made of stays") {
  auto w = alone();
  for (bool const pruned : {false, true}) {
    auto model = build(w) | compress::prune{.sparsity = pruned ? 0.7 : 0.0};
    auto const image = pleat::run::file_image(model);
    auto const before = values_of(model);
    auto small = model | compress::quantize<int8>{.ignore = {"fc3.*"}};
    std::size_t p = 0, encoded = 0;
    pleat::nn::for_each_parameter(small.any_net(), [&](auto const& q) {
      auto const& from = before[p++];
      if (q.form_name() != "int8") return;
      ++encoded;
      auto& c = small.context();
      auto const values = pleat::tensor<float>::allocate(c, from.shape);
      pleat::copy_from_host(c, from.values.data(), values);
      int8::storage<Kokkos::DefaultExecutionSpace> own;
      int8::encode(c, from.shape, static_cast<float const*>(values.data()), own);
      auto const there = q.to_file(c), here = int8::to_file(c, from.shape, own);
      REQUIRE(there.size() == here.size());
      for (std::size_t i = 0; i < there.size(); ++i)
        CHECK((there[i].suffix == here[i].suffix && there[i].bytes == here[i].bytes));
      CHECK(q.bytes() == int8::bytes(from.shape, own));
    });
    CHECK(encoded == 2);
    set_values(small, "fc3.weight", std::vector<float>(48, 7.0f));  // what stays is in memory of its own
    CHECK((pleat::run::file_image(model) == image));
    std::size_t const padded = small.arena().size();
    for (std::size_t i = 0; i < padded; ++i) {
      bool inside = false;
      for (auto const& e : small.arena().entries())
        inside = inside || (static_cast<index_t>(i) >= e.begin && static_cast<index_t>(i) < e.end);
      if (!inside) REQUIRE(small.arena().values()[i] == 0);
    }
  }
}

TEST_CASE("one step for a whole weight: the largest number of all its rows says it, on any number of ranks") {
  auto w = alone();
  compress::quantize<int8> const coarse{.scales = compress::per::tensor};
  auto const model = build(w);
  auto const whole = model | coarse;
  auto const before = values_of(model), after = values_of(whole);
  for (std::size_t p = 0; p < before.size(); ++p) {
    if (!is_weight(before[p])) continue;
    float amax = 0;
    for (float const v : before[p].values) amax = std::max(amax, std::abs(v));
    float const step = amax / 127;
    bool finer = false;  // than half a step of the whole: what a row's own step would do
    for (std::size_t i = 0; i < before[p].values.size(); ++i) {
      float const code = std::nearbyint(before[p].values[i] / step);
      // The code is the nearest one, but for numbers that lie half way within the rounding of the division.
      if (after[p].values[i] != code * step)
        CHECK(std::abs(std::abs(before[p].values[i] / step - code) - 0.5f) <= 128 * 0x1p-23f);
      finer = finer || std::abs(before[p].values[i] - after[p].values[i]) > 0.49f * step;
    }
    CHECK(finer);
  }
  for (bool const rows : {true, false}) {
    std::vector<std::string> wrong(3);
    pleat::comm::run_local(3, [&](pleat::comm::communicator c) {
      auto const rank = static_cast<std::size_t>(c.rank());
      pleat::world self(pleat::comm::communicator(pleat::comm::self{}), 1), ranks(std::move(c), 1);
      ranks.set_sink({});
      namespace par = pleat::parallel;
      auto const dense = par::build(network(), pleat::plan::plan{.global_batch = 16}, self, {.seed = 3});
      auto const encoded = dense | coarse;
      auto const onto = [&](auto const& m) {
        auto const rules = par::tensor_parallel(m.net(), rows ? std::vector<par::placement_rule>{par::column("fc*")}
                                                              : std::vector<par::placement_rule>{par::row("fc*")});
        return par::place(m, rules, {.global_batch = 16, .tensor_ranks = 3}, ranks);
      };
      auto const cut = onto(dense);
      auto const a = values_of(cut | coarse), b = values_of(onto(encoded));
      for (std::size_t p = 0; p < a.size(); ++p)
        if (a[p].values != b[p].values || a[p].form != b[p].form) wrong[rank] += a[p].name + " ";
    });
    for (auto const& text : wrong) CHECK(text == "");
  }
}

TEST_CASE("what was pruned stays exactly zero through quantization, and stages or one pipeline give the same bytes") {
  auto w = alone();
  auto const model = build(w);
  auto const train = data(48);
  auto const staged =
      model | compress::prune{.sparsity = 0.9} | compress::fine_tune(train, quiet(1)) | compress::quantize<int8>{};
  auto const fused =
      model | (compress::prune{.sparsity = 0.9} | compress::fine_tune(train, quiet(1)) | compress::quantize<int8>{});
  static_assert(std::is_same_v<decltype(staged), decltype(fused)>);
  CHECK((pleat::run::file_image(staged) == pleat::run::file_image(fused)));
  auto const pruned = values_of(model | compress::prune{.sparsity = 0.9}), after = values_of(staged);
  for (std::size_t p = 0; p < pruned.size(); ++p)
    for (std::size_t i = 0; i < pruned[p].values.size(); ++i)
      if (is_weight(pruned[p]) && pruned[p].values[i] == 0) REQUIRE(after[p].values[i] == 0);
  CHECK(weight_zeros(staged) >= std::llround(0.9 * weights));
}

/// A pooling that no convolution does while it stores.
struct lone_pool : pleat::nn::max_pool2d<> {
  using max_pool2d::max_pool2d;
  [[nodiscard]] bool halves() const noexcept { return false; }
};
template <class Pool> auto pooled_network(pleat::world& w) {
  namespace nn = pleat::nn;
  return pleat::parallel::build(nn::sequential(nn::conv2d("conv", 1, 6, 3, {.padding = 1}), nn::relu(), Pool(2),
                                               nn::flatten(), nn::linear("fc", 24, 4)),
                                pleat::plan::plan{.global_batch = 16}, w, {.seed = 5});
}

TEST_CASE("int8 answers have the same bits, whether the convolution pools while it stores or not") {
  auto w = alone();
  auto const fused = pooled_network<pleat::nn::max_pool2d<>>(w) | compress::quantize<int8>{};
  auto const apart = pooled_network<lone_pool>(w) | compress::quantize<int8>{};
  auto const test = data(19);
  pleat::run::batch_loader<float, Kokkos::DefaultExecutionSpace> loader(test);
  std::vector<index_t> all(static_cast<std::size_t>(test.size));
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<index_t>(i);
  auto const answers = [&](auto const& model) {
    auto const y = model.predict(loader.load(model.context(), all).x);
    std::vector<float> h(static_cast<std::size_t>(y.size()));
    pleat::copy_to_host(model.context(), y, h.data());
    return h;
  };
  CHECK(answers(fused) == answers(apart));
  // And the first did: where this machine has the kernel, and never while training.
  pleat::nn::pass<Kokkos::DefaultExecutionSpace> p;
  p.where = &fused.context();
  auto const x = loader.load(fused.context(), all).x;
  auto const& conv = fused.net().template layer<0>();
  CHECK((conv.forward_pooled(p, x, pleat::compute::activation::relu).shape() == extents{19, 6, 2, 2}) ==
        pleat::compute::detail::has_int8_conv_tiles());
  p.training = true;
  CHECK(conv.forward_pooled(p, x, pleat::compute::activation::relu).rank() == 0);
}

TEST_CASE("ignored weights keep their form, and the model still answers") {
  auto w = alone();
  auto const model = build(w);
  auto const small = model | compress::quantize<int8>{.ignore = {"fc3.*"}};
  CHECK(values_of(small)[4].form == "dense");
  CHECK(values_of(small)[4].values == values_of(model)[4].values);
  auto const test = data(32);
  CHECK(pleat::run::evaluate(small, test).samples == 32);
  CHECK_THROWS_MATCHES((model | compress::quantize<int8>{.ignore = {"*"}}), pleat::error,
                       MessageMatches(ContainsSubstring("no weight is left")));
}

TEST_CASE("fine-tuning goes on around frozen int8 weights") {
  auto w = alone();
  auto const train = data(64);
  auto const small = build(w) | compress::quantize<int8>{};
  auto const tuned = small | compress::fine_tune(train, quiet(2));
  auto const before = values_of(small), after = values_of(tuned);
  for (std::size_t p = 0; p < before.size(); ++p)
    if (is_weight(before[p])) CHECK(after[p].values == before[p].values);
    else CHECK(after[p].values != before[p].values);
}

TEST_CASE("NaN is refused by the parameter's name, whatever the observer") {
  auto w = alone();
  auto model = build(w);
  auto values = values_of(model)[2].values;
  values[17] = std::numeric_limits<float>::quiet_NaN();
  set_values(model, "fc2.weight", values);
  CHECK_THROWS_MATCHES(model | compress::quantize<int8>{}, pleat::error,
                       MessageMatches(ContainsSubstring("'fc2.weight': ") && ContainsSubstring("row 1, column 1")));
  CHECK_THROWS_MATCHES((model | compress::quantize<int8>{.observer = compress::percentile{99}}), pleat::error,
                       MessageMatches(ContainsSubstring("'fc2.weight': ")));
}

TEST_CASE("the percentile observer clips outliers and refines the rest") {
  auto w = alone();
  auto model = build(w);
  auto values = values_of(model)[0].values;  // 16 rows of 20
  values[3] = 50;
  set_values(model, "fc1.weight", values);
  auto const fine = values_of(model | compress::quantize<int8>{.observer = compress::percentile{95}})[0].values;
  auto const coarse = values_of(model | compress::quantize<int8>{})[0].values;
  CHECK(coarse[3] == 50);
  CHECK(fine[3] < 1);
  double fine_error = 0, coarse_error = 0;
  for (std::size_t i = 0; i < 20; ++i)
    if (i != 3) fine_error += std::abs(fine[i] - values[i]), coarse_error += std::abs(coarse[i] - values[i]);
  CHECK(fine_error < coarse_error / 10);
}

/// Widths that blocks of 32 divide, and a last layer that they do not.
auto wide_network() {
  return pleat::nn::sequential(pleat::nn::linear("fc1", 32, 64), pleat::nn::relu(), pleat::nn::linear("fc2", 64, 20),
                               pleat::nn::relu(), pleat::nn::linear("fc3", 20, 4));
}
auto wide_model(pleat::world& w) {
  return pleat::parallel::build(wide_network(), pleat::plan::plan{.global_batch = 16}, w, {.seed = 3});
}

TEST_CASE("forms by name, and what blocks do not divide: refused, the next form, or left alone") {
  using q4 = pleat::codec::q4_0<float>;
  using q8 = pleat::codec::q8_0<float>;
  using mixed = compress::quantize<q4, q8, int8>;
  auto w = alone();
  CHECK_THROWS_MATCHES((wide_model(w) | compress::quantize<pleat::codec::q8_0<float>>{.scales = compress::per::tensor,
                                                                                      .ignore = {"fc3.*"}}),
                       pleat::error, MessageMatches(ContainsSubstring("has steps of its own")));
  auto const model = wide_model(w);
  std::string said;
  compress::listener const note = [&](std::string_view line) { said += line; };
  auto const next =
      values_of(model | mixed{.forms = {{"fc2.*", "q8_0"}}, .misfit = compress::misfit::next, .on_note = note});
  CHECK((next[0].form == "q4_0" && next[2].form == "q8_0" && next[4].form == "int8"));
  CHECK_THAT(said, ContainsSubstring(
                       "'fc3.weight' is stored as 'int8': its 20 columns are no multiple of 32, the block of 'q4_0'"));
  said.clear();
  auto const left = values_of(model | mixed{.misfit = compress::misfit::ignore, .on_note = note});
  CHECK((left[0].form == "q4_0" && left[2].form == "q4_0" && left[4].form == "dense"));
  CHECK_THAT(
      said, ContainsSubstring("left 'fc3.weight' (20 columns are no multiple of 32") && ContainsSubstring("as it was"));
  CHECK_THROWS_MATCHES(model | mixed{}, pleat::error,
                       MessageMatches(ContainsSubstring("'fc3.weight': its 20 columns are no multiple of 32") &&
                                      ContainsSubstring("misfit::next")));
  CHECK_THROWS_MATCHES(
      (model | mixed{.forms = {{"fc1.*", "q8_1"}}}), pleat::error,
      MessageMatches(ContainsSubstring("there is no form 'q8_1'") && ContainsSubstring("Did you mean 'q8_0'?")));
  said.clear();
  auto const edges =
      values_of(model | compress::quantize<int8>{.first_layer = false, .last_layer = false, .on_note = note});
  CHECK((edges[0].form == "dense" && edges[2].form == "int8" && edges[4].form == "dense"));
  CHECK_THAT(said, ContainsSubstring("'fc1.weight' (the first layer), 'fc3.weight' (the last layer)"));
}

TEST_CASE("an all-zero weight and a constant one are stored exactly") {
  auto w = alone();
  auto model = build(w);
  set_values(model, "fc1.weight", std::vector<float>(320, 0.0f));
  set_values(model, "fc2.weight", std::vector<float>(192, 0.5f));
  for (compress::observer const& o :
       {compress::observer{compress::min_max{}}, compress::observer{compress::percentile{99}}}) {
    auto const after = values_of(model | compress::quantize<int8>{.observer = o});
    CHECK(after[0].values == std::vector<float>(320, 0.0f));
    // 127·(0.5/127): two roundings of at most 2⁻²⁵ each
    for (float const x : after[2].values) CHECK(std::abs(x - 0.5f) <= 0x1p-24f);
  }
}

TEST_CASE("static activations: the range that the observer saw, the same bits on any number of ranks, in the file") {
  auto const train = data(48);
  for (compress::observer const& o :
       {compress::observer{compress::min_max{}}, compress::observer{compress::percentile{99}},
        compress::observer{compress::mean_square{}}, compress::observer{compress::kl_divergence{}}}) {
    std::vector<std::byte> one;
    for (int const ranks : {1, 2, 3, 4}) {
      std::vector<std::vector<std::byte>> images(static_cast<std::size_t>(ranks));
      pleat::comm::run_local(ranks, [&](pleat::comm::communicator c) {
        auto const rank = static_cast<std::size_t>(c.rank());
        pleat::world w(std::move(c), 1);
        auto const model = build(w);
        images[rank] = pleat::run::file_image(
            model | compress::quantize<int8>{.activations = compress::static_activations{
                                                 .data = compress::calibration(train, 37), .observer = o, .batch = 5}});
      });
      if (ranks == 1) one = images[0];
      for (auto const& image : images) CHECK((image == one));
    }
  }
  auto w = alone();
  auto const model = build(w);
  auto const fixed = model | compress::quantize<int8>{
                                 .activations = compress::static_activations{.data = compress::calibration(train)}};
  auto const scales = input_scales(fixed);
  REQUIRE(scales.size() == 3);
  float largest = 0;
  for (auto const b : train.pixels)
    largest = std::max(largest, std::abs((static_cast<float>(b) - train.mean) * train.scale));
  CHECK(scales[0] == largest / 127.0f);
  CHECK(scales[1] > 0);
  auto const image = pleat::run::file_image(fixed);
  auto copy = model | compress::quantize<int8>{};
  CHECK(input_scales(copy) == std::vector<float>{0, 0, 0});
  pleat::io::safetensors_file const file(image, "memory");
  pleat::run::load(copy, file);
  CHECK(input_scales(copy) == scales);
  // and the answers are those of the same scales: bits
  auto const test = data(32);
  CHECK(pleat::run::evaluate(copy, test).confusion == pleat::run::evaluate(fixed, test).confusion);
}

TEST_CASE("bad calibration: empty, NaN in the activations, all zero, forms without static activations") {
  auto w = alone();
  auto model = build(w);
  auto const train = data(8);
  CHECK_THROWS_MATCHES((model | compress::quantize<int8>{.activations = compress::static_activations{}}), pleat::error,
                       MessageMatches(ContainsSubstring("the calibration set is empty")));
  CHECK_THROWS_MATCHES((model | compress::quantize<int8>{.activations =
                                                             compress::static_activations{
                                                                 .data = compress::calibration(train), .batch = 0}}),
                       pleat::error, MessageMatches(ContainsSubstring("batches of 0")));
  auto broken = train;
  broken.mean = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_MATCHES(
      (model |
       compress::quantize<int8>{.activations = compress::static_activations{.data = compress::calibration(broken)}}),
      pleat::error,
      MessageMatches(ContainsSubstring("'fc1.weight'") &&
                     ContainsSubstring("hold NaN or infinity in the calibration set")));
  auto flat = train;
  flat.mean = 0;
  std::fill(flat.pixels.begin(), flat.pixels.end(), std::uint8_t{0});
  std::string said;
  auto const small =
      model | compress::quantize<int8>{.activations = compress::static_activations{.data = compress::calibration(flat)},
                                       .on_note = [&](std::string_view line) { said += line; }};
  CHECK_THAT(said, ContainsSubstring("the inputs of 'fc1.weight' are all zero in the calibration set"));
  CHECK(input_scales(small)[0] == 0);
  CHECK(input_scales(small)[1] > 0);
  auto const blocks = wide_model(w);
  CHECK_THROWS_MATCHES(
      (blocks |
       compress::quantize<pleat::codec::q8_0<float>>{
           .activations = compress::static_activations{.data = compress::calibration(train)}, .ignore = {"fc3.*"}}),
      pleat::error, MessageMatches(ContainsSubstring("static activations are for codec::int8")));
}

TEST_CASE(
    "a model that is cut over the ranks is quantized and calibrated where it is: the codes and scales of the whole") {
  auto const train = data(24);
  auto w1 = alone();
  auto const calibrated =
      compress::quantize<int8>{.activations = compress::static_activations{.data = compress::calibration(train)}};
  auto const whole = build(w1) | compress::quantize<int8>{};
  auto const scales = input_scales(build(w1) | calibrated);
  for (int const ranks : {2, 3, 4}) {
    std::vector<std::string> wrong(static_cast<std::size_t>(ranks));
    pleat::comm::run_local(ranks, [&](pleat::comm::communicator c) {
      auto const rank = static_cast<std::size_t>(c.rank());
      pleat::world self(pleat::comm::communicator(pleat::comm::self{}), 1), w(std::move(c), 1);
      w.set_sink({});
      namespace par = pleat::parallel;
      auto const dense = par::build(network(), pleat::plan::plan{.global_batch = 16}, self, {.seed = 3});
      for (bool const rows : {true, false}) {
        auto const cut =
            par::place(dense,
                       par::tensor_parallel(dense.net(), rows ? std::vector<par::placement_rule>{par::column("fc*")}
                                                              : std::vector<par::placement_rule>{par::row("fc*")}),
                       {.global_batch = 16, .tensor_ranks = ranks}, w);
        auto const small = cut | calibrated;
        // By rows nothing else is computed than in the whole; by columns activations have a scale per part while
        // calibrating, so only the first layer sees the same.
        auto const mine = input_scales(small);
        if (rows ? mine != scales : mine[0] != scales[0]) wrong[rank] += "scales ";
        auto const reference =
            par::place(whole,
                       par::tensor_parallel(whole.net(), rows ? std::vector<par::placement_rule>{par::column("fc*")}
                                                              : std::vector<par::placement_rule>{par::row("fc*")}),
                       {.global_batch = 16, .tensor_ranks = ranks}, w);
        auto const a = values_of(small), b = values_of(reference);
        for (std::size_t p = 0; p < a.size(); ++p)
          if (a[p].values != b[p].values || a[p].form != b[p].form) wrong[rank] += a[p].name + " ";
      }
    });
    for (auto const& text : wrong) CHECK(text == "");
  }
}

TEST_CASE("every observer sees in rows that are cut over 2, 3 and 4 ranks what it sees in whole ones: the same bytes") {
  namespace par = pleat::parallel;
  auto w1 = alone();
  // Many small numbers and a few large ones: something to cut off.
  auto const heavy = [](auto m) {
    for (auto& p : values_of(m)) {
      if (!is_weight(p)) continue;
      for (float& v : p.values) v *= v * v * v * v * 100;
      set_values(m, p.name, p.values);
    }
    return m;
  };
  auto const model = heavy(build(w1));
  auto const bytes = [](std::vector<parameter_values> const& all) {
    std::vector<std::vector<float>> weights_only;
    for (auto const& p : all)
      if (is_weight(p)) weights_only.push_back(p.values);
    return weights_only;
  };
  for (compress::observer const& o :
       {compress::observer{compress::percentile{80}},
        compress::observer{compress::mean_square{.max_shrink = 0.3, .grid = 200, .patience = 100}},
        compress::observer{compress::kl_divergence{.first_bin = 64, .most_cut = 0.3}}})
    for (auto const scales : {compress::per::channel, compress::per::tensor}) {
      compress::quantize<int8> const t{.observer = o, .scales = scales};
      auto const whole = model | t;
      // What the observer says matters, or the comparison would be one of largest magnitudes. (Of so few numbers the
      // divergence cuts nothing off, and of a whole weight the mean square does not: observers_test.cpp has long rows.)
      if (o.index() == 1 || (o.index() == 2 && scales == compress::per::channel))
        CHECK((bytes(values_of(whole)) != bytes(values_of(model | compress::quantize<int8>{.scales = scales}))));
      for (int const ranks : {2, 3, 4}) {
        INFO(compress::name_of(o) << ", " << (scales == compress::per::tensor ? "a step a weight, " : "a step a row, ")
                                  << ranks << " ranks");
        std::vector<std::string> wrong(static_cast<std::size_t>(ranks));
        pleat::comm::run_local(ranks, [&](pleat::comm::communicator c) {
          auto const rank = static_cast<std::size_t>(c.rank());
          pleat::world self(pleat::comm::communicator(pleat::comm::self{}), 1), w(std::move(c), 1);
          w.set_sink({});
          auto const dense = heavy(par::build(network(), pleat::plan::plan{.global_batch = 16}, self, {.seed = 3}));
          auto const encoded = dense | t;
          for (bool const rows : {true, false}) {
            auto const onto = [&](auto const& m) {
              auto const rules = par::tensor_parallel(m.net(), {rows ? par::column("fc*") : par::row("fc*")});
              return par::place(m, rules, {.global_batch = 16, .tensor_ranks = ranks}, w);
            };
            auto const a = values_of(onto(dense) | t), b = values_of(onto(encoded));
            for (std::size_t p = 0; p < a.size(); ++p)
              if (a[p].values != b[p].values || a[p].form != b[p].form)
                wrong[rank] += a[p].name + (rows ? " by rows " : " by columns ");
          }
        });
        for (auto const& text : wrong) CHECK(text == "");
      }
    }
}

TEST_CASE("shared values of a cut weight are those of the whole, plain or coded: the same file") {
  using codebook = pleat::codec::codebook<float>;
  for (index_t const rows_per_group : {0, 5})
    for (auto const start : {pleat::codec::centroid_start::linear, pleat::codec::centroid_start::density}) {
      auto const made_on = [&](mesh const& l) {
        return file_over(l, [&](pleat::world& w) {
          auto m = build_on(w, l) | compress::prune{.sparsity = 0.3, .scope = compress::scope::layer};
          return std::move(m) | compress::quantize<codebook>{
                                    .codebook = {.entries = 8, .start = start, .rows_per_group = rows_per_group}};
        });
      };
      auto const reference = made_on({});
      for (mesh const& l : {mesh{1, 2}, {1, 3}, {1, 4}, {2, 2}, {1, 2, 2}, {2, 2, 1, 3}}) {
        CAPTURE(rows_per_group, l.data, l.tensor, l.stages, l.state);
        CHECK((made_on(l) == reference));
      }
    }
  auto const given_on = [](mesh const& l) {  // centroids of one's own
    return file_over(l, [&](pleat::world& w) {
      return build_on(w, l) |
             compress::quantize<codebook>{.codebook = {.entries = 4, .centroids = {-0.2f, 0, 0.125f, 0.25f}}};
    });
  };
  auto const given = given_on({});
  for (mesh const& l : {mesh{1, 2}, {1, 3}}) CHECK((given_on(l) == given));
  check_nan_on_one_part("row 8, column 5 is", "row 0, column 13 is",
                        [](auto& m) { (void)(m | compress::quantize<codebook>{}); });
  using coded = pleat::codec::coded<float>;
  for (pleat::codec::codebook_options const& o :
       {pleat::codec::codebook_options{.entries = 4},                                             // with an index
        pleat::codec::codebook_options{.entries = 8, .rows_per_group = 5, .index_bits = 0},       // a code for each
        pleat::codec::codebook_options{.entries = 8, .rows_per_group = 5, .entropy = false},      // plain bits
        pleat::codec::codebook_options{.entries = 4, .centroids = {-0.2f, 0, 0.125f, 0.25f}}}) {  // one's own
    auto const made_on = [&](mesh const& l) {
      return file_over(l, [&](pleat::world& w) {
        auto m = build_on(w, l) | compress::prune{.sparsity = 0.6, .scope = compress::scope::layer};
        return std::move(m) | compress::quantize<coded>{.codebook = o};
      });
    };
    auto const reference = made_on({});
    for (mesh const& l : {mesh{1, 2}, {1, 3}, {1, 4}, {2, 2}, {2, 2, 2, 3}}) {
      CAPTURE(o.entries, o.rows_per_group, o.index_bits, l.data, l.tensor, l.stages, l.state);
      CHECK((made_on(l) == reference));
    }
  }
  check_nan_on_one_part("row 8, column 5 is", "row 0, column 13 is",
                        [](auto& m) { (void)(m | compress::quantize<coded>{}); });
}

TEST_CASE("rank 0 names the layers of all stages whose inputs are all zero") {
  auto const train = data(24);
  auto const notes = [&](int stages) {
    std::string said;
    pleat::comm::run_local(stages, [&](pleat::comm::communicator c) {
      pleat::world w(std::move(c), 1);
      pleat::plan::plan p;
      p.global_batch = 16;
      p.pipeline_ranks = stages;
      auto m = pleat::parallel::build(network(), p, w, {.seed = 3});
      set_values(m, "fc1.bias", std::vector<float>(16, -1000.0f));  // nothing passes its ReLU
      set_values(m, "fc2.bias", std::vector<float>(12, 0.0f));
      // rank 0 alone is called
      (void)(m |
             compress::quantize<int8>{.activations = compress::static_activations{.data = compress::calibration(train)},
                                      .on_note = [&](std::string_view line) { said += line; }});
    });
    return said;
  };
  auto const one = notes(1);
  CHECK_THAT(one, ContainsSubstring("the inputs of 'fc2.weight', 'fc3.weight' are all zero in the calibration set"));
  CHECK(notes(3) == one);
}

TEST_CASE("a NaN in one part of a weight is told on all parts") {
  check_nan_on_one_part("row 8, column 5 is", "row 0, column 13 is",
                        [](auto& m) { (void)(m | compress::quantize<int8>{}); });
  check_nan_on_one_part("row 8, column 5 is", "row 0, column 13 is",
                        [](auto& m) { (void)(m | compress::quantize<int8>{.observer = compress::percentile{90}}); });
}

TEST_CASE("every stage of a pipeline quantizes its own; a NaN on one stage is told on all") {
  auto const train = data(24);
  auto w1 = alone();
  auto const scales = input_scales(build(w1) | compress::quantize<int8>{.activations = compress::static_activations{
                                                                            .data = compress::calibration(train)}});
  std::vector<std::vector<float>> seen(3);
  std::vector<std::string> said(3);
  pleat::comm::run_local(3, [&](pleat::comm::communicator c) {
    auto const rank = static_cast<std::size_t>(c.rank());
    pleat::world w(std::move(c), 1);
    pleat::plan::plan p;
    p.global_batch = 16;
    p.pipeline_ranks = 3;
    auto model = pleat::parallel::build(network(), p, w, {.seed = 3});
    seen[rank] = input_scales(model | compress::quantize<int8>{.activations = compress::static_activations{
                                                                   .data = compress::calibration(train)}});
    model.net().for_each_parameter([&](auto& x) {
      if (x.name == "fc2.weight" && x.data()) {
        auto bad = std::vector<float>(static_cast<std::size_t>(x.size()), std::numeric_limits<float>::infinity());
        pleat::copy_from_host(model.context(), bad.data(),
                              pleat::tensor<float, Kokkos::DefaultExecutionSpace>::wrap(x.data(), x.shape));
      }
    });
    try {
      (void)(model | compress::quantize<int8>{});
    } catch (pleat::error const& e) {
      said[rank] = e.what();
    }
  });
  std::vector<float> together(3, 0.0f);
  for (auto const& s : seen)
    for (std::size_t i = 0; i < 3; ++i) together[i] += s[i];  // an absent weight has none
  CHECK(together == scales);
  for (auto const& s : said) CHECK_THAT(s, ContainsSubstring("'fc2.weight'"));  // two of them do not hold it
}

}  // namespace
