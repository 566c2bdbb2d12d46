// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "job.hpp"
#include "networks.hpp"

void run_mlp(std::string const& network, options const& o, pl::world& world) {
  auto const sample = read_data(o).test.sample;
  auto const widths = network == "lenet-300-100" ? "mlp:" + std::to_string(sample.size()) + "-300-100-10" : network;
  run_job(mlp<networks::dense>(widths, sample.size()), mlp<networks::stored>(widths, sample.size()), network, o, world);
}
