// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/compress/recipe.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

namespace {

namespace compress = pleat::compress;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

std::vector<compress::recipe_word> const words{
    {.name = "prune",
     .keys = {"sparsity", "scope", "ignore"},
     .required = {"sparsity"},
     .says = "",
     .masks = true,
     .choices = {{"scope", {"global", "layer"}}},
     .counts_with = {{"scope", "a sparsity"}}},
    {.name = "channels", .keys = {"share"}, .required = {"share"}, .says = "", .resizes = true},
    {.name = "fine_tune", .keys = {"epochs", "learning_rate"}, .required = {}, .says = "", .trains = true},
    {.name = "int8",
     .keys = {"ignore"},
     .required = {},
     .says = "",
     .encodes = true,
     .stores_factors = true,
     .takes_every = true},
    {.name = "q8_0", .keys = {"ignore"}, .required = {}, .says = "", .encodes = true, .stores_factors = true},
    {.name = "gptq", .keys = {"ignore"}, .required = {}, .says = "", .encodes = true, .takes_every = true},
    {.name = "csr", .keys = {"ignore"}, .required = {}, .says = "", .encodes = true, .takes_every = true},
    {.name = "low_rank",
     .keys = {"energy", "ignore"},
     .required = {},
     .says = "",
     .encodes = true,
     .fills_zeros = true,
     .factors = true},
    {.name = "spatial_low_rank",
     .keys = {"energy", "ignore"},
     .required = {},
     .says = "",
     .encodes = true,
     .fills_zeros = true,
     .factors = true,
     .keeps_factors = true},
    {.name = "share",
     .keys = {"bits", "ignore"},
     .required = {},
     .says = "",
     .encodes = true,
     .shares = true,
     .takes_every = true},
    {.name = "quantize_aware", .keys = {"form"}, .required = {}, .says = "", .trains_codes = true},
    {.name = "fold", .keys = {"ignore"}, .required = {}, .says = "", .folds = true},
    {.name = "entropy", .keys = {}, .required = {}, .says = "", .encodes = true, .needs_shared = true},
};
std::string spelled(std::string const& text) {
  std::string s;
  for (auto const& step : compress::read_recipe(text, words)) s += (s.empty() ? "" : "|") + step.to_string();
  return s;
}
void refused(std::string const& text, std::string const& what, std::string const& instead = "") {
  INFO(text);
  CHECK_THROWS_MATCHES(compress::read_recipe(text, words), pleat::error,
                       MessageMatches(ContainsSubstring(what) && ContainsSubstring(instead)));
}

TEST_CASE("recipes are read: values by position and by key, spaces anywhere") {
  CHECK(spelled("int8") == "int8");
  CHECK(spelled(" prune ( 0.9 , layer )| int8( ) ") == "prune(sparsity=0.9, scope=layer)|int8");
  CHECK(spelled("prune(scope=global,0.9)|fine_tune(3,1e-3)") ==
        "prune(sparsity=0.9, scope=global)|fine_tune(epochs=3, learning_rate=1e-3)");
  // A word that one key alone takes may stand anywhere.
  CHECK(spelled("prune(global,0.9)|int8") == "prune(sparsity=0.9, scope=global)|int8");
  CHECK(spelled("prune(layer, 0.9, fc1)") == "prune(sparsity=0.9, scope=layer, ignore=fc1)");
  CHECK(spelled("int8(global)") == "int8(ignore=global)");
  // A name like such a word is a name, where the key has its value already.
  CHECK(spelled("prune(0.9, global, layer1)") == "prune(sparsity=0.9, scope=global, ignore=layer1)");
  CHECK(spelled("prune(layer, 0.9, globals)") == "prune(sparsity=0.9, scope=layer, ignore=globals)");
  auto const steps = compress::read_recipe("prune(0.75, ignore=fc3.*  fc2.weight)", words);
  CHECK(steps[0].number("sparsity") == 0.75);
  CHECK(steps[0].names("ignore") == std::vector<std::string>{"fc3.*", "fc2.weight"});
  CHECK(steps[0].text("scope", "global") == "global");
  CHECK(compress::read_recipe("fine_tune(4)", words)[0].whole("epochs") == 4);
  CHECK(compress::read_recipe("fine_tune", words)[0].whole("epochs", 3) == 3);
}

TEST_CASE("what cannot be read is refused, and the nearest known word is offered") {
  refused("", "the recipe is empty");
  refused("int8|", "step 2 of 'int8|' is empty");
  refused("int8||int8", "step 2 of");
  refused("prnue(0.9)", "'prnue' is no word of a recipe; known are prune, channels", "Did you mean 'prune'?");
  refused("int9", "'int9' is no word", "Did you mean 'int8'?");
  refused("finetune(3)", "'finetune' is no word", "Did you mean 'fine_tune'?");
  refused("prune(sparsty=0.9)", "'prune' has no 'sparsty'; it takes sparsity, scope, ignore",
          "Did you mean 'sparsity'?");
  refused("prune", "'prune' lacks 'sparsity'", "prune(sparsity=");
  refused("prune(0.9, layer, fc1, 4)", "has a value too many", "Leave out '4'");
  refused("prune(0.9, globall)", "scope is 'globall', expected global, layer", "Did you mean 'global'?");
  refused("prune(globl, 0.9)", "scope 'globl' is not known, expected global, layer", "Did you mean 'global'?");
  refused("prune(0.9, scope=row)", "scope is 'row', expected global, layer");
  refused("entropy(1)", "takes none");
  refused("prune(0.9, sparsity=0.8)", "says 'sparsity' twice");
  refused("prune(0.9, scope=)", "the value of 'scope' is empty");
  for (auto const* brackets : {"prune(0.9", "prune 0.9)", "prune((0.9))", "prune(0.9)x", "prune)0.9("})
    refused(brackets, "do not match");
  auto const number = [](char const* text, char const* key) {
    return compress::read_recipe(text, words)[0].number(key);
  };
  for (auto const* text : {"prune(much)", "prune(0.9x)", "prune(nan)", "prune(inf)"})
    CHECK_THROWS_MATCHES(number(text, "sparsity"), pleat::error,
                         MessageMatches(ContainsSubstring("expected a number")));
  CHECK_THROWS_MATCHES(compress::read_recipe("fine_tune(1.5)", words)[0].whole("epochs"), pleat::error,
                       MessageMatches(ContainsSubstring("expected a whole number")));
  CHECK_THROWS_MATCHES(compress::read_recipe("fine_tune(9223372036854775807)", words)[0].whole("epochs"), pleat::error,
                       MessageMatches(ContainsSubstring("expected a whole number of at most 10^15")));
}

TEST_CASE("what a step does not ask for is refused, not ignored") {
  auto const refused_after = [](std::string const& text, auto&& understand) -> std::string {
    auto const steps = compress::read_recipe(text, words);
    understand(steps[0]);
    try {
      compress::demand_heard(steps[0]);
    } catch (pleat::error const& e) {
      return e.what();
    }
    return "";
  };
  auto const number_alone = [](compress::recipe_step const& s) { (void)s.number("sparsity"); };
  CHECK(refused_after("prune(0.9)", number_alone).empty());
  CHECK_THAT(refused_after("prune(0.9, layer)", number_alone),
             ContainsSubstring("'prune(sparsity=0.9, scope=layer)': 'scope' would do nothing here; it counts with a "
                               "sparsity") &&
                 ContainsSubstring("Leave scope out, or say what it counts with"));
  CHECK_THAT(refused_after("prune(0.9, ignore=fc1)", number_alone),
             ContainsSubstring("'ignore' would do nothing here") && !ContainsSubstring("counts with"));
  CHECK(refused_after("prune(0.9, layer, fc1)", [](compress::recipe_step const& s) {
          (void)s.number("sparsity"), (void)s.text("scope"), (void)s.names("ignore");
        }).empty());
  // to ask whether it is there, or to spell the step, is not to listen
  CHECK_FALSE(refused_after("fine_tune(3)", [](compress::recipe_step const& s) {
                (void)s.has("epochs"), (void)s.to_string(), (void)s.whole("learning_rate", 0);
              }).empty());
  CHECK(refused_after("fine_tune(3)", [](compress::recipe_step const& s) { (void)s.whole("epochs"); }).empty());
  auto const lists =
      compress::read_recipe("prune(0.9, ignore=conv* ;  fc1.* fc2.*;)", words)[0].lists_of_names("ignore");
  CHECK(lists == std::vector<std::vector<std::string>>{{"conv*"}, {"fc1.*", "fc2.*"}});
}

TEST_CASE("orders that the mathematics does not allow are refused with the sentence") {
  auto const check = [](std::string const& text, compress::recipe_state now = {}) {
    compress::check_order(compress::read_recipe(text, words), now);
  };
  for (auto const* good :
       {"prune(0.9)|int8", "channels(0.5)|prune(0.9)|fine_tune|int8", "prune(0.9)|share(4)|entropy",
        "low_rank(0.9)|int8", "share|entropy", "int8(fc1*)|low_rank", "q8_0|int8", "int8(fc1*)|q8_0",
        "prune(0.5)|quantize_aware|int8", "low_rank|q8_0|fine_tune|int8", "low_rank(ignore=fc3*)|csr",
        "low_rank|gptq(fc1*)", "share(ignore=fc1*)|low_rank|entropy", "share(ignore=conv*)|spatial_low_rank|entropy",
        "spatial_low_rank|low_rank|int8(conv*)", "spatial_low_rank(ignore=conv2*)|int8"})
    CHECK_NOTHROW(check(good));
  auto const wrong = [&](std::string const& text, std::string const& words_, compress::recipe_state now = {}) {
    CHECK_THROWS_MATCHES(check(text, now), pleat::error, MessageMatches(ContainsSubstring(words_)));
  };
  wrong("int8|prune(0.9)", "'prune(sparsity=0.9)' prunes after weights are quantized or factored");
  wrong("share|prune(0.9)", "prunes after weights share values");
  wrong("prune(0.9)|channels(0.5)", "takes channels out of weights that are pruned already");
  wrong("int8|share", "shares values of weights that are encoded already");
  wrong("int8|q8_0", "'q8_0' encodes after 'int8' has encoded every weight");
  wrong("share|fine_tune|low_rank", "'low_rank' encodes after 'share' has encoded every weight");
  wrong("q8_0(fc1*)|int8|fine_tune|int8(fc2*)", "'int8(ignore=fc2*)' encodes after 'int8' has encoded every weight");
  wrong("prune(0.5)|entropy", "codes before weights share values");
  wrong("prune(0.5)|low_rank", "factors would fill the zeros");
  wrong("int8|quantize_aware", "trains codes of weights that are encoded already");
  wrong("quantize_aware|prune(0.5)", "comes after training codes, which it would undo");
  wrong("share", "comes after training codes", {.codes = true});
  wrong("q8_0|fold", "'fold' folds norms into weights that are quantized, factored or shared already");
  CHECK_NOTHROW(check("fold|prune(0.5)|fold|int8"));
  wrong("low_rank", "factors would fill the zeros", {.masked = true});  // the file's weights count
  wrong("prune(0.5)", "prunes after weights are quantized", {.encoded = true});
  // every word after factors: it does something to them, or says that it does not
  wrong("low_rank|prune(0.5)", "sparse_low_rank, which keeps what survived apart");
  wrong("low_rank|channels(0.5)", "prunes after weights are quantized or factored");
  wrong("low_rank|csr", "'csr' stores whole weights, and would leave those that 'low_rank' has factored in float");
  wrong("low_rank(0.9)|fine_tune|gptq", "low_rank(ignore=fc3.*)|gptq(ignore=fc1.* fc2.*)");
  wrong("gptq", "would leave those that are factored already in float", {.encoded = true, .factored = true});
  wrong("low_rank|share", "shares values of weights that are encoded already");
  wrong("low_rank|quantize_aware", "trains codes of weights that are encoded already");
  wrong("low_rank|entropy", "codes before weights share values");
  for (auto const* word : {"int8", "q8_0", "gptq", "csr"})
    wrong(std::string("spatial_low_rank|") + word, "would leave the kernels that 'spatial_low_rank' has factored");
  wrong("int8", "would leave the kernels that are factored already in float", {.encoded = true, .kept_factors = true});
  wrong("spatial_low_rank|prune(0.5)", "prunes after weights are quantized or factored");
}

}  // namespace
