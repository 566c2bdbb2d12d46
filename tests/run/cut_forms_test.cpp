// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Networks in every stored form, column- and row-parallel and in pipeline stages: the same answers, and the same file
// from every mesh.
#include <pleat/run/model_image.hpp>

#include <pleat/codec/blocks.hpp>
#include <pleat/codec/codebook.hpp>
#include <pleat/codec/int8.hpp>
#include <pleat/codec/factors.hpp>
#include <pleat/codec/low_rank.hpp>
#include <pleat/codec/masked.hpp>
#include <pleat/codec/reduced.hpp>
#include <pleat/codec/sparse.hpp>
#include <pleat/codec/spatial_low_rank.hpp>
#include <pleat/nn/conv2d.hpp>
#include <pleat/nn/flatten.hpp>
#include <pleat/nn/units.hpp>
#include <pleat/run/model_file.hpp>

#include <catch2/matchers/catch_matchers_string.hpp>

#include "run/checkpoint_support.hpp"

namespace {

using namespace checkpoint_test;
namespace run = pl::run;
namespace codec = pl::codec;
namespace nn = pl::nn;
namespace par = pl::parallel;
using tensor = pl::tensor<float, space>;
// One set for all cases: its members differ by value, and the network is compiled once.
using stored =
    codec::forms<codec::dense<float>, codec::masked<float>, codec::int8<float>, codec::bf16<float>, codec::f16<float>,
                 codec::q8_0<float>, codec::q4_0<float>, codec::q4_1<float>, codec::q5_0<float>, codec::q5_1<float>,
                 codec::q4_k<float>, codec::q6_k<float>, codec::int4<float, 32>, codec::int4<float, 64>,
                 codec::int4<float, 128>, codec::csr<float>, codec::bitmask<float>, codec::n_m<float, 2, 4>,
                 codec::n_m<float, 3, 8>, codec::block_sparse<float, 4>, codec::codebook<float>, codec::coded<float>,
                 codec::low_rank<float>, codec::sparse_low_rank<float>, codec::factors<float>,
                 codec::spatial_low_rank<float>>;

/// 32·2·2 = 128 and 96 inputs are 4 and 3 blocks of 32: uneven over 3 ranks, and over 4 one rank has none of fc2's. In
/// q4_K and q6_K (256) only fc1 has blocks. Both groups of c3 have 16·2·2 = 64 columns, 2 blocks: by groups and by inputs, over
/// 3 ranks one has none.
auto network() {
  return nn::sequential(nn::conv2d<stored>("c1", 8, 32, 2), nn::relu<>(), nn::conv2d<stored>("c2", 32, 32, 2),
                        nn::relu<>(), nn::conv2d<stored>("c3", 32, 32, 2, {.padding = 1, .dilation = 2, .groups = 2}),
                        nn::relu<>(), nn::flatten<>(), nn::linear<stored>("fc1", 512, 96), nn::relu<>(),
                        nn::linear<stored>("fc2", 96, 64), nn::relu<>(), nn::linear<stored>("last", 64, 10));
}

std::string bytes_of(std::string const& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

template <class Model> tensor images(Model const& m) {
  auto x = tensor::allocate(m.context(), {3, 8, 6, 6});
  std::vector<float> h(static_cast<std::size_t>(x.size()));
  nn::draw(nn::initializer::normal(1), 2, "input", 0, x.size(), h.data());
  pl::copy_from_host(m.context(), h.data(), x);
  return x;
}
template <class Model> std::vector<float> answers(Model const& m) {
  auto const y = m.predict(images(m));
  std::vector<float> out(static_cast<std::size_t>(y.size()));
  pl::copy_to_host(m.context(), y, out.data());
  return out;
}

/// What int8 answers of a network whose last layer alone is cut by inputs may be off by. Each part of an activation row
/// has a step of its own, amax/127 of that part, which is at most the whole row's s: either way no input is off by more
/// than half of its step, so the two products differ by Σₖ|ŵₖ|·(s/2 + s/2) at most. Sums of integers are exact; a part's
/// sum, its scale and the sum of parts round, each to 2⁻²⁴ of at most Σ|ŵ|·amax + |bias|, fewer than 16 times.
template <class Model> std::vector<double> bound_of_int8(Model const& m) {
  auto const host = [&](tensor const& t) {
    std::vector<float> h(static_cast<std::size_t>(t.size()));
    pl::copy_to_host(m.context(), t, h.data());
    return h;
  };
  nn::pass<space> p;
  p.where = &m.context();
  typename std::remove_cvref_t<decltype(m.net())>::saved nothing;
  auto const x = host(nn::forward_units(p, m.net(), 0, nn::units_of(m.net()) - 1, images(m), nothing));
  std::vector<float> w, bias;
  nn::for_each_parameter(m.net(), [&](auto const& v) {
    if (!v.name.starts_with("last.")) return;
    auto const t = tensor::allocate(m.context(), v.shape);
    v.decode(m.context(), t.data());
    (v.shape.rank() == 2 ? w : bias) = host(t);
  });
  std::vector<double> bound;
  for (std::size_t i = 0; i < 3; ++i) {
    double amax = 0;
    for (std::size_t k = 0; k < 64; ++k) amax = std::max(amax, std::abs(static_cast<double>(x[64 * i + k])));
    for (std::size_t j = 0; j < 10; ++j) {
      double sum = 0;
      for (std::size_t k = 0; k < 64; ++k) sum += std::abs(static_cast<double>(w[64 * j + k]));
      bound.push_back(sum * amax / 127 + 16 * 0x1p-24 * (sum * amax + std::abs(static_cast<double>(bias[j]))));
    }
  }
  return bound;
}

/// A model on one rank whose matrices are in form F, as a file; what it answers. \param bound if not null, of int8
template <class F> std::vector<float> whole_in_file(std::string const& file, std::vector<double>* bound = nullptr) {
  pl::world w = trained<decltype(network())>::quiet(pl::comm::communicator(pl::comm::self{}));
  auto m = par::build(network(), pl::plan::plan{.global_batch = 4}, w, {.seed = 5});
  auto net = m.net();
  int encoded = 0;
  net.for_each_parameter([&](auto& x) {
    if constexpr (std::remove_cvref_t<decltype(x)>::forms::template contains<F>) {
      index_t block = 1;
      if constexpr (requires { F::granularity(x.shape).columns; })
        block = std::max<index_t>(1, F::granularity(x.shape).columns);
      if (x.shape.rank() < 2 || codec::columns_of(x.shape) % block != 0 ||
          (F::name == "spatial_low_rank" && x.shape.rank() != 4))
        return;
      ++encoded;
      std::vector<float> v(static_cast<std::size_t>(x.size()));
      pl::copy_to_host(m.context(), tensor::wrap(x.data(), x.shape), v.data());
      for (std::size_t i = 0; i < v.size(); i += 3) v[i] = 0;
      pl::copy_from_host(m.context(), v.data(), tensor::wrap(x.data(), x.shape));
      F::encode(m.context(), x.shape, x.data(), x.storage_of(codec::form_tag<F>{}));
      x.template use_form<F>();
    }
  });
  REQUIRE(encoded > 0);
  auto const small = m.rebuild(net);
  run::save(small, file, {.network = "cut"});
  if (bound) *bound = bound_of_int8(small);
  return answers(small);
}

std::vector<layout> const every_mesh{{1, 1, 2}, {1, 1, 3}, {1, 1, 4}, {2, 1, 2}, {2, 1, 1}, {1, 2, 2}},
    /// of forms whose twins go over every mesh: uneven parts, and stages
    some_meshes{{1, 1, 3}, {2, 1, 2}};

/// Every rank's answers of the network in the file, cut so. It is saved again, into `here`.
std::vector<std::vector<float>> answers_on(layout const& l, std::vector<par::placement_rule> const& rules,
                                           std::string const& file, std::string const& here) {
  std::vector<std::vector<float>> got(static_cast<std::size_t>(l.ranks()));
  REQUIRE_NOTHROW(pl::comm::run_local(l.ranks(), [&](pl::comm::communicator c) {
    auto const rank = static_cast<std::size_t>(c.rank());
    trained t(par::tensor_parallel(network(), rules), std::move(c), l);
    run::load(t.model, file);
    got[rank] = answers(t.model);
    run::save(t.model, here, {.network = "cut"});
  }));
  return got;
}

void check_form(std::string const& name, std::string const& file, std::string const& here,
                std::vector<float> const& expected, std::vector<layout> const& meshes) {
  // int8: an image's scale is over the channels that a rank has, those of its groups: another product
  std::vector<par::placement_rule> const columns{par::column("c1.*"), par::column("c2.*"),
                                                 par::column(name == "int8" ? "c2.*" : "c3.*"), par::column("fc1.*"),
                                                 par::column("fc2.*")};
  std::vector<par::placement_rule> const pairs{par::column("c1.*"), par::row("c2.*"), par::column("c3.*"),
                                               par::column("fc1.*"), par::row("fc2.*")};
  std::vector<par::placement_rule> const rows{par::row("c1.*"), par::row("c3.*"), par::row("fc1.*")};
  for (layout const& l : meshes)
    for (auto const* rules : {&columns, &pairs, &rows}) {
      INFO(name << ": " << l.words()
                << (rules == &columns ? ", by outputs"
                    : rules == &rows  ? ", by inputs"
                                      : ", in pairs"));
      auto const got = answers_on(l, *rules, file, here);
      CHECK((bytes_of(here) == bytes_of(file)));
      // int8 quantizes each rank's part of an activation by itself: a row-parallel product is another one. Through five
      // layers no bound says anything; the case below has that of one. A low-rank convolution that loses rows may pay no longer, and is then computed
      // from the decoded weight.
      bool const same = l.tensor == 1 || (rules == &columns && name != "low-rank" && name != "factors");
      if (!same && (name == "int8" || name == "factors")) continue;  // factors here are of int8
      for (auto const& y : got) {
        REQUIRE(y.size() == expected.size());
        // At most 512 terms with partial sums below 4, rounded to 2⁻²⁴ of them in either order, in one of five layers
        // that do not grow it.
        for (std::size_t i = 0; i < y.size(); ++i) {
          if (same) REQUIRE(y[i] == expected[i]);
          else REQUIRE(std::abs(static_cast<double>(y[i]) - static_cast<double>(expected[i])) <= 2 * 512 * 4 * 0x1p-24);
        }
      }
    }
}

template <class F> void check(std::vector<layout> const& meshes = every_mesh) {
  folder const f;
  auto const expected = whole_in_file<F>(f / "whole");
  check_form(std::string_view(F::name).ends_with("low_rank") ? "low-rank" : std::string(F::name), f / "whole",
             f / "here", expected, meshes);
}

TEST_CASE("dense numbers, masks and sixteen bits on any mesh") {
  check<codec::dense<float>>();
  check<codec::masked<float>>();
  check<codec::bf16<float>>();
  check<codec::f16<float>>(some_meshes);
}
TEST_CASE("integers and blocks on any mesh") {
  check<codec::int8<float>>();
  check<codec::q8_0<float>>();
  check<codec::q4_k<float>>();
  check<codec::int4<float, 32>>();
  check<codec::int4<float, 64>>(some_meshes);
  check<codec::int4<float, 128>>(some_meshes);
  check<codec::q4_0<float>>(some_meshes);
  check<codec::q4_1<float>>(some_meshes);
  check<codec::q5_0<float>>(some_meshes);
  check<codec::q5_1<float>>(some_meshes);
  check<codec::q6_k<float>>(some_meshes);
}
TEST_CASE("a last layer of int8 that is cut by inputs answers within what its steps allow") {
  folder const f;
  std::vector<double> bound;
  auto const expected = whole_in_file<codec::int8<float>>(f / "whole", &bound);
  for (layout const& l : {layout{1, 1, 2}, {1, 1, 3}, {1, 1, 4}, {2, 1, 2}}) {
    INFO(l.words());
    auto const got = answers_on(l, {par::row("last.*")}, f / "whole", f / "here");
    CHECK((bytes_of(f / "here") == bytes_of(f / "whole")));
    for (auto const& y : got) {
      CHECK(y != expected);  // another product
      for (std::size_t i = 0; i < y.size(); ++i)
        CHECK(std::abs(static_cast<double>(y[i]) - static_cast<double>(expected[i])) <= bound[i]);
    }
  }
}
TEST_CASE("sparse forms on any mesh") {
  check<codec::csr<float>>();
  check<codec::bitmask<float>>();
  check<codec::n_m<float, 2, 4>>();
  check<codec::n_m<float, 3, 8>>(some_meshes);
  check<codec::block_sparse<float, 4>>();
}
TEST_CASE("shared values, plain and coded, and factors on any mesh") {
  check<codec::codebook<float>>();
  check<codec::coded<float>>();
  check<codec::low_rank<float>>();
  check<codec::sparse_low_rank<float>>();
  check<codec::factors<float>>();
  check<codec::spatial_low_rank<float>>();
}

TEST_CASE("what was encoded part by part is no file, on any rank") {
  folder const f;
  std::vector<std::string> said(2);
  pl::comm::run_local(2, [&](pl::comm::communicator c) {
    auto& words = said[static_cast<std::size_t>(c.rank())];
    trained t(par::tensor_parallel(network(), {par::row("fc1.*")}), std::move(c), layout{1, 1, 2});
    auto net = t.model.net();
    net.for_each_parameter([&](auto& x) {
      using F = codec::codebook<float>;
      if constexpr (std::remove_cvref_t<decltype(x)>::forms::template contains<F>) {
        if (x.name != "fc1.weight") return;
        F::encode(t.model.context(), x.shape, x.data(), x.storage_of(codec::form_tag<F>{}));
        x.template use_form<F>();
      }
    });
    auto const m = t.model.rebuild(net);
    try {
      run::save(m, f / "here");
    } catch (pl::error const& e) {
      words = e.what();
    }
  });
  for (auto const& s : said)
    CHECK_THAT(s, Catch::Matchers::ContainsSubstring("'fc1.weight': the parts have codebooks of their own"));
}

}  // namespace
