// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// One trained network through every way of quantizing it: error, bytes of the written file, time of one answer.
//
//   quantization --data DIR --model lenet-5 --seed 1 --json figures.json
#include <CLI/CLI.hpp>

#include "../command_line.hpp"
#include "../outputs.hpp"
#include "options.hpp"

int main(int argc, char** argv) {
  options o;
  CLI::App app("Trains a network and quantizes it in every way.");
  command_line::add_asked(app, o);
  app.add_option("--data", o.data, "folder with MNIST in IDX form (default: the digits that pleat ships)")
      ->check(command_line::not_empty());
  app.add_option("--model", o.model)->check(CLI::IsMember({"lenet-300-100", "lenet-5"}))->capture_default_str();
  command_line::add_seed(app, o);
  app.add_option("--epochs", o.epochs)->check(CLI::Range(1, 100000))->capture_default_str();
  app.add_option("--samples", o.samples, "that calibration looks at")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  app.add_option("--json", o.json, "file for the table")->check(command_line::not_empty());
  command_line::add_threads(app, o);
  app.add_flag("--quiet", o.quiet, "no progress line")->configurable(false);
  if (auto const code = command_line::parse(app, argc, argv, [] {})) return *code;
  return pl::run::launch(argc, argv,
                         [&](pl::world& world) {
                           agree_on_options(world, o.asked);
                           demand_outputs(world, {o.json});
                           pl::extents const sample = o.data.empty() ? pl::extents{1, 8, 8} : pl::extents{1, 28, 28};
                           if (o.model == "lenet-5") run_lenet_5(sample, o, world);
                           else run_lenet_300_100(sample, o, world);
                         },
                         {.thread_ranks = o.thread_ranks, .threads = o.threads});
}
