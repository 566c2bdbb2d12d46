// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What a run measured. Plain data: the source that writes JSON needs nothing of pleat.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace gpt {

struct figures {
  std::int64_t parameters = 0, first_step = 0;               // resumed at this step
  std::vector<double> loss;                                  // of every step of this run
  std::vector<std::pair<std::int64_t, double>> validations;  // steps done, loss
  std::vector<std::int64_t> skipped;     // steps that moved nothing, because a gradient of half overflowed
  double loss_scale = 1;                 // at the end
  double milliseconds_per_step = 0;      // median, without validation and checkpoints
  double seconds = 0;                    // all steps of this run
  std::vector<std::int64_t> peak_bytes;  // per rank
  std::vector<std::pair<std::string, std::string>> plan;
  std::string stages;  // which units are on which pipeline rank
  int ranks = 1, threads = 1;
};

[[nodiscard]] std::string to_json(figures const& f);

}  // namespace gpt
