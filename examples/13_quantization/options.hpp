// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the command line says, and a source file for each network, so that they compile side by side.
#pragma once

#include <pleat/pleat.hpp>

#include <string>

namespace pl = pleat;

struct options {
  std::string data, model = "lenet-300-100", json;
  std::uint64_t seed = 1;
  pl::index_t epochs = 10, samples = 300;
  int threads = 0, thread_ranks = 0;
  bool quiet = false;
  std::string asked;  // a line an option: ranks compare it
};

void run_lenet_300_100(pl::extents const& sample, options const& o, pl::world& world);
void run_lenet_5(pl::extents const& sample, options const& o, pl::world& world);
