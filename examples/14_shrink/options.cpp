// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "options.hpp"

#include "../command_line.hpp"

std::optional<int> parse(int argc, char** argv, options& o) {
  CLI::App app("Shrinks a model's file by a recipe, e.g. \"prune(0.9)|fine_tune(3)|int8\", and runs what it wrote.");
  auto* const in = app.add_option("in", o.in,
                                  "the model: a safetensors file of convolutions (ReLU, 2x2 max pooling) and fully "
                                  "connected layers, with or "
                                  "without batch norms")
                       ->type_name("IN");
  auto* const out = app.add_option("out", o.out, "the file to write")->type_name("OUT");
  auto* const recipe = app.add_option("--recipe", o.recipe, "steps, separated by |; see --words");
  app.add_flag("--words", o.words, "list the words of recipes, nothing else");
  app.add_option("--svg", o.svg, "file for a picture of the layers: what each stores and multiplies after every step")
      ->check(command_line::not_empty());
  auto* const samples = app.add_option("--samples", o.samples, "that steps look at which look at activations")
                            ->check(CLI::Range(1, 1000000))
                            ->capture_default_str();
  command_line::add_common(app, o);
  return command_line::parse(app, argc, argv, [&] {
    o.says_samples = samples->count() > 0;
    if (!o.words)
      for (auto const* x : {in, out, recipe})
        if (x->count() == 0) throw CLI::RequiredError(x->get_name());
  });
}
