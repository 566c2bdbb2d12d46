// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compress/transform.hpp>

#include <pleat/compress/pipeline.hpp>
#include <pleat/compress/prune.hpp>
#include <pleat/compress/quantize.hpp>
#include <pleat/nn/batch_norm.hpp>
#include <pleat/nn/conv2d.hpp>
#include <pleat/nn/flatten.hpp>
#include <pleat/nn/repeat.hpp>
#include <pleat/nn/residual.hpp>
#include <pleat/run/evaluate.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <compress/compress_support.hpp>

namespace {

using namespace compress_test;
namespace compress = pleat::compress;
namespace nn = pleat::nn;
using int8 = pleat::codec::int8<float>;
using Catch::Matchers::ContainsSubstring;

/// A layer of the user's with a weight that no transform can widen: linear<…> is not what it is, though it inherits
/// with_forms.
struct rigid : nn::linear<> {
  rigid(std::string name, index_t n) : nn::linear<>(std::move(name), n, n) {}
};
static_assert(compress::detail::has_forms<nn::linear<>> && compress::detail::has_forms<nn::conv2d<>>);
static_assert(!compress::detail::has_forms<rigid> && !compress::detail::has_forms<nn::relu<>> &&
              !compress::detail::has_forms<nn::batch_norm<>>);

/// Composites of every kind around leaves of every kind.
template <class Last> auto deep(Last last) {
  return nn::sequential(nn::conv2d("c1", 1, 4, 3), nn::batch_norm("bn", 4), nn::relu(),
                        nn::residual(nn::sequential(nn::conv2d("c2", 4, 4, 3, {.padding = 1}), nn::relu())),
                        nn::flatten(), nn::repeat("blocks", 2, nn::sequential(nn::linear("fc", 24, 24), nn::relu())),
                        std::move(last));
}

template <class Net> auto build_fast(Net net, pleat::world& w) {
  pleat::plan::plan p;
  p.global_batch = 16;
  return pleat::parallel::build(std::move(net), p, w, {.seed = 5});
}

TEST_CASE(
    "transforms reach every weight of a deep network, through residual, repeat and sequential, and nothing else") {
  auto w = alone();
  auto const train = data(48);
  auto model = build_fast(deep(nn::linear("head", 24, 4)), w);
  (void)pleat::run::fit(model, train, quiet(1));
  auto const small =
      model | (compress::prune{.sparsity = 0.8} | compress::fine_tune(train, quiet(1)) | compress::quantize<int8>{});
  index_t total = 0, zero = 0, encoded = 0;
  for (auto const& p : values_of(small)) {
    bool const matrix = p.shape.rank() >= 2;
    CHECK(p.form == (matrix ? "int8" : "dense"));
    if (!matrix) continue;
    ++encoded;
    total += static_cast<index_t>(p.values.size());
    zero += zeros(p.values);
  }
  CHECK(encoded == 5);  // c1, c2, two blocks, head
  CHECK(zero >= std::llround(0.8 * static_cast<double>(total)));
  // The answers of the int8 network are those of the same network with decoded weights, up to the activations' steps.
  auto decoded = model.clone();
  for (auto const& p : values_of(small)) set_values(decoded, p.name, p.values);
  auto const test = data(64);
  CHECK(std::abs(pleat::run::evaluate(small, test).error() - pleat::run::evaluate(decoded, test).error()) <= 0.125);

  auto other =
      build_fast(deep(nn::linear("head", 24, 4)), w) | (compress::prune{.sparsity = 0.5} | compress::quantize<int8>{});
  (void)pleat::run::load(other, pleat::io::safetensors_file(pleat::run::file_image(small)));
  CHECK((pleat::run::file_image(other) == pleat::run::file_image(small)));
}

TEST_CASE("a layer that cannot take another form stays, and that is said once, by name") {
  auto w = alone();
  std::vector<std::string> notes;
  auto const listen = [&](std::string_view line) { notes.emplace_back(line); };
  auto const model = build_fast(deep(rigid("own", 24)), w);
  static_assert(
      std::is_same_v<decltype(nn::map_leaves(rigid("own", 24), compress::detail::widen_leaf<compress::prune>{})),
                     rigid>);
  auto const pruned = model | compress::prune{.sparsity = 0.5, .on_note = listen};
  REQUIRE(notes.size() == 1);
  CHECK_THAT(notes[0], ContainsSubstring("compress::prune left 'own.weight' (its layer has no with_forms) as it was"));
  auto const small = pruned | compress::quantize<int8>{.on_note = listen};
  REQUIRE(notes.size() == 2);
  CHECK_THAT(notes[1],
             ContainsSubstring("compress::quantize left 'own.weight' (its layer has no with_forms) as it was"));
  for (auto const& p : values_of(small))
    if (p.name == "own.weight") CHECK((p.form == "dense" && zeros(p.values) == 0));
}

TEST_CASE("weights that share memory are not quantized apart from each other, and that is said") {
  auto w = alone();
  std::vector<std::string> notes;
  auto const model = build_fast(nn::sequential(nn::linear("in", 20, 12), nn::relu(), nn::linear("a", 12, 12),
                                               nn::relu(), nn::linear("b", 12, 12, {.tied_to = "a.weight"})),
                                w);
  auto const small =
      model | (compress::prune{.sparsity = 0.5} |
               compress::quantize<int8>{.on_note = [&](std::string_view line) { notes.emplace_back(line); }});
  REQUIRE(notes.size() == 1);
  CHECK_THAT(notes[0], ContainsSubstring("'a.weight' (its memory is shared") &&
                           ContainsSubstring("'b.weight' (its memory is shared"));
  auto const after = values_of(small);
  CHECK((after[0].form == "int8" && after[2].form == "masked"));
  CHECK(after[2].values == after[4].values);  // the alias sees the pruned values
  CHECK(zeros(after[2].values) > 0);
}

}  // namespace
