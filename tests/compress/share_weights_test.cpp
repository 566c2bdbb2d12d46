// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compress/share_weights.hpp>

#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/compress/pipeline.hpp>
#include <pleat/compress/prune.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <compress/compress_support.hpp>
#include <compress/mesh_support.hpp>
#include <compress/nan_support.hpp>

#include <limits>
#include <set>

namespace {

using namespace compress_test;
namespace compress = pleat::compress;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

compress::fine_tune tuning(pleat::io::dataset const& d, index_t epochs) {
  return compress::fine_tune(d, quiet(epochs));
}

std::set<float> different(std::vector<float> const& v) {
  std::set<float> s(v.begin(), v.end());
  s.erase(0.0f);
  return s;
}

TEST_CASE("every weight has at most 2^bits values, each survivor the nearest, and zeros stay zeros") {
  auto w = alone();
  int const bits = GENERATE(1, 2, 4, 8);
  auto const start = GENERATE(pleat::codec::centroid_start::linear, pleat::codec::centroid_start::density,
                              pleat::codec::centroid_start::random);
  auto const pruned = build(w) | compress::prune{.sparsity = 0.8};
  auto const shared = pruned | compress::share_weights{.num_bits = bits, .start = start};
  auto const before = values_of(pruned), after = values_of(shared);
  for (std::size_t p = 0; p < after.size(); ++p) {
    if (!is_weight(after[p])) {
      CHECK(after[p].values == before[p].values);
      continue;
    }
    CHECK(after[p].form == "coded");
    auto const values = different(after[p].values);
    CHECK(values.size() <= std::size_t{1} << bits);
    for (std::size_t i = 0; i < after[p].values.size(); ++i) {
      float const was = before[p].values[i], is = after[p].values[i];
      if ((was == 0) != (is == 0)) FAIL("a zero came or went");
      if (was == 0) continue;
      for (float v : values)
        if (std::abs(v - was) < std::abs(is - was)) FAIL("another shared value is nearer");
    }
  }
}

TEST_CASE("a weight without zeros has a code per element and no index") {
  auto w = alone();
  auto const shared = build(w) | compress::share_weights{.num_bits = 3};
  index_t codes = 0;
  pleat::nn::for_each_parameter(shared.net(), [&](auto const& p) {
    if (p.shape.rank() == 2) codes += p.bytes();
  });
  // 3 bits an element (560 of them), and per weight 8 centroids, 5 numbers of layout, a restart point and short tables,
  // not an index of 5 bits each.
  CHECK(codes < weights * 3 / 8 + 3 * (32 + 20 + 12 + 16));
  CHECK(weight_zeros(shared) == 0);
}

TEST_CASE("trained centroids: members stay equal, fewer errors or a smaller loss than k-means alone, zeros stay") {
  auto w = alone();
  auto const train = data(320);
  auto model = build(w);
  (void)pleat::run::fit(model, train, quiet(20));
  auto const pruned = model | (compress::prune{.sparsity = 0.7} | tuning(train, 5));
  auto const plain = pruned | compress::share_weights{.num_bits = 1};
  auto const tuned = pruned | compress::share_weights{.num_bits = 1, .tune = tuning(train, 30)};
  for (auto const& p : values_of(tuned))
    if (is_weight(p)) CHECK(different(p.values).size() <= 2);
  CHECK(weight_zeros(tuned) == weight_zeros(pruned));
  CHECK(values_of(tuned)[0].values != values_of(plain)[0].values);
  CHECK(pleat::run::evaluate(tuned, train).errors <= pleat::run::evaluate(plain, train).errors);
  // else there is nothing to tune
  CHECK(pleat::run::evaluate(plain, train).errors > pleat::run::evaluate(pruned, train).errors);
}

TEST_CASE(
    "the gradient of a centroid is the sum over its members: one step of plain descent moves it by rate times that "
    "sum") {
  // 6 weights, 2 centroids: {1, 1.2} and {3, 2.8, 2.9}, and a zero.
  std::vector<float> values{1.0f, 3.0f, 0.0f, 1.2f, 2.8f, 2.9f};
  auto map = compress::detail::make_clusters(extents{2, 3}, values, {.entries = 2, .index_bits = 2});
  CHECK(values[0] == values[3]);
  CHECK(values[1] == values[4]);
  CHECK(values[1] == values[5]);
  std::vector<float> gradient{1, 10, 100, 2, 20, 40};
  compress::detail::sum_gradients(map, gradient.data());
  compress::detail::give_gradients(map, gradient.data());
  CHECK(gradient == std::vector<float>{3, 70, 0, 3, 70, 70});
  auto const before = values;
  pleat::compute::update_chunk const whole{.begin = 0, .end = 6};
  float const rate = 0.125f;
  pleat::compute::sgd_update(Kokkos::DefaultHostExecutionSpace(), &whole, 1, 6, {.lr = rate}, values.data(),
                             gradient.data(), static_cast<float*>(nullptr));
  CHECK(values[0] == std::fma(-rate, 3.0f, before[0]));
  CHECK(values[1] == std::fma(-rate, 70.0f, before[1]));
  CHECK(values[2] == 0);
  CHECK(values[3] == values[0]);
  CHECK(values[4] == values[1]);
  CHECK(values[5] == values[1]);
  // What encodes them has the moved centroids, ascending.
  compress::detail::take_centroids(map, values, {});
  CHECK(compress::detail::options_of(map, true).centroids == std::vector<float>{values[1], values[0]});
}

TEST_CASE("a part that begins within a group of rows is not coded anew: its rows would take the wrong shared values") {
  using logic = pleat::codec::detail::coded_logic;
  extents const shape{6, 8};
  std::vector<float> values(48);
  for (std::size_t i = 0; i < 48; ++i) values[i] = i % 3 == 0 ? 0.0f : static_cast<float>(i / 24 * 10 + i % 3);
  auto const whole = logic::encode(shape, values, {.entries = 2, .rows_per_group = 3});
  CHECK(compress::detail::recoded(shape, whole, values, std::nullopt).size() == whole.size());
  auto const part = logic::slice(shape, whole, 2, 5);
  CHECK_THROWS_MATCHES(
      compress::detail::recoded({3, 8}, part, {values.begin() + 16, values.begin() + 40}, std::nullopt), pleat::error,
      MessageMatches(ContainsSubstring("begins within a group of rows")));
  auto const rest = logic::slice(shape, whole, 3, 6);
  CHECK(compress::detail::recoded({3, 8}, rest, {values.begin() + 24, values.end()}, std::nullopt).size() ==
        whole.size());
}

TEST_CASE("entropy coding changes bytes, not numbers; the best index width is no larger than any given one") {
  auto w = alone();
  auto const shared = build(w) | (compress::prune{.sparsity = 0.9} | compress::share_weights{.num_bits = 4});
  auto const bytes_of = [](auto const& m) {
    index_t n = 0;
    pleat::nn::for_each_parameter(m.net(), [&](auto const& p) { n += p.bytes(); });
    return n;
  };
  auto const best = shared | compress::entropy_code{};
  for (int bits = 2; bits <= 8; ++bits) {
    auto const given = shared | compress::entropy_code{.index_bits = bits};
    CHECK(bytes_of(best) <= bytes_of(given));
    auto const a = values_of(shared), b = values_of(given);
    for (std::size_t p = 0; p < a.size(); ++p) CHECK(a[p].values == b[p].values);
  }
  CHECK(bytes_of(best) < bytes_of(shared));
  // The whole way as one pipeline: the same bytes.
  auto const whole =
      build(w) | (compress::prune{.sparsity = 0.9} | compress::share_weights{.num_bits = 4} | compress::entropy_code{});
  CHECK(pleat::run::file_image(whole) == pleat::run::file_image(best));
}

TEST_CASE("what was written runs as it is stored") {
  auto w = alone();
  auto const train = data(160);
  auto const small =
      build(w) | (compress::prune{.sparsity = 0.8} | compress::share_weights{.num_bits = 3, .tune = tuning(train, 2)} |
                  compress::entropy_code{});
  auto const image = pleat::run::file_image(small);
  auto again = build(w) | compress::share_weights{};
  pleat::run::load(again, pleat::io::safetensors_file(std::vector<std::byte>(image)));
  CHECK(pleat::run::file_image(again) == image);
  CHECK(pleat::run::evaluate(again, train).errors == pleat::run::evaluate(small, train).errors);
}

TEST_CASE("the same bytes on 1, 2, 3 and 4 ranks") {
  auto const train = data(160);
  auto const shrink = [&](pleat::world& w) {
    auto model = build(w);
    (void)pleat::run::fit(model, train, quiet(2));
    return pleat::run::file_image(
        model | (compress::prune{.sparsity = 0.8, .schedule = compress::cubic{3}, .retrain = tuning(train, 1)} |
                 compress::share_weights{.num_bits = 3, .tune = tuning(train, 2)} | compress::entropy_code{}));
  };
  auto one = alone();
  auto const reference = shrink(one);
  for (int const n : {2, 3, 4}) {
    std::vector<std::vector<std::byte>> images(static_cast<std::size_t>(n));
    pleat::comm::run_local(n, [&](pleat::comm::communicator c) {
      auto const r = static_cast<std::size_t>(c.rank());
      pleat::world w(std::move(c), 1);
      images[r] = shrink(w);
    });
    for (auto const& image : images) CHECK(image == reference);
  }
}

template <class Transform> std::vector<char> shared_over(mesh const& l, Transform const& t) {
  return file_over(l, [&](pleat::world& w) { return build_on(w, l) | t; });
}

TEST_CASE(
    "weights that are cut and networks in stages share the values of the whole: the same bytes on every mesh, nobody "
    "gathers") {
  auto const start = GENERATE(pleat::codec::centroid_start::linear, pleat::codec::centroid_start::density,
                              pleat::codec::centroid_start::random);
  auto const rows = GENERATE(index_t{0}, index_t{5});  // 16 rows in groups of 5: parts begin within groups
  auto const silent = [](std::string_view) {};
  auto const same_everywhere = [&](auto const& t) {
    auto const one = shared_over({1, 1, 1}, t);
    REQUIRE(one.size() > 500);
    CHECK((shared_over({1, 2, 1}, t) == one));
    CHECK((shared_over({1, 3, 1}, t) == one));
    CHECK((shared_over({1, 4, 1}, t) == one));
    CHECK((shared_over({2, 2, 1}, t) == one));
    CHECK((shared_over({1, 1, 2}, t) == one));
    CHECK((shared_over({1, 2, 2}, t) == one));
  };
  // With zeros: relative indices; without: a code per element.
  same_everywhere(
      compress::prune{.sparsity = 0.7} |
      compress::share_weights{.num_bits = 3, .start = start, .seed = 5, .rows_per_group = rows, .on_note = silent});
  same_everywhere(
      compress::prune{.sparsity = 0.7} |
      compress::share_weights{.num_bits = 3, .start = start, .seed = 5, .rows_per_group = rows, .on_note = silent} |
      compress::entropy_code{});
  same_everywhere(compress::share_weights{.num_bits = 2, .start = start, .rows_per_group = rows, .on_note = silent} |
                  compress::entropy_code{});
  // a given width, of which only the weights with an index take notice
  if (start == pleat::codec::centroid_start::linear && rows == 5)
    for (double const sparsity : {0.0, 0.7})
      same_everywhere(compress::prune{.sparsity = sparsity} |
                      compress::share_weights{.num_bits = 3, .rows_per_group = rows, .on_note = silent} |
                      compress::entropy_code{.index_bits = 3});
}

TEST_CASE(
    "trained centroids on a mesh: over a pipeline the same bytes; where weights are cut members stay equal over all "
    "parts") {
  auto const train = data(64);
  auto const t = compress::prune{.sparsity = 0.5} | compress::share_weights{.num_bits = 2, .tune = tuning(train, 2)} |
                 compress::entropy_code{};
  auto const one = shared_over({1, 1, 1}, t);
  CHECK((shared_over({1, 1, 2}, t) == one));
  CHECK((shared_over({2, 1, 2}, t) == one));
  // The tensor axis adds in another order: another training, of which what must hold does.
  auto const image = shared_over({1, 3, 1}, t);
  CHECK((image == shared_over({1, 3, 1}, t)));
  auto w = alone();
  auto again = build(w) | (compress::prune{} | compress::share_weights{});
  pleat::run::load(again, opened(image));
  auto whole = build(w) | (compress::prune{} | compress::share_weights{});
  pleat::run::load(whole, opened(one));
  auto const a = values_of(again), b = values_of(whole);
  for (std::size_t p = 0; p < a.size(); ++p) {
    if (is_weight(a[p])) CHECK(different(a[p].values).size() <= 4);
    // A step of AdamW moves no number further than (1 − β₁)/√(1 − β₂) = 3.2 rates of 1e-3; both have taken eight.
    for (std::size_t i = 0; i < a[p].values.size(); ++i) {
      CHECK((a[p].values[i] == 0) == (b[p].values[i] == 0));
      CHECK(std::abs(a[p].values[i] - b[p].values[i]) < 2 * 8 * 3.2e-3f);
    }
  }
}

TEST_CASE("what one part of a weight or one stage finds, all ranks say") {
  check_nan_on_one_part("row 8, column 5 is nan", "row 0, column 13 is nan",
                        [](auto& m) { (void)(m | compress::share_weights{}); });
  std::vector<std::string> said(2);
  pleat::comm::run_local(2, [&](pleat::comm::communicator c) {
    auto const rank = static_cast<std::size_t>(c.rank());
    pleat::world w(std::move(c), 1);
    w.comm.set_timeout(30);
    pleat::plan::plan p;
    p.global_batch = 16;
    p.pipeline_ranks = 2;
    auto m = pleat::parallel::build(network(), p, w, {.seed = 3});
    auto bad = std::vector<float>(48, 0.1f);
    bad[7] = std::numeric_limits<float>::infinity();
    set_values(m, "fc3.weight", bad);
    try {
      (void)(m | compress::share_weights{});
    } catch (pleat::error const& e) {
      said[rank] = e.what();
    }
  });
  for (auto const& s : said) CHECK_THAT(s, ContainsSubstring("'fc3.weight'"));
}

TEST_CASE("widths by name, and what is left alone") {
  auto w = alone();
  std::vector<std::string> said;
  auto const shared = build(w) | compress::share_weights{.num_bits = 2,
                                                         .widths = {{"fc1*", 5}},
                                                         .ignore = {"fc3.*"},
                                                         .on_note = [&](std::string_view s) { said.emplace_back(s); }};
  auto const after = values_of(shared);
  for (auto const& p : after) {
    if (p.name == "fc1.weight") CHECK(different(p.values).size() > 4);
    if (p.name == "fc2.weight") CHECK(different(p.values).size() <= 4);
    if (p.name == "fc3.weight") CHECK(p.form == "dense");
  }
  // A second sharing has only fc3 to work on, and says what it left.
  auto const twice = [&] {
    auto m = build(w) | compress::share_weights{.ignore = {"fc3.*"}};
    compress::share_weights{.on_note = [&](std::string_view s) { said.emplace_back(s); }}.run(m);
    return values_of(m);
  }();
  CHECK(twice.size() == after.size());
  REQUIRE(said.size() == 1);
  CHECK_THAT(said[0], ContainsSubstring("'fc1.weight' (it is encoded already)"));
}

TEST_CASE("layers that are constant or all zero") {
  auto w = alone();
  auto model = build(w);
  set_values(model, "fc1.weight", std::vector<float>(320, 0.0f));
  set_values(model, "fc2.weight", std::vector<float>(192, -0.5f));
  auto const small = model | (compress::share_weights{.num_bits = 4} | compress::entropy_code{});
  auto const after = values_of(small);
  for (auto const& p : after) {
    if (p.name == "fc1.weight") CHECK(p.values == std::vector<float>(320, 0.0f));
    if (p.name == "fc2.weight") CHECK(p.values == std::vector<float>(192, -0.5f));
  }
}

TEST_CASE("bad settings and bad weights are refused by name") {
  auto w = alone();
  auto const model = build(w);
  CHECK_THROWS_MATCHES((void)(model | compress::share_weights{.num_bits = 9}), pleat::error,
                       MessageMatches(ContainsSubstring("a code of 9 bits, expected 1 to 8")));
  CHECK_THROWS_MATCHES((void)(model | compress::share_weights{.num_bits = 0}), pleat::error,
                       MessageMatches(ContainsSubstring("a code of 0 bits, expected 1 to 8")));
  CHECK_THROWS_MATCHES((void)(model | compress::share_weights{.index_bits = 9}), pleat::error,
                       MessageMatches(ContainsSubstring("index of 9 bits")));
  CHECK_THROWS_MATCHES((void)(model | compress::share_weights{.index_bits = 0}), pleat::error,
                       MessageMatches(ContainsSubstring("index of 0 bits")));
  CHECK_THROWS_MATCHES((void)(model | compress::share_weights{.ignore = {"*"}}), pleat::error,
                       MessageMatches(ContainsSubstring("no weight is left whose values could be shared")));
  auto const shared = model | compress::share_weights{};
  CHECK_THROWS_MATCHES((void)(shared | compress::entropy_code{.index_bits = 1, .ignore = {"*"}}), pleat::error,
                       MessageMatches(ContainsSubstring("no weight has shared values")));
  auto const pruned = model | (compress::prune{} | compress::share_weights{});
  CHECK_THROWS_MATCHES((void)(pruned | compress::entropy_code{.index_bits = 1}), pleat::error,
                       MessageMatches(ContainsSubstring("index of 1 bits")));
  auto bad = build(w);
  std::vector<float> v(192, 0.1f);
  v[17] = GENERATE(std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity());
  set_values(bad, "fc2.weight", v);
  CHECK_THROWS_MATCHES((void)(bad | compress::share_weights{}), pleat::error,
                       MessageMatches(ContainsSubstring("'fc2.weight'") && ContainsSubstring("row 1, column 1")));
}

}  // namespace
