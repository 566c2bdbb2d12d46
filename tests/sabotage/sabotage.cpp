// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Trains on any ranks; one of them fails, hangs or is killed where it is told: sabotage POINT fail|hang|kill|none
// PIPELINE DATA TENSOR STAGE FOLDER POINT saving:RANK:BYTES: killed within the save, when it has written so many bytes
// into a file. `load` instead of fail: says what is in the folder.
#include <pleat/run/launch.hpp>

#include "parallel/sabotage.hpp"

#include <cstdio>

int main(int argc, char** argv) {
  if (argc < 8) {
    std::fputs("sabotage POINT fail|hang|kill|none|load PIPELINE DATA TENSOR STAGE FOLDER\n", stderr);
    return 2;
  }
  std::string const what = argv[2];
  sabotage::options o;
  o.point = what == "none" ? "" : argv[1];
  o.what = what == "hang" ? sabotage::how::hang : what == "kill" ? sabotage::how::kill : sabotage::how::fail;
  o.plan = sabotage::mesh(std::atoi(argv[3]), std::atoi(argv[4]), std::atoi(argv[5]), std::atoi(argv[6]));
  o.folder = argv[7];
  o.rank = sabotage::victim(o.plan, o.point);
  if (int bytes = 0; std::sscanf(argv[1], "saving:%d:%d", &o.rank, &bytes) == 2) o.point = "", o.room = bytes;
  if (what == "load")
    return pleat::run::launch(argc, argv,
                              [&](pleat::world& w) {
                                auto const step = sabotage::newest(w, o);
                                if (w.rank() == 0)
                                  std::printf("the newest checkpoint is whole: step %d\n", static_cast<int>(step));
                              },
                              {.threads = 1});
  if (what == "hang") o.timeout = 2;
  return pleat::run::launch(argc, argv, [&](pleat::world& w) { sabotage::train(w, o); }, {.threads = 1});
}
