// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the command line says, and what every part of the job needs of it.
#pragma once

#include <pleat/pleat.hpp>

#include <string>
#include <vector>

namespace pl = pleat;

struct options {
  std::string data, model = "lenet-300-100", checkpoint, out, json, evaluate, optimizer = "adamw";
  pl::index_t epochs = 10, batch = 64, micro_batches = 1, checkpoint_steps = 0, limit = 0;
  std::uint64_t seed = 1;
  int threads = 0, thread_ranks = 0;
  double learning_rate = 1e-3, sparsity = 0.9;
  bool deterministic = false, resume = false, no_overlap = false, train_only = false, quiet = false;
};

pl::io::split read_data(options const& o);

// Runs the job that the options ask for, on the network that they name; one source file for each, so that they compile side by side.
void run_mlp(std::string const& network, options const& o, pl::world& world);
void run_lenet_5(std::string const& network, options const& o, pl::world& world);

// Every figure as JSON, into --json FILE and --out DIR/report.json.
void write_figures(std::string const& network, pl::run::fit_report const& trained, std::vector<pl::compress::stage> const& stages, options const& o, pl::world const& world);
void write_served(pl::run::evaluation const& e, pl::run::serve_report const& served, options const& o, pl::world const& world);
