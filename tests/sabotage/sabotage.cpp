// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Trains on any ranks; one of them fails, hangs or is killed where it is told: sabotage POINT fail|hang|kill|none PIPELINE DATA TENSOR STAGE FOLDER
#include <pleat/run/launch.hpp>

#include "parallel/sabotage.hpp"

#include <cstdio>

int main(int argc, char** argv) {
  if (argc < 8) {
    std::fputs("sabotage POINT fail|hang|kill|none PIPELINE DATA TENSOR STAGE FOLDER\n", stderr);
    return 2;
  }
  std::string const what = argv[2];
  sabotage::options o;
  o.point = what == "none" ? "" : argv[1];
  o.what = what == "hang" ? sabotage::how::hang : what == "kill" ? sabotage::how::kill : sabotage::how::fail;
  o.plan = sabotage::mesh(std::atoi(argv[3]), std::atoi(argv[4]), std::atoi(argv[5]), std::atoi(argv[6]));
  o.folder = argv[7];
  o.rank = o.point == "input" ? 0 : o.point == "loss" ? static_cast<int>(o.plan.ranks()) - 1 : 1;
  if (what == "hang") o.timeout = 2;
  return pleat::run::launch(argc, argv, [&](pleat::world& w) { sabotage::train(w, o); }, {.threads = 1});
}
