// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compress/low_rank.hpp>

#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/compress/pipeline.hpp>
#include <pleat/compress/prune.hpp>
#include <pleat/compress/quantize.hpp>
#include <pleat/nn/conv2d.hpp>
#include <pleat/nn/flatten.hpp>
#include <pleat/parallel/tensor_recipe.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <compress/compress_support.hpp>
#include <compress/mesh_support.hpp>
#include <compress/nan_support.hpp>

namespace {

using namespace compress_test;
namespace compress = pleat::compress;
namespace nn = pleat::nn;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

/// Σ σ_k x_k y_kᵀ with vectors that are orthogonal because they live apart; noise of a given size.
std::vector<float> planted(index_t m, index_t n, std::vector<double> const& sigma, double noise = 0) {
  pleat::random::stream const s(11, 1);
  std::vector<float> w(static_cast<std::size_t>(m * n));
  for (index_t i = 0; i < m; ++i)
    for (index_t j = 0; j < n; ++j) {
      auto const k = static_cast<std::size_t>(i) % sigma.size();
      double v = k == static_cast<std::size_t>(j) % sigma.size() ? sigma[k] : 0;
      v += noise * (static_cast<double>(s.uniform(static_cast<std::uint64_t>(i * n + j))) - 0.5) * std::sqrt(12.0);
      w[static_cast<std::size_t>(i * n + j)] = static_cast<float>(v);
    }
  return w;
}
compress::spectrum spectrum_of(index_t m, index_t n, std::vector<float> const& w) {
  std::vector<double> const a(w.begin(), w.end());
  return {m, n, pleat::compute::svd(m, n, a).s};
}
template <class Model>
auto const& entry(std::vector<compress::factored_weight> const& found, Model const&, std::string const& name) {
  return *std::find_if(found.begin(), found.end(), [&](auto const& f) { return f.name == name; });
}

TEST_CASE("the rules choose the smallest rank that keeps what they promise") {
  compress::spectrum const a{10, 8, {4, 2, 1, 0.5, 0.25, 0, 0, 0}};  // squares 16 4 1 .25 .0625, sum 21.3125
  auto const rank = [&](compress::rank_rule const& r) { return compress::ranks_of(r, {a}, {"a"}).front(); };
  CHECK(rank(compress::by_rank{3}) == 3);
  CHECK(rank(compress::by_energy{0.75}) == 1);
  CHECK(rank(compress::by_energy{0.76}) == 2);
  CHECK(rank(compress::by_energy{1}) == 5);
  CHECK(rank(compress::by_error{0.5}) == 1);  // √(5.3125/21.3125) = 0.4993
  CHECK(rank(compress::by_error{0.499}) == 2);
  CHECK(rank(compress::by_error{0.3}) == 2);
  CHECK(rank(compress::by_error{0.0}) == 5);
  // Two matrices, 160 elements, half of them: four times 18 + 0 of 80; the steeper one gets fewer.
  compress::spectrum const flat{10, 8, {1, 1, 1, 1, 1, 1, 1, 1}};
  auto const both = compress::ranks_of(compress::by_budget{0.5}, {a, flat}, {"a", "b"});
  CHECK((both[0] + both[1]) * 18 <= 80);
  CHECK((both[0] + both[1] + 1) * 18 > 80);
  CHECK(both == std::vector<index_t>{2, 2});
  auto const refused = [&](compress::rank_rule const& r, std::string const& words) {
    CHECK_THROWS_MATCHES(rank(r), pleat::error, MessageMatches(ContainsSubstring(words)));
  };
  refused(compress::by_rank{9}, "rank 9 of 'a', which is 10 × 8: expected 1 to 8");
  refused(compress::by_rank{0}, "expected 1 to 8");
  for (double const e : {0.0, 1.1, -1.0, std::numeric_limits<double>::quiet_NaN()})
    refused(compress::by_energy{e}, "energy is the share");
  for (double const e : {1.0, -0.1, std::numeric_limits<double>::quiet_NaN()})
    refused(compress::by_error{e}, "epsilon is the largest");
  for (double const e : {0.0, 1.5, std::numeric_limits<double>::quiet_NaN()})
    refused(compress::by_budget{e}, "a budget is a share");
  refused(compress::by_budget{0.1}, "leaves nothing for 'a': its smallest factors have 18 of 80 numbers");
}

TEST_CASE("EVBMF counts what stands out of noise") {
  auto const found = [](std::vector<double> const& sigma, double noise) {
    return compress::ranks_of(compress::evbmf{}, {spectrum_of(60, 90, planted(60, 90, sigma, noise))}, {"w"}).front();
  };
  // Planted blocks have singular values of sigma·√(count): 60·90/k² elements each. Noise of variance 1 reaches √60 +
  // √90 = 17.2; 4 → 4·√(20·30) = 98.
  CHECK(found({4, 4, 4}, 1) == 3);
  CHECK(found({0.0}, 1) == 0);
  CHECK(found({4, 4, 4, 4, 4, 4}, 1) == 6);
  CHECK(found({0.0}, 0) == 0);
  // One value on either side of the edge √(many·variance·(1 + τ)(1 + α/τ)), τ = 2.5129·√α (Nakajima et al., JMLR 14,
  // 2013): 19.1, above what noise reaches. Its own part in the variance moves the edge by a hundredth.
  double const alpha = 60.0 / 90, tau = 2.5129 * std::sqrt(alpha), edge = std::sqrt(90 * (1 + tau) * (1 + alpha / tau));
  for (auto const& [share, rank] : {std::pair{0.95, 0}, {1.08, 1}}) {
    auto of_noise = spectrum_of(60, 90, planted(60, 90, {0.0}, 1));
    of_noise.s[0] = share * edge;
    CHECK(compress::ranks_of(compress::evbmf{}, {of_noise}, {"w"}).front() == rank);
  }
}

TEST_CASE("a model's weights become factors, as near as the rule says, and answers follow") {
  auto w = alone();
  auto model = build(w);
  set_values(model, "fc1.weight", planted(16, 20, {3, 1}, 0.01));
  std::vector<std::string> said;
  compress::low_rank const t{.rule = compress::by_error{0.1},
                             .on_note = [&](std::string_view s) { said.emplace_back(s); }};
  auto const small = model | t;
  auto const before = values_of(model), after = values_of(small);
  for (std::size_t p = 0; p < before.size(); ++p) {
    if (!is_weight(before[p])) {
      CHECK(after[p].values == before[p].values);
      continue;
    }
    double lost = 0, all = 0;
    for (std::size_t i = 0; i < before[p].values.size(); ++i) {
      lost += std::pow(static_cast<double>(before[p].values[i] - after[p].values[i]), 2);
      all += std::pow(static_cast<double>(before[p].values[i]), 2);
    }
    CHECK(std::sqrt(lost) <= 0.1 * (1 + 1e-5) * std::sqrt(all));
    if (before[p].name == "fc1.weight") CHECK(after[p].form == "low_rank");
    else CHECK(after[p].form == "dense");  // random weights: a tenth of the error needs almost all ranks
  }
  REQUIRE(said.size() == 1);
  CHECK_THAT(said[0], ContainsSubstring("'fc2.weight' (rank ") &&
                          ContainsSubstring("as one matrix: the factors would have more numbers"));
}

TEST_CASE("the error that plan() foretells is the one that is measured") {
  auto w = alone();
  auto model = pleat::compress::widen<compress::low_rank>(build(w));
  compress::low_rank const t{.rule = compress::by_rank{2}, .on_note = [](auto) {}};
  auto const found = t.plan(model);
  auto const before = values_of(model);
  t.run(model);
  auto const after = values_of(model);
  int checked = 0;
  for (std::size_t p = 0; p < before.size(); ++p) {
    if (after[p].form != "low_rank") continue;
    auto const& f = entry(found, model, before[p].name);
    double lost = 0, all = 0;
    for (std::size_t i = 0; i < before[p].values.size(); ++i) {
      lost += std::pow(static_cast<double>(before[p].values[i]) - static_cast<double>(after[p].values[i]), 2);
      all += std::pow(static_cast<double>(before[p].values[i]), 2);
    }
    CHECK(f.pays);
    CHECK(f.rank == 2);
    CHECK(std::fabs(std::sqrt(lost / all) - f.error) < 1e-5);  // beside the factors' rounding to float
    ++checked;
  }
  CHECK(checked == 3);
}

TEST_CASE("with samples the outputs count: nearer answers at the same rank") {
  auto w = alone();
  auto const train = data(200);
  auto model = build(w);
  (void)pleat::run::fit(model, train, quiet(4));
  // of the first layer's outputs, where the samples are what was looked at
  auto const distance = [&](auto const& small) {
    auto const in = compress::layer_inputs(model, compress::calibration(train, 200));
    auto const a = values_of(model), b = values_of(small);
    return compress::output_error(in.front(), a[0].shape, std::span<float const>(a[0].values),
                                  std::span<float const>(b[0].values));
  };
  compress::low_rank plain{.rule = compress::by_rank{4}, .on_note = [](auto) {}}, looking = plain;
  looking.data = compress::calibration(train, 200);
  double const without = distance(model | plain), with = distance(model | looking);
  CHECK(with < 0.9 * without);
  // and the weight itself is farther, as Eckart and Young say
  auto const far = [&](auto const& small) {
    auto const a = values_of(model), b = values_of(small);
    double s = 0;
    for (std::size_t i = 0; i < a[0].values.size(); ++i)
      s += std::pow(static_cast<double>(a[0].values[i] - b[0].values[i]), 2);
    return s;
  };
  CHECK(far(model | looking) >= far(model | plain) * (1 - 1e-5));
}

TEST_CASE("a convolution becomes thin kernels and a 1×1 one, with the answers of the decoded kernel") {
  auto w = alone();
  pleat::plan::plan p;
  p.global_batch = 4;
  auto model = pleat::parallel::build(
      nn::sequential(nn::conv2d("c1", 3, 12, 3, {.padding = 1}), nn::relu(), nn::conv2d("c2", 12, 8, 3, {.stride = 2}),
                     nn::flatten(), nn::linear("f", 8 * 2 * 2, 3)),
      p, w, {});
  auto const small = model | compress::low_rank{.rule = compress::by_rank{2}, .on_note = [](auto) {}};
  auto const forms = values_of(small);
  CHECK((forms[0].form == "low_rank" && forms[2].form == "low_rank"));
  auto plain = model.clone();
  for (auto const& v : forms) set_values(plain, v.name, v.values);
  auto x = pleat::tensor<float, typename decltype(model)::execution_space>::allocate(model.context(), {4, 3, 6, 6});
  pleat::random::stream const s(3, 1);
  std::vector<float> in(static_cast<std::size_t>(x.size())), a(12), b(12);
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = 2 * s.uniform(i) - 1;
  pleat::copy_from_host(model.context(), in.data(), x);
  pleat::copy_to_host(model.context(), small.predict(x), a.data());
  pleat::copy_to_host(model.context(), plain.predict(x), b.data());
  // Three layers whose sums have at most 108 + 2 terms of size below 1: some hundred roundings
  for (std::size_t i = 0; i < 12; ++i) CHECK(std::fabs(a[i] - b[i]) < 300 * 0x1p-24f * 4);
}

TEST_CASE("the randomised solver and the whole one agree; every rank computes the same bytes") {
  auto w = alone();
  auto const train = data(64);
  auto model = build(w);
  set_values(model, "fc1.weight", planted(16, 20, {3, 1}, 0.001));
  auto const whole = values_of(model | compress::low_rank{.rule = compress::by_rank{2}, .ignore = {"fc2*", "fc3*"}});
  auto const drawn = values_of(
      model | compress::low_rank{.rule = compress::by_rank{2}, .randomized = true, .ignore = {"fc2*", "fc3*"}});
  for (std::size_t i = 0; i < whole[0].values.size(); ++i)
    CHECK(std::fabs(whole[0].values[i] - drawn[0].values[i]) < 1e-5f);

  auto const shrink = [&](pleat::world& world) {
    return pleat::run::file_image(build(world) | compress::low_rank{.rule = compress::by_budget{0.6},
                                                                    .data = compress::calibration(train, 40),
                                                                    .on_note = [](auto) {}});
  };
  auto const reference = shrink(w);
  for (int const n : {2, 3, 4}) {
    std::vector<std::vector<std::byte>> images(static_cast<std::size_t>(n));
    pleat::comm::run_local(n, [&](pleat::comm::communicator c) {
      auto const r = static_cast<std::size_t>(c.rank());
      pleat::world mine(std::move(c), 1);
      images[r] = shrink(mine);
    });
    for (auto const& image : images) CHECK(image == reference);
  }
}

TEST_CASE("weights cut over the tensor axis are factored where they are") {
  auto one = alone();
  auto const reference = build(one) | compress::low_rank{.rule = compress::by_rank{3}, .on_note = [](auto) {}};
  std::vector<index_t> const samples{0, 1, 2, 3, 4, 5, 6, 7};
  auto const d = data(8);
  auto const answers = [&](auto const& m) {
    using Model = std::remove_cvref_t<decltype(m)>;
    pleat::run::batch_loader<float, typename Model::execution_space> loader(d);
    auto const y = m.predict(loader.load(m.context(), samples).x);
    std::vector<float> host(static_cast<std::size_t>(y.size()));
    pleat::copy_to_host(m.context(), y, host.data());
    return host;
  };
  auto const right = answers(reference);
  for (int const n : {2, 3, 4}) {
    std::vector<std::vector<float>> got(static_cast<std::size_t>(n));
    std::vector<std::string> forms(static_cast<std::size_t>(n));
    pleat::comm::run_local(n, [&](pleat::comm::communicator c) {
      auto const r = static_cast<std::size_t>(c.rank());
      pleat::world w(std::move(c), 1);
      pleat::plan::plan p;
      p.global_batch = 16;
      p.tensor_ranks = n;
      namespace par = pleat::parallel;
      auto const m =
          par::build(par::tensor_parallel(network(), {par::column("fc1.*"), par::row("fc2.*")}), p, w, {.seed = 3});
      auto const small = m | compress::low_rank{.rule = compress::by_rank{3}, .on_note = [](auto) {}};
      got[r] = answers(small);
      pleat::nn::for_each_parameter(small.net(), [&](auto const& x) { forms[r] += std::string(x.form_name()) + " "; });
    });
    // 4 × 12 at rank 3: 48 numbers, as many as it has
    for (auto const& f : forms) CHECK(f == "low_rank dense low_rank dense dense dense ");
    // Another order of sums in the decomposition (1e-15 relative, in double) and in the products: some tens of
    // roundings of answers below 4
    for (auto const& y : got)
      for (std::size_t i = 0; i < y.size(); ++i) CHECK(std::fabs(y[i] - right[i]) < 200 * 0x1p-24f * 4);
  }
}

TEST_CASE("outliers of a weight that is cut are those of the whole, its factors but for the order of sums") {
  auto const path = (std::filesystem::temp_directory_path() / ("pleat_apart_" + std::to_string(::getpid()))).string();
  {
    auto w = alone();
    auto m = build(w);
    for (auto& p : values_of(m)) {  // many of one magnitude
      if (!is_weight(p)) continue;
      for (float& v : p.values) v = std::round(v * 40) / 40;
      set_values(m, p.name, p.values);
    }
    pleat::run::save(m, path);
  }
  for (double const share : {0.3, 0.0}) {
    auto const made_on = [&](mesh const& l) {
      return file_over(l, [&](pleat::world& w) {
        auto m = build_on(w, l);
        pleat::run::load(m, path);
        return std::move(m) |
               compress::sparse_low_rank{.rule = compress::by_rank{2}, .sparse_share = share, .on_note = [](auto) {}};
      });
    };
    auto const reference = opened(made_on({}));
    auto const bytes = [&](pleat::io::safetensors_file const& f, std::string const& name) {
      auto const b = f.bytes(f.at(name));
      return std::vector<std::byte>(b.begin(), b.end());
    };
    auto w = alone();
    auto const loaded = [&](pleat::io::safetensors_file const& f) {
      auto m = pleat::compress::widen<compress::sparse_low_rank>(build(w));
      pleat::run::load(m, f);
      return values_of(m);
    };
    auto const right = loaded(reference);
    CHECK(right[0].form == "sparse_low_rank");
    CHECK((bytes(reference, "fc1.weight.values").size() == 0) == (share == 0));
    for (mesh const& l : {mesh{1, 2}, {1, 3}, {1, 4}, {2, 2, 1, 3}}) {
      CAPTURE(share, l.data, l.tensor, l.state);
      auto const here = opened(made_on(l));
      for (auto const* weight : {"fc1.weight", "fc2.weight"})
        for (auto const* part : {".row", ".column", ".values"})
          CHECK(bytes(here, std::string(weight) + part) == bytes(reference, std::string(weight) + part));
      auto const found = loaded(here);
      // factors of numbers below 1, in double, rounded to float: a few units of either factor for each of two ranks
      for (std::size_t p = 0; p < right.size(); ++p)
        for (std::size_t i = 0; i < right[p].values.size(); ++i)
          CHECK(std::fabs(found[p].values[i] - right[p].values[i]) < 16 * 0x1p-24f);
    }
  }
  std::filesystem::remove(path);
}

TEST_CASE("what one part of a weight finds, all ranks say") {
  check_nan_on_one_part("element 165 of", "element 13 of", [](auto& m) { (void)(m | compress::low_rank{}); });
}

TEST_CASE(
    "every stage of a pipeline factors its own, by ranks that are chosen over all layers: the bytes of one rank") {
  auto const train = data(40);
  auto const alike = [](auto const& transform) {
    auto const made_on = [&](mesh const& l) {
      return file_over(l, [&](pleat::world& w) {
        return pleat::parallel::build(network(), plan_of(l), w, {.seed = 3}) | transform;
      });
    };
    auto const reference = made_on({});
    for (mesh const& l : {mesh{1, 1, 2}, {1, 1, 3}, {2, 1, 2}, {2, 1, 2, 3}}) {
      CAPTURE(l.data, l.stages, l.state);
      CHECK((made_on(l) == reference));
    }
  };
  alike(compress::low_rank{.rule = compress::by_budget{0.6}, .on_note = [](auto) {}});
  alike(compress::low_rank{
      .rule = compress::by_energy{0.7}, .data = compress::calibration(train, 24), .on_note = [](auto) {}});
  alike(compress::sparse_low_rank{.rule = compress::by_rank{2}, .sparse_share = 0.1, .on_note = [](auto) {}});
}

TEST_CASE("of a pruned weight the survivors stay apart; what does not fit is refused in words") {
  auto w = alone();
  auto const model = build(w);
  auto const both =
      model | (compress::prune{.sparsity = 0.5} |
               compress::sparse_low_rank{.rule = compress::by_rank{1}, .sparse_share = 0.25, .on_note = [](auto) {}});
  auto const after = values_of(both);
  CHECK(after[0].form == "sparse_low_rank");
  auto const refused = [&](auto&& f, std::string const& words) {
    CHECK_THROWS_MATCHES(f(), pleat::error, MessageMatches(ContainsSubstring(words)));
  };
  refused([&] { (void)(model | compress::low_rank{.rule = compress::by_rank{13}}); },
          "rank 13 of 'fc2.weight', which is 12 × 16: expected 1 to 12");
  refused([&] { (void)(model | compress::low_rank{.sparse_share = 0.1}); }, "sparse_share is for sparse_low_rank");
  refused([&] { (void)(model | compress::sparse_low_rank{.sparse_share = 1}); }, "expected a share in [0, 1)");
  refused([&] { (void)(model | compress::low_rank{.randomized = true}); }, "this rule has to see all");
  refused([&] { (void)(model | compress::low_rank{.ignore = {"*"}}); }, "no weight is left to be factored");
  refused([&] { (void)(model | compress::low_rank{.dampening_frac = 0}); }, "dampening_frac must be positive");
  auto sick = build(w);
  auto v = values_of(sick)[0].values;
  v[5] = std::numeric_limits<float>::quiet_NaN();
  set_values(sick, "fc1.weight", v);
  refused([&] { (void)(sick | compress::low_rank{}); }, "element 5 of 'fc1.weight' is nan");
  auto pruned = pleat::compress::widen<compress::low_rank, compress::prune>(model);
  compress::prune{.sparsity = 0.5}.run(pruned);
  refused([&] { compress::low_rank{}.run(pruned); }, "'fc1.weight' is pruned, and factors would fill its zeros");
}

// --- factors that take forms of their own ----------------------------------------------------------------------------

namespace codec = pleat::codec;
using quantize = compress::quantize<codec::q8_0<float>, codec::int8<float>, codec::csr<float>>;
using set_of_float = codec::forms<codec::dense<float>>;
static_assert(std::is_same_v<
              compress::detail::widened<set_of_float, compress::low_rank, compress::quantize<>>::type,
              codec::forms<codec::dense<float>, codec::low_rank<float>, codec::int8<float>, codec::factors<float>>>);
static_assert(std::is_same_v<compress::detail::widened<set_of_float, compress::quantize<>, compress::low_rank>::type,
                             codec::forms<codec::dense<float>, codec::int8<float>, codec::low_rank<float>>>);

quantize in_form(
    std::string form, compress::listener to = [](auto) {}) {
  quantize q{.on_note = std::move(to)};
  q.forms.push_back({"*", std::move(form)});
  return q;
}
compress::low_rank const of_two{.rule = compress::by_rank{2}, .ignore = {"fc3.*"}, .on_note = [](auto) {}};

TEST_CASE("factors are stored in the form that comes after them, run from it, and the file is as much smaller") {
  auto w = alone();
  auto const model = build(w);
  auto const thin = pleat::compress::widen<compress::low_rank, quantize>(model);
  auto factored = thin.clone();
  of_two.run(factored);
  auto const before = values_of(factored);
  auto m = factored.clone();
  in_form("int8").run(m);
  index_t at = 0;
  pleat::nn::for_each_parameter(m.net(), [&](auto const& x) {
    auto const& was = before[static_cast<std::size_t>(at++)];
    if (x.shape.rank() != 2) return;
    INFO(x.name);
    bool const thinner = x.name != "fc3.weight";
    CHECK(x.form_name() == (thinner ? "factors" : "int8"));
    CHECK(x.multiply_adds({}).has_value() == thinner);
    index_t const n = x.shape[0], k = x.shape[1];
    if (thinner) {
      CHECK(*x.multiply_adds({}) == static_cast<double>(2 * (n + k)));
      CHECK(x.bytes() == 2 * (n + k) + 4 * (n + 2));
      auto const said = x.predict(m.context(), was.values);
      REQUIRE(said);
      std::vector<float> now(was.values.size());
      x.decode(m.context(), now.data());
      auto const lost = codec::measure_error(was.values, now);
      CHECK((lost.max > 0 && lost.max <= said->max && lost.frobenius <= said->frobenius));
    }
  });
  // from its file in another process' model: the same answers
  auto again = thin.clone();
  auto const path = (std::filesystem::temp_directory_path() / ("pleat_factors_" + std::to_string(::getpid()))).string();
  pleat::run::save(m, path);
  pleat::run::load(again, path);
  std::filesystem::remove(path);
  auto const d = data(8);
  auto const answers = [&](auto const& of) {
    pleat::run::batch_loader<float, typename decltype(m)::execution_space> loader(d);
    auto const y = of.predict(loader.load(of.context(), std::vector<index_t>{0, 1, 2, 3, 4, 5, 6, 7}).x);
    std::vector<float> host(static_cast<std::size_t>(y.size()));
    pleat::copy_to_host(of.context(), y, host.data());
    return host;
  };
  CHECK(answers(again) == answers(m));
  CHECK(answers(m) != answers(factored));
}

TEST_CASE("factors take forms on every mesh, with the bytes of one rank: where weights are cut, too") {
  auto const path = (std::filesystem::temp_directory_path() / ("pleat_factors_" + std::to_string(::getpid()))).string();
  {
    auto w = alone();
    pleat::run::save(pleat::compress::widen<compress::low_rank, quantize>(build(w)) | of_two, path);
  }
  for (auto const scales : {compress::per::channel, compress::per::tensor}) {
    auto const made_on = [&](mesh const& l, auto const& network_on) {
      return file_over(l, [&](pleat::world& w) {
        auto m = pleat::compress::widen<compress::low_rank, quantize>(network_on(w, l));
        pleat::run::load(m, path);
        auto q = in_form("int8");
        q.observer = compress::percentile{95};
        q.scales = scales;
        q.run(m);
        return m;
      });
    };
    auto const cut = [](pleat::world& w, mesh const& l) { return build_on(w, l); };
    auto const whole = [](pleat::world& w, mesh const& l) {
      return pleat::parallel::build(network(), plan_of(l), w, {.seed = 3});
    };
    auto const reference = made_on({}, whole);
    CHECK(opened(reference).metadata().at("pleat.form.fc2.weight") == "factors");
    for (mesh const& l : {mesh{1, 2}, {1, 3}, {1, 4}, {2, 2}}) {
      CAPTURE(static_cast<int>(scales), l.data, l.tensor);
      CHECK((made_on(l, cut) == reference));
    }
    for (mesh const& l : {mesh{1, 1, 2}, {2, 1, 2}, {3, 1, 1}}) {
      CAPTURE(static_cast<int>(scales), l.data, l.stages);
      CHECK((made_on(l, whole) == reference));
    }
    auto const fives = [](pleat::world& w, mesh const& l) {  // of fc2's twelve rows the fourth rank has none
      namespace par = pleat::parallel;
      return par::build(par::tensor_parallel(network(), {par::column("fc2.*", 5)}), plan_of(l), w, {.seed = 3});
    };
    CHECK((made_on({1, 4}, fives) == reference));
  }
  std::filesystem::remove(path);
}

TEST_CASE("what is done with factors, and what is not, is said; what they cannot be is refused") {
  auto w = alone();
  auto factored = pleat::compress::widen<compress::low_rank, quantize>(build(w));
  of_two.run(factored);
  std::string said;
  auto const hear = [&](std::string_view s) { said += std::string(s) + "\n"; };
  auto const forms_after = [&](quantize const& q) {
    said.clear();
    auto m = factored.clone();
    q.run(m);
    std::string all;
    for (auto const& v : values_of(m))
      if (is_weight(v)) all += v.form + " ";
    return all;
  };
  auto const refused = [&](quantize const& q, std::string const& words, std::string const& instead) {
    CHECK_THROWS_MATCHES(forms_after(q), pleat::error,
                         MessageMatches(ContainsSubstring(words) && ContainsSubstring(instead)));
  };
  refused(in_form("q8_0"), "'fc1.weight': the 2 columns of its left factor are no multiple of 32, the block of 'q8_0'",
          "a rank that is a multiple (by_rank of one, or .round_to = 32 with another rule), or say .misfit");
  refused(in_form("csr"), "'fc1.weight': factors cannot be stored as 'csr'",
          "choose another form for it (.forms), or say .misfit");
  auto q = in_form("q8_0", hear);
  q.misfit = compress::misfit::next;
  CHECK(forms_after(q) == "factors factors int8 ");
  CHECK_THAT(said, ContainsSubstring("the left factor of 'fc1.weight' is stored as 'int8': the 2 columns"));
  q.misfit = compress::misfit::ignore;
  CHECK_THROWS_WITH(forms_after(q), ContainsSubstring("no weight is left to be quantized"));
  q.forms = {{"fc3.*", "int8"}, {"*", "csr"}};
  CHECK(forms_after(q) == "low_rank low_rank int8 ");
  CHECK_THAT(said, ContainsSubstring("left the factors of 'fc1.weight' (factors cannot be stored as 'csr'; factors "
                                     "cannot be stored as 'csr'), 'fc2.weight'"));
  q = in_form("int8", hear);
  q.ignore = {"fc1.*"};
  CHECK(forms_after(q) == "low_rank factors int8 ");
  CHECK(said.empty());
  q.observer = compress::percentile{90};
  CHECK(forms_after(q) == "low_rank factors int8 ");
  q.activations = compress::static_activations{};
  q.observer = compress::min_max{};
  auto const train = data(20);
  q.activations->data = compress::calibration(train, 20);
  CHECK(forms_after(q) == "low_rank factors int8 ");
  CHECK_THAT(said, ContainsSubstring("factors quantize activations as they come"));
  // forms that the model's own set has not: the first layer is that of the factors
  std::vector<compress::form_for> const same;
  std::vector<std::string> const nobody;
  auto halves = factored.clone();
  auto const plan = compress::detail::select_factors<codec::forms<codec::bf16<float>>>(
      halves, {same, compress::misfit::refuse, false, true, nobody}, "test", [](auto) {});
  REQUIRE(plan.chosen.size() == 1);
  CHECK(plan.chosen[0].weight == "fc2.weight");
  // twice
  auto m = factored.clone();
  in_form("int8").run(m);
  CHECK_THROWS_WITH(in_form("int8", hear).run(m), ContainsSubstring("no weight is left to be quantized"));
  CHECK_THAT(said, ContainsSubstring("'fc1.weight' (its factors are encoded already)"));
}

TEST_CASE("ranks are multiples where blocks are to divide the left factor") {
  auto w = alone();
  auto const model = pleat::compress::widen<compress::low_rank>(build(w));
  auto const ranks = [&](compress::rank_rule const& rule, index_t round_to) {
    auto m = model.clone();
    std::vector<index_t> all;
    for (auto const& f : compress::low_rank{.rule = rule, .round_to = round_to, .on_note = [](auto) {}}.plan(m))
      all.push_back(f.rank);
    return all;
  };
  auto const free = ranks(compress::by_energy{0.4}, 1), four = ranks(compress::by_energy{0.4}, 4);
  for (std::size_t i = 0; i < free.size(); ++i) {
    auto const up = (free[i] + 3) / 4 * 4;
    index_t const rows[] = {16, 12, 4}, columns[] = {20, 16, 12};
    CHECK(four[i] == (up <= rows[i] && up * (rows[i] + columns[i]) < rows[i] * columns[i] ? up : free[i]));
  }
  CHECK(four[0] % 4 == 0);
  auto const budget = ranks(compress::by_budget{0.6}, 1), down = ranks(compress::by_budget{0.6}, 2);
  for (std::size_t i = 0; i < budget.size(); ++i) CHECK(down[i] <= budget[i]);
  CHECK_THROWS_MATCHES(ranks(compress::by_energy{0.5}, 0), pleat::error,
                       MessageMatches(ContainsSubstring("round_to must be at least 1")));
  CHECK_THROWS_MATCHES(ranks(compress::by_rank{3}, 4), pleat::error,
                       MessageMatches(ContainsSubstring("by_rank leaves nothing to round") &&
                                      ContainsSubstring("Say a multiple of that as the rank")));
  // 4·(rows + columns) numbers beside 0.3 outliers, a number and an index each, are more than each matrix has
  auto m = pleat::compress::widen<compress::sparse_low_rank>(build(w));
  compress::sparse_low_rank s{.rule = compress::by_energy{0.05}, .sparse_share = 0.3, .on_note = [](auto) {}};
  auto const one = s.plan(m);
  s.round_to = 4;
  auto const stays = s.plan(m);
  for (std::size_t i = 0; i < one.size(); ++i) {
    CHECK((one[i].pays && stays[i].pays));
    CHECK(one[i].rank == stays[i].rank);
  }
}

}  // namespace
