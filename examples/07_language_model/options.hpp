// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the command line says. Plain data: the source that parses needs nothing of pleat, the others nothing of the
// parser.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace gpt {

struct options {
  std::string data, mesh, data_axes, schedule = "1f1b", recompute = "none", cuts = "cost", precision = "f32",
                                     wire = "same", checkpoint, json, out, trace;
  std::int64_t layers = 6, width = 384, heads = 6, context = 256;
  std::int64_t batch = 4, micro_batches = 1, chunks = 0, state_stage = 0, state_ranks = 0, state_stride = 1, lanes = 8,
               steps = 1000;
  std::int64_t warm_up = 100, validate_steps = 0, validation_windows = 0, checkpoint_steps = 0, log_steps = 0;
  std::uint64_t seed = 1;
  int threads = 0, thread_ranks = 0;
  double learning_rate = 1e-3, final_rate = 0.1, weight_decay = 0.1, beta2 = 0.99, clip = 1, loss_scale = 65536;
  bool deterministic = false, resume = false, no_overlap = false, quiet = false;
  bool schedule_given = false;  // by the command line: what is there by itself is not spoken of
  double timeout = 1800;
};

// The exit code, where there is nothing to run: --help, or options that do not parse.
std::optional<int> parse(int argc, char** argv, options& o);

struct sample_options {
  std::string from, prompt, mesh;
  std::int64_t tokens = 500, top_k = 0;
  std::uint64_t seed = 1;
  int threads = 0, thread_ranks = 0;
  double temperature = 0.8, timeout = 0;  // the writer may wait for its reader as long as that likes
};
std::optional<int> parse(int argc, char** argv, sample_options& o);

}  // namespace gpt
