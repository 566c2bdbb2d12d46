// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compress/criteria.hpp>

#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/compress/layer_report.hpp>
#include <pleat/compress/pipeline.hpp>
#include <pleat/compress/report.hpp>
#include <pleat/compress/sparse_gpt.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <compress/compress_support.hpp>
#include <compress/nan_support.hpp>

#include <cmath>
#include <limits>
#include <map>
#include <mutex>
#include <numeric>

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
    pleat::codec::detail::for_each_of_part(w.whole(), w.box(),
                                           [&](index_t i) { all[static_cast<std::size_t>(i)] = part[next++]; });
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
  auto const scope =
      GENERATE(compress::scope::global, compress::scope::layer, compress::scope::row, compress::scope::group);
  compress::prune t{.sparsity = 0.6, .scope = scope, .on_note = [](std::string_view) {}};
  if (scope == compress::scope::group) t.groups = {{"fc1.*", "fc3.*"}};
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
  CHECK_THROWS_MATCHES(
      pruned_over(1, 3, 1, odd), pleat::error,
      MessageMatches(ContainsSubstring("gives columns 0 to 6 of 'fc2.weight' to one rank, which cuts a group of 2:4")));
}

TEST_CASE("groups compete among themselves") {
  auto w = alone();
  auto const small =
      build(w) | compress::prune{.sparsity = 0.75, .scope = compress::scope::group, .groups = {{"fc1.*", "fc2.*"}}};
  auto const v = values_of(small);
  CHECK(zeros(v[0].values) + zeros(v[2].values) == std::llround(0.75 * 512));
  CHECK(zeros(v[4].values) == 36);
  CHECK_THROWS_MATCHES(build(w) | (compress::prune{.scope = compress::scope::group}), pleat::error,
                       MessageMatches(ContainsSubstring("scope::group needs .groups")));
  CHECK_THROWS_MATCHES(build(w) | (compress::prune{.groups = {{"fc1.*"}}}), pleat::error,
                       MessageMatches(ContainsSubstring(".groups is given, and .scope is not scope::group")));
  CHECK_THROWS_MATCHES(build(w) | (compress::prune{.pattern = compress::n_of_m{2, 4}, .groups = {{"fc1.*"}}}),
                       pleat::error, MessageMatches(ContainsSubstring(".groups is given beside a pattern")));
  // Nor may training that never happens be believed in.
  auto const train = data(8);
  std::vector<std::string> said;
  (void)(build(w) | compress::prune{.sparsity = 0.5,
                                    .retrain = compress::fine_tune(train, {}),
                                    .on_note = [&](std::string_view line) { said.emplace_back(line); }});
  REQUIRE(said.size() == 1);
  CHECK_THAT(said[0], ContainsSubstring("the schedule has one: nothing is trained between steps"));
}

TEST_CASE("Taylor is the loss's own first order: what moves the loss least goes first") {
  auto w = alone();
  auto const train = data(64);
  auto const model = build(w);
  auto const before = values_of(model);
  auto const small =
      model | compress::prune_by<compress::taylor>{.sparsity = 0.5, .criterion = {.data = &train, .subset_size = 16}};
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
  // the loss is a float near 1.4: differences are known to 2·2⁻²⁴·1.4/0.1, curvature is third order
  CHECK(worst_gone <= best_kept + 2e-4);
  CHECK_THROWS_MATCHES((model | compress::prune_by<compress::taylor>{}), pleat::error,
                       MessageMatches(ContainsSubstring("no samples to take gradients of")));
}

TEST_CASE("Taylor squares batch by batch: batches that pull apart do not cancel") {
  auto w = alone();
  auto const train = data(48);
  auto m = compress::widen<compress::prune>(build(w));
  auto found = compress::detail::gather(m, "test", {}, nullptr);
  compress::taylor{.data = &train, .subset_size = 48}.score(m, found);
  std::vector<double> squares(48, 0.0), sum(48, 0.0);
  index_t batches = 0;
  auto o = quiet(1);
  o.optimizer = pleat::nn::sgd{.learning_rate = 0};
  auto still = m.clone();
  o.before_step = [&] {
    ++batches;
    still.net().for_each_parameter([&](auto& x) {
      if (x.name != "fc3.weight") return;
      std::vector<float> g(48);
      pleat::copy_to_host(still.context(),
                          pleat::tensor<float, typename decltype(still)::execution_space>::wrap(x.gradient(), x.shape),
                          g.data());
      for (std::size_t i = 0; i < 48; ++i) {
        double const change = static_cast<double>(found[2].values[i]) * static_cast<double>(g[i]);
        squares[i] += change * change, sum[i] += change;
      }
    });
  };
  (void)pleat::run::fit(still, train, o);
  REQUIRE(batches == 3);
  int cancelled = 0;
  for (std::size_t i = 0; i < 48; ++i) {
    // one rounding to float
    CHECK(std::abs(static_cast<double>(found[2].scores[i]) - squares[i]) <= 0x1p-24 * squares[i]);
    cancelled += sum[i] * sum[i] < squares[i];
  }
  CHECK(cancelled > 0);
}

TEST_CASE(
    "movement keeps what grows: a weight that training pushes away from zero outlives a larger one that shrinks") {
  auto w = alone();
  auto const train = data(64);
  auto options = quiet(4);
  options.optimizer = pleat::nn::sgd{.learning_rate = 0.05};
  auto const model = build(w);
  auto const small = model | compress::prune_by<compress::movement>{
                                 .sparsity = 0.5, .criterion = {.training = compress::fine_tune(train, options)}};
  auto trained = model.clone();
  (void)pleat::run::fit(trained, train, options);
  // With plain descent, score = (w·Δw summed)/rate: growth of |w| to first order. Compare means over the survivors and
  // the others.
  auto const a = values_of(model), b = values_of(trained), s = values_of(small);
  double kept = 0, gone = 0;
  index_t n_kept = 0, n_gone = 0;
  for (std::size_t p = 0; p < a.size(); p += 2)
    for (std::size_t i = 0; i < a[p].values.size(); ++i) {
      double const growth =
          static_cast<double>(b[p].values[i]) * b[p].values[i] - static_cast<double>(a[p].values[i]) * a[p].values[i];
      if (s[p].values[i] == 0) gone += growth, ++n_gone;
      else {
        kept += growth, ++n_kept;
        CHECK(s[p].values[i] == b[p].values[i]);  // the training that scored is the training that stays
      }
    }
  CHECK(n_gone == weights / 2);
  CHECK(kept / static_cast<double>(n_kept) > gone / static_cast<double>(n_gone));
  CHECK_THROWS_MATCHES((model | compress::prune_by<compress::movement>{}), pleat::error,
                       MessageMatches(ContainsSubstring("nothing trains, so nothing moves")));
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
  CHECK_THROWS_MATCHES((model | compress::prune_by<compress::wanda>{}), pleat::error,
                       MessageMatches(ContainsSubstring("the calibration set is empty")));
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
  CHECK(zeros(values_of(model | compress::prune{.sparsity = 0.5, .on_note = [](std::string_view) {}})[2].values) ==
        192);
}

TEST_CASE("n of m: every group of every row has exactly n, the largest") {
  auto w = alone();
  auto const model = build(w);
  auto const pattern =
      GENERATE(compress::n_of_m{2, 4}, compress::n_of_m{1, 2}, compress::n_of_m{3, 4}, compress::n_of_m{1, 4});
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
  for (auto const bad :
       {compress::n_of_m{4, 4}, compress::n_of_m{0, 4}, compress::n_of_m{-1, 2}, compress::n_of_m{1, 1}})
    CHECK_THROWS_MATCHES(model | compress::prune{.pattern = bad}, pleat::error,
                         MessageMatches(ContainsSubstring("1 <= n < m is needed")));
  CHECK_THROWS_MATCHES(
      (model | compress::prune{.pattern = compress::n_of_m{2, 8}}), pleat::error,
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
  CHECK(weight_zeros(model | compress::prune_by<compress::wanda>{.sparsity = 0.5,
                                                                 .on_note = quiet_note,
                                                                 .criterion = {compress::calibration(train, 8)}}) >=
        weights / 2);
  CHECK(weight_zeros(
            model |
            compress::prune_by<compress::normalised<compress::taylor>>{
                .sparsity = 0.8, .on_note = quiet_note, .criterion = {.of = {.data = &train, .subset_size = 16}}}) >=
        std::llround(0.8 * weights));
}

TEST_CASE("an iterative schedule with movement ends exactly, on every number of ranks with the same bytes") {
  std::vector<std::byte> one;
  for (int const ranks : {1, 2, 3, 4}) {
    std::vector<std::vector<std::byte>> images(static_cast<std::size_t>(ranks));
    pleat::comm::run_local(ranks, [&](pleat::comm::communicator c) {
      auto const rank = static_cast<std::size_t>(c.rank());
      pleat::world w(std::move(c), 1);
      auto const train = data(40);
      auto small =
          build(w) |
          (compress::prune_by<compress::movement>{.sparsity = 0.5,
                                                  .schedule = compress::iterative{.steps = 2},
                                                  .retrain = compress::fine_tune(train, quiet(1)),
                                                  .criterion = {.training = compress::fine_tune(train, quiet(1))}} |
           compress::prune_by<compress::taylor>{.sparsity = 0.7, .criterion = {.data = &train, .subset_size = 24}} |
           compress::prune_by<compress::wanda>{.sparsity = 0.8, .criterion = {compress::calibration(train, 11)}});
      images[rank] = pleat::run::file_image(small);
    });
    if (ranks == 1) one = images[0];
    for (auto const& image : images) CHECK((image == one));
  }
}

TEST_CASE("NaN in one part of a weight is an error on every rank, by name") {
  check_nan_on_one_part("element 165 of", "element 13 of", [](auto& m) { (void)(m | compress::prune{}); });
}

/// A criterion that goes wrong on the last rank of the tensor axis.
struct sick {
  static constexpr char const* what = "sick";
  float bad = 0;
  template <class Net, class C> void score(par::model<Net>& m, std::vector<C>& weights) const {
    compress::magnitude{}.score(m, weights);
    if (m.parts().rank() + 1 == m.parts().size()) weights[1].scores[3] = bad;
  }
};

TEST_CASE("a score that is no number is refused on every rank, by criterion and element, normalised or not") {
  for (float const bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()})
    for (int const tensor : {1, 2}) {
      std::vector<std::string> said(static_cast<std::size_t>(2 * tensor));
      pleat::comm::run_local(tensor, [&](pleat::comm::communicator c) {
        auto const rank = static_cast<std::size_t>(c.rank());
        pleat::world w(std::move(c), 1);
        w.comm.set_timeout(30);
        pleat::plan::plan p;
        p.global_batch = 16;
        p.tensor_ranks = tensor;
        auto m =
            par::build(par::tensor_parallel(network(), {par::column("fc1.*"), par::row("fc2.*")}), p, w, {.seed = 3});
        auto const before = values_of(m);
        auto const words = [&](auto const& t) {
          try {
            (void)(m | t);
          } catch (pleat::error const& e) {
            return std::string(e.what());
          }
          return std::string();
        };
        said[2 * rank] = words(compress::prune_by<sick>{.criterion = {bad}});
        said[2 * rank + 1] = words(
            compress::prune_by<compress::normalised<sick>>{.criterion = {{bad}}, .pattern = compress::n_of_m{2, 4}});
      });
      // Its place in the whole weight: fc2 is cut by columns, and the last part's fourth column is the fourth after
      // those of the parts before.
      int const place = 3 + (tensor - 1) * (16 / tensor);
      for (auto const& s : said)
        CHECK_THAT(s, ContainsSubstring("the score of element " + std::to_string(place) +
                                        " of 'fc2.weight' by sick is not finite"));
    }
}

/// All scores of a weight over the tensor axis, each at its place in the whole.
template <class T, class Criterion> std::vector<double> scores_over(int tensor, Criterion const& criterion) {
  std::vector<double> all(weights);
  std::mutex lock;
  pleat::comm::run_local(tensor, [&](pleat::comm::communicator c) {
    pleat::world w(std::move(c), 1);
    pleat::plan::plan p;
    p.global_batch = 16;
    p.tensor_ranks = tensor;
    auto m = compress::widen<compress::prune>(par::build(
        par::tensor_parallel(network_of<T>(), {par::column("fc1.*"), par::row("fc2.*")}), p, w, {.seed = 3}));
    auto found = compress::detail::gather(m, "test", {}, nullptr);
    criterion.score(m, found);
    std::lock_guard const hold(lock);
    for (auto const& x : found)
      for (index_t i = 0; i < x.size(); ++i)
        all[static_cast<std::size_t>(x.position(i))] = static_cast<double>(x.scores[static_cast<std::size_t>(i)]);
  });
  return all;
}

TEST_CASE("normalised scores have the same bits however weights are cut") {
  compress::normalised<compress::magnitude> const criterion{};
  auto const one = scores_over<double>(1, criterion);
  double squares = 0;
  for (std::size_t i = 0; i < 320; ++i) squares += one[i] * one[i];
  // the root mean square is 1: 320 squares, each cut off 2⁻⁶² below the largest and rounded a few times
  CHECK(std::abs(squares - 320) < 320 * 0x1p-40);
  for (int const tensor : {2, 3, 4}) CHECK(scores_over<double>(tensor, criterion) == one);
}

/// A network of T with the numbers of the float one, rounded.
template <class T> auto build_16(pleat::world& w, par::loss_scale_options const& scale = {}) {
  pleat::plan::plan p;
  p.global_batch = 16;
  p.data_ranks = w.size();
  p.deterministic = true;
  p.precision = std::is_same_v<T, pleat::half>       ? pleat::plan::compute_precision::f16
                : std::is_same_v<T, pleat::bfloat16> ? pleat::plan::compute_precision::bf16
                                                     : pleat::plan::compute_precision::f32;
  return par::build(network_of<T>(), p, w, {.seed = 3, .loss_scale = scale});
}

TEMPLATE_TEST_CASE("networks of 16-bit numbers are pruned by every criterion; zeros stay zero while they train on", "",
                   pleat::bfloat16, pleat::half) {
  auto w = alone();
  auto const train = data(64);
  auto const model = build_16<TestType>(w);
  auto wide = build(w);
  auto const before = values_of(model);
  for (auto const& v : before) set_values(wide, v.name, v.values);
  auto const check = [&](auto const& small, bool stays = true) {
    auto const after = values_of(small);
    CHECK(weight_zeros(small) == weights / 2);
    for (std::size_t p = 0; p < after.size(); p += 2) {
      CHECK(after[p].form == "masked");
      for (std::size_t i = 0; stays && i < after[p].values.size(); ++i)
        CHECK((after[p].values[i] == 0 || after[p].values[i] == before[p].values[i]));
    }
  };
  auto const small = model | compress::prune{.sparsity = 0.5};
  check(small);
  auto const as_floats = values_of(wide | compress::prune{.sparsity = 0.5}), a = values_of(small);
  for (std::size_t p = 0; p < a.size(); ++p) CHECK(a[p].values == as_floats[p].values);
  check(model |
        compress::prune_by<compress::taylor>{.sparsity = 0.5, .criterion = {.data = &train, .subset_size = 32}});
  check(model | compress::prune_by<compress::normalised<compress::wanda>>{
                    .sparsity = 0.5, .criterion = {{compress::calibration(train, 32)}}});
  check(model | compress::prune{.pattern = compress::n_of_m{2, 4}});
  check(model | compress::prune_by<compress::movement>{.sparsity = 0.5,
                                                       .criterion = {.training = compress::fine_tune(train, quiet(1))}},
        false);
  check(model | compress::sparse_gpt{.sparsity = 0.5, .samples = compress::calibration(train, 32)}, false);
  auto const measured = compress::measure("half of it", small, train);
  CHECK(measured.parameters - measured.nonzeros == weights / 2);
  CHECK(compress::layers_of(small, train.sample).rows()[0].nonzeros == 320 - zeros(a[0].values));
  auto tuned = small.clone();
  (void)pleat::run::fit(tuned, train, quiet(2));
  auto const b = values_of(tuned);
  index_t moved = 0;
  for (std::size_t p = 0; p < a.size(); ++p)
    for (std::size_t i = 0; i < a[p].values.size(); ++i) {
      if (is_weight(a[p]) && a[p].values[i] == 0) REQUIRE(b[p].values[i] == 0);
      else moved += b[p].values[i] != a[p].values[i];
    }
  CHECK(moved > 100);
}

TEST_CASE("half: the loss scale is no part of a score, and a step that was skipped has none") {
  auto w = alone();
  auto const train = data(320);
  auto const scores = [&](auto const& m, auto const& criterion) {
    auto model = compress::widen<compress::prune>(m);
    auto found = compress::detail::gather(model, "test", {}, nullptr);
    if constexpr (requires { criterion.prepare(model, found); }) criterion.prepare(model, found);
    else criterion.score(model, found);
    std::vector<double> all;
    for (auto const& x : found) all.insert(all.end(), x.scores.begin(), x.scores.end());
    return all;
  };
  auto const apart = [](std::vector<double> const& a, std::vector<double> const& b) {
    double d = 0, n = 0;
    for (std::size_t i = 0; i < a.size(); ++i) d += (a[i] - b[i]) * (a[i] - b[i]), n += b[i] * b[i];
    return std::sqrt(d / n);
  };
  auto wide = build(w);
  for (auto const& v : values_of(build_16<pleat::half>(w))) set_values(wide, v.name, v.values);
  auto still = quiet(1);
  still.optimizer = pleat::nn::sgd{.learning_rate = 0};
  compress::taylor const slope{.data = &train, .subset_size = 320};
  compress::movement const drift{.training = compress::fine_tune(train, still)};
  // Each factor of a score carries the roundings of a walk through three layers of half, 2^-11 each: a few per
  // thousand, relative.
  auto const check = [&](auto const& criterion) {
    auto const as_floats = scores(wide, criterion);
    CHECK(apart(scores(build_16<pleat::half>(w, {.initial = 256}), criterion), as_floats) < 0.02);
    // it grows on the way
    CHECK(apart(scores(build_16<pleat::half>(w, {.initial = 256, .interval = 3}), criterion), as_floats) < 0.02);
    // Too large a scale: the first steps overflow. What is left are scores of the other batches, and fewer of them.
    auto const some = scores(build_16<pleat::half>(w, {.initial = 0x1p24, .largest = 0x1p24}), criterion);
    double const share =
        std::accumulate(some.begin(), some.end(), 0.0, [](double s, double x) { return s + std::abs(x); }) /
        std::accumulate(as_floats.begin(), as_floats.end(), 0.0, [](double s, double x) { return s + std::abs(x); });
    CHECK((share > 0.4 && share < 1));
  };
  check(slope);
  check(drift);
  compress::prune_by<compress::taylor> const hopeless{.criterion = {.data = &train, .subset_size = 16}};
  CHECK_THROWS_MATCHES((build_16<pleat::half>(w, {.initial = 0x1p24, .largest = 0x1p24}) | hopeless), pleat::error,
                       MessageMatches(ContainsSubstring("compress::taylor: a gradient overflowed in every step (1)")));
}

}  // namespace
