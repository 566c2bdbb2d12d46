// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compress/gptq.hpp>

#include <pleat/compress/pipeline.hpp>
#include <pleat/compress/prune.hpp>
#include <pleat/compress/quantize.hpp>
#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/nn/conv2d.hpp>
#include <pleat/nn/flatten.hpp>
#include <pleat/parallel/place.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <compress/compress_support.hpp>

#include <limits>
#include <numeric>

namespace {

using namespace compress_test;
namespace compress = pleat::compress;
namespace codec = pleat::codec;
namespace nn = pleat::nn;
using int8 = codec::int8<float>;
using g32 = codec::int4<float, 32>;
using q4_0 = codec::q4_0<float>;
using q4_1 = codec::q4_1<float>;
using q4_k = codec::q4_k<float>;
using q6_k = codec::q6_k<float>;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using every = compress::gptq<g32, q4_0, q4_1, q4_k, q6_k, int8>;

/// 16 × 16 images whose pixels follow a few smooth waves: what makes GPTQ worth its while is that inputs go together.
pleat::io::dataset waves(index_t n) {
  pleat::io::dataset d;
  d.name = "waves";
  d.sample = {1, 16, 16};
  d.size = n;
  d.classes = 4;
  d.mean = 128;
  d.scale = 1.0f / 64;
  pleat::random::stream const s(9, 1);
  for (index_t i = 0; i < n; ++i) {
    double a[4];
    for (int k = 0; k < 4; ++k) a[k] = s.uniform(static_cast<std::uint64_t>(i * 300 + k)) - 0.5;
    d.labels.push_back(static_cast<int>(i % 4));
    for (int y = 0; y < 16; ++y)
      for (int x = 0; x < 16; ++x) {
        double const v = a[0] * std::sin(0.4 * x) + a[1] * std::cos(0.3 * y) + a[2] * std::sin(0.2 * (x + y)) + a[3] +
                         0.1 * s.uniform(static_cast<std::uint64_t>(i * 300 + 4 + y * 16 + x));
        d.pixels.push_back(static_cast<std::uint8_t>(std::clamp(128 + 90 * v, 0.0, 255.0)));
      }
  }
  return d;
}
/// Columns 256, 64 and 128: blocks of 256 divide the first only.
auto wide() {
  return nn::sequential(nn::linear("fc1", 256, 64), nn::relu(), nn::linear("fc2", 64, 128), nn::relu(),
                        nn::linear("fc3", 128, 4));
}
auto wide_model(pleat::world& w) {
  pleat::plan::plan p;
  p.global_batch = 16;
  p.data_ranks = w.size();
  p.deterministic = true;
  return pleat::parallel::build(wide(), p, w, {.seed = 3});
}
/// With convolutions in two groups.
auto conv_net() {
  return nn::sequential(nn::conv2d("conv1", 1, 8, 3, {.padding = 1}), nn::relu(),
                        nn::conv2d("conv2", 8, 6, 3, {.stride = 2, .groups = 2}), nn::relu(), nn::flatten(),
                        nn::linear("fc", 294, 4));
}

TEST_CASE("better than rounding in its own norm, on every layer, in every form and order") {
  auto w = alone();
  auto const model = wide_model(w);
  auto const train = waves(64);
  for (auto const order : {compress::act_order::natural, compress::act_order::static_groups})
    for (auto const& form : {"int4_g32", "q4_0", "q4_1", "q4_K", "q6_K", "int8"}) {
      std::vector<compress::gptq_result> layers;
      auto const small = model | every{.data = compress::calibration(train),
                                       .actorder = order,
                                       .forms = {{"*", form}},
                                       .misfit = compress::misfit::ignore,
                                       .on_layer = [&](auto const& l) { layers.push_back(l); },
                                       .on_note = [](std::string_view) {}};
      bool const k = std::string_view(form).ends_with("_K");
      REQUIRE(layers.size() == (k ? 1u : 3u));
      auto const after = values_of(small);
      CHECK(after[0].form == form);
      for (auto const& l : layers) {
        INFO(form << " " << l.name << ": " << l.loss << " against " << l.rounding);
        CHECK(l.loss < l.rounding);
        CHECK(l.loss > 0);
        CHECK_FALSE(l.rounded);
      }
      CHECK(small.arena().find("fc1.weight") == -1);
    }
  std::vector<compress::gptq_result> layers;
  pleat::plan::plan p;
  p.global_batch = 16;
  auto const convolved = pleat::parallel::build(conv_net(), p, w, {.seed = 5});
  (void)(convolved | compress::gptq<int8>{.data = compress::calibration(train),
                                          .sequential = false,
                                          .on_layer = [&](auto const& l) { layers.push_back(l); }});
  REQUIRE(layers.size() == 3);
  for (auto const& l : layers) CHECK(l.loss < l.rounding);
}

/// GPTQ as it is defined, for one row: the inverse by elimination, columns one after the other, each removed from the
/// inverse.
std::vector<float> by_definition(std::vector<double> w, std::vector<double> h, float scale) {
  std::size_t const n = w.size();
  std::vector<double> inv(n * n, 0.0);
  for (std::size_t i = 0; i < n; ++i) inv[i * n + i] = 1;
  for (std::size_t i = 0; i < n; ++i) {
    double const pivot = h[i * n + i];
    for (std::size_t j = 0; j < n; ++j) h[i * n + j] /= pivot, inv[i * n + j] /= pivot;
    for (std::size_t r = 0; r < n; ++r) {
      if (r == i) continue;
      double const f = h[r * n + i];
      for (std::size_t j = 0; j < n; ++j) h[r * n + j] -= f * h[i * n + j], inv[r * n + j] -= f * inv[i * n + j];
    }
  }
  std::vector<float> out;
  for (std::size_t i = 0; i < n; ++i) {
    double const q = std::clamp(std::nearbyint(w[i] / static_cast<double>(scale)), -127.0, 127.0);
    out.push_back(scale * static_cast<float>(q));
    double const e = (w[i] - static_cast<double>(out.back())) / inv[i * n + i];
    for (std::size_t j = i; j < n; ++j) w[j] -= e * inv[i * n + j];
    auto const before = inv;
    for (std::size_t r = i + 1; r < n; ++r)
      for (std::size_t j = i + 1; j < n; ++j)
        inv[r * n + j] -= before[r * n + i] * before[i * n + j] / before[i * n + i];
  }
  return out;
}

TEST_CASE("the numbers are those of the definition, in either order of the columns") {
  auto w = alone();
  auto const model = build(w);
  auto train = data(64);
  for (std::size_t i = 0; i < train.pixels.size(); ++i)  // columns of other sizes: the larger ones lie behind
    train.pixels[i] =
        static_cast<std::uint8_t>(100 + (static_cast<int>(train.pixels[i]) - 100) * static_cast<int>(2 + i % 20) / 22);
  // H from the bytes themselves.
  std::size_t const n = 20;
  std::vector<double> h(n * n, 0.0);
  double mean = 0;
  for (std::size_t s = 0; s < 64; ++s)
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < n; ++j) {
        auto const x = [&](std::size_t k) {
          return static_cast<double>((static_cast<float>(train.pixels[s * n + k]) - train.mean) * train.scale);
        };
        h[i * n + j] += 2.0 / 64 * x(i) * x(j);
      }
  for (std::size_t i = 0; i < n; ++i) mean += h[i * n + i] / static_cast<double>(n);
  for (std::size_t i = 0; i < n; ++i) h[i * n + i] += 0.01 * mean;
  auto const before = values_of(model)[0];
  std::vector<std::vector<float>> both;
  for (auto const walk : {compress::act_order::natural, compress::act_order::static_groups}) {
    std::vector<std::size_t> order(n);
    std::iota(order.begin(), order.end(), std::size_t{0});
    if (walk == compress::act_order::static_groups)
      std::stable_sort(order.begin(), order.end(),
                       [&](std::size_t a, std::size_t b) { return h[a * n + a] > h[b * n + b]; });
    std::vector<double> walked(n * n);
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < n; ++j) walked[i * n + j] = h[order[i] * n + order[j]];
    auto const after =
        values_of(model | compress::gptq<int8>{.data = compress::calibration(train), .actorder = walk})[0].values;
    for (std::size_t r = 0; r < 16; ++r) {
      std::vector<double> row;
      float amax = 0;
      for (std::size_t i = 0; i < n; ++i) {
        row.push_back(static_cast<double>(before.values[r * n + order[i]]));
        amax = std::max(amax, static_cast<float>(std::abs(row.back())));
      }
      auto const expected = by_definition(row, walked, amax / 127.0f);
      // codes are integers: the two ways' roundings do not show
      for (std::size_t i = 0; i < n; ++i) CHECK(after[r * n + order[i]] == expected[i]);
    }
    both.push_back(after);
  }
  CHECK(both[0] != both[1]);  // the order was another one, and it shows
}

TEST_CASE(
    "static groups keep the steps of the original row; in natural order a group's step is found when its turn comes") {
  auto w = alone();
  auto const model = wide_model(w);
  auto const train = waves(64);
  auto const rounded = values_of(model | compress::quantize<g32>{})[0].values;
  auto const off_step = [&](compress::act_order order) {
    auto const v =
        values_of(model | compress::gptq<g32>{.data = compress::calibration(train), .actorder = order})[0].values;
    int groups = 0;
    for (std::size_t at = 0; at < v.size(); at += 32) {
      float amax = 0;
      for (std::size_t j = at; j < at + 32; ++j) amax = std::max(amax, std::abs(rounded[j]));
      float const step = amax / 7;  // exactly: the code ±7 of the step, a half
      groups +=
          std::any_of(v.begin() + static_cast<std::ptrdiff_t>(at), v.begin() + static_cast<std::ptrdiff_t>(at) + 32,
                      [&](float x) { return x != step * std::nearbyint(x / step); });
    }
    return groups;
  };
  CHECK(off_step(compress::act_order::static_groups) == 0);
  CHECK(off_step(compress::act_order::natural) > 64);  // of 512; those that begin a row have the original's
}

TEST_CASE("no bit depends on the blocks or the number of ranks") {
  auto const train = waves(40);
  std::vector<std::byte> one;
  for (int const ranks : {1, 2, 3, 4}) {
    std::vector<std::vector<std::byte>> images(static_cast<std::size_t>(ranks));
    pleat::comm::run_local(ranks, [&](pleat::comm::communicator c) {
      auto const rank = static_cast<std::size_t>(c.rank());
      pleat::world w(std::move(c), 1);
      images[rank] =
          pleat::run::file_image(wide_model(w) | compress::gptq<g32>{.data = compress::calibration(train),
                                                                     .block_size = ranks == 1 ? 128 : 32 * ranks - 5});
    });
    if (ranks == 1) one = images[0];
    for (auto const& image : images) CHECK((image == one));
  }
}

TEST_CASE("weights that are cut over the ranks: by rows the bytes of the whole, by columns those of the first layer") {
  namespace par = pleat::parallel;
  auto const train = waves(24);
  auto w1 = alone();
  auto const whole = values_of(pleat::parallel::build(wide(), pleat::plan::plan{.global_batch = 16}, w1, {.seed = 3}) |
                               compress::gptq<g32>{.data = compress::calibration(train)});
  for (int const ranks : {2, 3, 4}) {
    std::vector<std::string> wrong(static_cast<std::size_t>(ranks));
    pleat::comm::run_local(ranks, [&](pleat::comm::communicator c) {
      auto const rank = static_cast<std::size_t>(c.rank());
      pleat::world self(pleat::comm::communicator(pleat::comm::self{}), 1), w(std::move(c), 1);
      w.set_sink({});
      auto const dense = par::build(wide(), pleat::plan::plan{.global_batch = 16}, self, {.seed = 3});
      for (bool const rows : {true, false}) {
        auto const cut = par::place(
            dense,
            par::tensor_parallel(dense.net(),
                                 std::vector<par::placement_rule>{rows ? par::column("fc*") : par::row("fc1.*", 32)}),
            {.global_batch = 16, .tensor_ranks = ranks}, w);
        auto const small = cut | compress::gptq<g32>{.data = compress::calibration(train)};
        std::size_t p = 0;
        auto const mine = values_of(small);
        nn::for_each_parameter(small.net(), [&](nn::parameter const& x) {
          std::size_t const at = p++;
          if (x.shape.rank() < 2 || (!rows && x.name != "fc1.weight")) return;
          std::vector<float> expected;
          codec::detail::for_each_of_part(x.whole(), x.box(), [&](index_t i) {
            expected.push_back(whole[at].values[static_cast<std::size_t>(i)]);
          });
          if (mine[at].values != expected || mine[at].form != "int4_g32") wrong[rank] += x.name + " ";
        });
      }
    });
    for (auto const& text : wrong) CHECK(text == "");
  }
}

TEST_CASE("over a pipeline every stage solves its own") {
  auto const train = waves(24);
  auto w1 = alone();
  auto const whole = values_of(pleat::parallel::build(wide(), pleat::plan::plan{.global_batch = 16}, w1, {.seed = 3}) |
                               compress::gptq<g32>{.data = compress::calibration(train)});
  std::vector<std::string> seen(3);
  pleat::comm::run_local(3, [&](pleat::comm::communicator c) {
    auto const rank = static_cast<std::size_t>(c.rank());
    pleat::world w(std::move(c), 1);
    pleat::plan::plan p;
    p.global_batch = 16;
    p.pipeline_ranks = 3;
    auto const small =
        pleat::parallel::build(wide(), p, w, {.seed = 3}) | compress::gptq<g32>{.data = compress::calibration(train)};
    std::size_t at = 0;
    nn::for_each_parameter(small.net(), [&](auto const& x) {
      std::size_t const i = at++;
      if (x.absent || x.shape.rank() < 2) return;
      auto const t = pleat::tensor<float, Kokkos::DefaultExecutionSpace>::allocate(small.context(), x.shape);
      x.decode(small.context(), t.data());
      std::vector<float> v(static_cast<std::size_t>(x.size()));
      pleat::copy_to_host(small.context(), t, v.data());
      seen[rank] += x.name + (v == whole[i].values ? " same " : " other ");
    });
  });
  CHECK(seen[0] + seen[1] + seen[2] == "fc1.weight same fc2.weight same fc3.weight same ");
}

/// 20 → rows: one weight, without neighbours whose inputs could differ.
template <class Placement>
auto one_weight(pleat::world& w, index_t rows, std::vector<float> const& values, Placement const& placement) {
  pleat::plan::plan p;
  p.global_batch = 16;
  p.tensor_ranks = w.size();
  auto m = pleat::parallel::build(placement(nn::sequential(nn::linear("fc", 20, rows))), p, w, {});
  std::vector<float> mine;
  m.net().for_each_parameter([&](nn::parameter const& x) {
    if (x.name == "fc.weight")
      codec::detail::for_each_of_part(x.whole(), x.box(),
                                      [&](index_t i) { mine.push_back(values[static_cast<std::size_t>(i)]); });
  });
  set_values(m, "fc.weight", mine);
  return m;
}

TEST_CASE("whether rounding is better is one answer for the whole weight, also where its rows lie on several ranks") {
  namespace par = pleat::parallel;
  auto const train = data(24);
  auto const whole = [](auto net) { return net; };
  auto const by_rows = [](auto net) { return par::tensor_parallel(std::move(net), {par::column("fc.*")}); };
  int mixed = 0, kept = 0;  // so much damping that codes move a little and at random
  for (std::uint64_t seed = 1; seed <= 24; ++seed) {
    pleat::random::stream const s(seed, 1);
    std::vector<float> v(40);
    for (std::size_t i = 0; i < v.size(); ++i) v[i] = s.uniform(i) - 0.5f;
    auto w1 = alone();
    auto const answer = [&](auto const& m, std::vector<float>& stored) {
      compress::gptq_result said;
      stored = values_of(m | compress::gptq<int8>{.data = compress::calibration(train),
                                                  .dampening_frac = 3,
                                                  .on_layer = [&](auto const& l) { said = l; },
                                                  .on_note = [](std::string_view) {}})[0]
                   .values;
      return said;
    };
    std::vector<float> stored, nothing;
    auto const expected = answer(one_weight(w1, 2, v, whole), stored);
    bool const first = answer(one_weight(w1, 1, {v.begin(), v.begin() + 20}, whole), nothing).rounded,
               second = answer(one_weight(w1, 1, {v.begin() + 20, v.end()}, whole), nothing).rounded;
    if (first != second) ++mixed, kept += expected.rounded ? 0 : 1;
    std::vector<compress::gptq_result> said(2);
    std::vector<std::vector<float>> parts(2);
    pleat::comm::run_local(2, [&](pleat::comm::communicator c) {
      auto const rank = static_cast<std::size_t>(c.rank());
      pleat::world w(std::move(c), 1);
      said[rank] = answer(one_weight(w, 2, v, by_rows), parts[rank]);
    });
    INFO("seed " << seed << ", row by row " << first << " " << second << ", together " << expected.rounded);
    for (std::size_t r = 0; r < 2; ++r) {
      CHECK(said[r].rounded == expected.rounded);
      CHECK(said[r].loss == said[0].loss);
      CHECK(std::abs(said[r].loss - expected.loss) <= 1e-12 * expected.rounding);  // two sums instead of one, in double
      CHECK(std::equal(parts[r].begin(), parts[r].end(), stored.begin() + static_cast<std::ptrdiff_t>(20 * r),
                       stored.begin() + static_cast<std::ptrdiff_t>(20 * r + 20)));
    }
  }
  CAPTURE(mixed, kept);
  CHECK((mixed > kept && kept > 0));  // rows that would rather be rounded, some of which were outvoted
}

TEST_CASE("rank 0 names the rounded weights of all stages") {
  auto train = data(40);
  for (index_t i = 0; i < train.size; ++i)
    // all inputs alike: rank one
    for (int j = 0; j < 20; ++j)
      train.pixels[static_cast<std::size_t>(20 * i + j)] = static_cast<std::uint8_t>(120 + i % 3);
  auto const notes = [&](int stages) {
    std::string said;
    pleat::comm::run_local(stages, [&](pleat::comm::communicator c) {
      pleat::world w(std::move(c), 1);
      pleat::plan::plan p;
      p.global_batch = 16;
      p.pipeline_ranks = stages;
      // rank 0 alone is called
      (void)(pleat::parallel::build(network(), p, w, {.seed = 3}) |
             compress::gptq<int8>{.data = compress::calibration(train),
                                  .dampening_frac = 0,
                                  .on_note = [&](std::string_view line) { said += line; }});
    });
    return said;
  };
  auto const one = notes(1);
  CHECK_THAT(one, ContainsSubstring("'fc1.weight' is rounded to nearest: H could not be factored") &&
                      ContainsSubstring("'fc2.weight' is rounded") && ContainsSubstring("'fc3.weight' is rounded"));
  CHECK(notes(3) == one);
}

TEST_CASE("what was pruned stays zero") {
  auto w = alone();
  auto const model = wide_model(w);
  auto const train = waves(40);
  auto const small =
      model | (compress::prune{.sparsity = 0.5} | compress::gptq<g32>{.data = compress::calibration(train)});
  auto const pruned = values_of(model | compress::prune{.sparsity = 0.5}), after = values_of(small);
  for (std::size_t p = 0; p < pruned.size(); ++p)
    for (std::size_t i = 0; i < pruned[p].values.size(); ++i)
      if (is_weight(pruned[p]) && pruned[p].values[i] == 0) REQUIRE(after[p].values[i] == 0);
}

TEST_CASE("inputs that never come, all-zero weights, and what cannot be factored") {
  auto w = alone();
  auto model = build(w);
  auto train = data(40);
  // the mean: exactly zero
  for (index_t i = 0; i < train.size; ++i) train.pixels[static_cast<std::size_t>(20 * i + 7)] = 100;
  set_values(model, "fc2.weight", std::vector<float>(192, 0.0f));
  std::string said;
  auto const after = values_of(model | compress::gptq<int8>{.data = compress::calibration(train),
                                                            .on_note = [&](std::string_view line) { said += line; }});
  for (std::size_t r = 0; r < 16; ++r) CHECK(after[0].values[20 * r + 7] == 0);
  CHECK(after[2].values == std::vector<float>(192, 0.0f));
  for (index_t i = 0; i < train.size; ++i)
    // all inputs alike: rank one
    for (int j = 0; j < 20; ++j)
      train.pixels[static_cast<std::size_t>(20 * i + j)] = static_cast<std::uint8_t>(120 + i % 3);
  std::vector<compress::gptq_result> layers;
  (void)(build(w) | compress::gptq<int8>{.data = compress::calibration(train),
                                         .dampening_frac = 0,
                                         .on_layer = [&](auto const& l) { layers.push_back(l); },
                                         .on_note = [&](std::string_view line) { said += line; }});
  CHECK_THAT(said, ContainsSubstring("'fc1.weight' is rounded to nearest: H could not be factored"));
  CHECK(layers[0].rounded);
  CHECK(layers[0].loss == layers[0].rounding);
}

TEST_CASE("bad input is refused in words") {
  auto w = alone();
  auto model = wide_model(w);
  auto const train = waves(16);
  compress::calibration const some(train);
  CHECK_THROWS_MATCHES(model | compress::gptq<g32>{}, pleat::error,
                       MessageMatches(ContainsSubstring("compress::gptq: the calibration set is empty")));
  CHECK_THROWS_MATCHES((model | compress::gptq<g32>{.data = some, .block_size = 0}), pleat::error,
                       MessageMatches(ContainsSubstring("block_size must be at least 1, found 0")));
  CHECK_THROWS_MATCHES((model | compress::gptq<g32>{.data = some, .dampening_frac = -1}), pleat::error,
                       MessageMatches(ContainsSubstring("dampening_frac is a finite number that is not negative")));
  CHECK_THROWS_MATCHES((model | compress::gptq<q4_k>{.data = some}), pleat::error,
                       MessageMatches(ContainsSubstring("'fc2.weight': its 64 columns are no multiple of 256")));
  CHECK_THROWS_MATCHES((model | compress::gptq<g32>{.data = some, .ignore = {"*"}}), pleat::error,
                       MessageMatches(ContainsSubstring("no weight is left to be quantized")));
  auto broken = train;
  broken.scale = std::numeric_limits<float>::infinity();
  compress::calibration const bad(broken);
  CHECK_THROWS_MATCHES((model | compress::gptq<g32>{.data = bad}), pleat::error,
                       MessageMatches(ContainsSubstring("'fc1.weight': its inputs hold NaN or infinity")));
  auto values = values_of(model)[2].values;
  values[65] = std::numeric_limits<float>::quiet_NaN();
  set_values(model, "fc2.weight", values);
  CHECK_THROWS_MATCHES((model | compress::gptq<g32>{.data = some}), pleat::error,
                       MessageMatches(ContainsSubstring("'fc2.weight': ") && ContainsSubstring("row 1, column 1")));
}

}  // namespace
