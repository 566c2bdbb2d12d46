// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compress/sparse_gpt.hpp>

#include <pleat/codec/sparse.hpp>
#include <pleat/compress/pipeline.hpp>
#include <pleat/compress/quantize.hpp>
#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/nn.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <compress/compress_support.hpp>

#include <cmath>
#include <limits>
#include <map>
#include <mutex>
#include <optional>

namespace {

using namespace compress_test;
namespace compress = pleat::compress;
namespace par = pleat::parallel;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

auto trained(pleat::world& w, pleat::io::dataset const& train) {
  auto m = build(w);
  (void)pleat::run::fit(m, train, quiet(4));
  return m;
}

TEST_CASE("better than magnitude in its own norm, on every layer, by share and by pattern") {
  auto w = alone();
  auto const train = data(256);
  auto const model = trained(w, train);
  compress::calibration const set(train, 128);
  double const sparsity = GENERATE(0.0, 0.3, 0.5, 0.8, -1.0);
  std::vector<compress::sparse_gpt_layer> layers;
  compress::sparse_gpt t{.sparsity = std::abs(sparsity) < 1 ? sparsity : 0.5,
                         .samples = set,
                         .block_size = 8,
                         .on_layer = [&](auto const& l) { layers.push_back(l); }};
  if (sparsity < 0) t.pattern = compress::n_of_m{2, 4};
  auto const small = model | t;
  REQUIRE(layers.size() == 3);
  auto const after = values_of(small);
  for (std::size_t l = 0; l < 3; ++l) {
    INFO(layers[l].name << " error " << layers[l].error << " magnitude " << layers[l].magnitude_error);
    if (sparsity == 0) CHECK(layers[l].error == 0);
    else CHECK(layers[l].error < layers[l].magnitude_error);
    CHECK(zeros(after[2 * l].values) ==
          std::llround((sparsity < 0 ? 0.5 : sparsity) * static_cast<double>(after[2 * l].shape.size())));
    CHECK(after[2 * l].form == "masked");
    CHECK(zeros(after[2 * l + 1].values) == 0);
  }
  if (sparsity < 0)
    for (std::size_t l = 0; l < 3; ++l)
      for (std::size_t g = 0; g < after[2 * l].values.size(); g += 4)
        REQUIRE(std::count(after[2 * l].values.begin() + static_cast<std::ptrdiff_t>(g),
                           after[2 * l].values.begin() + static_cast<std::ptrdiff_t>(g) + 4, 0.0f) == 2);
}

TEST_CASE("the error that it states is the error of the outputs") {
  auto w = alone();
  auto const train = data(64);
  auto const model = trained(w, train);
  compress::calibration const set(train, 64);
  compress::sparse_gpt_layer first;
  auto const small =
      model |
      compress::sparse_gpt{.samples = set, .ignore = {"fc2.*", "fc3.*"}, .on_layer = [&](auto const& l) { first = l; }};
  auto const a = values_of(model)[0].values, b = values_of(small)[0].values;
  std::vector<float> x(64 * 20);
  std::vector<index_t> all(64);
  for (index_t i = 0; i < 64; ++i) all[static_cast<std::size_t>(i)] = i;
  train.gather(all, x.data(), nullptr);
  double sum = 0;
  for (std::size_t s = 0; s < 64; ++s)
    for (std::size_t o = 0; o < 16; ++o) {
      double d = 0;
      for (std::size_t i = 0; i < 20; ++i)
        d += (static_cast<double>(a[o * 20 + i]) - static_cast<double>(b[o * 20 + i])) *
             static_cast<double>(x[s * 20 + i]);
      sum += d * d;
    }
  CHECK(std::abs(first.error - sum) <= 1e-5 * sum);  // the walk is in double, the stored weights are rounded to float
}

TEST_CASE("what is pruned stays pruned and counts; where nothing new goes, nothing moves") {
  auto w = alone();
  auto const train = data(256);
  auto const model = trained(w, train);
  compress::calibration const set(train, 128);
  auto const once = model | compress::prune{.sparsity = 0.5, .scope = compress::scope::layer};
  auto const same = values_of(once | compress::sparse_gpt{.sparsity = 0.5, .samples = set}),
             more = values_of(once | compress::sparse_gpt{.sparsity = 0.75, .samples = set});
  auto const a = values_of(once);
  for (std::size_t p = 0; p < a.size(); p += 2) {
    CHECK(same[p].values == a[p].values);
    CHECK(zeros(more[p].values) == a[p].shape.size() / 4 * 3);
    index_t moved = 0;
    for (std::size_t i = 0; i < a[p].values.size(); ++i) {
      if (a[p].values[i] == 0) REQUIRE(more[p].values[i] == 0);
      else moved += more[p].values[i] != 0 && more[p].values[i] != a[p].values[i];
    }
    CHECK(moved > 0);
  }
}

TEST_CASE("SparseGPT gives the same bytes on 1, 2, 3 and 4 ranks") {
  std::vector<std::byte> one;
  for (int const ranks : {1, 2, 3, 4}) {
    std::vector<std::vector<std::byte>> images(static_cast<std::size_t>(ranks));
    pleat::comm::run_local(ranks, [&](pleat::comm::communicator c) {
      auto const rank = static_cast<std::size_t>(c.rank());
      pleat::world w(std::move(c), 1);
      auto const train = data(60);
      images[rank] = pleat::run::file_image(
          build(w) |
          (compress::sparse_gpt{.sparsity = 0.5, .samples = compress::calibration(train, 29), .block_size = 6} |
           compress::sparse_gpt{.samples = compress::calibration(train, 60), .pattern = compress::n_of_m{1, 4}}));
    });
    if (ranks == 1) one = images[0];
    for (auto const& image : images) CHECK((image == one));
  }
}

struct pruned {
  std::vector<compress::sparse_gpt_layer> layers;     ///< in forward order
  std::map<std::string, std::vector<float>> weights;  ///< whole ones
};

/// fc1 cut by rows, fc2 by columns, over so many ranks and stages: half of each weight goes.
pruned over(int tensor, int stages, std::optional<compress::n_of_m> pattern) {
  pruned out;
  std::mutex lock;
  pleat::comm::run_local(tensor * stages, [&](pleat::comm::communicator c) {
    pleat::world w(std::move(c), 1);
    pleat::plan::plan p;
    p.global_batch = 16;
    p.tensor_ranks = tensor;
    p.pipeline_ranks = stages;
    auto const train = data(60);
    auto m = par::build(par::tensor_parallel(network(), {par::column("fc1.*"), par::row("fc2.*")}), p, w, {.seed = 3});
    auto const small = m | compress::sparse_gpt{.sparsity = 0.5,
                                                .samples = compress::calibration(train, 60),
                                                .pattern = pattern,
                                                .on_layer = [&](auto const& l) {
                                                  std::lock_guard const hold(lock);
                                                  if (std::none_of(out.layers.begin(), out.layers.end(),
                                                                   [&](auto const& k) { return k.name == l.name; }))
                                                    out.layers.push_back(l);
                                                }};
    pleat::nn::for_each_parameter(small.net(), [&](auto const& x) {
      if (x.absent || x.shape.rank() < 2 || x.size() == 0) return;
      using Space = typename decltype(m)::execution_space;
      std::vector<float> v(static_cast<std::size_t>(x.size()));
      pleat::copy_to_host(m.context(), pleat::tensor<float, Space>::wrap(x.data(), x.shape), v.data());
      std::lock_guard const hold(lock);
      auto& whole = out.weights[x.name];
      whole.resize(static_cast<std::size_t>(x.whole().size()));
      std::size_t next = 0;
      pleat::codec::detail::for_each_of_part(x.whole(), x.box(),
                                             [&](index_t i) { whole[static_cast<std::size_t>(i)] = v[next++]; });
    });
  });
  std::sort(out.layers.begin(), out.layers.end(), [](auto const& a, auto const& b) { return a.name < b.name; });
  return out;
}

TEST_CASE(
    "weights cut along the tensor axis and on stages are those of one rank, as long as their inputs are; and so are "
    "the errors") {
  std::optional<compress::n_of_m> const pattern =
      GENERATE(std::optional<compress::n_of_m>{}, std::optional<compress::n_of_m>{{2, 4}});
  auto const one = over(1, 1, pattern);
  REQUIRE(one.layers.size() == 3);
  for (auto const& [tensor, stages] : {std::pair{2, 1}, std::pair{4, 1}, std::pair{1, 2}, std::pair{2, 2}}) {
    INFO(tensor << " ranks, " << stages << " stages");
    auto const many = over(tensor, stages, pattern);
    REQUIRE(many.layers.size() == 3);
    for (std::size_t l = 0; l < 3; ++l) {
      auto const &a = many.layers[l], &b = one.layers[l];
      REQUIRE(a.name == b.name);
      // fc1 and fc2 see the same numbers; what fc3 sees is a sum over the ranks, in another order, and it is not cut.
      bool const same = l < 2 || tensor == 1;
      CHECK(zeros(many.weights.at(a.name)) == zeros(one.weights.at(a.name)));
      if (same) CHECK(many.weights.at(a.name) == one.weights.at(a.name));
      double const share = same ? 1e-12 : 1e-4;  // sums of a few hundred doubles; inputs that differ by some 2⁻²⁴
      CHECK(std::abs(a.error - b.error) <= share * b.error);
      CHECK(std::abs(a.magnitude_error - b.magnitude_error) <= share * b.magnitude_error);
    }
  }
}

TEST_CASE("convolutions, with groups too") {
  auto w = alone();
  auto const train = data(64);
  pleat::plan::plan p;
  p.global_batch = 16;
  auto const model =
      par::build(pleat::nn::sequential(pleat::nn::conv2d("c1", 1, 4, 3, {.padding = 1}), pleat::nn::relu(),
                                       pleat::nn::conv2d("c2", 4, 8, 2, {.stride = 2, .groups = 2}), pleat::nn::relu(),
                                       pleat::nn::flatten(), pleat::nn::linear("fc", 8 * 2 * 2, 4)),
                 p, w, {.seed = 4});
  index_t layers = 0;
  auto const small =
      model | compress::sparse_gpt{
                  .sparsity = 0.5, .samples = compress::calibration(train, 64), .on_layer = [&](auto const& l) {
                    ++layers;
                    INFO(l.name);
                    CHECK(l.error < l.magnitude_error);
                  }};
  CHECK(layers == 3);
  for (auto const& v : values_of(small))
    if (v.shape.rank() >= 2) CHECK(zeros(v.values) == v.shape.size() / 2);
}

TEST_CASE("a transformer, from windows of tokens: every layer is better than by magnitude; what is tied stays") {
  auto w = alone();
  namespace nn = pleat::nn;
  auto const block = nn::sequential(
      nn::residual(nn::sequential(nn::layer_norm("n1", 16), nn::linear("qkv", 16, nn::attention_width(4, 4)),
                                  nn::attention("attend", 4, 4), nn::linear("project", 16, 16))),
      nn::residual(
          nn::sequential(nn::layer_norm("n2", 16), nn::linear("fc1", 16, 32), nn::gelu(), nn::linear("fc2", 32, 16))));
  pleat::plan::plan p;
  p.global_batch = 16;
  auto const model =
      par::build(nn::sequential(nn::embedding("tokens", 11, 16, {.positions = 8}), nn::repeat("block", 2, block),
                                nn::layer_norm("norm", 16),
                                nn::linear("output", 16, 11, {.bias = false, .tied_to = "tokens.weight"})),
                 p, w, {.seed = 2});
  pleat::io::token_dataset text;
  text.vocabulary = 11;
  text.context = 8;
  pleat::random::stream const draw(4, 4);
  for (std::uint64_t i = 0; i < 600; ++i) text.tokens.push_back(static_cast<std::uint16_t>(draw.below(i, 11)));
  std::vector<std::string> notes;
  index_t layers = 0;
  auto const small = model | compress::sparse_gpt{.sparsity = 0.5,
                                                  .samples = compress::calibration(text, 64),
                                                  .on_note = [&](std::string_view s) { notes.emplace_back(s); },
                                                  .on_layer =
                                                      [&](auto const& l) {
                                                        ++layers;
                                                        INFO(l.name << " " << l.error << " " << l.magnitude_error);
                                                        CHECK(l.error < l.magnitude_error);
                                                      }};
  CHECK(layers == 8);
  REQUIRE(notes.size() == 1);
  CHECK_THAT(notes[0], ContainsSubstring("'tokens.weight' (its layer has no with_forms)"));
  for (auto const& v : values_of(small))
    if (v.form == "masked") CHECK(zeros(v.values) == v.shape.size() / 2);
}

TEST_CASE("inputs that are constant, zero or fewer than the columns: the dampening answers, and says so") {
  auto w = alone();
  auto flat = data(20);
  // all zero after the mean, or all alike
  std::fill(flat.pixels.begin(), flat.pixels.end(), static_cast<std::uint8_t>(GENERATE(100, 180)));
  auto model = build(w);
  if (flat.pixels[0] == 180) set_values(model, "fc1.weight", std::vector<float>(320, 0.25f));
  std::vector<std::string> notes;
  auto const small = model | compress::sparse_gpt{.samples = compress::calibration(flat, 20),
                                                  .dampening_frac = 0,
                                                  .on_note = [&](std::string_view s) { notes.emplace_back(s); }};
  for (auto const& v : values_of(small)) {
    for (float const x : v.values) REQUIRE(std::isfinite(x));
    if (v.shape.rank() >= 2) CHECK(zeros(v.values) == v.shape.size() / 2);
  }
  if (flat.pixels[0] == 180) {
    REQUIRE(!notes.empty());
    CHECK_THAT(notes[0],
               ContainsSubstring("the inputs of 'fc1.weight' depend on each other: the diagonal was raised by"));
  }
}

TEST_CASE("rank 0 says of all stages where the diagonal was raised") {
  auto flat = data(20);
  std::fill(flat.pixels.begin(), flat.pixels.end(), static_cast<std::uint8_t>(180));
  auto const notes = [&](int stages) {
    std::vector<std::string> said;
    pleat::comm::run_local(stages, [&](pleat::comm::communicator c) {
      pleat::world w(std::move(c), 1);
      pleat::plan::plan p;
      p.global_batch = 16;
      p.pipeline_ranks = stages;
      // rank 0 alone is called
      (void)(par::build(network(), p, w, {.seed = 3}) |
             compress::sparse_gpt{.samples = compress::calibration(flat, 20),
                                  .dampening_frac = 0,
                                  .on_note = [&](std::string_view s) { said.emplace_back(s); }});
    });
    return said;
  };
  auto const one = notes(1);
  REQUIRE(one.size() == 3);
  CHECK_THAT(one[2], ContainsSubstring("the inputs of 'fc3.weight' depend on each other"));
  CHECK(notes(3) == one);
}

TEST_CASE("what it cannot work with is refused in words") {
  auto w = alone();
  auto const train = data(8);
  compress::calibration const set(train, 8);
  auto model = build(w);
  CHECK_THROWS_MATCHES(model | compress::sparse_gpt{}, pleat::error,
                       MessageMatches(ContainsSubstring("the calibration set is empty")));
  CHECK_THROWS_MATCHES((model | compress::sparse_gpt{.sparsity = 1, .samples = set}), pleat::error,
                       MessageMatches(ContainsSubstring("in [0, 1), found")));
  CHECK_THROWS_MATCHES((model | compress::sparse_gpt{.samples = set, .pattern = compress::n_of_m{2, 8}}), pleat::error,
                       MessageMatches(ContainsSubstring("groups of 8 do not divide")));
  CHECK_THROWS_MATCHES((model | compress::sparse_gpt{.samples = set, .block_size = 0}), pleat::error,
                       MessageMatches(ContainsSubstring("block_size must be positive")));
  CHECK_THROWS_MATCHES(
      (model | compress::sparse_gpt{.samples = set, .dampening_frac = std::numeric_limits<double>::infinity()}),
      pleat::error, MessageMatches(ContainsSubstring("dampening_frac must be finite")));
  auto sick = data(8);
  sick.scale = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_MATCHES((model | compress::sparse_gpt{.samples = compress::calibration(sick, 8)}), pleat::error,
                       MessageMatches(ContainsSubstring("the inputs of 'fc1.weight' hold NaN or infinity")));
  auto v = values_of(model)[2].values;
  v[3] = std::numeric_limits<float>::infinity();
  set_values(model, "fc2.weight", v);
  CHECK_THROWS_MATCHES((model | compress::sparse_gpt{.samples = set}), pleat::error,
                       MessageMatches(ContainsSubstring("element 3 of 'fc2.weight' is inf")));
}

TEST_CASE("what was pruned n of m is stored n of m, exactly, and runs") {
  auto w = alone();
  auto const train = data(64);
  auto const model = trained(w, train);
  auto const small =
      model | (compress::sparse_gpt{.samples = compress::calibration(train, 64), .pattern = compress::n_of_m{2, 4}} |
               compress::quantize<pleat::codec::n_m<float, 2, 4>>{});
  auto const masked =
      model | compress::sparse_gpt{.samples = compress::calibration(train, 64), .pattern = compress::n_of_m{2, 4}};
  auto const a = values_of(small), b = values_of(masked);
  for (std::size_t p = 0; p < a.size(); ++p) CHECK(a[p].values == b[p].values);
  CHECK(a[0].form == "2:4");
  CHECK(pleat::run::evaluate(small, train).errors == pleat::run::evaluate(masked, train).errors);
  CHECK(pleat::run::file_image(small).size() < pleat::run::file_image(model).size());
}

}  // namespace
