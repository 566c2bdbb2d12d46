// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <CLI/CLI.hpp>

#include <cstdlib>
#include <iostream>
#include <sstream>

#include "options.hpp"

std::optional<int> parse(int argc, char** argv, options& o) {
  CLI::App app("Shrinks a model's file by a recipe, e.g. \"prune(0.9)|fine_tune(3)|int8\", and runs what it wrote.");
  auto* const in = app.add_option("in", o.in, "the model: a safetensors file of convolutions (ReLU, 2x2 max pooling) and fully connected layers")->type_name("IN");
  auto* const out = app.add_option("out", o.out, "the file to write")->type_name("OUT");
  auto* const recipe = app.add_option("--recipe", o.recipe, "steps, separated by |; see --words");
  app.add_flag("--words", o.words, "list the words of recipes, nothing else");
  app.add_option("--data", o.data, "folder with MNIST in IDX form (default: the digits that pleat ships): for errors, training and samples");
  app.add_option("--json", o.json, "file for every figure");
  app.add_option("--seed", o.seed)->capture_default_str();
  app.add_option("--batch", o.batch, "samples per step of training, over all ranks")->check(CLI::Range(1, 1000000))->capture_default_str();
  app.add_option("--samples", o.samples, "that steps look at which look at activations")->check(CLI::Range(1, 1000000))->capture_default_str();
  app.add_option("--threads", o.threads, "threads per rank (default: the cores dealt to the ranks)")->check(CLI::Range(1, 100000));
  app.add_option("--thread-ranks", o.thread_ranks, "ranks as threads of this process")->check(CLI::Range(1, 1000));
  app.add_flag("--deterministic", o.deterministic, "the same bytes on any number of ranks");
  app.add_flag("--quiet", o.quiet, "no progress line");
  // mpirun's ranks all parse; only one of them should speak.
  char const* rank = std::getenv("OMPI_COMM_WORLD_RANK");
  if (!rank) rank = std::getenv("PMI_RANK");
  bool const speaks = !rank || std::string(rank) == "0";
  try {
    app.parse(argc, argv);
    if (!o.words)
      for (auto const* x : {in, out, recipe})
        if (x->count() == 0) throw CLI::RequiredError(x->get_name());
  } catch (CLI::ParseError const& e) {
    std::ostringstream said, err;
    int const code = app.exit(e, said, err);
    if (speaks) std::cout << said.str(), std::cerr << err.str();
    return code;
  }
  return std::nullopt;
}
