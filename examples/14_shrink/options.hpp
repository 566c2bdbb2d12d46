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
  std::string in, out, recipe, data, json;
  std::uint64_t seed = 1;
  std::int64_t batch = 64, samples = 300;
  bool says_samples = false;
  int threads = 0, thread_ranks = 0;
  bool deterministic = false, quiet = false, words = false;
  std::string svg;
};

// The exit code, where there is nothing to run: --help, or options that do not parse.
std::optional<int> parse(int argc, char** argv, options& o);
