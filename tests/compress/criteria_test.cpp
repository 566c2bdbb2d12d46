// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compress/criteria.hpp>

#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/compress/pipeline.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <compress/compress_support.hpp>

#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <mutex>

namespace {

using namespace compress_test;
namespace compress = pleat::compress;
namespace par = pleat::parallel;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

using whole_values = std::map<std::string, std::vector<float>>;

/// Every parameter over all ranks of a mesh: each rank brings its box, each stage its layers.
template <class Net> void collect(par::model<Net> const& m, whole_values& to, std::mutex& lock) {
  using Space = typename par::model<Net>::execution_space;
  pleat::nn::for_each_parameter(m.net(), [&](auto const& w) {
    if (w.absent || w.size() == 0) return;
    std::vector<float> part(static_cast<std::size_t>(w.size()));
    pleat::copy_to_host(m.context(), pleat::tensor<float, Space>::wrap(w.data(), w.shape), part.data());
    std::lock_guard const hold(lock);
    auto& all = to[w.name];
    all.resize(static_cast<std::size_t>(w.whole().size()));
    std::size_t next = 0;
    pleat::codec::detail::for_each_of_part(w.whole(), w.box(), [&](index_t i) { all[static_cast<std::size_t>(i)] = part[next++]; });
  });
}

/// The network with a column and a row parallel weight; with ties in all of them.
template <class Transform> whole_values pruned_over(int data_ranks, int tensor, int stages, Transform const& t) {
  whole_values all;
  std::mutex lock;
  pleat::comm::run_local(data_ranks * tensor * stages, [&](pleat::comm::communicator c) {
    pleat::world w(std::move(c), 1);
    pleat::plan::plan p;
    p.global_batch = 16;
    p.data_ranks = data_ranks;
    p.tensor_ranks = tensor;
    p.pipeline_ranks = stages;
    p.deterministic = true;
    auto m = par::build(par::tensor_parallel(network(), {par::column("fc1.*"), par::row("fc2.*")}), p, w, {.seed = 3});
    m.net().for_each_parameter([&](auto& x) {  // quarters: many ties, across weights, parts and stages
      if (x.absent || x.size() == 0) return;
      using Space = typename decltype(m)::execution_space;
      auto const there = pleat::tensor<float, Space>::wrap(x.data(), x.shape);
      std::vector<float> v(static_cast<std::size_t>(x.size()));
      pleat::copy_to_host(m.context(), there, v.data());
      for (auto& f : v) f = std::round(f * 64) / 64;
      pleat::copy_from_host(m.context(), v.data(), there);
    });
    auto const small = std::move(m) | t;
    collect(small, all, lock);
  });
  return all;
}

TEST_CASE("the same elements go however weights are cut and wherever the stages are, ties included") {
  auto const scope = GENERATE(compress::scope::global, compress::scope::layer, compress::scope::row, compress::scope::group);
  compress::prune const t{.sparsity = 0.6, .scope = scope, .on_note = [](std::string_view) {}, .groups = {{"fc1.*", "fc3.*"}}};
  auto const one = pruned_over(1, 1, 1, t);
  REQUIRE(one.size() == 6);
  index_t zero = 0;
  for (auto const& [name, v] : one)
    if (name.ends_with("weight")) zero += zeros(v);
  if (scope == compress::scope::global) CHECK(zero == std::llround(0.6 * weights));
  CHECK(pruned_over(1, 2, 1, t) == one);
  CHECK(pruned_over(1, 3, 1, t) == one);
  CHECK(pruned_over(1, 4, 1, t) == one);
  CHECK(pruned_over(2, 2, 1, t) == one);
  CHECK(pruned_over(1, 1, 2, t) == one);
  CHECK(pruned_over(1, 2, 2, t) == one);
}

TEST_CASE("n of m over the tensor axis: the same, and a cut inside a group is refused on every rank") {
  compress::prune const t{.pattern = compress::n_of_m{1, 4}};
  auto const one = pruned_over(1, 1, 1, t);
  CHECK(pruned_over(1, 2, 1, t) == one);  // 16 columns in two parts of 8
  compress::prune const odd{.pattern = compress::n_of_m{2, 4}};
  CHECK_THROWS_MATCHES(pruned_over(1, 3, 1, odd), pleat::error, MessageMatches(ContainsSubstring("gives columns 0 to 6 of 'fc2.weight' to one rank, which cuts a group of 2:4")));
}

TEST_CASE("groups compete among themselves") {
  auto w = alone();
  auto const small = build(w) | compress::prune{.sparsity = 0.75, .scope = compress::scope::group, .groups = {{"fc1.*", "fc2.*"}}};
  auto const v = values_of(small);
  CHECK(zeros(v[0].values) + zeros(v[2].values) == std::llround(0.75 * 512));
  CHECK(zeros(v[4].values) == 36);
  CHECK_THROWS_MATCHES(build(w) | (compress::prune{.scope = compress::scope::group}), pleat::error, MessageMatches(ContainsSubstring("scope::group needs .groups")));
}

TEST_CASE("Taylor is the loss's own first order: what moves the loss least goes first") {
  auto w = alone();
  auto const train = data(64);
  auto const model = build(w);
  auto const before = values_of(model);
  auto const small = model | compress::prune_by<compress::taylor>{.sparsity = 0.5, .criterion = {.data = &train, .subset_size = 16}};
  CHECK(weight_zeros(small) == weights / 2);
  CHECK(values_of(model)[0].values == before[0].values);  // nothing moved
  // One batch of 16: the scores are (g·w)² of it. By finite differences of the mean loss, for the last layer's weights.
  auto const samples = compress::detail::evenly(train, 16);
  auto const loss = [&](std::size_t at, double factor) {
    auto m = model.clone();
    auto v = before[4].values;
    v[at] = static_cast<float>(v[at] * factor);
    set_values(m, "fc3.weight", v);
    auto o = quiet(1);
    o.optimizer = pleat::nn::sgd{.learning_rate = 0};
    return pleat::run::fit(m, samples, o).epoch_loss[0];
  };
  double worst_gone = 0, best_kept = 1e30;
  auto const after = values_of(small);
  for (std::size_t i = 0; i < 48; i += 5) {
    double const slope = std::abs(loss(i, 1.05) - loss(i, 0.95)) / 0.1;  // |w·∂L/∂w|
    if (after[4].values[i] == 0) worst_gone = std::max(worst_gone, slope);
    else best_kept = std::min(best_kept, slope);
  }
  CHECK(worst_gone <= best_kept + 2e-4);  // the loss is a float near 1.4: differences are known to 2·2⁻²⁴·1.4/0.1, curvature is third order
  CHECK_THROWS_MATCHES((model | compress::prune_by<compress::taylor>{}), pleat::error, MessageMatches(ContainsSubstring("no samples to take gradients of")));
}

TEST_CASE("movement keeps what grows: a weight that training pushes away from zero outlives a larger one that shrinks") {
  auto w = alone();
  auto const train = data(64);
  auto options = quiet(4);
  options.optimizer = pleat::nn::sgd{.learning_rate = 0.05};
  auto const model = build(w);
  auto const small = model | compress::prune_by<compress::movement>{.sparsity = 0.5, .criterion = {.training = compress::fine_tune(train, options)}};
  auto trained = model.clone();
  (void)pleat::run::fit(trained, train, options);
  // With plain descent, score = (w·Δw summed)/rate: growth of |w| to first order. Compare means over the survivors and the others.
  auto const a = values_of(model), b = values_of(trained), s = values_of(small);
  double kept = 0, gone = 0;
  index_t n_kept = 0, n_gone = 0;
  for (std::size_t p = 0; p < a.size(); p += 2)
    for (std::size_t i = 0; i < a[p].values.size(); ++i) {
      double const growth = static_cast<double>(b[p].values[i]) * b[p].values[i] - static_cast<double>(a[p].values[i]) * a[p].values[i];
      if (s[p].values[i] == 0) gone += growth, ++n_gone;
      else {
        kept += growth, ++n_kept;
        CHECK(s[p].values[i] == b[p].values[i]);  // the training that scored is the training that stays
      }
    }
  CHECK(n_gone == weights / 2);
  CHECK(kept / static_cast<double>(n_kept) > gone / static_cast<double>(n_gone));
  CHECK_THROWS_MATCHES((model | compress::prune_by<compress::movement>{}), pleat::error, MessageMatches(ContainsSubstring("nothing trains, so nothing moves")));
}

TEST_CASE("Wanda: in each row the lowest |w|·‖x‖ go, by hand") {
  auto w = alone();
  auto const train = data(64);
  auto const model = build(w);
  compress::calibration const set(train, 32);
  auto const small = model | compress::prune_by<compress::wanda>{.sparsity = 0.5, .criterion = {set}};
  auto const inputs = compress::layer_inputs(model, set);
  auto const before = values_of(model), after = values_of(small);
  for (std::size_t l = 0; l < 3; ++l) {
    auto const& v = before[2 * l];
    auto const columns = static_cast<std::size_t>(v.shape[1]);
    for (std::size_t r = 0; r < static_cast<std::size_t>(v.shape[0]); ++r) {
      double worst_gone = 0, best_kept = 1e30;
      std::size_t gone = 0;
      for (std::size_t c = 0; c < columns; ++c) {
        double const score = std::abs(static_cast<double>(v.values[r * columns + c])) * std::sqrt(inputs[l].squares[c]);
        if (after[2 * l].values[r * columns + c] == 0) worst_gone = std::max(worst_gone, score), ++gone;
        else best_kept = std::min(best_kept, score);
      }
      CHECK(gone == columns / 2);
      CHECK(worst_gone <= best_kept * (1 + 0x1p-23));  // scores are floats
    }
  }
  CHECK_THROWS_MATCHES((model | compress::prune_by<compress::wanda>{}), pleat::error, MessageMatches(ContainsSubstring("the calibration set is empty")));
}

TEST_CASE("normalised scores: a weight of another scale loses the same share") {
  auto w = alone();
  auto model = build(w);
  auto v = values_of(model);
  auto small_fc2 = v[2].values;
  for (auto& x : small_fc2) x *= 0x1p-10f;
  auto const plain = model | compress::prune_by<compress::normalised<compress::magnitude>>{.sparsity = 0.5};
  set_values(model, "fc2.weight", small_fc2);
  auto const scaled = model | compress::prune_by<compress::normalised<compress::magnitude>>{.sparsity = 0.5};
  CHECK(zeros(values_of(plain)[2].values) == zeros(values_of(scaled)[2].values));
  CHECK(zeros(values_of(model | compress::prune{.sparsity = 0.5, .on_note = [](std::string_view) {}})[2].values) == 192);
}

TEST_CASE("n of m: every group of every row has exactly n, the largest") {
  auto w = alone();
  auto const model = build(w);
  auto const pattern = GENERATE(compress::n_of_m{2, 4}, compress::n_of_m{1, 2}, compress::n_of_m{3, 4}, compress::n_of_m{1, 4});
  auto const small = model | compress::prune{.pattern = pattern};
  auto const before = values_of(model), after = values_of(small);
  for (std::size_t p = 0; p < after.size(); p += 2)
    for (std::size_t g = 0; g < after[p].values.size(); g += static_cast<std::size_t>(pattern.m)) {
      int kept = 0;
      float largest_gone = 0, smallest_kept = 1e30f;
      for (std::size_t i = g; i < g + static_cast<std::size_t>(pattern.m); ++i)
        if (after[p].values[i] != 0) ++kept, smallest_kept = std::min(smallest_kept, std::abs(before[p].values[i]));
        else largest_gone = std::max(largest_gone, std::abs(before[p].values[i]));
      REQUIRE(kept == pattern.n);
      REQUIRE(largest_gone <= smallest_kept);
    }
  // Ties: the first of the group go, and pruning again changes nothing.
  CHECK((pleat::run::file_image(small | compress::prune{.pattern = pattern}) == pleat::run::file_image(small)));
}

TEST_CASE("patterns that make no sense or do not divide are refused in words") {
  auto w = alone();
  auto const model = build(w);
  for (auto const bad : {compress::n_of_m{4, 4}, compress::n_of_m{0, 4}, compress::n_of_m{-1, 2}, compress::n_of_m{1, 1}})
    CHECK_THROWS_MATCHES(model | compress::prune{.pattern = bad}, pleat::error, MessageMatches(ContainsSubstring("1 <= n < m is needed")));
  CHECK_THROWS_MATCHES((model | compress::prune{.pattern = compress::n_of_m{2, 8}}), pleat::error,
                       MessageMatches(ContainsSubstring("'fc1.weight' has 20 columns, which groups of 8 do not divide (2:8)")));
  CHECK_THROWS_AS((model | compress::prune_by<compress::taylor>{.sparsity = 1.0}), pleat::error);
}

TEST_CASE("constant and all-zero layers: the count is exact, whatever the criterion") {
  auto w = alone();
  auto const train = data(32);
  auto model = build(w);
  set_values(model, "fc1.weight", std::vector<float>(320, 0.0f));
  set_values(model, "fc2.weight", std::vector<float>(192, 0.25f));
  auto const quiet_note = [](std::string_view) {};
  CHECK(weight_zeros(model | compress::prune{.sparsity = 0.8, .on_note = quiet_note}) == std::llround(0.8 * weights));
  CHECK(weight_zeros(model | compress::prune_by<compress::wanda>{.sparsity = 0.5, .on_note = quiet_note, .criterion = {compress::calibration(train, 8)}}) >= weights / 2);
  CHECK(weight_zeros(model | compress::prune_by<compress::normalised<compress::taylor>>{.sparsity = 0.8, .on_note = quiet_note, .criterion = {.of = {.data = &train, .subset_size = 16}}}) >= std::llround(0.8 * weights));
}

TEST_CASE("an iterative schedule with movement ends exactly, on every number of ranks with the same bytes") {
  std::vector<std::byte> one;
  for (int const ranks : {1, 2, 3, 4}) {
    std::vector<std::vector<std::byte>> images(static_cast<std::size_t>(ranks));
    pleat::comm::run_local(ranks, [&](pleat::comm::communicator c) {
      auto const rank = static_cast<std::size_t>(c.rank());
      pleat::world w(std::move(c), 1);
      auto const train = data(40);
      auto small = build(w) | (compress::prune_by<compress::movement>{.sparsity = 0.5, .schedule = compress::iterative{.steps = 2}, .retrain = compress::fine_tune(train, quiet(1)), .criterion = {.training = compress::fine_tune(train, quiet(1))}}
                               | compress::prune_by<compress::taylor>{.sparsity = 0.7, .criterion = {.data = &train, .subset_size = 24}}
                               | compress::prune_by<compress::wanda>{.sparsity = 0.8, .criterion = {compress::calibration(train, 11)}});
      images[rank] = pleat::run::file_image(small);
    });
    if (ranks == 1) one = images[0];
    for (auto const& image : images) CHECK((image == one));
  }
}

TEST_CASE("NaN on one stage or part is an error on every rank, by name") {
  std::array<bool, 2> threw{};
  pleat::comm::run_local(2, [&](pleat::comm::communicator c) {
    int const rank = c.rank();
    pleat::world w(std::move(c), 1);
    pleat::plan::plan p;
    p.global_batch = 16;
    p.tensor_ranks = 2;
    auto m = par::build(par::tensor_parallel(network(), {par::column("fc1.*"), par::row("fc2.*")}), p, w);
    if (rank == 1) {
      auto v = std::vector<float>(160, 1.0f);
      v[7] = std::numeric_limits<float>::quiet_NaN();
      set_values(m, "fc1.weight", v);
    }
    try {
      (void)(m | compress::prune{});
    } catch (pleat::error const& e) {
      threw[static_cast<std::size_t>(rank)] = std::string(e.what()).find("element 7 of 'fc1.weight' is") != std::string::npos;
    }
  });
  CHECK((threw[0] && threw[1]));
}

}  // namespace
