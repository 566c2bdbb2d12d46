// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the command line says. Plain data: the source that parses needs nothing of pleat, the others nothing of the
// parser.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

struct options {
  std::string asked;    // a line an option: ranks compare it
  std::string program;  // how this one was called
  std::string data, model = "lenet-300-100", out, json, evaluate;
  std::uint64_t seed = 1;
  std::int64_t batch = 64;
  // Of the recipe; negative: the model's own (recipe.hpp).
  std::int64_t epochs = -1, prune_epochs = -1, retrain_epochs = -1, tune_epochs = -1;
  double sparsity = -1, learning_rate = -1, weight_decay = -1;
  int num_bits = -1, shift = -1;
  int threads = 0, thread_ranks = 0;
  bool deterministic = false, quiet = false;
};

// The exit code, where there is nothing to run: --help, or options that do not parse.
std::optional<int> parse(int argc, char** argv, options& o);
