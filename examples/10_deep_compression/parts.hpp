// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the sources of the program share.
#pragma once

#include <pleat/pleat.hpp>

#include <string>
#include <vector>

#include "options.hpp"

namespace pl = pleat;

// MNIST from --data, or the shipped digits; with every training image moved by `shift` pixels up, down, left and right
// as well.
pl::io::split read_data(options const& o);
pl::io::dataset with_shifts(pl::io::dataset const& d, int shift);

// One source file for each network, so that they compile side by side.
void run_lenet_300_100(options const& o, pl::world& world);
void run_lenet_5(options const& o, pl::world& world);

// What a weight became.
struct layer_figures {
  std::string name;
  pl::index_t elements = 0, kept = 0, bytes = 0;
  int num_bits = 0;
};

struct figures {
  std::string network;
  double error_before = 0, error_after = 0;
  pl::index_t bytes_before = 0, bytes_after = 0;
  double seconds = 0;
  std::string evaluation;  // JSON, as the new process wrote it; rank 0's
  std::vector<pl::compress::stage> stages;
  std::vector<layer_figures> layers;
  [[nodiscard]] double ratio() const {
    return bytes_after > 0 ? static_cast<double>(bytes_before) / static_cast<double>(bytes_after) : 0;
  }
};

// Every figure as JSON, into --json FILE and --out DIR/report.json.
void write_figures(figures const& f, options const& o, pl::world const& world);
void write_evaluation(pl::run::evaluation const& e, options const& o, pl::world const& world);

// Where the compressed network goes, and where what a new process finds in it.
std::string compressed_file(options const& o, std::string const& network);
std::string evaluation_file(std::string const& path);

// What a process of its own finds that has nothing but the file (and the test images): this program with --evaluate,
// started by rank 0, which is no rank of anything. It leaves its figures beside the file. Collective. \throws pl::error
// on every rank if it does not end well
struct evaluated {
  std::string json;  // rank 0's
  double error = 0;
};
evaluated evaluate_in_new_process(std::string const& path, options const& o, pl::world& world);
