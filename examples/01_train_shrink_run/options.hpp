// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the command line says. Plain data: the source that parses needs nothing of pleat, the others nothing of the
// parser.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

struct options {
  std::string asked;  // a line an option: ranks compare it
  std::string data, model = "lenet-300-100", checkpoint, out, json, evaluate, optimizer = "adamw";
  std::int64_t epochs = 10, batch = 64, micro_batches = 1, checkpoint_steps = 0;
  std::uint64_t seed = 1;
  int threads = 0, thread_ranks = 0;
  double learning_rate = 1e-3, sparsity = 0.9;
  bool deterministic = false, resume = false, no_overlap = false, train_only = false, quiet = false;
  bool model_said = false;  // --model was given
  double timeout = 1800;
};

// The exit code, where there is nothing to run: --help, or options that do not parse.
std::optional<int> parse(int argc, char** argv, options& o);
