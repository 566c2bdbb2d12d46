// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "networks.hpp"
#include "recipe.hpp"

void run_lenet_300_100(options const& o, pl::world& world) {
  auto const sample = read_data(o).test.sample;
  run_job(lenet_300_100<networks::dense>(sample), lenet_300_100<networks::stored>(sample), "lenet-300-100", {}, o,
          world);
}
