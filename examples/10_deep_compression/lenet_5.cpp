// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "networks.hpp"
#include "recipe.hpp"

void run_lenet_5(options const& o, pl::world& world) {
  auto const sample = read_data(o).test.sample;
  run_job(
      lenet_5<networks::dense>(sample), lenet_5<networks::stored>(sample), "lenet-5",
      {.epochs = 4, .prune_epochs = 6, .retrain_epochs = 4, .tune_epochs = 1, .sparsity = 0.96, .weight_decay = 0.01},
      o, world);
}
