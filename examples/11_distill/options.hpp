// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the command line says. Plain data: the source that parses needs nothing of pleat, the others nothing of the
// parser.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

// How far an image moves, at most.
struct movement {
  int shift = 0;    // pixels, in x and in y
  double turn = 0;  // degrees of a rotation, per cent of a stretch
  double bend = 0;  // pixels of the points of an elastic deformation
  bool moves() const { return shift > 0 || turn > 0 || bend > 0; }
};

struct options {
  std::string asked;  // a line an option: ranks compare it
  std::string data, out, json, teacher, evaluate;
  std::uint64_t seed = 1;
  std::int64_t batch = 128, teacher_epochs = 36, epochs = 20, teacher_width = 1200, width = 800, top_k = -1,
               validation = 0;
  double temperature = 20, hard_weight = 0.1, learning_rate = 1e-3, weight_decay = 0.01, dropout = 0.1,
         input_dropout = 0;
  movement move{.shift = 1, .turn = 10, .bend = 4}, student_move = move;
  int threads = 0, thread_ranks = 0, teacher_ranks = 0;
  bool baseline = false, deterministic = false, quiet = false;
};

// The exit code, where there is nothing to run: --help, or options that do not parse.
std::optional<int> parse(int argc, char** argv, options& o);
