// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "options.hpp"

#include <initializer_list>
#include <string>

#include "../command_line.hpp"

std::optional<int> parse(int argc, char** argv, options& o) {
  CLI::App app("Trains a network, shrinks it, saves it and runs it, on any number of ranks.");
  app.add_option("--model", o.model, "lenet-300-100, lenet-5, or mlp:784-…-10 with the widths of all layers")
      ->capture_default_str();
  app.add_option("--epochs", o.epochs)->check(CLI::Range(1, 100000))->capture_default_str();
  app.add_option("--micro-batches", o.micro_batches, "walks per step; gradients are exchanged after the last")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  app.add_option("--optimizer", o.optimizer)->check(CLI::IsMember({"adamw", "sgd"}))->capture_default_str();
  app.add_option("--learning-rate", o.learning_rate)->check(command_line::positive())->capture_default_str();
  app.add_option("--sparsity", o.sparsity, "share of the weights that pruning removes")
      ->check(command_line::number(0, 0.9999))
      ->capture_default_str();
  app.add_option("--checkpoint", o.checkpoint, "folder for checkpoints")->check(command_line::not_empty());
  app.add_option("--checkpoint-steps", o.checkpoint_steps, "steps between checkpoints (default: one per epoch)")
      ->check(CLI::Range(1, 1000000000));
  app.add_option("--out", o.out, "folder for model.safetensors, compressed.safetensors, report.json, report.svg")
      ->check(command_line::not_empty());
  app.add_option("--evaluate", o.evaluate, "load this file and evaluate it, nothing else")
      ->check(command_line::not_empty());
  app.add_flag("--resume", o.resume, "go on from the newest checkpoint");
  app.add_flag("--no-overlap", o.no_overlap, "exchange gradients after backward, not during it");
  app.add_flag("--train-only", o.train_only, "do not compress");
  command_line::add_timeout(app, o);
  command_line::add_common(app, o);
  return command_line::parse(app, argc, argv, [&] {
    if (o.resume && o.checkpoint.empty())
      throw CLI::ValidationError("--resume needs --checkpoint DIR: the folder to go on from");
    if (o.checkpoint_steps > 0 && o.checkpoint.empty())
      throw CLI::ValidationError("--checkpoint-steps needs --checkpoint DIR: nothing is kept without a folder");
    o.model_said = app.count("--model") > 0;
    // What would change nothing was meant to change something.
    auto const without_effect = [&](char const* mode, std::initializer_list<char const*> names) {
      for (auto const* name : names)
        if (app.count(name) > 0)
          throw CLI::ValidationError(std::string(name) + " has no effect with " + mode + ": leave one of the two out");
    };
    if (!o.evaluate.empty())
      without_effect("--evaluate", {"--epochs", "--batch", "--micro-batches", "--optimizer", "--learning-rate",
                                    "--sparsity", "--seed", "--deterministic", "--checkpoint", "--out", "--resume",
                                    "--no-overlap", "--train-only"});
    if (o.train_only) without_effect("--train-only", {"--sparsity"});
  });
}
