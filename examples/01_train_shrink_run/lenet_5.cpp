// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "job.hpp"
#include "networks.hpp"

void run_lenet_5(std::string const& network, pl::io::split const& data, options const& o, pl::world& world) {
  auto const& sample = data.test.sample;
  run_job(lenet_5<networks::dense>(sample), lenet_5<networks::stored>(sample), network, data, o, world);
}
