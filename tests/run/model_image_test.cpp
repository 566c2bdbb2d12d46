// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Model files of models that no rank holds whole: the same bytes from every mesh, and into every mesh.
#include <pleat/run/model_image.hpp>

#include <pleat/codec/int8.hpp>
#include <pleat/compress/pipeline.hpp>
#include <pleat/compress/prune.hpp>
#include <pleat/compress/quantize.hpp>
#include <pleat/run/gguf.hpp>
#include <pleat/run/model_file.hpp>

#include <catch2/matchers/catch_matchers_string.hpp>

#include "run/checkpoint_support.hpp"

namespace {

using namespace checkpoint_test;
namespace run = pl::run;
using forms = pl::codec::forms<pl::codec::dense<float>, pl::codec::masked<float>, pl::codec::int8<float>>;

std::string bytes_of(std::string const& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// 3 ranks do not divide 10 or 14; 5 ranks leave stages without a unit to share; stage 3 has no whole weight anywhere.
std::vector<layout> const meshes{{1, 2, 1},    {1, 3, 1, 3}, {2, 1, 1},    {3, 1, 1, 0}, {1, 1, 2},    {1, 1, 3},
                                 {2, 2, 1, 2}, {2, 1, 2},    {2, 2, 1, 3}, {1, 2, 2, 3}, {2, 2, 2, 1}, {2, 1, 3}};

/// Runs f(rank's communicator) on the ranks of a layout; what a rank throws is the test's failure.
template <class F> void on(layout const& l, F&& f) {
  INFO(l.words());
  REQUIRE_NOTHROW(pl::comm::run_local(l.ranks(), f));
}

TEST_CASE("a model file has the same bytes from every mesh and goes into every mesh") {
  folder const f;
  auto const path = [&](char const* name) { return f / name; };
  {
    trained t(network<forms>(), pl::comm::communicator(pl::comm::self{}), {});
    run::save(t.model, path("first"), {.network = "twelve"});
    t.steps(0, 2);
    run::save(t.model, path("learned"), {.network = "twelve"});
    run::save_gguf(t.model, path("learned.gguf"), "pleat-test");
    run::save(t.model, path("half"), {}, {.dense_as = pl::dtype::bf16});
    run::load(t.model, path("learned"));
    t.optimizer = {t.model.context(), t.model.arena(), pl::nn::adamw{.learning_rate = 0.01}};
    t.steps(2, 3);
    run::save(t.model, path("further"), {.network = "twelve"});
  }
  REQUIRE(bytes_of(path("first")) != bytes_of(path("learned")));
  for (auto const& l : meshes) {
    on(l, [&](pl::comm::communicator c) {
      trained t(network<forms>(), std::move(c), l);
      run::save(t.model, path("here"));
      run::save(t.model, path("here"), {.network = "twelve"});  // over one that is there
      t.steps(0, 2);
      // a tensor split changes sums
      if (l.tensor == 1) run::save(t.model, path("here-learned"), {.network = "twelve"});
      auto const about = run::load(t.model, path("learned"));
      if (about.network != "twelve") throw pl::error{"test", "the description is lost"};
      run::save(t.model, path("again"), {.network = "twelve"});
      run::save_gguf(t.model, path("again.gguf"), "pleat-test");
      run::save(t.model, path("again-half"), {}, {.dense_as = pl::dtype::bf16});
      t.model.demand_equal_replicas();
      // its state went with the old memory
      t.optimizer = {t.model.context(), t.model.arena(), pl::nn::adamw{.learning_rate = 0.01}};
      t.steps(2, 3);  // uses of a tied weight on other stages have its values too, or this goes elsewhere
      t.model.demand_equal_replicas();
      if (l.tensor == 1) run::save(t.model, path("here-further"), {.network = "twelve"});
      run::load(t.model, pleat::io::weight_file(path("again.gguf")));
      run::save(t.model, path("back"), {.network = "twelve"});
    });
    INFO(l.words());
    CHECK((bytes_of(path("here")) == bytes_of(path("first"))));
    CHECK((bytes_of(path("again")) == bytes_of(path("learned"))));
    CHECK((bytes_of(path("again.gguf")) == bytes_of(path("learned.gguf"))));
    CHECK((bytes_of(path("again-half")) == bytes_of(path("half"))));
    if (l.tensor > 1) continue;
    CHECK((bytes_of(path("here-learned")) == bytes_of(path("learned"))));
    CHECK((bytes_of(path("here-further")) == bytes_of(path("further"))));
    CHECK((bytes_of(path("back")) == bytes_of(path("learned"))));
  }
}

TEST_CASE("masks and encoded forms go through stages and parts") {
  folder const f;
  auto const pruned = f / "pruned", codes = f / "codes", here = f / "here";
  {
    trained t(network<dense>(), pl::comm::communicator(pl::comm::self{}), {});
    pl::compress::prune const prune{.sparsity = 0.7, .ignore = {"square.weight"}};
    run::save(t.model | prune, pruned);
    run::save(
        t.model | (prune | pl::compress::quantize<pl::codec::int8<float>>{.ignore = {"square.weight", "last.weight"}}),
        codes);
  }
  for (auto const& l : meshes) {
    on(l, [&](pl::comm::communicator c) {
      trained t(network<forms>(), std::move(c), l);
      run::load(t.model, pruned);
      run::save(t.model, here);
      t.optimizer = {t.model.context(), t.model.arena(), pl::nn::adamw{.learning_rate = 0.01}};
      t.steps(0, 1);  // what is pruned stays zero: the mask has arrived where the optimizer looks
      t.model.net().for_each_parameter([&](auto& w) {
        if (!w.materialised() || w.form_name() != "masked" || l.stage == 3) return;
        std::vector<float> v(static_cast<std::size_t>(w.size()));
        pl::copy_to_host(t.model.context(), pl::tensor<float, space>::wrap(w.data(), w.shape), v.data());
        auto const bits = pl::nn::host_mask(t.model.context(), w);
        for (index_t i = 0; i < w.size(); ++i)
          if (!pl::codec::detail::bit_at(bits.data(), i) && v[static_cast<std::size_t>(i)] != 0)
            throw pl::error{"test", w.name + " grew back"};
      });
      t.world.comm.barrier();
    });
    INFO(l.words());
    CHECK((bytes_of(here) == bytes_of(pruned)));
    if (l.stage > 0) continue;
    on(l, [&](pl::comm::communicator c) {
      trained t(network<forms>(), std::move(c), l);
      run::load(t.model, codes);
      run::save(t.model, here);
    });
    CHECK((bytes_of(here) == bytes_of(codes)));
  }
}

TEST_CASE("what only one rank sees fail is refused on all: a number too large for the file, a file that is not there") {
  folder const f;
  {
    trained t(network<forms>(), pl::comm::communicator(pl::comm::self{}), {});
    run::save(t.model, f / "here", {.network = "twelve"});
  }
  std::vector<std::string> saving(2), loading(2);
  pl::comm::run_local(2, [&](pl::comm::communicator c) {
    auto const r = static_cast<std::size_t>(c.rank());
    c.set_timeout(30);
    trained t(network<forms>(), std::move(c), {1, 2, 1});
    t.model.net().for_each_parameter([&](auto& w) {
      if constexpr (requires { w.data(); })
        if (w.name == "fc1.weight") {
          std::vector<float> large(static_cast<std::size_t>(w.size()), 1e6f);
          pl::copy_from_host(t.model.context(), static_cast<float const*>(large.data()),
                             pl::tensor<float, Kokkos::DefaultExecutionSpace>::wrap(w.data(), w.shape));
        }
    });
    auto const said = [](auto&& g) {
      try {
        g();
      } catch (pl::error const& e) {
        return std::string(e.what());
      }
      return std::string();
    };
    saving[r] = said([&] { run::save(t.model, f / "half", {}, {.dense_as = pl::dtype::f16}); });
    loading[r] = said([&] { run::load(t.model, f / (r == 0 ? "here" : "elsewhere")); });
  });
  for (auto const& s : saving) CHECK_THAT(s, Catch::Matchers::ContainsSubstring("above the largest number of F16"));
  for (auto const& s : loading) CHECK_THAT(s, Catch::Matchers::ContainsSubstring("elsewhere"));
}

TEST_CASE("what one stage cannot read is refused on every rank of the mesh, and the model stays") {
  folder const f;
  auto const good = f / "good", bad = f / "bad", here = f / "here";
  {
    trained t(network<dense>(), pl::comm::communicator(pl::comm::self{}), {});
    run::save(t.model, good);
    run::save(t.model, f / "wide", {}, {.dense_as = pl::dtype::f64});
  }
  {  // a number of the last stage that the model's type cannot hold
    pl::io::safetensors_file const file(f / "wide");
    pl::io::safetensors_writer out;
    double const huge[] = {1, 2, 1e300, 3, 4};
    for (auto const& e : file.entries())
      out.add({e.name, e.type, e.shape, e.name == "last.bias" ? std::as_bytes(std::span(huge)) : file.bytes(e)});
    out.write(bad);
  }
  for (layout const l : {layout{2, 1, 1}, {2, 1, 2}, {1, 2, 1, 3}, {3, 2, 1, 3}}) {
    std::vector<std::string> said(static_cast<std::size_t>(l.ranks()));
    on(l, [&](pl::comm::communicator c) {
      auto& words = said[static_cast<std::size_t>(c.rank())];
      trained t(network<dense>(), std::move(c), l);
      try {
        run::load(t.model, bad);
      } catch (pl::error const& e) {
        words = e.what();
      }
      run::save(t.model, here);
      try {
        run::save(t.model, f / "nowhere/model");
      } catch (pl::error const& e) {
        words += e.what();
      }
    });
    INFO(l.words());
    for (auto const& s : said)
      CHECK_THAT(s, Catch::Matchers::ContainsSubstring("'last.bias': element 2 is above the largest number") &&
                        Catch::Matchers::ContainsSubstring("nowhere"));
    CHECK((bytes_of(here) == bytes_of(good)));
  }
}

}  // namespace
