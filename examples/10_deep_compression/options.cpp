// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "options.hpp"

#include "../command_line.hpp"

std::optional<int> parse(int argc, char** argv, options& o) {
  CLI::App app(
      "Trains a network, prunes it, lets its weights share values, codes them, writes the file, and runs what the file "
      "holds.");
  app.add_option("--model", o.model)->check(CLI::IsMember({"lenet-300-100", "lenet-5"}))->capture_default_str();
  app.add_option("--out", o.out, "folder for model.safetensors, compressed.safetensors, report.json, report.svg")
      ->check(command_line::not_empty());
  app.add_option("--evaluate", o.evaluate, "load this compressed file and evaluate it, nothing else")
      ->check(command_line::not_empty());
  app.add_option("--epochs", o.epochs, "of the first training")->check(CLI::Range(1, 100000));
  app.add_option("--prune-epochs", o.prune_epochs, "rounds of pruning, an epoch each")->check(CLI::Range(1, 100000));
  app.add_option("--retrain-epochs", o.retrain_epochs, "after the last pruning")->check(CLI::Range(1, 100000));
  app.add_option("--tune-epochs", o.tune_epochs, "of the shared values")->check(CLI::Range(1, 100000));
  app.add_option("--sparsity", o.sparsity, "share of the weights that pruning removes")
      ->check(command_line::number(0.0, 0.9999));
  app.add_option("--learning-rate", o.learning_rate)->check(command_line::positive());
  app.add_option("--weight-decay", o.weight_decay)->check(command_line::not_negative());
  app.add_option("--bits", o.num_bits, "of a code: 2^bits shared values per layer")->check(CLI::Range(1, 8));
  app.add_option("--shift", o.shift, "training images are also shown moved by so many pixels up, down, left and right")
      ->check(CLI::Range(0, 3));
  command_line::add_common(app, o);
  o.program = argv[0];
  return command_line::parse(app, argc, argv, [&] {});
}
