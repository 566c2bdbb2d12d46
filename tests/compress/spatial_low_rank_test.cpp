// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compress/spatial_low_rank.hpp>

#include <pleat/compute/instances.hpp>  // kernels compiled once, in pleat::kernels
#include <pleat/compress/pipeline.hpp>
#include <pleat/compress/record_errors.hpp>
#include <pleat/nn/conv2d.hpp>
#include <pleat/nn/flatten.hpp>
#include <pleat/parallel/tensor_recipe.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <compress/mesh_support.hpp>

#include <cmath>

namespace {

using namespace compress_test;
namespace nn = pleat::nn;
namespace compress = pleat::compress;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

auto images(pleat::world& w) {
  pleat::plan::plan p;
  p.global_batch = 4 * w.size();
  p.data_ranks = w.size();
  return pleat::parallel::build(
      nn::sequential(nn::conv2d("c1", 3, 12, 5, {.padding = 2}), nn::relu(), nn::conv2d("c2", 12, 8, 3, {.stride = 2}),
                     nn::flatten(), nn::linear("f", 8 * 2 * 2, 3)),
      p, w, {});
}

auto const silent = [](std::string_view) {};

TEST_CASE(
    "kernels become pairs of thin ones with the answers of the decoded kernels; matrices stay; the promise holds") {
  auto w = alone();
  auto const model = images(w);
  compress::error_ledger errors;
  auto const small = model | (compress::spatial_low_rank{.rule = compress::by_rank{4}} |
                              compress::low_rank{.rule = compress::by_rank{2}, .ignore = {"c*"}})
                                 .recorded(compress::record_errors(errors));
  auto const now = values_of(small);
  CHECK((now[0].form == "spatial_low_rank" && now[2].form == "spatial_low_rank" && now[4].form == "low_rank"));
  CHECK(errors.holds());
  auto plain = model.clone();
  for (auto const& v : now) set_values(plain, v.name, v.values);
  auto x = pleat::tensor<float, typename decltype(plain)::execution_space>::allocate(plain.context(), {4, 3, 6, 6});
  pleat::random::stream const s(3, 1);
  std::vector<float> in(static_cast<std::size_t>(x.size())), a(12), b(12);
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = 2 * s.uniform(i) - 1;
  pleat::copy_from_host(plain.context(), in.data(), x);
  pleat::copy_to_host(plain.context(), small.predict(x), a.data());
  pleat::copy_to_host(plain.context(), plain.predict(x), b.data());
  // Three layers whose sums have at most 108 + 4 terms of size below 1: some hundred roundings
  for (std::size_t i = 0; i < 12; ++i) CHECK(std::fabs(a[i] - b[i]) < 300 * 0x1p-24f * 4);
  auto again = compress::widen<compress::spatial_low_rank>(model);
  auto const told = compress::spatial_low_rank{.rule = compress::by_rank{4}}.plan(again);  // changes nothing
  REQUIRE(told.size() == 2);
  CHECK((told[0].rows == 15 && told[0].columns == 60 && told[1].rows == 36 && told[1].columns == 24 && told[0].pays));
  for (std::size_t i : {0u, 1u}) {
    auto const& e = errors.stages()[0].weights[i];
    CHECK(e.kind == compress::error_kind::bounded);
    CHECK(std::abs(e.measured.frobenius / e.norm - told[i].error) <= 1e-5);  // factors and product round
  }
  CHECK((pleat::run::file_image(again) == pleat::run::file_image(model)));
}

TEST_CASE("what does not pay stays one kernel, and that is said; rules are those of matrices") {
  auto w = alone();
  auto const narrow = images(w);
  auto model = compress::widen<compress::spatial_low_rank>(narrow);
  std::string said;
  auto const same = model | compress::spatial_low_rank{.rule = compress::by_rank{15},
                                                       .on_note = [&](std::string_view line) { said += line; }};
  CHECK_THAT(
      said, ContainsSubstring("left 'c1.weight' (rank 15 of 15 × 60), 'c2.weight' (rank 15 of 36 × 24) as one kernel"));
  CHECK((values_of(same)[0].form == "dense" && values_of(same)[0].values == values_of(model)[0].values));
  for (auto const& f : compress::spatial_low_rank{.rule = compress::by_energy{0.8}}.plan(model))
    CHECK((f.error <= std::sqrt(0.2) * (1 + 1e-12) && f.rank > 1));
  for (auto const& f : compress::spatial_low_rank{.rule = compress::by_error{0.3}}.plan(model))
    CHECK(f.error <= 0.3 * (1 + 1e-12));
  index_t numbers = 0;
  for (auto const& f : compress::spatial_low_rank{.rule = compress::by_budget{0.4}}.plan(model)) numbers += f.numbers();
  CHECK(numbers <= 0.4 * (900 + 864));
}

TEST_CASE("the same bytes on every number of data ranks") {
  auto const shrink = [](pleat::world& w) {
    return pleat::run::file_image(images(w) |
                                  compress::spatial_low_rank{.rule = compress::by_energy{0.7}, .on_note = silent});
  };
  auto w = alone();
  auto const one = shrink(w);
  for (int const n : {2, 3}) {
    std::vector<std::vector<std::byte>> all(static_cast<std::size_t>(n));
    pleat::comm::run_local(n, [&](pleat::comm::communicator c) {
      auto const r = static_cast<std::size_t>(c.rank());
      pleat::world mine(std::move(c), 1);
      all[r] = shrink(mine);
    });
    for (auto const& image : all) CHECK(image == one);
  }
}

TEST_CASE("refused in words: networks without kernels, numbers that are none, ranks above the kernel") {
  auto w = alone();
  auto model = images(w);
  using compress::spatial_low_rank;
  CHECK_THROWS_MATCHES(build(w) | spatial_low_rank{}, pleat::error,
                       MessageMatches(ContainsSubstring("no kernel of a convolution is left to be factored")));
  CHECK_THROWS_MATCHES((model | spatial_low_rank{.ignore = {"c*"}}), pleat::error,
                       MessageMatches(ContainsSubstring("no kernel of a convolution is left")));
  CHECK_THROWS_MATCHES((model | spatial_low_rank{.rule = compress::by_rank{16}}), pleat::error,
                       MessageMatches(ContainsSubstring("rank 16 of 'c1.weight', which is 15 × 60: expected 1 to 15")));
  auto v = values_of(model)[2].values;
  v[7] = NAN;
  set_values(model, "c2.weight", v);
  CHECK_THROWS_MATCHES(model | spatial_low_rank{}, pleat::error,
                       MessageMatches(ContainsSubstring("element 7 of 'c2.weight' is nan")));
}

TEST_CASE(
    "kernels that are cut over the tensor axis, by outputs or inputs, in stages and pieces: the bytes of one rank") {
  namespace par = pleat::parallel;
  auto const net = [] {
    return nn::sequential(nn::conv2d("c1", 3, 12, 5, {.padding = 2}), nn::relu(),
                          nn::conv2d("c2", 12, 8, 3, {.stride = 2}), nn::flatten(), nn::linear("f", 8 * 2 * 2, 3));
  };
  compress::spatial_low_rank const t{.rule = compress::by_energy{0.7}, .on_note = silent};
  auto const made_on = [&](mesh const& l, std::vector<par::placement_rule> const& rules) {
    return file_over(l, [&](pleat::world& w) {
      auto m = compress::widen<compress::spatial_low_rank>(
          par::build(rules.empty() ? net() : par::tensor_parallel(net(), rules), plan_of(l), w, {.seed = 3}));
      auto const told = t.plan(m);
      t.run(m);
      if (told.size() != 2 || told[0].rows != 15 || told[0].columns != 60 || !told[0].pays)
        throw pleat::error{"test", "rank " + std::to_string(w.rank()) + " looks at another kernel"};
      return m;
    });
  };
  auto const reference = made_on({}, {});
  std::vector<par::placement_rule> const outputs{par::column("c1.*"), par::column("c2.*")},
      pairs{par::column("c1.*"), par::row("c2.*")}, inputs{par::row("c1.*"), par::row("c2.*")};
  for (auto const* rules : {&outputs, &pairs, &inputs})
    for (mesh const& l : {mesh{1, 2}, {1, 3}, {1, 4}, {2, 2}, {2, 2, 1, 3}, {1, 2, 2}}) {
      if (rules == &inputs && l.tensor == 4) continue;  // three channels: a rank would have none
      CAPTURE(l.data, l.tensor, l.stages, l.state, rules == &outputs, rules == &pairs);
      CHECK((made_on(l, *rules) == reference));
    }
}

}  // namespace
